/* SPDX-License-Identifier: MIT */
/*
 * net_elisa: a port of the virtual switch as an ethdev of DPDK.
 *
 * A process has one connection to a switch, which all of its ports share: the attachment, and EAL's memory, shared with
 * the switch. Sending is one call through the gate for a burst; receiving is reading one's own memory.
 */
#ifndef NET_ELISA_DRIVER_H
#define NET_ELISA_DRIVER_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <ethdev_driver.h>
#include <ethdev_vdev.h>

#include <elisa.h>

#include "../objects/vswitch/vswitch.h"
#include "memory.h"

extern int net_elisa_logtype;
#define NET_LOG(level, format, ...) \
	rte_log(RTE_LOG_##level, net_elisa_logtype, "net_elisa: " format "\n", ##__VA_ARGS__)

#define NET_OBJECT_MAX 64
#define NET_RX_DEFAULT 1024
#define NET_RX_MIN 64
#define NET_RX_FREE_THRESH 32 /* places are posted again when so many are free */
#define NET_TX_SLOTS VSWITCH_BURST_MAX
#define NET_SEGMENTS_MAX VSWITCH_PARTS_MAX
#define NET_MACS_MAX 16      /* that the filter lets in */
#define NET_MULTICAST_MAX 64 /* likewise */
#define NET_BOUNCE_BYTES (64 << 10)
#define NET_NO_MAC 1       /* in the lower 16 bits: it is nobody's */
#define NET_SPARE_SLOTS 64 /* rings of a port that the program uses one way only */
#define NET_TRIES 32       /* of what was cut short */

/* Two fields that lie beside each other are read and written as one. */
typedef uint64_t __attribute__((may_alias)) net_word;

static __rte_always_inline void net_slot_set(struct vswitch_slot *slot, uint64_t where, uint64_t bytes_and_flags)
{
	slot->where = where;
	*(net_word *)(void *)&slot->bytes = bytes_and_flags;
}

/* An mbuf's data_off, refcnt, nb_segs and port. */
static __rte_always_inline net_word *net_mbuf_head(const struct rte_mbuf *mbuf)
{
	return (net_word *)((uintptr_t)mbuf + offsetof(struct rte_mbuf, rearm_data));
}

_Static_assert(offsetof(struct vswitch_slot, flags) == offsetof(struct vswitch_slot, bytes) + 4, "written as one");
_Static_assert(offsetof(struct rte_mbuf, refcnt) == offsetof(struct rte_mbuf, rearm_data) + 2 &&
		       offsetof(struct rte_mbuf, nb_segs) == offsetof(struct rte_mbuf, rearm_data) + 4,
	       "read as one");

struct net_functions {
	struct elisa_function open, close, send, set, counters;
};

/* A process' connection to one switch; connection.c. */
struct net_connection {
	struct net_connection *next;
	unsigned int users, started; /* ports */
	char object[NET_OBJECT_MAX];
	enum elisa_scheme scheme;
	struct elisa_attachment *attachment;
	struct net_functions functions;
	struct net_memory memory;
	int lost; /* why calls fail, a negative errno; it is of no use any more */
};

struct net_port;

struct net_rx_queue {
	/* What a burst needs: two cache lines. */
	struct vswitch_ring *ring;
	struct rte_mbuf **mbufs; /* in the slots */
	uint32_t mask;
	uint32_t next;     /* slot to look at */
	uint32_t posted;   /* ours of the ring's */
	uint32_t post_at;  /* what `next` has come to when so many are free that they are posted: queue.c */
	uint64_t rearm;    /* first words of an mbuf that is handed out */
	uint64_t ol_flags; /* behind it, as in the mbuf */
	struct rte_mempool *pool;
	uint64_t delta; /* from an address in an mbuf to where that is; NET_NOWHERE: not the same for all */
	uint32_t room;  /* in an mbuf */
	bool filter;    /* not all that comes is wanted */
	bool doubtful;  /* places may be of no use to the switch */
	uint64_t mac;   /* the port's, in the upper 48 bits; if places are doubtful NET_NO_MAC */

	uint64_t packets, bytes, filtered, no_mbuf;
	struct net_port *port;
	uint32_t free_thresh; /* posted again at once */
	uint16_t id, size;
	bool deferred;
	int wake, epoll; /* descriptors, for interrupts */
} __rte_cache_aligned;

struct net_tx_queue {
	struct vswitch_slot *slots;
	const struct net_segment *segment; /* where the last packet lay */
	const struct net_memory *memory;
	struct elisa_function send;
	uint32_t number; /* the port's */
	uint16_t id;
	bool off; /* stopped, or the switch is gone */
	bool fast_free;

	uint64_t packets, bytes, bounced, refused;
	uint8_t *bounce; /* room for packets that lie elsewhere */
	struct net_port *port;
	uint16_t size;
	bool deferred;
} __rte_cache_aligned;

/* What the switch reads and writes for the port, apart from rings; in shared memory. */
struct net_shared {
	struct vswitch_config config;
	struct vswitch_counters counters;
	struct vswitch_slot slots[NET_SPARE_SLOTS] __rte_cache_aligned;
	struct {
		struct vswitch_ring ring;
		struct vswitch_slot slots[NET_SPARE_SLOTS];
	} spare __rte_cache_aligned;
};

struct net_port {
	struct rte_eth_dev_data *data;
	struct net_connection *connection;
	struct net_shared *shared;
	uint32_t number; /* at the switch, while it is open */
	bool open;
	int lost;            /* why it was closed from outside: a negative errno */
	uint16_t queues;     /* at most, each way */
	uint32_t flags;      /* asked for: VSWITCH_BIND */
	bool no_promiscuous; /* the manager does not allow it */
	char object[NET_OBJECT_MAX];
	enum elisa_scheme scheme;
	char name[VSWITCH_NAME_MAX];
	struct rte_ether_addr multicast[NET_MULTICAST_MAX];
	unsigned int multicasts;
	struct vswitch_counters before; /* of the times that it was open before */
	struct vswitch_counters zero;   /* when counters were last reset */
	struct rte_intr_handle *interrupts;
};

/* The VM was stopped, a call took too long, or a lock was taken from it meanwhile: the next one may succeed. */
static inline bool net_passing(long error)
{
	return error == -EINTR || error == -ETIME || error == -ECANCELED || error == -EAGAIN;
}

/* Shall it be tried once more? tries: how often it was, 0 at first. */
static inline bool net_again(long error, unsigned int *tries)
{
	return net_passing(error) && ++*tries < NET_TRIES;
}

/* connection.c */
struct net_connection *net_connection_get(const char *object, enum elisa_scheme scheme, int *error);
int net_connection_refresh(struct net_connection *connection); /* before its first port is started */
/* Takes all memory from the switch. If ports are started they lose it, and the connection is of no use any more. */
void net_connection_revoke(struct net_connection *connection, int error);
void net_connection_put(struct net_connection *connection);

/* port.c: all functions return 0 or a negative errno. */
extern const struct eth_dev_ops net_ops;
int net_port_prepare(struct net_port *port); /* before it is opened: it has a connection, and that shares memory */
int net_port_open(struct net_port *port);    /* with what the ethdev says now */
void net_port_close(struct net_port *port);  /* afterwards the switch reaches nothing of what was the port's */
int net_port_flags(struct net_port *port);   /* tells the switch of changes */
void net_port_lost(struct net_port *port, int error); /* a call has failed: the link is down */
void net_port_forget_alarm(struct net_port *port);
static inline struct net_port *net_port(struct rte_eth_dev *device)
{
	return device->data->dev_private;
}

/* info.c */
int net_info_get(struct rte_eth_dev *device, struct rte_eth_dev_info *info);
void net_rxq_info_get(struct rte_eth_dev *device, uint16_t id, struct rte_eth_rxq_info *info);
void net_txq_info_get(struct rte_eth_dev *device, uint16_t id, struct rte_eth_txq_info *info);
int net_burst_mode_get(struct rte_eth_dev *device, uint16_t id, struct rte_eth_burst_mode *mode);

/* When free_thresh places are free. */
static inline void net_rx_post_later(struct net_rx_queue *queue)
{
	queue->post_at = queue->posted - (queue->mask + 1) + queue->free_thresh;
}

/* queue.c */
int net_rx_queue_setup(struct rte_eth_dev *device, uint16_t id, uint16_t size, unsigned int socket,
		       const struct rte_eth_rxconf *conf, struct rte_mempool *pool);
int net_tx_queue_setup(struct rte_eth_dev *device, uint16_t id, uint16_t size, unsigned int socket,
		       const struct rte_eth_txconf *conf);
void net_rx_queue_release(struct rte_eth_dev *device, uint16_t id);
void net_tx_queue_release(struct rte_eth_dev *device, uint16_t id);
int net_rx_queue_start(struct rte_eth_dev *device, uint16_t id);
int net_rx_queue_stop(struct rte_eth_dev *device, uint16_t id);
int net_tx_queue_start(struct rte_eth_dev *device, uint16_t id);
int net_tx_queue_stop(struct rte_eth_dev *device, uint16_t id);
int net_rx_queue_fill(struct net_rx_queue *queue); /* before its port is opened */
void net_rx_queue_empty(struct net_rx_queue *queue);
int net_rx_room_check(const struct rte_eth_dev_data *data, uint32_t room, uint16_t mtu);

/* rx.c */
uint16_t net_rx_burst(void *queue, struct rte_mbuf **mbufs, uint16_t count);
void net_rx_post(struct net_rx_queue *queue);
uint32_t net_rx_queue_count(void *queue);
int net_rx_descriptor_status(void *queue, uint16_t offset);

/* tx.c */
uint16_t net_tx_burst(void *queue, struct rte_mbuf **mbufs, uint16_t count);
uint16_t net_tx_prepare(void *queue, struct rte_mbuf **mbufs, uint16_t count);
int net_tx_descriptor_status(void *queue, uint16_t offset);

/* filter.c */
void net_filter_update(struct net_port *port);
uint16_t net_filter(struct net_rx_queue *queue, struct rte_mbuf **mbufs, uint16_t count);

/* 0 if the packet is for this address; of the data's first word, of which the upper two bytes are the sender's. */
static __rte_always_inline uint64_t net_filter_compare(const struct rte_mbuf *mbuf, uint64_t mac)
{
	return *(const net_word *)((uintptr_t)mbuf->buf_addr + RTE_PKTMBUF_HEADROOM) << 16 ^ mac;
}
int net_promiscuous_enable(struct rte_eth_dev *device);
int net_promiscuous_disable(struct rte_eth_dev *device);
int net_allmulticast_enable(struct rte_eth_dev *device);
int net_allmulticast_disable(struct rte_eth_dev *device);
int net_mac_set(struct rte_eth_dev *device, struct rte_ether_addr *address);
int net_mac_add(struct rte_eth_dev *device, struct rte_ether_addr *address, uint32_t index, uint32_t pool);
void net_mac_remove(struct rte_eth_dev *device, uint32_t index);
int net_multicast_set(struct rte_eth_dev *device, struct rte_ether_addr *list, uint32_t count);

/* stats.c */
int net_counters_read(struct net_port *port, struct vswitch_counters *counters);
void net_counters_keep(struct net_port *port); /* before it is closed */
int net_stats_get(struct rte_eth_dev *device, struct rte_eth_stats *stats);
int net_stats_reset(struct rte_eth_dev *device);
int net_xstats_get(struct rte_eth_dev *device, struct rte_eth_xstat *xstats, unsigned int count);
int net_xstats_names(struct rte_eth_dev *device, struct rte_eth_xstat_name *names, unsigned int count);

/* interrupt.c */
int net_interrupts_create(struct rte_eth_dev *device);
void net_interrupts_destroy(struct rte_eth_dev *device);
int net_interrupt_enable(struct rte_eth_dev *device, uint16_t id);
int net_interrupt_disable(struct rte_eth_dev *device, uint16_t id);

#endif
