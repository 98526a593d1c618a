/* SPDX-License-Identifier: MIT */
/*
 * A port of the virtual switch, for C programs in a VM (through the gate) or on the host (the host's kernel executes
 *the switch). Its memory, rings and buffers are made here; received packets are read where the switch has put them,
 *sent ones are written where it takes them from.
 *
 * Functions return 0 or more, or -errno; port_error() says what that means. One thread may use a queue at a time;
 * different queues, and receiving and sending, may be used by different threads.
 *
 *	struct port_options options = { .name = "me", .flags = VSWITCH_ALL_MULTICAST };
 *
 *	error = port_open(&port, &options);
 *	memcpy(port_tx_buffer(port, 0, 0), frame, bytes);
 *	port_tx_set(port, 0, 0, bytes);
 *	port_send(port, 0, 1);
 *	...
 *	while (!(count = port_receive(port, 0, parts, 32)))
 *		port_wait(port, -1);
 *	...
 *	port_release(port, 0, count);
 */
#ifndef ELISA_VSWITCH_PORT_H
#define ELISA_VSWITCH_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <elisa.h>

#include "vswitch.h"

struct port_options {
	const char *object;       /* NULL: "vswitch" */
	enum elisa_scheme scheme; /* ELISA_BY_GATE; on the host ELISA_BY_VMCALL */
	const char *name;         /* NULL: the switch gives one */
	uint8_t mac[6];           /* all zero: the switch gives one */
	uint16_t mtu;             /* 0: 1500 */
	uint32_t flags;           /* VSWITCH_BIND, VSWITCH_PROMISCUOUS, VSWITCH_ALL_MULTICAST */
	uint32_t rx_queues;       /* 0: 1 */
	uint32_t tx_queues;       /* 0: 1 */
	uint32_t rx_slots;        /* of a ring, a power of two; 0: 256 */
	uint32_t tx_slots;        /* packets of a burst, at most VSWITCH_BURST_MAX; 0: 64 */
	uint32_t place_bytes;     /* 0: so large that each packet is in one part */
};

struct port_rx {
	struct vswitch_ring *ring;
	uint8_t *places; /* one a slot, always the same */
	uint32_t mask;
	uint32_t posted, taken;
};

struct port_tx {
	struct vswitch_slot *slots;
	uint8_t *buffers;
	uint32_t size;
};

struct port {
	struct elisa_attachment *attachment;
	struct elisa_function send, close, set, counters;
	struct vswitch_config config; /* as the switch has answered: name, mac, flags, port */
	uint8_t *memory;
	size_t bytes;
	uint32_t buffer; /* its number */
	uint32_t place_bytes, tx_bytes;
	struct port_rx rx[VSWITCH_QUEUES_MAX];
	struct port_tx tx[VSWITCH_QUEUES_MAX];
};

/* A packet that was received, or a part of one. */
struct port_part {
	uint8_t *data;
	uint32_t bytes;
	bool more; /* the packet goes on in the next part */
};

/* Attaches, shares memory, opens a port. Errors: those of elisa_attach() and of vswitch_open. */
int port_open(struct port **port, const struct port_options *options);

/* NULL is allowed. */
void port_close(struct port *port);

/* What an errno of these functions means, in a few words; port_open()'s failures to attach have an elisa_reason(). */
const char *port_error(int error);

/* VSWITCH_SET_*. */
int port_set(struct port *port, enum vswitch_set what, uint64_t value);
int port_counters(struct port *port, struct vswitch_counters *counters);

/*
 * Sends what was put into the first `count` slots, all of it: what was not delivered is dropped and counted. Errors:
 * ENOTCONN (the port was closed), those of elisa_call(), after which some may have been sent.
 */
int port_send(struct port *port, uint32_t queue, uint32_t count);

/*
 * Waits until something was received in any queue that is not taken, or for `limit_ms` (-1: for ever). Errors:
 * ETIMEDOUT, EINTR.
 */
int port_wait(struct port *port, int limit_ms);

/*
 * The same in a program's own poll(): port_arm() before, which says true if there is something to receive and nothing
 * to wait for; poll for POLLIN on port_fd(); port_disarm() after.
 */
bool port_arm(struct port *port);
void port_disarm(struct port *port);
int port_fd(const struct port *port);

/* --- without a call */

/* The buffer of a slot, of port->tx_bytes. */
static inline uint8_t *port_tx_buffer(struct port *port, uint32_t queue, uint32_t slot)
{
	return port->tx[queue].buffers + (size_t)slot * port->tx_bytes;
}

static inline uint64_t port_where(const struct port *port, const void *at)
{
	return VSWITCH_WHERE(port->buffer - 0x100, (uint64_t)((const uint8_t *)at - port->memory));
}

/* Slot `slot` of the next burst is the first `bytes` of its buffer. */
static inline void port_tx_set(struct port *port, uint32_t queue, uint32_t slot, uint32_t bytes)
{
	struct vswitch_slot *at = &port->tx[queue].slots[slot];

	at->where = port_where(port, port_tx_buffer(port, queue, slot));
	at->bytes = bytes;
	at->flags = 0;
}

/* Places that are filled and not taken. */
static inline uint32_t port_pending(const struct port *port, uint32_t queue)
{
	const struct port_rx *rx = &port->rx[queue];

	/* Acquire: packets are read after their count. */
	return __atomic_load_n(&rx->ring->filled, __ATOMIC_ACQUIRE) - rx->taken;
}

/*
 * Up to `max` parts that have come in, in order; they stay in their places until port_release(). How many. A part of 0
 * bytes is a place that the switch could not use.
 */
static inline uint32_t port_receive(struct port *port, uint32_t queue, struct port_part *parts, uint32_t max)
{
	struct port_rx *rx = &port->rx[queue];
	uint32_t count = port_pending(port, queue);

	count = count < max ? count : max;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t slot = rx->taken++ & rx->mask;
		const struct vswitch_slot *at = &rx->ring->slots[slot];

		parts[i].data = rx->places + (size_t)slot * port->place_bytes;
		parts[i].bytes = at->bytes;
		parts[i].more = at->flags & VSWITCH_MORE;
	}
	return count;
}

/* The first `count` places that were taken and not released are the switch's again. */
static inline void port_release(struct port *port, uint32_t queue, uint32_t count)
{
	struct port_rx *rx = &port->rx[queue];

	for (uint32_t i = 0; i < count; i++) {
		struct vswitch_slot *at = &rx->ring->slots[rx->posted++ & rx->mask];

		at->bytes = port->place_bytes;
		at->flags = 0;
	}
	/* Release: we have read them, and their slots are written, before the switch may fill them. */
	__atomic_store_n(&rx->ring->posted, rx->posted, __ATOMIC_RELEASE);
}

#endif
