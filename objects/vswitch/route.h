/* SPDX-License-Identifier: MIT */
/*
 * Where the last packets went is kept with their send queue, and holds until anything has changed. Calls may write it
 * at the same time, as nobody but the client's sense keeps them from using one queue: what belongs together is tied by
 * the secret key, so that no mixture of two passes for a route that was judged; nor does one of the port's next owner
 * for a call of the one before.
 *
 * So a route that holds, looked up after the queue's other fields were read, says that they are the caller's own: they
 * change when a port is opened, which is after the generation of the port's former life has passed.
 */
#ifndef ELISA_VSWITCH_ROUTE_H
#define ELISA_VSWITCH_ROUTE_H

#include "state.h"

typedef uint64_t route_word __attribute__((may_alias));

static inline uint64_t route_tie(const struct elisa_info *info, const struct vswitch_state *state, uint64_t word,
				 uint64_t generation, uint64_t low)
{
	/* The VM and, above it, the attachment. */
	return (word + generation + *(const route_word *)&info->vm) * state->key ^ low;
}

_Static_assert(offsetof(struct elisa_info, vm) % 8 == 0 &&
		       offsetof(struct elisa_info, attachment) == offsetof(struct elisa_info, vm) + 4,
	       "read as one");

/* By the destination's last byte: those of VMs of one host often differ in that. */
static inline uint32_t route_slot(uint64_t low)
{
	return low >> 40 & (VSWITCH_ROUTES - 1);
}

static inline void route_keep(const struct elisa_info *info, const struct vswitch_state *state, struct vswitch_tx *tx,
			      uint64_t low, uint64_t high, const struct vswitch_rx *rx, uint64_t generation)
{
	struct vswitch_route *route = &tx->routes[route_slot(low)];
	uint64_t word = (uint64_t)((uintptr_t)rx - (uintptr_t)state) << 32 | (uint32_t)high;

	VSWITCH_WRITE(route->word, word);
	VSWITCH_WRITE(route->check, route_tie(info, state, word, generation, low));
}

/* Is there a route that is kept, and holds? Gives its queue. */
static inline int route_kept(const struct elisa_info *info, struct vswitch_state *state, const struct vswitch_tx *tx,
			     uint64_t low, uint64_t high, struct vswitch_rx **rx)
{
	const struct vswitch_route *route = &tx->routes[route_slot(low)];
	/* Acquire: what was read before is not of a later life of the port. */
	uint64_t generation = __atomic_load_n(&state->generation, __ATOMIC_ACQUIRE);
	uint64_t word = VSWITCH_READ(route->word), check = VSWITCH_READ(route->check);

	if ((uint32_t)word != (uint32_t)high || check != route_tie(info, state, word, generation, low))
		return 0;
	*rx = (struct vswitch_rx *)(void *)((char *)state + (word >> 32));
	return 1;
}

#endif
