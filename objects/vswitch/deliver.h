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
#define NO_QUEUE (~0u)

struct packet {
	uint64_t low, high; /* its first 16 bytes, as they were judged */
	uint32_t bytes, class;
	uint32_t limit_tags; /* how much longer tags let it be */
	uint32_t parts;
	struct part part[VSWITCH_PARTS_MAX + 1]; /* the first is of this call's own memory */
};

struct run {
	struct vswitch_rx *rx;
	struct vswitch_ring *ring; /* NULL: the receiver is gone, or the queue is off */
	struct window window;
	uint64_t packets, bytes;
	uint32_t port, queue, owner;
	uint32_t mask, filled, left; /* left: posted and not filled, as far as is known */
	uint32_t limit;              /* the longest packet without tags */
	uint32_t dropping;           /* why, if there is no ring */
};

/* What a call has been doing. */
struct send {
	const struct elisa_info *info;
	struct vswitch_state *state;
	struct vswitch_tx *tx;
	uint64_t wake; /* ports whose client sleeps */
	uint32_t port, owner;
	int64_t budget;
	struct run run;
};

/* A slot's bytes and flags, which lie beside each other. */
static inline uint64_t slot_load(const struct vswitch_slot *slot)
{
	return __atomic_load_n((const uint64_t *)(const void *)&slot->bytes, __ATOMIC_RELAXED);
}

static inline void slot_store(struct vswitch_slot *slot, uint32_t bytes, uint64_t more, uint64_t room)
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

static inline void run_look(struct run *run)
{
	uint32_t left = __atomic_load_n(&run->ring->posted, __ATOMIC_ACQUIRE) - run->filled;

	run->left = left > run->mask + 1 ? 0 : left; /* a count that cannot be is as good as none */
}

/* A port whose rings are shared no more costs nothing from now on. Under its queue's lock, which opening takes too. */
static inline void port_lost(struct vswitch_state *state, uint32_t port)
{
	__atomic_fetch_and(&state->open, ~VSWITCH_BIT(port), __ATOMIC_RELAXED);
}

/* Takes the queue's lock. The port is still the one that was chosen, or nothing is delivered. */
static APART void run_begin(struct send *send, uint32_t port, uint32_t queue)
{
	struct vswitch_port *at = &send->state->ports[port];
	struct vswitch_rx *rx = &at->rx[queue];
	struct run *run = &send->run;
	uint64_t owner = VSWITCH_READ(at->owner);
	int error = elisa_lock(&rx->lock, send->info);
	uint32_t size = rx->size;

	run->rx = rx;
	run->port = port;
	run->queue = queue;
	run->owner = (uint32_t)(owner - 1);
	run->window.index = NO_INDEX;
	run->packets = run->bytes = 0;
	run->left = 0;
	run->limit = VSWITCH_READ(at->mtu) + 14;
	run->filled = rx->filled;
	run->mask = size - 1;
	run->ring = NULL;
	run->dropping = VSWITCH_DROP_CLOSED;
	if (!owner || owner != VSWITCH_READ(at->owner))
		return;
	if (!rx->on) {
		run->dropping = VSWITCH_DROP_FULL;
		return;
	}
	run->ring = shared_at(send->info, run->owner, rx->where, rx->serial,
			      sizeof(*run->ring) + (uint64_t)size * sizeof(struct vswitch_slot));
	if (!run->ring) {
		port_lost(send->state, port);
		return;
	}
	if (error)
		__atomic_store_n(&run->ring->filled, run->filled, __ATOMIC_RELEASE);
	run_look(run);
}

/*
 * Publishes what was filled, gives the lock back, and looks whether the receiver sleeps: wake.h says why that is
 * enough.
 */
static APART void run_end(struct send *send)
{
	struct run *run = &send->run;
	struct vswitch_rx *rx = run->rx;

	run->queue = NO_QUEUE;
	if (!run->ring || run->filled == rx->filled) {
		elisa_unlock(&rx->lock, send->info);
		return;
	}
	VSWITCH_WRITE(rx->filled, run->filled);
	VSWITCH_ADD(rx->packets, run->packets);
	VSWITCH_ADD(rx->bytes, run->bytes);
	/* Release: the packets are there before their count. */
	__atomic_store_n(&run->ring->filled, run->filled, __ATOMIC_RELEASE);
	/* A locked instruction: the count is seen before we look whether anybody sleeps. */
	elisa_unlock(&rx->lock, send->info);
	if (VSWITCH_READ(run->ring->waits) | VSWITCH_READ(send->state->ports[run->port].wake.word))
		send->wake |= VSWITCH_BIT(run->port);
}

/* Without a word that belongs to another queue: does nothing if it is the run's own already. */
static inline void run_to(struct send *send, uint32_t port, uint32_t queue)
{
	if (send->run.queue == queue && send->run.port == port)
		return;
	if (send->run.queue != NO_QUEUE)
		run_end(send);
	run_begin(send, port, queue);
}

static inline void run_drop(struct run *run, enum vswitch_drop why)
{
	VSWITCH_ADD(run->rx->drops[why], 1);
}

/* A packet of one part into one place; 0: it takes more than that. */
static inline int run_fast(struct send *send, const uint8_t *from, uint64_t low, uint64_t high, uint32_t bytes)
{
	struct run *run = &send->run;
	struct vswitch_slot *slot;
	uint64_t word;
	uint32_t room;
	uint8_t *to;

	if (__builtin_expect(!run->left || bytes > run->limit, 0))
		return 0;
	slot = &run->ring->slots[run->filled & run->mask];
	word = slot_load(slot);
	room = slot_room(word);
	if (__builtin_expect(room < bytes, 0))
		return 0;
	to = window_at(send->info, &run->window, run->owner, VSWITCH_READ(slot->where), bytes);
	if (__builtin_expect(!to, 0))
		return 0;
	store_word(to, low);
	store_word(to + 8, high);
	copy_body(to, from, bytes);
	slot_store(slot, bytes, 0, room);
	run->filled++;
	run->left--;
	run->packets++;
	run->bytes += bytes;
	return 1;
}

/* Places that a packet of so many bytes takes: how many, or why not. `bad` is one that is of no use. */
static inline int run_places(struct send *send, uint32_t bytes, struct part *places, uint32_t *bad)
{
	struct run *run = &send->run;
	uint32_t count = 0;

	*bad = NO_QUEUE;
	while (bytes) {
		struct vswitch_slot *slot = &run->ring->slots[(run->filled + count) & run->mask];
		uint32_t room;

		if (count == run->left)
			run_look(run);
		if (count >= run->left || count == VSWITCH_PARTS_MAX)
			return -VSWITCH_DROP_FULL - 1;
		room = slot_room(slot_load(slot));
		places[count].bytes = room < bytes ? room : bytes;
		places[count].at =
			window_at(send->info, &run->window, run->owner, VSWITCH_READ(slot->where), places[count].bytes);
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
		struct vswitch_slot *slot = &run->ring->slots[run->filled & run->mask];

		slot_store(slot, 0, 0, slot_room(slot_load(slot)));
		run->filled++;
		run->left--;
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
		run_drop(run, run->dropping);
		return;
	}
	if (packet->bytes > run->limit + packet->limit_tags) {
		run_drop(run, VSWITCH_DROP_SIZE);
		return;
	}
	count = run_places(send, packet->bytes, places, &bad);
	if (count < 0) {
		run_drop(run, (enum vswitch_drop)(-count - 1));
		if (bad != NO_QUEUE)
			run_skip(run, bad + 1);
		return;
	}
	for (int i = 0; i < count; i++) {
		struct vswitch_slot *slot = &run->ring->slots[run->filled & run->mask];

		part = copy_parts(places[i].at, part, &skip, places[i].bytes);
		slot_store(slot, places[i].bytes, i + 1 < count ? VSWITCH_MORE : 0, slot_room(slot_load(slot)));
		run->filled++;
		run->left--;
	}
	run->packets++;
	run->bytes += packet->bytes;
}

#endif
