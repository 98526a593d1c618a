/* SPDX-License-Identifier: MIT */
/* An allocator for tests: pages at the very top of a made-up physical memory; allocations can be made to fail. */
#ifndef ELISA_TESTS_ARENA_H
#define ELISA_TESTS_ARENA_H

#include "allocator.h"

#define ARENA_PAGES 2048

struct arena {
	struct elisa_allocator allocator;
	hpa_t base;
	u8 *memory;
	bool used[ARENA_PAGES];
	u32 next;      /* where the search for a free page starts: pages are used again as late as possible */
	u32 pages;     /* in use */
	u32 countdown; /* the how-manieth allocation from now fails; 0: none */
};

/* Aborts the test program where that fails, and at every misuse: a page freed twice, an address that is no page's. */
void arena_create(struct arena *arena, u32 maxphyaddr);
void arena_destroy(struct arena *arena);

/* A 64-bit word of the memory; false if hpa is not in a page in use. */
bool arena_read(const struct arena *arena, hpa_t hpa, u64 *value);

/* The state of all pages in one number, to see that nothing has changed. */
u64 arena_hash(const struct arena *arena);

#endif
