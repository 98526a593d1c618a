/* SPDX-License-Identifier: MIT */
/*
 * The switch's own memory: what trusted code, the host's version of it and the manager have in common. The manager
 * fills the header in before it publishes the object, ticks the clock and reads the rest; clients never see any of it.
 *
 * There are no pointers: the memory lies at another address for each of them. Zeros are an empty switch.
 */
#ifndef ELISA_VSWITCH_STATE_H
#define ELISA_VSWITCH_STATE_H

#include <elisa/object.h>

#include "vswitch.h"

#define VSWITCH_MAGIC 0x6863746977732076ull
#define VSWITCH_VERSION 4
#define VSWITCH_WAYS 8 /* of a bucket: one cache line */
#define VSWITCH_BUCKETS_MAX 4096
#define VSWITCH_BUCKETS_DEFAULT 1024
#define VSWITCH_PORTS_EACH_DEFAULT 8
#define VSWITCH_ROUTES 8 /* that a send queue remembers; a power of two */
#define VSWITCH_NO_SERIAL (~0ull)
#define VSWITCH_COMMON_MIN 28 /* bytes; shorter packets are sent the long way */

/*
 * A receive queue. All of it is protected by its lock, and may be read without. What a packet takes is the first cache
 * line.
 */
struct vswitch_rx {
	struct elisa_lock lock;
	uint64_t where;  /* of the ring */
	uint64_t base;   /* of the buffer that it lies in */
	uint64_t live;   /* the serial if the queue is on, else VSWITCH_NO_SERIAL */
	uint32_t filled; /* the truth; the ring's own is a copy for the client */
	uint32_t limit;  /* the longest packet without tags, less VSWITCH_COMMON_MIN */
	uint16_t entry;  /* the buffer's in the exchange's table: bytes from its start */
	uint16_t mask;   /* slots - 1 */
	uint32_t reserved;
	uint64_t packets, bytes;
	uint64_t serial; /* of the sharing that the ring lies in, or VSWITCH_NO_SERIAL */
	uint64_t drops[VSWITCH_DROPS];
} __attribute__((aligned(64)));

_Static_assert(offsetof(struct vswitch_rx, serial) == 64, "a packet takes one cache line");
_Static_assert(VSWITCH_RING_MAX <= 1 << 16 && ELISA_EXCHANGES_MAX * sizeof(struct elisa_exchange) <= 1 << 16,
	       "they fit");

/* A send queue. One call at a time uses it, or its counters are wrong: the client's business. */
struct vswitch_tx {
	uint64_t where;
	uint64_t serial;
	/* Of what is at `where`: as of a receive queue. */
	uint64_t base;
	uint32_t entry, size;
	uint64_t offset;
	struct vswitch_route {
		uint64_t word, check;
	} routes[VSWITCH_ROUTES]; /* where the last packets went, if to one queue: route.h */
	uint64_t packets, bytes, flooded;
	uint64_t drops[VSWITCH_DROPS];
} __attribute__((aligned(64)));

struct vswitch_port {
	/*
	 * Whose it is: its attachment's number + 1. Claimed first and let go last, owned in between: a port that is
	 * claimed and not in `open` was not opened or closed to the end, or its rings are shared no more; it is there
	 * to be taken.
	 */
	uint64_t claimed, owner;
	uint64_t gone;    /* written by the manager: this owner has gone */
	uint64_t handle;  /* what its client calls it: the number, and above it how often the place was taken before */
	uint64_t opened;  /* how often it was, with this time */
	uint64_t address; /* first byte lowest */
	uint64_t spread;  /* eight bytes: the queue for each of eight classes of flows */
	uint32_t flags;   /* VSWITCH_BIND ... */
	uint32_t mtu;
	uint32_t rx_queues, tx_queues;
	uint32_t several; /* there is more than one queue in `spread` */
	uint32_t vm;
	struct elisa_lock wake; /* held by who wakes its client: see wake.h */
	uint64_t notified;
	char name[VSWITCH_NAME_MAX];
	struct vswitch_rx rx[VSWITCH_QUEUES_MAX];
	struct vswitch_tx tx[VSWITCH_QUEUES_MAX];
} __attribute__((aligned(4096))); /* a power of two: its place is found by a shift */

struct vswitch_state {
	/* The manager's: settings, and the clock. */
	uint64_t magic;
	uint32_t version;
	uint32_t ports_max;
	uint32_t buckets;   /* of the table; a power of two */
	uint32_t age_shift; /* seconds >> this is what entries of the table are stamped with */
	uint32_t age_limit; /* in the same unit; 0: addresses do not age */
	uint32_t now;       /* the clock, in the same unit */
	uint64_t route_key; /* of routes that are kept: a secret that nothing else is made with (route.h) */
	/*
	 * Grows by an odd number with whatever changes where packets go: the table, ports, the clock. After the change:
	 * what was looked up before has another one then. From a random number on, which is as secret as the key.
	 */
	uint64_t generation;
	/*
	 * Of the table's hash: odd, and a secret, so that nobody can aim at a bucket. Whoever watches which of its
	 * addresses throw out each other learns of it: so nothing but that depends on it.
	 */
	uint64_t key;

	/* The switch's. Ports by bits: all of them change by atomic operations. */
	uint64_t open;
	uint64_t promiscuous;   /* get everything */
	uint64_t multicast;     /* get multicast other than broadcast */
	uint64_t any;           /* may have addresses behind them that are not known: get what goes to unknown ones */
	struct elisa_lock lock; /* opening, closing and setting */
	uint64_t named;         /* counts addresses that were made up */

	/* The manager's again. */
	uint64_t seconds;      /* the clock, since the switch began */
	uint64_t address_seed; /* of addresses that are made up, which tell it to everybody: it is no secret */
	uint32_t ports_each;   /* at most so many of one attachment; protected by `lock` */
	uint32_t reserved;

	struct vswitch_port ports[VSWITCH_PORTS_MAX];
	uint64_t table[][VSWITCH_WAYS]; /* table.h */
};

_Static_assert(offsetof(struct vswitch_state, promiscuous) == 64, "what a packet takes is one cache line");

/* Bytes of the object's memory. */
static inline uint64_t vswitch_state_bytes(uint32_t buckets)
{
	return sizeof(struct vswitch_state) + (uint64_t)buckets * VSWITCH_WAYS * sizeof(uint64_t);
}

/* A word that others write meanwhile, read or written once. */
#define VSWITCH_READ(word) __atomic_load_n(&(word), __ATOMIC_RELAXED)
#define VSWITCH_WRITE(word, value) __atomic_store_n(&(word), value, __ATOMIC_RELAXED)

/* Is a word that others write meanwhile VALUE? Read once, in the comparison. */
#define VSWITCH_IS(word, value)                                                                            \
	({                                                                                                 \
		int is_;                                                                                   \
		asm volatile("cmp%z1 %2, %1" : "=@cce"(is_) : "m"(word), "re"((__typeof__(word))(value))); \
		is_;                                                                                       \
	})

/* A function that is not to be made a part of others, as it is used rarely or is large. */
#define APART __attribute__((__noinline__, unused))

/* The compiler is to keep the address, and not to calculate it anew each time it is used. */
#define KEEP(address) asm("" : "+r"(address))

/* A counter of 64 bits that only one writes, and others read. */
#define VSWITCH_ADD(counter, n) asm("addq %1, %0" : "+m"(counter) : "er"((uint64_t)(n)) : "cc")

/* An index below a power of two that was checked, also while the CPU speculates: the compiler does not see the check.
 */
static inline uint64_t vswitch_index(uint64_t index, uint64_t size)
{
	asm("and %1, %0" : "+r"(index) : "re"(size - 1) : "cc");
	return index;
}

#define VSWITCH_BIT(port) (1ull << (port))
#define VSWITCH_ADDRESS_MASK 0xffffffffffffull
#define VSWITCH_BROADCAST VSWITCH_ADDRESS_MASK
#define VSWITCH_GROUP 1ull /* of an address: broadcast or multicast */

/* What a client calls the port of that number, which was opened so often before. As an int it is not negative. */
static inline uint32_t port_handle(uint32_t number, uint64_t before)
{
	return number | (uint32_t)(before * VSWITCH_PORTS_MAX & 0x7fffffff);
}

/* Of any handle that a client may give. */
static inline uint64_t port_number(uint64_t handle)
{
	return vswitch_index(handle, VSWITCH_PORTS_MAX);
}

static inline void vswitch_port_counters(const struct vswitch_port *port, struct vswitch_counters *sum)
{
	*sum = (struct vswitch_counters){ .notified = VSWITCH_READ(port->notified) };
	for (unsigned int queue = 0; queue < VSWITCH_QUEUES_MAX; queue++) {
		const struct vswitch_rx *rx = &port->rx[queue];
		const struct vswitch_tx *tx = &port->tx[queue];

		sum->rx_packets += VSWITCH_READ(rx->packets);
		sum->rx_bytes += VSWITCH_READ(rx->bytes);
		sum->tx_packets += VSWITCH_READ(tx->packets);
		sum->tx_bytes += VSWITCH_READ(tx->bytes);
		sum->flooded += VSWITCH_READ(tx->flooded);
		for (unsigned int why = 0; why < VSWITCH_DROPS; why++) {
			sum->rx_drops[why] += VSWITCH_READ(rx->drops[why]);
			sum->tx_drops[why] += VSWITCH_READ(tx->drops[why]);
		}
	}
}

static inline void vswitch_changed(struct vswitch_state *state)
{
	__atomic_fetch_add(&state->generation, 0x9e3779b97f4a7c15ull, __ATOMIC_SEQ_CST);
}

/* Is the port used, and does its client live, as far as is known without looking at its rings? */
static inline int vswitch_port_open(const struct vswitch_state *state, uint32_t port)
{
	const struct vswitch_port *at = &state->ports[port];

	return VSWITCH_READ(state->open) >> port & 1 && VSWITCH_READ(at->gone) != VSWITCH_READ(at->owner);
}

#endif
