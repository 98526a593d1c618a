/* SPDX-License-Identifier: MIT */
/* Ports of net_elisa for tests, in a process that has the switch in it (fake.h). */
#ifndef NET_ELISA_TEST_PORTS_H
#define NET_ELISA_TEST_PORTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#define POOL_MBUFS 8191

struct port {
	uint16_t id;
	char device[32];
	struct rte_mempool *pool; /* where it receives */
};

struct options {
	uint16_t queues;
	uint16_t mtu; /* 0: as it is */
	uint64_t rx_offloads, tx_offloads;
	int interrupts, link_events, promiscuous;
	uint16_t ring;
	int deferred;
};

extern struct rte_mempool *senders; /* what tests send comes from here */

/* EAL, and cmocka's group setup. */
int ports_setup(void **state);
int ports_teardown(void **state);

/* A port, configured and started. */
struct port port_make(const char *arguments, const struct options *options);
void port_configure(struct port *port, const struct options *options);
void port_start(struct port *port);
/* Stopped and closed; all mbufs that it had are back. */
void port_close(struct port *port);
struct rte_ether_addr port_mac(const struct port *port);
uint64_t port_xstat(const struct port *port, const char *name);

/* A packet to TO whose other bytes follow from SEED, in segments of at most `segment` bytes (0: one). */
struct rte_mbuf *packet(const struct port *from, const struct rte_ether_addr *to, uint32_t bytes, uint32_t seed,
			uint32_t segment);
/* Is it that packet? Frees it. */
void packet_check(struct rte_mbuf *mbuf, uint32_t bytes, uint32_t seed);

/* Receives exactly `count`; fails if fewer come. */
void receive(const struct port *port, uint16_t queue, struct rte_mbuf **mbufs, unsigned int count);
void receive_nothing(const struct port *port, uint16_t queue);

/* One packet of a first queue: sent; received, and nothing more. */
void send_one(const struct port *from, const struct rte_ether_addr *to, uint32_t bytes, uint32_t seed);
void receive_one(const struct port *port, uint32_t bytes, uint32_t seed);

#endif
