// SPDX-License-Identifier: MIT
/* Sharing EAL's memory with the switch. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_memory.h>

#include "../include/uapi/elisa/layout.h"
#include "driver.h"

#define CELLS_MAX ((uint64_t)1 << 26)

/* From the lowest to the highest address that EAL may ever have, and its smallest page. */
struct extent {
	uintptr_t from, to;
	uint64_t page;
};

static int widen(const struct rte_memseg_list *list, void *argument)
{
	struct extent *extent = argument;

	if (list->external || !list->len)
		return 0;
	extent->from = RTE_MIN(extent->from, (uintptr_t)list->base_va);
	extent->to = RTE_MAX(extent->to, (uintptr_t)list->base_va + list->len);
	extent->page = RTE_MIN(extent->page, list->page_sz);
	return 0;
}

static int make_cells(struct net_memory *memory)
{
	struct extent extent = { .from = UINTPTR_MAX, .page = NET_BUFFER_OVERLAP };

	rte_memseg_list_walk_thread_unsafe(widen, &extent);
	if (extent.to <= extent.from)
		return -ENOMEM;
	memory->shift = __builtin_ctzll(extent.page);
	memory->base = RTE_ALIGN_FLOOR(extent.from, extent.page);
	memory->cells = (extent.to - memory->base + extent.page - 1) >> memory->shift;
	if (memory->cells > CELLS_MAX)
		return -E2BIG;
	/* Hardly any of it is ever touched. */
	memory->cell = calloc(memory->cells, sizeof(*memory->cell));
	return memory->cell ? 0 : -ENOMEM;
}

static void mark(struct net_memory *memory, uintptr_t start, size_t bytes, uint8_t what)
{
	uint64_t first = (start - memory->base) >> memory->shift,
		 last = (start + bytes - 1 - memory->base) >> memory->shift;

	for (uint64_t at = first; at <= last; at++)
		__atomic_store_n(&memory->cell[at], what, __ATOMIC_RELEASE);
}

/* One buffer, whose own part is the first OWN bytes of it. */
static int share(struct net_memory *memory, uintptr_t start, size_t bytes, size_t own)
{
	struct net_segment *segment = &memory->segments[memory->used];
	uint32_t number;
	int error;

	if (memory->used == NET_SEGMENTS || memory->shared == NET_BUFFERS_MAX)
		return -ENOSPC;
	error = elisa_share(memory->attachment, (void *)start, bytes, ELISA_BUFFER_EXCHANGE, &number);
	if (error)
		return error;
	*segment = (struct net_segment){
		.start = start,
		.bytes = own,
		.delta = VSWITCH_WHERE(number - ELISA_EXCHANGE_FIRST, 0) - start,
		.buffer = memory->shared,
	};
	memory->buffers[memory->shared].number = number;
	memory->buffers[memory->shared].bytes = own;
	memory->shared++;
	mark(memory, start, own, ++memory->used);
	return 0;
}

void net_memory_added(struct net_memory *memory, uintptr_t start, size_t bytes)
{
	const size_t step = NET_BUFFER_BYTES - NET_BUFFER_OVERLAP;
	uintptr_t end = memory->base + (memory->cells << memory->shift);

	if (start < memory->base || start >= end || bytes > end - start)
		return; /* not EAL's own */
	while (bytes) {
		size_t own = bytes <= NET_BUFFER_BYTES ? bytes : step;
		int error = share(memory, start, RTE_MIN(bytes, NET_BUFFER_BYTES), own);

		if (error) {
			/* The kernel's limit counts other processes of this VM too. */
			NET_LOG(WARNING, "%zu MiB of memory at %#lx cannot be shared, packets in it are copied: %s",
				bytes >> 20, start, error == -ENOSPC ? "too many buffers" : elisa_reason());
			memory->stale = true;
			return;
		}
		start += own;
		bytes -= own;
	}
}

/* Takes [from, to) out of a segment: what is left of it behind becomes a segment of its own, if there is room for it.
 */
static void cut(struct net_memory *memory, unsigned int index, uintptr_t from, uintptr_t to)
{
	struct net_segment *segment = &memory->segments[index];
	uintptr_t end = segment->start + segment->bytes;
	uint32_t buffer = segment->buffer;

	memory->buffers[buffer].bytes -= to - from;
	mark(memory, from, to - from, 0);
	if (to < end && memory->used < NET_SEGMENTS) {
		memory->segments[memory->used] = *segment;
		memory->segments[memory->used].start = to;
		memory->segments[memory->used].bytes = end - to;
		mark(memory, to, end - to, ++memory->used);
	} else if (to < end) {
		memory->buffers[buffer].bytes -= end - to;
		mark(memory, to, end - to, 0);
	}
	segment->bytes = from - segment->start;
	if (!memory->buffers[buffer].bytes)
		elisa_unshare(memory->attachment, memory->buffers[buffer].number);
}

void net_memory_removed(struct net_memory *memory, uintptr_t start, size_t bytes)
{
	unsigned int used = memory->used; /* those that cut() adds lie behind what is removed */

	for (unsigned int i = 0; i < used; i++) {
		const struct net_segment *segment = &memory->segments[i];
		uintptr_t from = RTE_MAX(start, segment->start);
		uintptr_t to = RTE_MIN(start + bytes, segment->start + segment->bytes);

		if (from < to) {
			memory->stale = true;
			cut(memory, i, from, to);
		}
	}
}

static int add_run(const struct rte_memseg_list *list, const struct rte_memseg *first, size_t bytes, void *argument)
{
	if (!list->external)
		net_memory_added(argument, (uintptr_t)first->addr, bytes);
	return 0;
}

static void unshare_all(struct net_memory *memory)
{
	for (unsigned int i = 0; i < memory->shared; i++)
		if (memory->buffers[i].bytes)
			elisa_unshare(memory->attachment, memory->buffers[i].number);
	memory->shared = memory->used = 0;
}

int net_memory_create(struct net_memory *memory, struct elisa_attachment *attachment)
{
	int error;

	memset(memory, 0, sizeof(*memory));
	memory->attachment = attachment;
	error = make_cells(memory);
	if (error)
		return error;
	rte_memseg_contig_walk_thread_unsafe(add_run, memory);
	if (memory->used)
		return 0;
	net_memory_destroy(memory);
	return -ENOMEM;
}

void net_memory_destroy(struct net_memory *memory)
{
	unshare_all(memory);
	free(memory->cell);
	memory->cell = NULL;
}

void net_memory_revoke(struct net_memory *memory)
{
	unshare_all(memory);
	memory->stale = true;
}

int net_memory_refresh(struct net_memory *memory)
{
	if (!memory->stale && memory->shared < NET_BUFFERS_MAX / 2)
		return 0;
	unshare_all(memory);
	memset(memory->cell, 0, memory->cells);
	memory->stale = false;
	rte_memseg_contig_walk_thread_unsafe(add_run, memory);
	return memory->used ? 0 : -ENOMEM;
}
