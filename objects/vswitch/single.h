/* SPDX-License-Identifier: MIT */
/*
 * A burst of one packet of the common kind, from one place into another, without what a burst of many takes:
 * run_begin(), run_fast() and run_end() in one. Whatever is in its way leads to the long way, with nothing done.
 */
#ifndef ELISA_VSWITCH_SINGLE_H
#define ELISA_VSWITCH_SINGLE_H

#include "route.h"
#include "wake.h"

/* Under the queue's lock. Gives the ring. */
static inline __attribute__((always_inline)) int single_fill(const struct elisa_info *info, struct vswitch_rx *rx,
							     const uint8_t *from, uint64_t low, uint64_t high,
							     uint64_t bytes, struct vswitch_ring **ring)
{
	uint64_t room, where, offset, place;
	const struct elisa_exchange *entry;
	uint32_t filled = rx->filled;
	struct vswitch_slot *slot;
	struct window window;
	uint8_t *to;

	if (!entry_again(info, rx->entry, rx->live, &entry) || !window_set(&window, entry, entry_bytes(entry)))
		return 0;
	*ring = rx_ring(rx, &window);
	if (__atomic_load_n(&(*ring)->posted, __ATOMIC_ACQUIRE) - filled - 1 > rx->mask)
		return 0;
	place = (filled & rx->mask) * sizeof(*slot);
	KEEP(place);
	slot = (struct vswitch_slot *)(void *)((char *)(*ring)->slots + place);
	where = VSWITCH_READ(slot->where);
	window.base = rx->base;
	if (!window_within(&window, where, &offset))
		return 0;
	to = (uint8_t *)(window.address + offset);
	KEEP(to);
	room = slot_load(slot);
	if (room < bytes || room > 0xffff)
		return 0;
	/* It is not looked at before it is counted. */
	slot_store(slot, bytes, 0, room);
	store_word(to, low);
	store_word(to + 8, high);
	copy_body(to, from, bytes);
	/* Read anew: a register is free meanwhile. */
	filled = VSWITCH_READ(rx->filled) + 1;
	VSWITCH_WRITE(rx->filled, filled);
	VSWITCH_ADD(rx->packets, 1);
	VSWITCH_ADD(rx->bytes, bytes);
	__atomic_store_n(&(*ring)->filled, filled, __ATOMIC_RELEASE);
	return 1;
}

static APART long single_wake(const struct elisa_info *info, const struct vswitch_port *port)
{
	struct vswitch_state *state = (struct vswitch_state *)info->memory.address;
	struct send send = { .info = info, .state = state, .wake = VSWITCH_BIT(port - state->ports) };

	wake_ports(&send);
	return 1;
}

/* 1, or 0: nothing was done. The port is the caller's, or was when that was looked at. */
static inline __attribute__((always_inline)) long send_single(const struct elisa_info *info,
							      struct vswitch_state *state, struct vswitch_tx *tx)
{
	uint64_t at = VSWITCH_READ(tx->offset), owner, bytes, low, high, offset;
	const struct elisa_exchange *entry;
	const struct vswitch_slot *slot;
	const struct vswitch_port *port;
	struct vswitch_ring *ring;
	struct vswitch_rx *rx;
	struct window window;
	const uint8_t *from;
	int done;

	/* Until route_kept() it all may be of another life of the port; but each place is within a window. */
	if (!entry_again(info, VSWITCH_READ(tx->entry), VSWITCH_READ(tx->serial), &entry))
		return 0;
	window_set(&window, entry, entry_bytes(entry));
	if (at >= window.fast)
		return 0;
	window.base = VSWITCH_READ(tx->base);
	slot = (const struct vswitch_slot *)(window.address + at);
	bytes = slot_load(slot);
	if (!window_within(&window, VSWITCH_READ(slot->where), &offset))
		return 0;
	from = (const uint8_t *)(window.address + offset);
	low = load_word(from);
	high = load_word(from + 8);
	if (!route_kept(info, state, tx, low, high, &rx))
		return 0;
	KEEP(rx);
	/* Flags too are beyond. */
	if (bytes - VSWITCH_COMMON_MIN > VSWITCH_READ(rx->limit))
		return 0;
	owner = elisa_lock_owner(info);
	if (!lock_free(&rx->lock, owner))
		return 0;
	done = single_fill(info, rx, from, low, high, bytes, &ring);
	if (__builtin_expect(done, 1)) {
		VSWITCH_ADD(tx->packets, 1);
		VSWITCH_ADD(tx->bytes, bytes);
	}
	/* A locked instruction, as in run_end(). */
	lock_give(&rx->lock, owner);
	if (__builtin_expect(!done, 0))
		return 0;
	asm volatile("" : : : "memory");
	port = port_around(rx);
	if (__builtin_expect(!VSWITCH_IS(ring->waits, 0) || !VSWITCH_IS(port->wake.word, 0), 0))
		return single_wake(info, port);
	return 1;
}

#endif
