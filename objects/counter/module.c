// SPDX-License-Identifier: GPL-2.0-only
#include "counter.c"
#include <elisa/module.h>

ELISA_INTERPOSE_ANY("counter");
