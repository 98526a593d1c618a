/* SPDX-License-Identifier: MIT */
/*
 * EAL's memory, shared with the switch, and where an address of it is.
 *
 * The memory is shared in buffers of at most 64 MiB. Each overlaps the next of the same run, so that whatever begins in
 * a buffer's own part, and is no longer than the overlap, lies wholly in that buffer.
 */
#ifndef NET_ELISA_MEMORY_H
#define NET_ELISA_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct elisa_attachment;

#define NET_NOWHERE UINT64_MAX
#define NET_BUFFERS_MAX 16
#define NET_SEGMENTS 64
#define NET_BUFFER_BYTES ((size_t)64 << 20)
#define NET_BUFFER_OVERLAP ((size_t)2 << 20) /* more than the longest ring or mbuf */

/* A part of memory that one buffer is for. Parts only ever shrink, until all are made anew. */
struct net_segment {
	uintptr_t start;
	uint64_t bytes;
	uint64_t delta;  /* what leads from an address to its place, as in VSWITCH_WHERE() */
	uint32_t buffer; /* in net_memory.buffers */
};

struct net_memory {
	uintptr_t base;
	uint64_t cells;
	unsigned int shift;
	uint8_t *cell; /* a page's segment, and 1; 0: none */
	struct net_segment segments[NET_SEGMENTS];
	unsigned int used;
	struct {
		uint32_t number; /* of the library's */
		uint64_t bytes;  /* of its segments; 0: not shared any more */
	} buffers[NET_BUFFERS_MAX];
	unsigned int shared;
	bool stale; /* some of it was given back, or could not be shared: worth being made anew */
	struct elisa_attachment *attachment;
};

/*
 * Shares all that EAL has. What cannot be shared is told, and copied when it is sent. 0 or a negative errno. Like all
 * that follow: with EAL's lock of memory held.
 */
int net_memory_create(struct net_memory *memory, struct elisa_attachment *attachment);
void net_memory_destroy(struct net_memory *memory);
/* Shares all anew if that has changed a lot; nobody may be using it. */
int net_memory_refresh(struct net_memory *memory);
/* Takes back all that is shared; it is to be refreshed before it is used again. Where things are is not changed. */
void net_memory_revoke(struct net_memory *memory);
/* EAL has got, or gives back, this. */
void net_memory_added(struct net_memory *memory, uintptr_t start, size_t bytes);
void net_memory_removed(struct net_memory *memory, uintptr_t start, size_t bytes);

/* The segment that an address is in, or NULL. */
static inline const struct net_segment *net_memory_find(const struct net_memory *memory, uintptr_t address)
{
	uint64_t at = (address - memory->base) >> memory->shift;
	uint8_t segment;

	if (at >= memory->cells)
		return NULL;
	/* Acquire: the segment is whole before its cells name it. */
	segment = __atomic_load_n(&memory->cell[at], __ATOMIC_ACQUIRE);
	return segment ? &memory->segments[segment - 1] : NULL;
}

static inline uint64_t net_memory_where(const struct net_memory *memory, const void *address)
{
	const struct net_segment *segment = net_memory_find(memory, (uintptr_t)address);

	return segment ? (uintptr_t)address + segment->delta : NET_NOWHERE;
}

#endif
