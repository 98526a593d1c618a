// SPDX-License-Identifier: MIT
/*
 * What a port receives. The switch floods what it does not know; a port that is not promiscuous leaves out what is for
 * others, as a network card would.
 */
#include <errno.h>

#include "driver.h"

static uint64_t packed(const struct rte_ether_addr *address)
{
	uint64_t word = 0;

	memcpy(&word, address, sizeof(*address));
	return word;
}

static bool wanted(const struct net_port *port, const struct rte_ether_addr *to)
{
	const struct rte_eth_dev_data *data = port->data;

	if (rte_is_broadcast_ether_addr(to))
		return true;
	if (rte_is_multicast_ether_addr(to)) {
		if (data->all_multicast)
			return true;
		for (unsigned int i = 0; i < port->multicasts; i++)
			if (rte_is_same_ether_addr(&port->multicast[i], to))
				return true;
		return false;
	}
	for (unsigned int i = 0; i < NET_MACS_MAX; i++)
		if (rte_is_same_ether_addr(&data->mac_addrs[i], to))
			return true;
	return false;
}

uint16_t net_filter(struct net_rx_queue *queue, struct rte_mbuf **mbufs, uint16_t count)
{
	uint16_t kept = 0;

	for (uint16_t i = 0; i < count; i++) {
		struct rte_mbuf *mbuf = mbufs[i];

		if (wanted(queue->port, rte_pktmbuf_mtod(mbuf, const struct rte_ether_addr *))) {
			mbufs[kept++] = mbuf;
		} else {
			queue->filtered++;
			queue->packets--;
			queue->bytes -= mbuf->pkt_len;
			rte_pktmbuf_free(mbuf);
		}
	}
	return kept;
}

/* Hands changes to the queues. */
void net_filter_update(struct net_port *port)
{
	const struct rte_eth_dev_data *data = port->data;

	for (uint16_t i = 0; i < data->nb_rx_queues; i++) {
		struct net_rx_queue *queue = data->rx_queues[i];

		if (queue) {
			/* net_filter_compare() */
			queue->mac = queue->doubtful ? NET_NO_MAC : packed(&data->mac_addrs[0]) << 16;
			queue->filter = !data->promiscuous;
		}
	}
}

/* An ethdev changes its own record only after the function has succeeded. */
static int change(struct rte_eth_dev *device, bool promiscuous, bool all_multicast)
{
	struct net_port *port = net_port(device);
	uint8_t was_promiscuous = device->data->promiscuous, was_all = device->data->all_multicast;
	int error;

	device->data->promiscuous = promiscuous;
	device->data->all_multicast = all_multicast;
	net_filter_update(port);
	error = net_port_flags(port);
	device->data->promiscuous = was_promiscuous;
	device->data->all_multicast = was_all;
	if (error)
		net_filter_update(port);
	return error;
}

int net_promiscuous_enable(struct rte_eth_dev *device)
{
	return change(device, true, device->data->all_multicast);
}

int net_promiscuous_disable(struct rte_eth_dev *device)
{
	return change(device, false, device->data->all_multicast);
}

int net_allmulticast_enable(struct rte_eth_dev *device)
{
	return change(device, device->data->promiscuous, true);
}

int net_allmulticast_disable(struct rte_eth_dev *device)
{
	return change(device, device->data->promiscuous, false);
}

int net_mac_set(struct rte_eth_dev *device, struct rte_ether_addr *address)
{
	struct net_port *port = net_port(device);
	long error;

	if (port->open) {
		error = elisa_call3(&port->connection->functions.set, port->number, VSWITCH_SET_MAC, packed(address));
		if (error < 0) {
			NET_LOG(ERR, "%s: the switch refuses address " RTE_ETHER_ADDR_PRT_FMT ": %s", port->data->name,
				RTE_ETHER_ADDR_BYTES(address), strerror((int)-error));
			return (int)error;
		}
	}
	rte_ether_addr_copy(address, &device->data->mac_addrs[0]);
	net_filter_update(port);
	return 0;
}

/* More addresses are the filter's alone: the switch learns them from what is sent. */
int net_mac_add(struct rte_eth_dev *device, struct rte_ether_addr *address, uint32_t index, uint32_t pool)
{
	(void)address;
	(void)pool;
	if (index >= NET_MACS_MAX)
		return -ENOSPC;
	if (index && net_port(device)->flags & VSWITCH_BIND)
		return -EPERM;
	return 0;
}

void net_mac_remove(struct rte_eth_dev *device, uint32_t index)
{
	(void)device;
	(void)index;
}

int net_multicast_set(struct rte_eth_dev *device, struct rte_ether_addr *list, uint32_t count)
{
	struct net_port *port = net_port(device);

	if (count > NET_MULTICAST_MAX)
		return -ENOSPC;
	for (uint32_t i = 0; i < count; i++)
		rte_ether_addr_copy(&list[i], &port->multicast[i]);
	port->multicasts = count;
	return net_port_flags(port);
}
