// SPDX-License-Identifier: MIT
/* Queues: set up, started and stopped, filled and emptied. */
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <rte_malloc.h>
#include <rte_mempool.h>

#include "driver.h"

/* A packet of that MTU in buffers of ROOM bytes: in one, or in several if that was asked for. */
int net_rx_room_check(const struct rte_eth_dev_data *data, uint32_t room, uint16_t mtu)
{
	uint32_t longest = mtu + VSWITCH_PACKET_MAX - 9000;

	if (longest <= room || data->dev_conf.rxmode.offloads & RTE_ETH_RX_OFFLOAD_SCATTER)
		return 0;
	NET_LOG(ERR, "%s: packets of %u bytes do not fit into buffers of %u: enable RTE_ETH_RX_OFFLOAD_SCATTER",
		data->name, longest, room);
	return -EINVAL;
}

/* The first words of the pool's mbufs as they are handed out. */
static void make_rearm(struct net_rx_queue *queue, uint16_t port)
{
	struct rte_mbuf mbuf = { .data_off = RTE_PKTMBUF_HEADROOM, .refcnt = 1, .nb_segs = 1, .port = port };

	memcpy(&queue->rearm, &mbuf.rearm_data, sizeof(queue->rearm));
	if (rte_pktmbuf_priv_flags(queue->pool) & RTE_PKTMBUF_POOL_F_PINNED_EXT_BUF)
		queue->ol_flags = RTE_MBUF_F_EXTERNAL;
	queue->doubtful = queue->ol_flags != 0;
}

int net_rx_queue_setup(struct rte_eth_dev *device, uint16_t id, uint16_t size, unsigned int socket,
		       const struct rte_eth_rxconf *conf, struct rte_mempool *pool)
{
	struct net_rx_queue *queue;
	uint32_t slots = rte_align32pow2(RTE_MAX(size, (uint16_t)NET_RX_MIN));
	uint32_t room = rte_pktmbuf_data_room_size(pool) - RTE_PKTMBUF_HEADROOM;
	int error = net_rx_room_check(device->data, room, device->data->mtu);

	net_rx_queue_release(device, id);
	if (error)
		return error;
	queue = rte_zmalloc_socket("net_elisa rx", sizeof(*queue), RTE_CACHE_LINE_SIZE, socket);
	if (!queue)
		return -ENOMEM;
	queue->ring = rte_zmalloc_socket("net_elisa ring", sizeof(*queue->ring) + slots * sizeof(struct vswitch_slot),
					 RTE_CACHE_LINE_SIZE, socket);
	queue->mbufs = rte_zmalloc_socket("net_elisa mbufs", slots * sizeof(void *), RTE_CACHE_LINE_SIZE, socket);
	if (!queue->ring || !queue->mbufs)
		goto no_memory;
	queue->port = net_port(device);
	queue->pool = pool;
	queue->id = id;
	queue->size = slots;
	queue->mask = slots - 1;
	queue->room = room;
	queue->free_thresh = conf->rx_free_thresh ? conf->rx_free_thresh : NET_RX_FREE_THRESH;
	queue->free_thresh = RTE_MIN(queue->free_thresh, slots / 2);
	queue->deferred = conf->rx_deferred_start;
	queue->wake = queue->epoll = -1;
	make_rearm(queue, device->data->port_id);
	device->data->rx_queues[id] = queue;
	net_filter_update(queue->port);
	return 0;

no_memory:
	rte_free(queue->mbufs);
	rte_free(queue->ring);
	rte_free(queue);
	return -ENOMEM;
}

int net_tx_queue_setup(struct rte_eth_dev *device, uint16_t id, uint16_t size, unsigned int socket,
		       const struct rte_eth_txconf *conf)
{
	uint64_t offloads = conf->offloads | device->data->dev_conf.txmode.offloads;
	struct net_tx_queue *queue;

	net_tx_queue_release(device, id);
	queue = rte_zmalloc_socket("net_elisa tx", sizeof(*queue), RTE_CACHE_LINE_SIZE, socket);
	if (!queue)
		return -ENOMEM;
	queue->slots = rte_zmalloc_socket("net_elisa slots", NET_TX_SLOTS * sizeof(*queue->slots), RTE_CACHE_LINE_SIZE,
					  socket);
	queue->bounce = rte_zmalloc_socket("net_elisa bounce", NET_BOUNCE_BYTES, RTE_CACHE_LINE_SIZE, socket);
	if (!queue->slots || !queue->bounce) {
		rte_free(queue->bounce);
		rte_free(queue->slots);
		rte_free(queue);
		return -ENOMEM;
	}
	queue->port = net_port(device);
	queue->id = id;
	queue->size = size;
	queue->off = true;
	queue->deferred = conf->tx_deferred_start;
	queue->fast_free = offloads & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
	device->data->tx_queues[id] = queue;
	return 0;
}

void net_rx_queue_release(struct rte_eth_dev *device, uint16_t id)
{
	struct net_rx_queue *queue = device->data->rx_queues[id];

	if (!queue)
		return;
	net_rx_queue_empty(queue);
	rte_free(queue->mbufs);
	rte_free(queue->ring);
	rte_free(queue);
	device->data->rx_queues[id] = NULL;
}

void net_tx_queue_release(struct rte_eth_dev *device, uint16_t id)
{
	struct net_tx_queue *queue = device->data->tx_queues[id];

	if (!queue)
		return;
	rte_free(queue->bounce);
	rte_free(queue->slots);
	rte_free(queue);
	device->data->tx_queues[id] = NULL;
}

struct reach {
	const struct net_memory *memory;
	const struct net_segment *segment; /* of all so far; NULL: there are several */
	bool first, outside;
};

static void reach_chunk(struct rte_mempool *pool, void *argument, struct rte_mempool_memhdr *chunk, unsigned int index)
{
	struct reach *reach = argument;
	uintptr_t address = (uintptr_t)chunk->addr, end = address + chunk->len;

	(void)pool;
	(void)index;
	while (address < end) {
		const struct net_segment *segment = net_memory_find(reach->memory, address);

		if (!segment) {
			reach->outside = true;
			return;
		}
		if (reach->first)
			reach->segment = segment;
		else if (reach->segment != segment)
			reach->segment = NULL;
		reach->first = false;
		address = segment->start + segment->bytes;
	}
}

/* Where the pool's mbufs are: in one buffer, as a rule. */
static int find_pool(struct net_rx_queue *queue)
{
	struct reach reach = { .memory = &queue->port->connection->memory, .first = true };

	queue->delta = NET_NOWHERE;
	if (queue->doubtful)
		return 0; /* looked up one by one */
	rte_mempool_mem_iter(queue->pool, reach_chunk, &reach);
	if (reach.outside) {
		NET_LOG(ERR, "%s: pool %s is not (wholly) in memory that is shared with the switch",
			queue->port->data->name, queue->pool->name);
		return -EFAULT;
	}
	if (reach.segment)
		queue->delta = reach.segment->delta + RTE_PKTMBUF_HEADROOM;
	return 0;
}

int net_rx_queue_fill(struct net_rx_queue *queue)
{
	int error = find_pool(queue);
	uint32_t thresh = queue->free_thresh;

	if (error)
		return error;
	queue->next = queue->posted = 0;
	memset(queue->ring, 0, sizeof(*queue->ring));
	/* All that there is room for; a pool that is too small for it is one that its owner made so. */
	queue->free_thresh = 1;
	net_rx_post(queue);
	queue->free_thresh = thresh;
	net_rx_post_later(queue);
	if (queue->posted)
		return 0;
	NET_LOG(ERR, "%s: pool %s has no mbufs for queue %u", queue->port->data->name, queue->pool->name, queue->id);
	return -ENOMEM;
}

void net_rx_queue_empty(struct net_rx_queue *queue)
{
	for (; queue->next != queue->posted; queue->next++)
		rte_pktmbuf_free(queue->mbufs[queue->next & queue->mask]);
}

static int set_rx(struct rte_eth_dev *device, uint16_t id, bool on)
{
	struct net_port *port = net_port(device);
	long error;

	if (port->lost)
		return port->lost;
	error = elisa_call3(&port->connection->functions.set, port->number, VSWITCH_SET_RX, id | (uint64_t)on << 32);
	if (error < 0)
		return (int)error;
	device->data->rx_queue_state[id] = on ? RTE_ETH_QUEUE_STATE_STARTED : RTE_ETH_QUEUE_STATE_STOPPED;
	return 0;
}

int net_rx_queue_start(struct rte_eth_dev *device, uint16_t id)
{
	return set_rx(device, id, true);
}

int net_rx_queue_stop(struct rte_eth_dev *device, uint16_t id)
{
	return set_rx(device, id, false);
}

int net_tx_queue_start(struct rte_eth_dev *device, uint16_t id)
{
	struct net_tx_queue *queue = device->data->tx_queues[id];

	queue->off = net_port(device)->lost;
	device->data->tx_queue_state[id] = RTE_ETH_QUEUE_STATE_STARTED;
	return 0;
}

int net_tx_queue_stop(struct rte_eth_dev *device, uint16_t id)
{
	struct net_tx_queue *queue = device->data->tx_queues[id];

	queue->off = true;
	device->data->tx_queue_state[id] = RTE_ETH_QUEUE_STATE_STOPPED;
	return 0;
}
