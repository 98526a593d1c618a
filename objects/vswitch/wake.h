/* SPDX-License-Identifier: MIT */
/*
 * Waking receivers that sleep, once a call and port.
 *
 *	receiver                          sender
 *	waits = 1                         filled = n                       (run_end)
 *	full barrier                      full barrier: the queue's unlock
 *	look at filled; if nothing is     look at waits: is it set?
 *	new, sleep until woken            then, under the port's lock `wake`: waits = 0, notify
 *
 * No wake-up is lost. Of two that first write, then have a barrier, then read, at least one sees what the other has
 * written: so either the receiver sees the packet and does not sleep, or the sender sees that it waits, and wakes it. A
 * wake-up counts also when it comes before the receiver sleeps: the host keeps it.
 *
 * `waits` is cleared before notify, never after: a receiver that wakes at once and waits anew must not have that taken
 * away. A sender that does not see `waits` since another has just cleared it relies on that one's notify, which comes
 * after both have published. But the other may die
 * between the two: then it dies with the port's lock, whose word was written before `waits` was cleared. So whoever
 *does not see `waits`, but that lock taken, wakes the client itself. It does not wait for the lock: its holder has just
 *made the host run the client's VM, maybe on the very CPU that it needs to go on. model/wait.pml goes through all
 *orders.
 */
#ifndef ELISA_VSWITCH_WAKE_H
#define ELISA_VSWITCH_WAKE_H

#include "deliver.h"

/* Do any of the port's queues say that the client waits? None does any more then. */
static inline int wake_clear(struct send *send, struct vswitch_port *port, uint32_t owner)
{
	int waits = 0;

	for (unsigned int queue = 0; queue < VSWITCH_QUEUES_MAX; queue++) {
		const struct vswitch_rx *rx = &port->rx[queue];
		uint64_t where = VSWITCH_READ(rx->where), serial = VSWITCH_READ(rx->serial);
		struct vswitch_ring *ring = shared_at(send->info, owner, where, serial, sizeof(*ring));

		if (ring && VSWITCH_READ(ring->waits)) {
			VSWITCH_WRITE(ring->waits, 0);
			waits = 1;
		}
	}
	return waits;
}

static APART void wake_ports(struct send *send)
{
	for (uint64_t ports = send->wake; ports; ports &= ports - 1) {
		struct vswitch_port *port = &send->state->ports[__builtin_ctzll(ports)];
		int dead = elisa_trylock(&port->wake, send->info);
		uint64_t owner = VSWITCH_READ(port->owner);

		if (dead == -EBUSY) {
			elisa_lock_waiter waiter = { 0 };

			if (owner)
				elisa_notify(send->info, (uint32_t)(owner - 1));
			/* If it is dead, the lock is free for the next one. */
			elisa_lock_wait(send->info, &port->wake, &waiter);
			continue;
		}
		if (owner && (wake_clear(send, port, (uint32_t)(owner - 1)) || dead)) {
			VSWITCH_ADD(port->notified, 1);
			elisa_notify(send->info, (uint32_t)(owner - 1));
		}
		elisa_unlock(&port->wake, send->info);
	}
}

#endif
