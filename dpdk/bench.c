// SPDX-License-Identifier: MIT
/*
 * net-bench [EAL's options] -- ROLE PACKETS SIZE[,SIZE...] BATCH[,BATCH...] [REPEATS]: what tx_burst and rx_burst cost,
 * counted by the emulator between markers. Roles:
 *
 *   loop       from the first port to the second, and the same packets again: region "loop SIZE BATCH"
 *   send=MAC   PACKETS to another process' port, then waits for its answer: region "tx SIZE BATCH"
 *   receive    waits until all are there, receives them, answers: region "rx SIZE BATCH"
 *
 * A sender's packets are made before and a receiver's are freed after what is counted. Sender and receiver are given
 * the same numbers. PACKETS: at most RING.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "marker.h"

#define RING 2048
#define POOL_MBUFS 8191
#define CACHE 512
#define LIST_MAX 16
#define WAIT_LIMIT_S 60
#define IDLE_MAX 100000 /* bursts of nothing */
#define ANSWER_BYTES 60
#define BENCH_TYPE RTE_BE16(0x88b5)

#define die(...) rte_exit(EXIT_FAILURE, "net-bench: " __VA_ARGS__)

struct list {
	unsigned int count;
	unsigned int value[LIST_MAX];
};

static struct {
	unsigned int packets, repeats;
	struct list sizes, batches;
	struct rte_ether_addr peer;
} plan;

static struct rte_mempool *pool;
static struct rte_mbuf *mbufs[2 * RING]; /* a last burst that was cut short may go on behind what was asked for */

static struct list parse_list(const char *text)
{
	struct list list = { 0 };
	char *end;

	do {
		if (list.count == LIST_MAX)
			die("too many numbers\n");
		list.value[list.count++] = (unsigned int)strtoul(text, &end, 10);
		if (end == text || (*end && *end != ','))
			die("not a list of numbers: %s\n", text);
		text = end + 1;
	} while (*end);
	return list;
}

static void start_port(uint16_t port)
{
	/* 1518 bytes with the header, as if there were a checksum. */
	struct rte_eth_conf conf = { .rxmode.mtu = 1518 - RTE_ETHER_HDR_LEN,
				     .txmode.offloads = RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE };
	struct rte_eth_dev_info info;

	if (rte_eth_dev_info_get(port, &info))
		die("no port %u\n", port);
	conf.txmode.offloads &= info.tx_offload_capa;
	if (rte_eth_dev_configure(port, 1, 1, &conf) || rte_eth_rx_queue_setup(port, 0, RING, 0, NULL, pool) ||
	    rte_eth_tx_queue_setup(port, 0, RING, 0, NULL) || rte_eth_dev_start(port))
		die("port %u does not start\n", port);
}

/* Mbufs are as large as their packets at least, and lie in caches as they would. */
static void make_packets(uint16_t port, const struct rte_ether_addr *to, unsigned int count, unsigned int bytes)
{
	struct rte_ether_hdr head = { .dst_addr = *to, .ether_type = BENCH_TYPE };

	rte_eth_macaddr_get(port, &head.src_addr);
	if (rte_pktmbuf_alloc_bulk(pool, mbufs, count))
		die("no mbufs\n");
	for (unsigned int i = 0; i < count; i++) {
		memcpy(rte_pktmbuf_mtod(mbufs[i], void *), &head, sizeof(head));
		mbufs[i]->data_len = (uint16_t)bytes;
		mbufs[i]->pkt_len = bytes;
	}
}

/* Loops of few instructions: they are counted too. A batch divides the count. */
static void send_all(uint16_t port, unsigned int count, unsigned int batch)
{
	struct rte_mbuf **at = mbufs, **end = mbufs + count;
	unsigned int idle = 0;

	while (at < end) {
		unsigned int now = rte_eth_tx_burst(port, 0, at, (uint16_t)batch);

		if (unlikely(now != batch) && !now && ++idle == IDLE_MAX)
			die("%td of %u packets were sent\n", at - mbufs, count);
		at += now;
	}
}

static void receive_all(uint16_t port, unsigned int count, unsigned int batch)
{
	struct rte_mbuf **at = mbufs, **end = mbufs + count;
	unsigned int idle = 0;

	while (at < end) {
		unsigned int now = rte_eth_rx_burst(port, 0, at, (uint16_t)batch);

		if (unlikely(now != batch) && !now && ++idle == IDLE_MAX)
			die("%td of %u packets came\n", at - mbufs, count);
		at += now;
	}
}

/* The other process has a CPU of its own or not. */
static void wait_for(uint16_t port, unsigned int count)
{
	uint64_t end = rte_get_timer_cycles() + WAIT_LIMIT_S * rte_get_timer_hz();

	while (rte_eth_rx_queue_count(port, 0) < (int)count) {
		if (rte_get_timer_cycles() > end)
			die("%d of %u packets came\n", rte_eth_rx_queue_count(port, 0), count);
		rte_delay_us_sleep(100);
	}
}

static void check(unsigned int count, unsigned int bytes)
{
	for (unsigned int i = 0; i < count; i++)
		if (mbufs[i]->pkt_len != bytes)
			die("a packet of %u bytes came, not of %u\n", mbufs[i]->pkt_len, bytes);
}

static void loop(unsigned int bytes, unsigned int batch, const char *name)
{
	struct rte_ether_addr to;

	rte_eth_macaddr_get(1, &to);
	make_packets(0, &to, batch, bytes);
	send_all(0, batch, batch); /* caches and rings as they will be */
	receive_all(1, batch, batch);
	marker_name(1, name);
	marker_begin(1);
	for (unsigned int done = 0; done < plan.packets; done += batch) {
		send_all(0, batch, batch);
		receive_all(1, batch, batch);
	}
	marker_end(1);
	check(batch, bytes);
	rte_pktmbuf_free_bulk(mbufs, batch);
}

static void send_to_peer(unsigned int bytes, unsigned int batch, const char *name)
{
	make_packets(0, &plan.peer, plan.packets, bytes);
	marker_name(2, name);
	marker_begin(2);
	send_all(0, plan.packets, batch);
	marker_end(2);
	wait_for(0, 1);
	receive_all(0, 1, 1);
	check(1, ANSWER_BYTES);
	rte_pktmbuf_free(mbufs[0]);
}

static void receive_from_peer(unsigned int bytes, unsigned int batch, const char *name)
{
	struct rte_ether_addr from;

	wait_for(0, plan.packets);
	marker_name(3, name);
	marker_begin(3);
	receive_all(0, plan.packets, batch);
	marker_end(3);
	check(plan.packets, bytes);
	from = rte_pktmbuf_mtod(mbufs[0], struct rte_ether_hdr *)->src_addr;
	rte_pktmbuf_free_bulk(mbufs, plan.packets);
	make_packets(0, &from, 1, ANSWER_BYTES);
	send_all(0, 1, 1);
}

typedef void (*round_fn)(unsigned int bytes, unsigned int batch, const char *name);

static void run(round_fn round, const char *what)
{
	char name[MARKER_NAME_MAX];

	for (unsigned int size = 0; size < plan.sizes.count; size++) {
		for (unsigned int batch = 0; batch < plan.batches.count; batch++) {
			snprintf(name, sizeof(name), "%s %u %u", what, plan.sizes.value[size],
				 plan.batches.value[batch]);
			for (unsigned int i = 0; i < plan.repeats; i++)
				round(plan.sizes.value[size], plan.batches.value[batch], name);
		}
	}
}

static void parse(int count, char **arguments)
{
	if (count < 5)
		die("ROLE PACKETS SIZE[,SIZE...] BATCH[,BATCH...] [REPEATS]\n");
	plan.packets = (unsigned int)strtoul(arguments[2], NULL, 10);
	plan.sizes = parse_list(arguments[3]);
	plan.batches = parse_list(arguments[4]);
	plan.repeats = count > 5 ? (unsigned int)strtoul(arguments[5], NULL, 10) : 1;
	if (!plan.packets || plan.packets > RING)
		die("1 to %d packets\n", RING);
	for (unsigned int i = 0; i < plan.batches.count; i++)
		if (!plan.batches.value[i] || plan.packets % plan.batches.value[i])
			die("batches that divide %u\n", plan.packets);
	if (!strncmp(arguments[1], "send=", 5) && rte_ether_unformat_addr(arguments[1] + 5, &plan.peer))
		die("not an address: %s\n", arguments[1]);
}

int main(int count, char **arguments)
{
	int used = rte_eal_init(count, arguments);
	uint16_t port;

	if (used < 0)
		die("EAL does not start\n");
	count -= used;
	arguments += used;
	parse(count, arguments);
	pool = rte_pktmbuf_pool_create("bench", POOL_MBUFS, CACHE, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
	if (!pool)
		die("no memory for packets\n");
	RTE_ETH_FOREACH_DEV(port)
	{
		start_port(port);
	}
	puts("ready");
	fflush(stdout);
	if (!strcmp(arguments[1], "loop"))
		run(loop, "loop");
	else if (!strcmp(arguments[1], "receive"))
		run(receive_from_peer, "rx");
	else
		run(send_to_peer, "tx");
	RTE_ETH_FOREACH_DEV(port)
	{
		rte_eth_dev_stop(port);
		rte_eth_dev_close(port);
	}
	return rte_eal_cleanup() ? EXIT_FAILURE : 0;
}
