/* SPDX-License-Identifier: MIT */
/*
 * The virtual switch: between its trusted code, the clients that are its ports, and its manager.
 *
 * A client shares memory with all attachments (ELISA_BUFFER_EXCHANGE): packets, and the rings below. What it sends is
 * copied once, from its memory into memory that the receiver has posted; receiving is reading one's own memory, and
 * enters nothing. All that is in clients' memory is hostile to the switch: it reads each word once, and keeps its own
 * count of everything.
 */
#ifndef ELISA_VSWITCH_H
#define ELISA_VSWITCH_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdint.h>
#endif

#define VSWITCH_PORTS_MAX 64
#define VSWITCH_QUEUES_MAX 8    /* of a port, each way */
#define VSWITCH_RING_MAX 4096   /* slots of a ring; a power of two */
#define VSWITCH_BURST_MAX 256   /* descriptors that one call sends */
#define VSWITCH_PACKET_MAX 9022 /* 9000 bytes of payload, the header of 14, two tags */
#define VSWITCH_PACKET_MIN 14
#define VSWITCH_NAME_MAX 32
#define VSWITCH_NO_PORT (~0ull) /* no port has this handle */

/* A place in shared memory: the buffer's index (its number less 0x100) and an offset in it. */
#define VSWITCH_WHERE(index, offset) ((uint64_t)(index) << 32 | (uint32_t)(offset))

/*
 * A part of a packet that is sent, or a place that is posted for one that is received; 16 bytes. A place comes back
 * with 0 bytes if it was of no use: not in memory that the client shares, or without room.
 */
struct vswitch_slot {
	uint64_t where;
	uint32_t bytes; /* sent: of this part; posted: room; received: of this part */
	uint32_t flags; /* posted: 0; the upper half of what is received is the switch's own, and to be ignored */
};

#define VSWITCH_MORE (1 << 0) /* the packet goes on in the next slot */
#define VSWITCH_PARTS_MAX 32  /* slots of a packet, either way */

/*
 * Packets that come in, in order: the client posts places and counts them in `posted`, the switch fills them and counts
 * them in `filled`. Counts run freely; a slot's index is its count modulo the ring's size. A slot that is filled is the
 * client's again, and has what was received in it (`where` unchanged, `bytes`, `flags`).
 */
struct vswitch_ring {
	/* The client's. */
	uint32_t posted;
	uint32_t waits; /* it sleeps, or is about to: the switch wakes it, and sets it to 0, when it has filled
			   something */
	uint8_t client_pad[56];
	/* The switch's. */
	uint32_t filled;
	uint8_t switch_pad[60];
	struct vswitch_slot slots[];
};

/*
 * The port has no address but its own: packets from other sources are dropped, and what goes to an address that the
 * switch does not know is not for it. Asked of the switch, or told by it.
 */
#define VSWITCH_BIND (1 << 0)
#define VSWITCH_PROMISCUOUS (1 << 1)   /* gets what goes to others too; only where the manager allows it */
#define VSWITCH_ALL_MULTICAST (1 << 2) /* gets multicast; without it only broadcast */

/* What vswitch_open reads, and answers in. In memory of the client that is shared with all attachments. */
struct vswitch_config {
	char name[VSWITCH_NAME_MAX]; /* printable, unique; empty: the switch gives one */
	uint8_t mac[6];              /* all zero: the switch gives one */
	uint16_t mtu;                /* 68 to 9000: longer packets are not delivered; 0: 1500 */
	uint32_t flags;
	uint32_t rx_queues, tx_queues; /* 1 to VSWITCH_QUEUES_MAX */
	struct {
		uint64_t where; /* of struct vswitch_ring, 64-byte aligned */
		uint32_t size;  /* slots */
		uint32_t reserved;
	} rx[VSWITCH_QUEUES_MAX];
	struct {
		uint64_t where; /* of struct vswitch_slot[size]: what a call of vswitch_send takes, from the first on */
		uint32_t size;  /* at most VSWITCH_BURST_MAX */
		uint32_t reserved;
	} tx[VSWITCH_QUEUES_MAX];
	/* out */
	uint32_t port; /* its handle */
	uint32_t reserved;
};

/* Why packets were not delivered. */
enum vswitch_drop {
	VSWITCH_DROP_FULL,    /* the receiver has posted no place, or too little */
	VSWITCH_DROP_SIZE,    /* empty, too short, or longer than the switch or the receiver takes */
	VSWITCH_DROP_WHERE,   /* outside of the sender's memory */
	VSWITCH_DROP_SPOOFED, /* not from the address that the port is bound to, or from one that is another port's, or
				 is none */
	VSWITCH_DROP_POSTED,  /* the place that the receiver has posted is outside of its memory */
	VSWITCH_DROP_LOCAL,   /* back to where it came from */
	VSWITCH_DROP_CLOSED,  /* the receiver is gone, or there is none */
	VSWITCH_DROPS,
};

struct vswitch_counters {
	uint64_t rx_packets, rx_bytes;    /* delivered to this port's client */
	uint64_t tx_packets, tx_bytes;    /* taken from it */
	uint64_t flooded;                 /* of what was taken: to all ports */
	uint64_t rx_drops[VSWITCH_DROPS]; /* on the way to this port */
	uint64_t tx_drops[VSWITCH_DROPS]; /* on the way in */
	uint64_t notified;                /* how often the client was woken */
};

/* clang-format off */
/*
 * Functions, all with a negative errno for what is refused. A VM has one attachment for all its processes, which may
 * have several ports; a port is its attachment's. A port whose rings are shared no more is as good as closed.
 *
 *   vswitch_open(where)              of a struct vswitch_config; the port's handle, which no port has that is opened
 *                                    after it (in 2^25 times). ENOSPC (too many ports), EDQUOT (too
 *                                    many of this attachment), EEXIST (the name is taken), EADDRINUSE (the address is,
 *                                    or this attachment has too many that the switch keeps beside it), EINVAL (a ring's
 *                                    size, alignment, a field), EFAULT (memory that is not shared), EPERM (the manager
 *                                    does not allow that address, or promiscuous mode), EROFS (the attachment is
 *                                    read-only, or the switch of another version)
 *   vswitch_close(port)              ENOTCONN: no port of the caller's has that handle, as for all that follow. To be
 *                                    repeated if it was cut short: until 0 or ENOTCONN packets may come
 *   vswitch_send(port, queue, count) packets out of the first COUNT slots of that tx array: how many slots were taken
 *                                    (delivered, or dropped and counted). Fewer than COUNT: the rest stays the
 *                                    caller's, call again. EINVAL
 *   vswitch_set(port, what, value)   VSWITCH_SET_*
 *   vswitch_counters(port, where)    writes a struct vswitch_counters there
 */
/* clang-format on */
enum vswitch_set {
	VSWITCH_SET_MAC, /* the address in the value's low 48 bits, first byte lowest */
	VSWITCH_SET_MTU,
	VSWITCH_SET_FLAGS, /* VSWITCH_PROMISCUOUS, VSWITCH_ALL_MULTICAST, VSWITCH_BIND */
	VSWITCH_SET_RX, /* queue number | 1 << 32 (on) or 0: a queue that is off gets nothing, others take its part */
};

/*
 * What the manager answers to an attach as the attachment's value (struct elisa_info.value): the port's address, first
 * byte lowest, or 0 for any; and flags above.
 */
#define VSWITCH_VALUE_BIND (1ull << 48)        /* sources are checked against the address */
#define VSWITCH_VALUE_PROMISCUOUS (1ull << 49) /* promiscuous mode is allowed */

#endif
