// SPDX-License-Identifier: GPL-2.0-only
#include "kv.c"
#include <elisa/module.h>

ELISA_INTERPOSE("kv");
