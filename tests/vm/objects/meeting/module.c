// SPDX-License-Identifier: GPL-2.0-only
#include "meeting.c"
#include <elisa/module.h>

ELISA_INTERPOSE("meeting");
