// SPDX-License-Identifier: GPL-2.0-only
#include "vswitch.c"
#include <elisa/module.h>

ELISA_INTERPOSE("vswitch");
