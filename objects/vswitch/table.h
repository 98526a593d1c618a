/* SPDX-License-Identifier: MIT */
/*
 * Which address is behind which port. A bucket is one cache line of eight words, each an address, its port and when it
 * was last seen; words are read by plain loads and changed by compare-and-exchange, so that there is no lock and
 * nothing to repair.
 *
 * A port holds at most two learned words of a bucket, so that none fills the table for all. The addresses that ports
 * were opened with are fixed: they do not age, are not thrown out for others, and no other port can take them. None but
 * half of a bucket is one attachment's, or it could keep another's address from being opened.
 */
#ifndef ELISA_VSWITCH_TABLE_H
#define ELISA_VSWITCH_TABLE_H

#include "state.h"

#define ENTRY_PORT_SHIFT 48
#define ENTRY_FIXED (1ull << 54)
#define ENTRY_STAMP_SHIFT 55
#define ENTRY_STAMP_MASK 0x1ffu
#define ENTRY_AGE_MAX 255  /* in the clock's unit: older words are cleared before the stamp comes round */
#define ENTRY_EACH 2       /* learned words of a port in a bucket */
#define ENTRY_FIXED_EACH 4 /* fixed words of an attachment in a bucket */
#define ENTRY_TRIES 4      /* against others who change the same bucket: an address that is not learned is flooded */

static inline uint32_t entry_port(uint64_t entry)
{
	return entry >> ENTRY_PORT_SHIFT & (VSWITCH_PORTS_MAX - 1);
}

static inline int entry_is(uint64_t entry, uint64_t address)
{
	return ((entry ^ address) & VSWITCH_ADDRESS_MASK) == 0 && entry;
}

static inline uint32_t entry_age(const struct vswitch_state *state, uint64_t entry)
{
	return (VSWITCH_READ(state->now) - (uint32_t)(entry >> ENTRY_STAMP_SHIFT)) & ENTRY_STAMP_MASK;
}

/* It leads nowhere any more. */
static inline int entry_old(const struct vswitch_state *state, uint64_t entry)
{
	uint32_t limit = state->age_limit;

	if (!vswitch_port_open(state, entry_port(entry)))
		return 1;
	return limit && !(entry & ENTRY_FIXED) && entry_age(state, entry) > limit;
}

static inline uint64_t entry_make(const struct vswitch_state *state, uint64_t address, uint32_t port, uint64_t fixed)
{
	return address | (uint64_t)port << ENTRY_PORT_SHIFT | fixed |
	       (uint64_t)(VSWITCH_READ(state->now) & ENTRY_STAMP_MASK) << ENTRY_STAMP_SHIFT;
}

static inline uint64_t *table_bucket(struct vswitch_state *state, uint64_t address)
{
	/* High bits of a product depend on all lower ones of the address; its own high ones are mixed in. */
	uint64_t hash = (address ^ address >> 24) * state->key;

	return state->table[hash >> 48 & (state->buckets - 1)];
}

static inline uint64_t table_find(const uint64_t *bucket, uint64_t address)
{
	for (unsigned int way = 0; way < VSWITCH_WAYS; way++) {
		uint64_t entry = VSWITCH_READ(bucket[way]);

		if ((entry ^ address) << 16 == 0)
			return entry;
	}
	return 0;
}

static inline int entry_change(uint64_t *way, uint64_t from, uint64_t to)
{
	return __atomic_compare_exchange_n(way, &from, to, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

/* Does the port's attachment hold all the fixed words that it may? Under the state's lock, as is all that sets them. */
static inline int table_held(const struct vswitch_state *state, const uint64_t *bucket, uint32_t port)
{
	uint32_t held = 0;

	for (unsigned int way = 0; way < VSWITCH_WAYS; way++) {
		uint64_t entry = VSWITCH_READ(bucket[way]);

		held += entry & ENTRY_FIXED && state->ports[entry_port(entry)].claimed == state->ports[port].claimed;
	}
	return held >= ENTRY_FIXED_EACH;
}

/* A word of the bucket for an address that has none, by how little it is missed; ENOSPC: all are fixed. */
static inline int table_choose(const struct vswitch_state *state, const uint64_t *bucket, uint32_t port, uint64_t fixed)
{
	int oldest[2] = { -1, -1 }, free = -1; /* of all, of its own */
	uint32_t ages[2] = { 0, 0 }, own = 0;

	for (int way = 0; way < VSWITCH_WAYS; way++) {
		uint64_t entry = VSWITCH_READ(bucket[way]);
		int mine = entry_port(entry) == port;
		uint32_t age = entry_age(state, entry);

		if (!entry || entry_old(state, entry)) {
			free = way;
			continue;
		}
		if (entry & ENTRY_FIXED)
			continue;
		own += mine;
		for (int which = 0; which <= mine; which++) {
			if (oldest[which] < 0 || age > ages[which]) {
				oldest[which] = way;
				ages[which] = age;
			}
		}
	}
	if (!fixed && own >= ENTRY_EACH)
		return oldest[1];
	if (free >= 0)
		return free;
	return oldest[0] >= 0 ? oldest[0] : -ENOSPC;
}

/* All words of the address but `keep`; dynamic ones only, unless the port's own. */
static inline void table_forget(uint64_t *bucket, uint64_t address, const uint64_t *keep, uint32_t port)
{
	for (unsigned int way = 0; way < VSWITCH_WAYS; way++) {
		uint64_t entry = VSWITCH_READ(bucket[way]);

		if (&bucket[way] != keep && entry_is(entry, address) &&
		    (!(entry & ENTRY_FIXED) || entry_port(entry) == port))
			entry_change(&bucket[way], entry, 0);
	}
}

/*
 * The address is behind the port from now on. When two do that at once there are two words for a moment: each looks
 * again after its own is there, and a learned one gives way.
 */
static inline int table_set(struct vswitch_state *state, uint64_t address, uint32_t port, uint64_t fixed)
{
	uint64_t *bucket = table_bucket(state, address), new = entry_make(state, address, port, fixed);

	if (fixed && table_held(state, bucket, port))
		return -ENOSPC;
	for (unsigned int try = 0; try < ENTRY_TRIES; try++) {
		int way = -1;
		uint64_t old;

		for (int i = 0; i < VSWITCH_WAYS && way < 0; i++)
			way = entry_is(VSWITCH_READ(bucket[i]), address) ? i : -1;
		if (way < 0)
			way = table_choose(state, bucket, port, fixed);
		if (way < 0)
			return way;
		old = VSWITCH_READ(bucket[way]);
		if (!fixed && old & ENTRY_FIXED && !entry_old(state, old))
			return entry_port(old) == port ? 0 : -EPERM;
		if (!entry_change(&bucket[way], old, new))
			continue;
		vswitch_changed(state);
		if (fixed) {
			table_forget(bucket, address, &bucket[way], port);
			return 0;
		}
		for (int i = 0; i < VSWITCH_WAYS; i++) {
			if (i != way && entry_is(VSWITCH_READ(bucket[i]), address)) {
				entry_change(&bucket[way], new, 0);
				break;
			}
		}
		return 0;
	}
	return -EAGAIN;
}

/* What leads to the port leads nowhere from now on. */
static inline void table_drop_port(struct vswitch_state *state, uint32_t port)
{
	for (uint32_t bucket = 0; bucket < state->buckets; bucket++) {
		for (unsigned int way = 0; way < VSWITCH_WAYS; way++) {
			uint64_t entry = VSWITCH_READ(state->table[bucket][way]);

			if (entry && entry_port(entry) == port)
				entry_change(&state->table[bucket][way], entry, 0);
		}
	}
}

/* The manager's, before the clock's stamps come round: every ENTRY_AGE_MAX of its unit at the latest. */
static inline void table_clean(struct vswitch_state *state)
{
	for (uint32_t bucket = 0; bucket < state->buckets; bucket++) {
		for (unsigned int way = 0; way < VSWITCH_WAYS; way++) {
			uint64_t entry = VSWITCH_READ(state->table[bucket][way]);

			if (entry && !(entry & ENTRY_FIXED) && entry_old(state, entry))
				entry_change(&state->table[bucket][way], entry, 0);
		}
	}
}

#endif
