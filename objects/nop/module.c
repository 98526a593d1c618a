// SPDX-License-Identifier: GPL-2.0-only
#include "nop.c"
#include <elisa/module.h>

ELISA_INTERPOSE_ANY("nop");
