// SPDX-License-Identifier: GPL-2.0-only
#include "pages.h"

#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/mm.h>

static atomic_long_t total;

static void *alloc(struct elisa_allocator *allocator)
{
	return elisa_page_alloc(container_of(allocator, struct elisa_pages, allocator));
}

static void release(struct elisa_allocator *allocator, void *page)
{
	elisa_page_free(container_of(allocator, struct elisa_pages, allocator), page);
}

static hpa_t physical(struct elisa_allocator *allocator, const void *page)
{
	return elisa_page_physical(page);
}

static void *virtual(struct elisa_allocator *allocator, hpa_t hpa)
{
	return __va(hpa);
}

void elisa_pages_init(struct elisa_pages *pages)
{
	pages->allocator = (struct elisa_allocator){ alloc, release, physical, virtual };
	atomic_long_set(&pages->held, 0);
}

void *elisa_page_alloc(struct elisa_pages *pages)
{
	void *page = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);

	if (page) {
		atomic_long_inc(&pages->held);
		atomic_long_inc(&total);
	}
	return page;
}

void elisa_page_free(struct elisa_pages *pages, void *page)
{
	if (!page)
		return;
	/* A stack holds what calls left on it. */
	clear_page(page);
	set_page_private(virt_to_page(page), 0);
	atomic_long_dec(&pages->held);
	atomic_long_dec(&total);
	free_page((unsigned long)page);
}

hpa_t elisa_page_physical(const void *page)
{
	return virt_to_phys((void *)page);
}

long elisa_pages_total(void)
{
	return atomic_long_read(&total);
}
