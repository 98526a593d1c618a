/* SPDX-License-Identifier: GPL-2.0-only */
/* Refusals: an errno, and one line for whoever asked. */
#ifndef GUEST_WHY_H
#define GUEST_WHY_H

#include <linux/compiler_attributes.h>
#include <elisa/elisa.h>

struct elisa_why {
	char text[ELISA_REASON_MAX];
};

/* Returns ERROR, so that a refusal is one return statement. */
int __printf(3, 4) elisa_refuse(struct elisa_why *why, int error, const char *format, ...);

#endif
