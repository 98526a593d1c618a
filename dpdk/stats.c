// SPDX-License-Identifier: MIT
/* Counters: the queues' own, and the switch's of this port. */
#include <errno.h>
#include <stdio.h>

#include "driver.h"

#define COUNTERS (sizeof(struct vswitch_counters) / sizeof(uint64_t))

static const char *const drops[VSWITCH_DROPS] = {
	[VSWITCH_DROP_FULL] = "full",       [VSWITCH_DROP_SIZE] = "size",     [VSWITCH_DROP_WHERE] = "where",
	[VSWITCH_DROP_SPOOFED] = "spoofed", [VSWITCH_DROP_POSTED] = "posted", [VSWITCH_DROP_LOCAL] = "local",
	[VSWITCH_DROP_CLOSED] = "closed",
};

static const char *const plain[] = { "rx_packets", "rx_bytes", "tx_packets", "tx_bytes", "flooded" };

_Static_assert(offsetof(struct vswitch_counters, rx_drops) == RTE_DIM(plain) * sizeof(uint64_t), "plain");

static const char *const own[] = { "rx_filtered", "rx_no_mbuf", "tx_bounced", "tx_refused" };

static void add(struct vswitch_counters *to, const struct vswitch_counters *what, int sign)
{
	for (unsigned int i = 0; i < COUNTERS; i++)
		((uint64_t *)to)[i] += sign * ((const uint64_t *)what)[i];
}

/* Since the ethdev was made. The switch counts from 0 each time that the port is opened. */
static int read_all(struct net_port *port, struct vswitch_counters *counters)
{
	long error = 0;

	*counters = port->before;
	if (!port->open)
		return port->lost;
	error = elisa_call2(&port->connection->functions.counters, port->number,
			    net_memory_where(&port->connection->memory, &port->shared->counters));
	if (error < 0) {
		if (!net_passing(error))
			net_port_lost(port, (int)error);
		return (int)error;
	}
	add(counters, &port->shared->counters, 1);
	return 0;
}

int net_counters_read(struct net_port *port, struct vswitch_counters *counters)
{
	int error = read_all(port, counters);

	add(counters, &port->zero, -1);
	return error;
}

void net_counters_keep(struct net_port *port)
{
	struct vswitch_counters counters;

	if (!read_all(port, &counters))
		port->before = counters;
}

static uint64_t sum(const uint64_t *values, unsigned int count)
{
	uint64_t total = 0;

	while (count--)
		total += *values++;
	return total;
}

int net_stats_get(struct rte_eth_dev *device, struct rte_eth_stats *stats)
{
	const struct rte_eth_dev_data *data = device->data;
	struct vswitch_counters counters;

	net_counters_read(net_port(device), &counters); /* the last known, if the switch is gone */
	for (uint16_t i = 0; i < data->nb_rx_queues; i++) {
		const struct net_rx_queue *queue = data->rx_queues[i];

		if (!queue)
			continue;
		stats->ipackets += queue->packets;
		stats->ibytes += queue->bytes;
		if (i < RTE_ETHDEV_QUEUE_STAT_CNTRS) {
			stats->q_ipackets[i] = queue->packets;
			stats->q_ibytes[i] = queue->bytes;
		}
	}
	for (uint16_t i = 0; i < data->nb_tx_queues; i++) {
		const struct net_tx_queue *queue = data->tx_queues[i];

		if (!queue)
			continue;
		stats->opackets += queue->packets;
		stats->obytes += queue->bytes;
		stats->oerrors += queue->refused;
		if (i < RTE_ETHDEV_QUEUE_STAT_CNTRS) {
			stats->q_opackets[i] = queue->packets;
			stats->q_obytes[i] = queue->bytes;
		}
	}
	stats->imissed = counters.rx_drops[VSWITCH_DROP_FULL];
	stats->ierrors = sum(counters.rx_drops, VSWITCH_DROPS) - stats->imissed;
	stats->oerrors += sum(counters.tx_drops, VSWITCH_DROPS);
	stats->rx_nombuf = data->rx_mbuf_alloc_failed;
	return 0;
}

int net_stats_reset(struct rte_eth_dev *device)
{
	struct net_port *port = net_port(device);
	struct vswitch_counters counters;
	int error = read_all(port, &counters);

	for (uint16_t i = 0; i < device->data->nb_rx_queues; i++) {
		struct net_rx_queue *queue = device->data->rx_queues[i];

		if (queue)
			queue->packets = queue->bytes = queue->filtered = queue->no_mbuf = 0;
	}
	for (uint16_t i = 0; i < device->data->nb_tx_queues; i++) {
		struct net_tx_queue *queue = device->data->tx_queues[i];

		if (queue)
			queue->packets = queue->bytes = queue->bounced = queue->refused = 0;
	}
	if (!error)
		port->zero = counters;
	return error;
}

int net_xstats_get(struct rte_eth_dev *device, struct rte_eth_xstat *xstats, unsigned int count)
{
	const struct rte_eth_dev_data *data = device->data;
	uint64_t values[RTE_DIM(own)] = { 0 };
	struct vswitch_counters counters;

	if (count < COUNTERS + RTE_DIM(own))
		return COUNTERS + RTE_DIM(own);
	net_counters_read(net_port(device), &counters);
	for (uint16_t i = 0; i < data->nb_rx_queues; i++) {
		const struct net_rx_queue *queue = data->rx_queues[i];

		values[0] += queue ? queue->filtered : 0;
		values[1] += queue ? queue->no_mbuf : 0;
	}
	for (uint16_t i = 0; i < data->nb_tx_queues; i++) {
		const struct net_tx_queue *queue = data->tx_queues[i];

		values[2] += queue ? queue->bounced : 0;
		values[3] += queue ? queue->refused : 0;
	}
	for (unsigned int i = 0; i < COUNTERS + RTE_DIM(own); i++) {
		xstats[i].id = i;
		xstats[i].value = i < COUNTERS ? ((const uint64_t *)&counters)[i] : values[i - COUNTERS];
	}
	return COUNTERS + RTE_DIM(own);
}

static void name(char *text, size_t bytes, unsigned int index)
{
	if (index < RTE_DIM(plain))
		snprintf(text, bytes, "switch_%s", plain[index]);
	else if ((index -= RTE_DIM(plain)) < VSWITCH_DROPS)
		snprintf(text, bytes, "switch_rx_drop_%s", drops[index]);
	else if ((index -= VSWITCH_DROPS) < VSWITCH_DROPS)
		snprintf(text, bytes, "switch_tx_drop_%s", drops[index]);
	else if ((index -= VSWITCH_DROPS) == 0)
		snprintf(text, bytes, "switch_notified");
	else
		snprintf(text, bytes, "%s", own[index - 1]);
}

int net_xstats_names(struct rte_eth_dev *device, struct rte_eth_xstat_name *names, unsigned int count)
{
	(void)device;
	if (names && count >= COUNTERS + RTE_DIM(own))
		for (unsigned int i = 0; i < COUNTERS + RTE_DIM(own); i++)
			name(names[i].name, sizeof(names[i].name), i);
	return COUNTERS + RTE_DIM(own);
}
