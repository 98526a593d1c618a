/* SPDX-License-Identifier: MIT */
/*
 * Into a receiver's ring. Packets for the same queue that follow each other are a *run*: its lock is taken once, and
 * what was filled is published once, at the end.
 *
 * A call can be ended at any instruction, its lock is then taken over. The queue's own `filled` says what was
 * delivered; whoever takes over copies it to the ring, and fills again whatever lies behind. A slot that was filled and
 * not counted still tells its room, in the upper half of its flags.
 */
#ifndef ELISA_VSWITCH_DELIVER_H
#define ELISA_VSWITCH_DELIVER_H

#include "flow.h"

#define ROOM_SHIFT 48 /* of a slot's second word: bytes, flags, room */
#define NONE (~0u)

struct packet {
	uint64_t low, high; /* its first 16 bytes, as they were judged */
	uint32_t bytes, class;
	uint32_t limit_tags; /* how much longer tags let it be */
	uint32_t parts;
	struct part part[VSWITCH_PARTS_MAX + 1]; /* the first is of this call's own memory */
};

/* Counts of slots are in bytes here: 16 each. */
struct run {
	struct vswitch_port *port; /* NULL: there is no run */
	struct vswitch_rx *rx;
	struct vswitch_ring *ring; /* NULL: the receiver is gone, or the queue is off */
	struct window window;
	uint64_t at, end, mask; /* filled; posted, as far as is known; of the ring */
	uint32_t limit;         /* the longest packet without tags */
	uint32_t slow;          /* slots filled otherwise than by run_fast() */
	int64_t budget;         /* the call's, before run_fast() has filled anything */
};

/* What a call has been doing. */
struct send {
	const struct elisa_info *info;
	struct vswitch_state *state;
	struct vswitch_tx *tx;
	uint64_t wake; /* ports whose client sleeps */
	uint32_t port;
	int64_t budget; /* bytes that it may still copy */
	struct run run;
};

/* A slot's bytes and flags, which lie beside each other. */
static inline uint64_t slot_load(const struct vswitch_slot *slot)
{
	return __atomic_load_n((const uint64_t *)(const void *)&slot->bytes, __ATOMIC_RELAXED);
}

static inline void slot_store(struct vswitch_slot *slot, uint64_t bytes, uint64_t more, uint64_t room)
{
	uint64_t word = bytes | more << 32 | room << ROOM_SHIFT;

	__atomic_store_n((uint64_t *)(void *)&slot->bytes, word, __ATOMIC_RELAXED);
}

/* Of a place that is posted. What is beyond 16 bits is of no use, no packet is as long. */
static inline uint32_t slot_room(uint64_t word)
{
	if (__builtin_expect(word >> ROOM_SHIFT != 0, 0))
		return (uint32_t)(word >> ROOM_SHIFT);
	return (uint32_t)word > 0xffff ? 0xffff : (uint32_t)word;
}

static inline uint32_t run_filled(const struct run *run)
{
	return (uint32_t)(run->at / sizeof(struct vswitch_slot));
}

/* The slot that is so many behind the next one. */
static inline struct vswitch_slot *run_slot(const struct run *run, uint32_t further)
{
	uint64_t offset = (run->at + further * sizeof(struct vswitch_slot)) & run->mask;

	return (struct vswitch_slot *)((char *)run->ring->slots + offset);
}

static inline void run_look(struct run *run)
{
	uint64_t left = __atomic_load_n(&run->ring->posted, __ATOMIC_ACQUIRE) - run_filled(run);

	left = (uint32_t)left * sizeof(struct vswitch_slot);
	if (left > run->mask + sizeof(struct vswitch_slot))
		left = 0; /* a count that cannot be is as good as none */
	run->end = run->at + left;
}

/* What is copied otherwise than by run_fast(). */
static inline void charge(struct send *send, int64_t bytes)
{
	send->budget -= bytes;
	send->run.budget -= bytes;
}

/* A port whose rings are shared no more costs nothing from now on. Under its queue's lock, which opening takes too. */
static inline void port_lost(struct vswitch_state *state, uint32_t port)
{
	__atomic_fetch_and(&state->open, ~VSWITCH_BIT(port), __ATOMIC_RELAXED);
}

/* There is no ring to fill, or its last user did not come to an end. */
static APART void run_begin_slow(struct send *send, int error)
{
	struct run *run = &send->run;

	if (run->ring) {
		if (error)
			__atomic_store_n(&run->ring->filled, run->rx->filled, __ATOMIC_RELEASE);
	} else if (run->rx->live != VSWITCH_NO_SERIAL) {
		port_lost(send->state, (uint32_t)(run->port - send->state->ports));
	}
}

/*
 * Takes a lock that is free: elisa_trylock() of what is the case nearly always; and gives it back. OWNER is
 * elisa_lock_owner().
 */
static inline int lock_free(struct elisa_lock *lock, uint64_t owner)
{
	uint64_t word = 0;

	elisa_lock_begin();
	if (__builtin_expect(
		    __atomic_compare_exchange_n(&lock->word, &word, owner, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED), 1))
		return 1;
	elisa_lock_end();
	return 0;
}

static inline void lock_give(struct elisa_lock *lock, uint64_t owner)
{
	/* Release: what we wrote is seen before the lock is free. It may not be ours any more. */
	__atomic_compare_exchange_n(&lock->word, &owner, 0, 0, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
	elisa_lock_end();
}

static inline struct vswitch_ring *rx_ring(const struct vswitch_rx *rx, const struct window *window)
{
	return (struct vswitch_ring *)(window->address + (uint32_t)rx->where);
}

/* The port that a queue of it is in: aligned to its size, a power of two. */
static inline struct vswitch_port *port_around(const void *queue)
{
	return (struct vswitch_port *)((uintptr_t)queue & ~(sizeof(struct vswitch_port) - 1));
}

_Static_assert(sizeof(struct vswitch_port) == 4096, "as its alignment");

/*
 * Takes the queue's lock. A port that was closed and opened again since it was chosen gets the packet, as it might if
 * it had been sent a moment later.
 */
static inline __attribute__((always_inline)) void run_begin(struct send *send, struct vswitch_rx *rx)
{
	int error = lock_free(&rx->lock, elisa_lock_owner(send->info)) ? 0 : elisa_lock(&rx->lock, send->info);
	const struct elisa_exchange *entry;
	struct run *run = &send->run;
	uint64_t bytes;

	run->port = port_around(rx);
	run->rx = rx;
	run->slow = 0;
	run->limit = VSWITCH_READ(rx->limit) + VSWITCH_COMMON_MIN;
	run->budget = send->budget;
	run->at = run->end = rx->filled * sizeof(struct vswitch_slot);
	run->mask = rx->mask * sizeof(struct vswitch_slot);
	bytes = entry_again(send->info, rx->entry, rx->live, &entry) ? entry_bytes(entry) : 0;
	run->ring = NULL;
	if (__builtin_expect(bytes != 0, 1)) {
		run->window.base = rx->base;
		window_set(&run->window, entry, bytes);
		run->ring = rx_ring(rx, &run->window);
	}
	if (__builtin_expect(error || !run->ring, 0))
		run_begin_slow(send, error);
	if (__builtin_expect(run->ring != NULL, 1))
		run_look(run);
}

/*
 * Publishes what was filled, gives the lock back, and looks whether the receiver sleeps: wake.h says why that is
 * enough.
 */
static inline __attribute__((always_inline)) void run_end(struct send *send)
{
	struct run *run = &send->run;
	struct vswitch_rx *rx = run->rx;

	const struct vswitch_port *port = run->port;
	uint32_t filled = run_filled(run), fast = filled - rx->filled - run->slow;
	uint64_t bytes = (uint64_t)(run->budget - send->budget);

	run->port = NULL;
	if (filled == rx->filled) {
		elisa_unlock(&rx->lock, send->info);
		return;
	}
	VSWITCH_WRITE(rx->filled, filled);
	VSWITCH_ADD(rx->packets, fast);
	VSWITCH_ADD(rx->bytes, bytes);
	VSWITCH_ADD(send->tx->packets, fast);
	VSWITCH_ADD(send->tx->bytes, bytes);
	/* Release: the packets are there before their count. */
	__atomic_store_n(&run->ring->filled, filled, __ATOMIC_RELEASE);
	/* A locked instruction: the count is seen before we look whether anybody sleeps. */
	elisa_unlock(&rx->lock, send->info);
	if (__builtin_expect(VSWITCH_READ(run->ring->waits) || VSWITCH_READ(port->wake.word), 0))
		send->wake |= VSWITCH_BIT(port - send->state->ports);
}

static APART void run_stop(struct send *send)
{
	run_end(send);
}

/* To the queue, unless it is the run's own already. */
static inline __attribute__((always_inline)) void run_to(struct send *send, struct vswitch_rx *rx)
{
	if (send->run.port) {
		if (send->run.rx == rx)
			return;
		run_stop(send);
	}
	run_begin(send, rx);
}

static APART void run_turn(struct send *send, struct vswitch_rx *rx)
{
	run_to(send, rx);
}

static inline void run_drop(struct run *run, enum vswitch_drop why)
{
	VSWITCH_ADD(run->rx->drops[why], 1);
}

static inline uint32_t run_owner(const struct run *run)
{
	return (uint32_t)(VSWITCH_READ(run->port->owner) - 1);
}

/* A packet of one part into one place; 0: it takes more than that. */
static inline __attribute__((always_inline)) int run_fast(struct send *send, const uint8_t *from, uint64_t low,
							  uint64_t high, uint64_t bytes)
{
	struct run *run = &send->run;
	struct vswitch_slot *slot;
	uint64_t room, where, offset;
	uint8_t *to;

	if (__builtin_expect(run->at == run->end || bytes > run->limit, 0))
		return 0;
	slot = run_slot(run, 0);
	room = slot_load(slot);
	/* With flags, or beyond 16 bits: slot_room(). */
	if (__builtin_expect(room < bytes || room > 0xffff, 0))
		return 0;
	where = VSWITCH_READ(slot->where);
	if (__builtin_expect(window_within(&run->window, where, &offset), 1))
		to = (uint8_t *)(run->window.address + offset);
	else if (!(to = window_find(send->info, &run->window, run_owner(run), where, bytes)))
		return 0;
	store_word(to, low);
	store_word(to + 8, high);
	copy_body(to, from, bytes);
	slot_store(slot, bytes, 0, room);
	run->at += sizeof(struct vswitch_slot);
	send->budget -= (int64_t)bytes;
	return 1;
}

/* Places that a packet of so many bytes takes: how many, or why not. `bad` is one that is of no use. */
static inline int run_places(struct send *send, uint32_t bytes, struct part *places, uint32_t *bad)
{
	struct run *run = &send->run;
	uint32_t count = 0;

	*bad = NONE;
	while (bytes) {
		uint64_t after = run->at + count * sizeof(struct vswitch_slot);
		struct vswitch_slot *slot = run_slot(run, count);
		uint32_t room;

		if (after >= run->end)
			run_look(run);
		if (after >= run->end || count == VSWITCH_PARTS_MAX)
			return -VSWITCH_DROP_FULL - 1;
		room = slot_room(slot_load(slot));
		places[count].bytes = room < bytes ? room : bytes;
		places[count].at = window_find(send->info, &run->window, run_owner(run), VSWITCH_READ(slot->where),
					       places[count].bytes);
		if (!room || !places[count].at) {
			*bad = count;
			return -VSWITCH_DROP_POSTED - 1;
		}
		bytes -= places[count++].bytes;
	}
	return (int)count;
}

/* Gives places back with nothing in them, or the client would wait for ever for what follows them. */
static inline void run_skip(struct run *run, uint32_t count)
{
	for (; count; count--) {
		struct vswitch_slot *slot = run_slot(run, 0);

		slot_store(slot, 0, 0, slot_room(slot_load(slot)));
		run->at += sizeof(struct vswitch_slot);
		run->slow++;
	}
}

/* Any packet, over as many places as it takes. Whole or not at all. */
static APART void run_scatter(struct send *send, const struct packet *packet)
{
	struct part places[VSWITCH_PARTS_MAX];
	const struct part *part = packet->part;
	struct run *run = &send->run;
	uint32_t bad, skip = 0;
	int count;

	if (!run->ring) {
		run_drop(run, run->rx->live != run->rx->serial ? VSWITCH_DROP_FULL : VSWITCH_DROP_CLOSED);
		return;
	}
	if (packet->bytes > run->limit + packet->limit_tags) {
		run_drop(run, VSWITCH_DROP_SIZE);
		return;
	}
	count = run_places(send, packet->bytes, places, &bad);
	if (count < 0) {
		run_drop(run, (enum vswitch_drop)(-count - 1));
		if (bad != NONE)
			run_skip(run, bad + 1);
		return;
	}
	for (int i = 0; i < count; i++) {
		struct vswitch_slot *slot = run_slot(run, 0);

		part = copy_parts(places[i].at, part, &skip, places[i].bytes);
		slot_store(slot, places[i].bytes, i + 1 < count ? VSWITCH_MORE : 0, slot_room(slot_load(slot)));
		run->at += sizeof(struct vswitch_slot);
		run->slow++;
	}
	VSWITCH_ADD(run->rx->packets, 1);
	VSWITCH_ADD(run->rx->bytes, packet->bytes);
}

#endif
