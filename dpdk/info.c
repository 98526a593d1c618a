// SPDX-License-Identifier: MIT
/* What a port can do, and how its queues are set up. */
#include "driver.h"

int net_info_get(struct rte_eth_dev *device, struct rte_eth_dev_info *info)
{
	const struct net_port *port = net_port(device);

	info->if_index = 0;
	info->max_mac_addrs = port->flags & VSWITCH_BIND ? 1 : NET_MACS_MAX;
	info->min_mtu = 68;
	info->max_mtu = 9000;
	info->max_rx_pktlen = VSWITCH_PACKET_MAX;
	info->min_rx_bufsize = RTE_ETHER_MIN_LEN;
	info->max_rx_queues = port->queues;
	info->max_tx_queues = port->queues;
	info->rx_offload_capa = RTE_ETH_RX_OFFLOAD_SCATTER;
	info->rx_queue_offload_capa = 0;
	info->tx_offload_capa = RTE_ETH_TX_OFFLOAD_MULTI_SEGS | RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
	info->tx_queue_offload_capa = info->tx_offload_capa;
	info->dev_capa = 0;
	info->speed_capa = 0; /* as fast as CPUs copy */
	/* Rounded up to a power of two. */
	info->rx_desc_lim = (struct rte_eth_desc_lim){
		.nb_max = VSWITCH_RING_MAX,
		.nb_min = NET_RX_MIN,
		.nb_align = 1,
	};
	/* Nothing waits in a queue: a burst is sent when tx_burst returns. Any number does. */
	info->tx_desc_lim = (struct rte_eth_desc_lim){
		.nb_max = VSWITCH_RING_MAX,
		.nb_min = 1,
		.nb_align = 1,
		.nb_seg_max = NET_SEGMENTS_MAX,
		.nb_mtu_seg_max = NET_SEGMENTS_MAX,
	};
	info->default_rxportconf = (struct rte_eth_dev_portconf){
		.burst_size = 32,
		.ring_size = NET_RX_DEFAULT,
		.nb_queues = 1,
	};
	info->default_txportconf = (struct rte_eth_dev_portconf){
		.burst_size = 32,
		.ring_size = NET_TX_SLOTS,
		.nb_queues = 1,
	};
	info->default_rxconf.rx_free_thresh = NET_RX_FREE_THRESH;
	return 0;
}

void net_rxq_info_get(struct rte_eth_dev *device, uint16_t id, struct rte_eth_rxq_info *info)
{
	const struct net_rx_queue *queue = device->data->rx_queues[id];

	info->mp = queue->pool;
	info->nb_desc = queue->size;
	info->rx_buf_size = queue->room;
	info->scattered_rx = device->data->scattered_rx;
	info->conf.rx_free_thresh = queue->free_thresh;
	info->conf.rx_deferred_start = queue->deferred;
	info->conf.offloads = device->data->dev_conf.rxmode.offloads;
}

void net_txq_info_get(struct rte_eth_dev *device, uint16_t id, struct rte_eth_txq_info *info)
{
	const struct net_tx_queue *queue = device->data->tx_queues[id];

	info->nb_desc = queue->size;
	info->conf.tx_deferred_start = queue->deferred;
	info->conf.offloads =
		device->data->dev_conf.txmode.offloads | (queue->fast_free ? RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE : 0);
}

int net_burst_mode_get(struct rte_eth_dev *device, uint16_t id, struct rte_eth_burst_mode *mode)
{
	(void)id;
	snprintf(mode->info, sizeof(mode->info), "%s",
		 net_port(device)->scheme == ELISA_BY_GATE ? "Gate, SSE" : "VMCALL, SSE");
	return 0;
}
