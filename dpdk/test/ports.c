// SPDX-License-Identifier: MIT
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_bus_vdev.h>
#include <rte_eal.h>

#include "fake.h"
#include "ports.h"

struct rte_mempool *senders;
static unsigned int number;

int ports_setup(void **state)
{
	char *arguments[] = { "test",           "--no-huge",   "-m", "200", "--no-pci",
			      "--no-telemetry", "--no-shconf", "-l", "0",   "--log-level=pmd.net.elisa:notice" };

	(void)state;
	if (rte_eal_init((int)RTE_DIM(arguments), arguments) < 0)
		return -1;
	senders = rte_pktmbuf_pool_create("senders", POOL_MBUFS, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
	return senders ? 0 : -1;
}

int ports_teardown(void **state)
{
	(void)state;
	return rte_eal_cleanup();
}

void port_configure(struct port *port, const struct options *options)
{
	struct rte_eth_conf conf = {
		.rxmode = { .offloads = options->rx_offloads, .mtu = options->mtu },
		.txmode.offloads = options->tx_offloads,
		.intr_conf = { .rxq = !!options->interrupts, .lsc = !!options->link_events },
	};
	uint16_t queues = options->queues ? options->queues : 1;
	struct rte_eth_dev_info info;
	struct rte_eth_rxconf rx;
	struct rte_eth_txconf tx;

	assert_int_equal(rte_eth_dev_info_get(port->id, &info), 0);
	assert_int_equal(rte_eth_dev_configure(port->id, queues, queues, &conf), 0);
	rx = info.default_rxconf;
	tx = info.default_txconf;
	rx.rx_deferred_start = tx.tx_deferred_start = options->deferred;
	for (uint16_t queue = 0; queue < queues; queue++) {
		assert_int_equal(rte_eth_rx_queue_setup(port->id, queue, options->ring, 0, &rx, port->pool), 0);
		assert_int_equal(rte_eth_tx_queue_setup(port->id, queue, 0, 0, &tx), 0);
	}
	if (options->promiscuous)
		rte_eth_promiscuous_enable(port->id);
	else
		rte_eth_promiscuous_disable(port->id);
}

void port_start(struct port *port)
{
	struct rte_eth_link link;

	assert_int_equal(rte_eth_dev_start(port->id), 0);
	assert_int_equal(rte_eth_link_get_nowait(port->id, &link), 0);
	assert_int_equal(link.link_status, RTE_ETH_LINK_UP);
}

struct port port_make(const char *arguments, const struct options *options)
{
	static const struct options plain;
	struct port port;
	char name[32];

	snprintf(port.device, sizeof(port.device), "net_elisa%u", number);
	snprintf(name, sizeof(name), "pool%u", number++);
	port.pool = rte_pktmbuf_pool_create(name, POOL_MBUFS, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
	assert_non_null(port.pool);
	assert_int_equal(rte_vdev_init(port.device, arguments), 0);
	assert_int_equal(rte_eth_dev_get_port_by_name(port.device, &port.id), 0);
	port_configure(&port, options ? options : &plain);
	port_start(&port);
	return port;
}

void port_close(struct port *port)
{
	assert_int_equal(rte_eth_dev_stop(port->id), 0);
	assert_int_equal(rte_eth_dev_close(port->id), 0);
	rte_vdev_uninit(port->device);
	assert_int_equal(rte_mempool_avail_count(port->pool), POOL_MBUFS);
	rte_mempool_free(port->pool);
}

struct rte_ether_addr port_mac(const struct port *port)
{
	struct rte_ether_addr address;

	assert_int_equal(rte_eth_macaddr_get(port->id, &address), 0);
	return address;
}

uint64_t port_xstat(const struct port *port, const char *name)
{
	uint64_t id, value;

	if (rte_eth_xstats_get_id_by_name(port->id, name, &id))
		fail_msg("no statistic is called %s", name);
	assert_int_equal(rte_eth_xstats_get_by_id(port->id, &id, &value, 1), 1);
	return value;
}

static uint8_t byte_of(uint32_t seed, uint32_t at)
{
	return (uint8_t)((seed + at) * 2654435761u >> 24);
}

struct rte_mbuf *packet(const struct port *from, const struct rte_ether_addr *to, uint32_t bytes, uint32_t seed,
			uint32_t segment)
{
	struct rte_mbuf *first = NULL;
	uint32_t at = 0;

	while (at < bytes) {
		struct rte_mbuf *mbuf = rte_pktmbuf_alloc(senders);
		uint32_t now = segment ? RTE_MIN(segment, bytes - at) : bytes;
		uint8_t *data;

		assert_non_null(mbuf);
		data = (uint8_t *)rte_pktmbuf_append(mbuf, (uint16_t)now);
		assert_non_null(data);
		for (uint32_t i = 0; i < now; i++, at++) {
			struct rte_ether_hdr head = { .dst_addr = *to,
						      .src_addr = port_mac(from),
						      .ether_type = 0xb588 };

			data[i] = at < sizeof(head) ? ((const uint8_t *)&head)[at] : byte_of(seed, at);
		}
		if (!first)
			first = mbuf;
		else
			assert_int_equal(rte_pktmbuf_chain(first, mbuf), 0);
	}
	return first;
}

void packet_check(struct rte_mbuf *mbuf, uint32_t bytes, uint32_t seed)
{
	static uint8_t copy[16 << 10];
	const uint8_t *data;

	assert_int_equal(mbuf->pkt_len, bytes);
	__rte_mbuf_sanity_check(mbuf, 1);
	data = rte_pktmbuf_read(mbuf, 0, bytes, copy);
	assert_non_null(data);
	for (uint32_t at = sizeof(struct rte_ether_hdr); at < bytes; at++)
		if (data[at] != byte_of(seed, at))
			fail_msg("byte %u of packet %u (%u bytes) is %#x", at, seed, bytes, data[at]);
	rte_pktmbuf_free(mbuf);
}

/* All that is counted, when something has not come. */
static void print_statistics(void)
{
	struct rte_eth_xstat_name names[64];
	struct rte_eth_xstat values[64];
	uint16_t id;

	RTE_ETH_FOREACH_DEV(id)
	{
		int count = rte_eth_xstats_get_names(id, names, RTE_DIM(names));

		rte_eth_xstats_get(id, values, RTE_DIM(values));
		for (int i = 0; i < count; i++)
			if (values[i].value)
				print_message("port %u: %s %lu\n", id, names[i].name, values[i].value);
	}
}

void receive(const struct port *port, uint16_t queue, struct rte_mbuf **mbufs, unsigned int count)
{
	unsigned int got = 0;

	for (unsigned int tries = 0; got < count && tries < 1000; tries++)
		got += rte_eth_rx_burst(port->id, queue, mbufs + got, (uint16_t)(count - got));
	if (got != count)
		print_statistics();
	assert_int_equal(got, count);
	for (unsigned int i = 0; i < count; i++)
		assert_int_equal(mbufs[i]->port, port->id);
}

void receive_nothing(const struct port *port, uint16_t queue)
{
	struct rte_mbuf *mbufs[32];

	assert_int_equal(rte_eth_rx_burst(port->id, queue, mbufs, 32), 0);
}

void send_one(const struct port *from, const struct rte_ether_addr *to, uint32_t bytes, uint32_t seed)
{
	struct rte_mbuf *mbuf = packet(from, to, bytes, seed, bytes > 2000 ? 2000 : 0);

	assert_int_equal(rte_eth_tx_burst(from->id, 0, &mbuf, 1), 1);
}

void receive_one(const struct port *port, uint32_t bytes, uint32_t seed)
{
	struct rte_mbuf *mbuf;

	receive(port, 0, &mbuf, 1);
	packet_check(mbuf, bytes, seed);
	receive_nothing(port, 0);
}
