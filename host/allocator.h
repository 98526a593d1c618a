/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Where tables come from. Whoever owns an allocator embeds it, counts and charges its pages, and decides when a page
 * that was given back may be used again: not before every CPU has forgotten what it cached of it.
 */
#ifndef ELISA_HOST_ALLOCATOR_H
#define ELISA_HOST_ALLOCATOR_H

#include "types.h"

struct elisa_allocator {
	/* A page of 4 KiB, zeroed, or NULL. */
	void *(*alloc)(struct elisa_allocator *allocator);
	/* Takes back a page of alloc(), whatever it holds by now. */
	void (*free)(struct elisa_allocator *allocator, void *page);
	/* Of each other the inverse, for pages of alloc(). */
	hpa_t (*physical)(struct elisa_allocator *allocator, const void *page);
	void *(*virtual)(struct elisa_allocator *allocator, hpa_t hpa);
};

#endif
