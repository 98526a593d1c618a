/* SPDX-License-Identifier: MIT */
/* The switch's state as an ordinary program sees it. */
#ifndef VSWITCH_VIEW_H
#define VSWITCH_VIEW_H

#define ELISA_TEST /* not inside */
#include "../control.h"

#endif
