// SPDX-License-Identifier: MIT
#include "arena.h"

#include <stdio.h>
#include <stdlib.h>

#define PAGE 4096
#define POISON 0xa5 /* as an EPT or page-table entry it has reserved bits set */

static void require(bool holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "arena: %s\n", what);
		abort();
	}
}

static void *page_alloc(struct elisa_allocator *allocator)
{
	struct arena *arena = (struct arena *)allocator;
	u32 i;

	if (arena->countdown && !--arena->countdown)
		return NULL;
	require(arena->pages < ARENA_PAGES, "full");
	for (i = arena->next; arena->used[i]; i = (i + 1) % ARENA_PAGES)
		;
	arena->used[i] = true;
	arena->next = (i + 1) % ARENA_PAGES;
	arena->pages++;
	return memset(arena->memory + i * PAGE, 0, PAGE);
}

static u32 page_number(const struct arena *arena, const void *page)
{
	u64 offset = (const u8 *)page - arena->memory;

	require(offset < ARENA_PAGES * PAGE && offset % PAGE == 0 && arena->used[offset / PAGE], "no page in use");
	return offset / PAGE;
}

static void page_free(struct elisa_allocator *allocator, void *page)
{
	struct arena *arena = (struct arena *)allocator;

	arena->used[page_number(arena, page)] = false;
	arena->pages--;
	memset(page, POISON, PAGE);
}

static hpa_t page_physical(struct elisa_allocator *allocator, const void *page)
{
	struct arena *arena = (struct arena *)allocator;

	return arena->base + (u64)page_number(arena, page) * PAGE;
}

static void *page_virtual(struct elisa_allocator *allocator, hpa_t hpa)
{
	struct arena *arena = (struct arena *)allocator;
	void *page = arena->memory + (hpa - arena->base);

	page_number(arena, page);
	return page;
}

void arena_create(struct arena *arena, u32 maxphyaddr)
{
	memset(arena, 0, sizeof(*arena));
	arena->allocator = (struct elisa_allocator){ page_alloc, page_free, page_physical, page_virtual };
	arena->base = (1ULL << maxphyaddr) - ARENA_PAGES * PAGE;
	arena->memory = aligned_alloc(PAGE, ARENA_PAGES * PAGE);
	require(arena->memory, "no memory");
	memset(arena->memory, POISON, ARENA_PAGES * PAGE);
}

void arena_destroy(struct arena *arena)
{
	free(arena->memory);
	memset(arena, 0, sizeof(*arena));
}

bool arena_read(const struct arena *arena, hpa_t hpa, u64 *value)
{
	u64 offset = hpa - arena->base;

	if (hpa < arena->base || offset >= ARENA_PAGES * PAGE || !arena->used[offset / PAGE])
		return false;
	memcpy(value, arena->memory + offset, sizeof(*value));
	return true;
}

u64 arena_hash(const struct arena *arena)
{
	u64 hash = 0xcbf29ce484222325ULL, value;
	u32 i, k;

	for (i = 0; i < ARENA_PAGES; i++) {
		for (k = 0; arena->used[i] && k < PAGE; k += sizeof(value)) {
			memcpy(&value, arena->memory + i * PAGE + k, sizeof(value));
			hash = (hash ^ value) * 0x100000001b3ULL;
		}
		hash = (hash ^ arena->used[i]) * 0x100000001b3ULL;
	}
	return hash;
}
