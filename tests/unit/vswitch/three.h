/* SPDX-License-Identifier: MIT */
/* A switch with three ports. */
#ifndef THREE_H
#define THREE_H

#include "world.h"

#define A 0u
#define B 1u
#define C 2u
#define BROADCAST VSWITCH_BROADCAST

static inline int three(void **test)
{
	(void)test;
	world_reset(64, 64);
	for (uint32_t n = A; n <= C; n++)
		client_join(n, 1);
	return 0;
}

/* What exactly so many of A, B, C have got. */
static inline void expect(uint32_t a, uint32_t b, uint32_t c)
{
	assert_int_equal(client_pending(A), a);
	assert_int_equal(client_pending(B), b);
	assert_int_equal(client_pending(C), c);
	for (uint32_t n = A; n <= C; n++) {
		while (client_take(n, 0, NULL))
			;
	}
}

#endif
