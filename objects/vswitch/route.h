/* SPDX-License-Identifier: MIT */
/*
 * Where the last packets went is kept with their send queue, and holds until anything has changed. Calls may write it
 * at the same time, as nobody but the client's sense keeps them from using one queue: what belongs together is tied by
 * a secret key, so that no mixture of two passes for a route that was judged; nor does one of the port's next owner for
 * a call of the one before.
 *
 * Suppose that a client knows all but the key, and sends whatever it likes:
 *
 * - To stay within the ports takes no secret. Words are written whole, and each that a port ever has leads to a receive
 *   queue of this state: route_keep() is given one, and a port begins with routes that lead to itself. So no bounds are
 *   looked at here; a route that was guessed still leads to a queue, with all that is checked there.
 * - Where nothing was kept the route is of that kind: whoever guesses its tie sends to himself.
 * - A mixture, or a route of another generation or caller, is taken if two ties differ by what the client has chosen:
 *   one of 2^64, and a wrong one tells no more than that. It takes both halves of the product. In the lower one alone
 *   sums that differ by 2^j have ties that differ in 64 - j bits (20 if only the port is another), which can be
 *   guessed, and then tell those bits of the key, with which the next are guessed; in the upper one alone it is j
 *   bits. Both together turn the whole key by j.
 * - Nothing else is made with the key: no answer of the switch tells of it.
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
	uint64_t sum = word + generation + *(const route_word *)&info->vm;
	unsigned __int128 product = (unsigned __int128)sum * state->route_key;

	return (uint64_t)product ^ (uint64_t)(product >> 64) ^ low;
}

_Static_assert(offsetof(struct elisa_info, vm) % 8 == 0 &&
		       offsetof(struct elisa_info, attachment) == offsetof(struct elisa_info, vm) + 4,
	       "read as one");

/* By the destination's last byte: those of VMs of one host often differ in that. */
static inline uint32_t route_slot(uint64_t low)
{
	return low >> 40 & (VSWITCH_ROUTES - 1);
}

/* RX is one of STATE's queues. */
static inline uint64_t route_to(const struct vswitch_state *state, const struct vswitch_rx *rx, uint64_t high)
{
	return (uint64_t)((uintptr_t)rx - (uintptr_t)state) << 32 | (uint32_t)high;
}

static inline void route_keep(const struct elisa_info *info, const struct vswitch_state *state, struct vswitch_tx *tx,
			      uint64_t low, uint64_t high, const struct vswitch_rx *rx, uint64_t generation)
{
	struct vswitch_route *route = &tx->routes[route_slot(low)];
	uint64_t word = route_to(state, rx, high);

	VSWITCH_WRITE(route->word, word);
	VSWITCH_WRITE(route->check, route_tie(info, state, word, generation, low));
}

/* Nothing is kept: all lead to RX, a queue of the port's own. At no time is there a word that leads nowhere. */
static inline void routes_begin(const struct vswitch_state *state, struct vswitch_tx *tx, const struct vswitch_rx *rx)
{
	for (unsigned int slot = 0; slot < VSWITCH_ROUTES; slot++) {
		VSWITCH_WRITE(tx->routes[slot].check, 0);
		VSWITCH_WRITE(tx->routes[slot].word, route_to(state, rx, 0));
	}
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
