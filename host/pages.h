/* SPDX-License-Identifier: GPL-2.0-only */
/* The module's own pages, counted by whom they are for. Zeroed when given out, and before they go back to the kernel.
 */
#ifndef HOST_PAGES_H
#define HOST_PAGES_H

#include <linux/atomic.h>

#include "allocator.h"

struct elisa_pages {
	struct elisa_allocator allocator;
	atomic_long_t held;
};

void elisa_pages_init(struct elisa_pages *pages);
void *elisa_page_alloc(struct elisa_pages *pages);
void elisa_page_free(struct elisa_pages *pages, void *page);
hpa_t elisa_page_physical(const void *page);
/* Of all owners. */
long elisa_pages_total(void);

#endif
