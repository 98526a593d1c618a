/* SPDX-License-Identifier: GPL-2.0-only */
/* Refusals: an errno, and one line for whoever asked. */
#ifndef GUEST_WHY_H
#define GUEST_WHY_H

#include <linux/kernel.h>
#include <elisa/elisa.h>

struct elisa_why {
	char text[ELISA_REASON_MAX];
};

/* Its value is ERROR, so that a refusal is one return statement. */
#define elisa_refuse(why, error, ...)                                    \
	({                                                               \
		snprintf((why)->text, sizeof((why)->text), __VA_ARGS__); \
		(error);                                                 \
	})

#endif
