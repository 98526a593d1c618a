// SPDX-License-Identifier: MIT
/*
 * net-bench [EAL's options] -- ROLE PACKETS SIZE[,SIZE...] BATCH[,BATCH...] [REPEATS]: what tx_burst and rx_burst cost,
 * counted by the emulator between markers. Roles:
 *
 *   loop              from the first port to the second, and the same packets again: region "loop SIZE BATCH"
 *   loops             also from the second to the first
 *   send=MAC[,MAC...] PACKETS to the port of each of these other processes, a burst to each in turn, then waits for
 *                     their answers: region "tx SIZE BATCH"
 *   receive           waits until all are there, receives them, answers: region "rx SIZE BATCH"
 *   exchange=MAC      does both, without answers: sends to the next process of a ring, receives from the one before.
 *                     Begins when there is a file GO
 *
 * A sender's packets are made before and a receiver's are freed after what is counted. All are given the same numbers,
 * but for MEMBER, 0 to 3, which keeps apart what is counted. PACKETS: at most PACKETS_MAX.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "marker.h"

#define RING 2048
#define PACKETS_MAX 512
#define PEERS_MAX 3
#define GO "/tmp/net-bench-go"
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
	unsigned int packets, repeats, member, peers;
	struct list sizes, batches;
	struct rte_ether_addr peer[PEERS_MAX];
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

/* Bursts to each of the peers in turn. Mbufs are as large as their packets at least, and lie in caches as they would.
 */
static void make_packets(uint16_t port, struct rte_mbuf **at, const struct rte_ether_addr *to, unsigned int peers,
			 unsigned int count, unsigned int batch, unsigned int bytes)
{
	struct rte_ether_hdr head = { .ether_type = BENCH_TYPE };

	rte_eth_macaddr_get(port, &head.src_addr);
	if (rte_pktmbuf_alloc_bulk(pool, at, count))
		die("no mbufs\n");
	for (unsigned int i = 0; i < count; i++) {
		head.dst_addr = to[i / batch % peers];
		memcpy(rte_pktmbuf_mtod(at[i], void *), &head, sizeof(head));
		at[i]->data_len = (uint16_t)bytes;
		at[i]->pkt_len = bytes;
	}
}

/* Loops of few instructions: they are counted too. A batch divides the count. */
static void send_all(uint16_t port, struct rte_mbuf **at, unsigned int count, unsigned int batch)
{
	struct rte_mbuf **end = at + count;
	unsigned int idle = 0;

	while (at < end) {
		unsigned int now = rte_eth_tx_burst(port, 0, at, (uint16_t)batch);

		if (unlikely(now != batch) && !now && ++idle == IDLE_MAX)
			die("all but %td of %u packets were sent\n", end - at, count);
		at += now;
	}
}

static void receive_all(uint16_t port, struct rte_mbuf **at, unsigned int count, unsigned int batch)
{
	struct rte_mbuf **end = at + count;
	unsigned int idle = 0;

	while (at < end) {
		unsigned int now = rte_eth_rx_burst(port, 0, at, (uint16_t)batch);

		if (unlikely(now != batch) && !now && ++idle == IDLE_MAX)
			die("all but %td of %u packets came\n", end - at, count);
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

/* The number of a region is a constant. */
#define FOR_MEMBER(marker, first)            \
	do {                                 \
		switch (plan.member) {       \
		case 0:                      \
			marker((first));     \
			break;               \
		case 1:                      \
			marker((first) + 2); \
			break;               \
		case 2:                      \
			marker((first) + 4); \
			break;               \
		default:                     \
			marker((first) + 6); \
		}                            \
	} while (0)

static char name[MARKER_NAME_MAX];
#define NAME(region) marker_name(region, name)

static void name_set(const char *what, unsigned int bytes, unsigned int batch)
{
	snprintf(name, sizeof(name), "%s %u %u", what, bytes, batch);
}

static void send_counted(unsigned int count, unsigned int bytes, unsigned int batch)
{
	name_set("tx", bytes, batch);
	FOR_MEMBER(NAME, 2);
	FOR_MEMBER(marker_begin, 2);
	send_all(0, mbufs, count, batch);
	FOR_MEMBER(marker_end, 2);
}

static void receive_counted(unsigned int bytes, unsigned int batch)
{
	wait_for(0, plan.packets);
	name_set("rx", bytes, batch);
	FOR_MEMBER(NAME, 3);
	FOR_MEMBER(marker_begin, 3);
	receive_all(0, mbufs, plan.packets, batch);
	FOR_MEMBER(marker_end, 3);
	check(plan.packets, bytes);
}

/* PORTS ports send to the next one each. */
static void loop_round(struct rte_mbuf **set[], unsigned int ports, unsigned int batch)
{
	for (unsigned int port = 0; port < ports; port++)
		send_all((uint16_t)port, set[port], batch, batch);
	for (unsigned int port = 0; port < ports; port++)
		receive_all((uint16_t)!port, set[port], batch, batch);
}

static void loop_ports(unsigned int ports, unsigned int bytes, unsigned int batch)
{
	struct rte_mbuf **set[] = { mbufs, mbufs + RING };
	struct rte_ether_addr to;

	for (unsigned int port = 0; port < ports; port++) {
		rte_eth_macaddr_get((uint16_t)!port, &to);
		make_packets((uint16_t)port, set[port], &to, 1, batch, batch, bytes);
	}
	loop_round(set, ports, batch); /* caches and rings as they will be */
	name_set("loop", bytes, batch);
	NAME(1);
	marker_begin(1);
	for (unsigned int done = 0; done < plan.packets; done += batch)
		loop_round(set, ports, batch);
	marker_end(1);
	check(batch, bytes);
	for (unsigned int port = 0; port < ports; port++)
		rte_pktmbuf_free_bulk(set[port], batch);
}

static void loop(unsigned int bytes, unsigned int batch)
{
	loop_ports(1, bytes, batch);
}

static void loops(unsigned int bytes, unsigned int batch)
{
	loop_ports(2, bytes, batch);
}

static void send_to_peers(unsigned int bytes, unsigned int batch)
{
	unsigned int count = plan.packets * plan.peers;

	make_packets(0, mbufs, plan.peer, plan.peers, count, batch, bytes);
	send_counted(count, bytes, batch);
	for (unsigned int i = 0; i < plan.peers; i++) {
		wait_for(0, 1);
		receive_all(0, mbufs, 1, 1);
		check(1, ANSWER_BYTES);
		rte_pktmbuf_free(mbufs[0]);
	}
}

static void receive_from_peer(unsigned int bytes, unsigned int batch)
{
	struct rte_ether_addr from;

	receive_counted(bytes, batch);
	from = rte_pktmbuf_mtod(mbufs[0], struct rte_ether_hdr *)->src_addr;
	rte_pktmbuf_free_bulk(mbufs, plan.packets);
	make_packets(0, mbufs, &from, 1, 1, 1, ANSWER_BYTES);
	send_all(0, mbufs, 1, 1);
}

/* One may be as many rounds ahead as there are others in the ring. */
static void exchange(unsigned int bytes, unsigned int batch)
{
	make_packets(0, mbufs, plan.peer, 1, plan.packets, batch, bytes);
	send_counted(plan.packets, bytes, batch);
	receive_counted(bytes, batch);
	rte_pktmbuf_free_bulk(mbufs, plan.packets);
}

typedef void (*round_fn)(unsigned int bytes, unsigned int batch);

static void run(round_fn round)
{
	for (unsigned int size = 0; size < plan.sizes.count; size++)
		for (unsigned int batch = 0; batch < plan.batches.count; batch++)
			for (unsigned int i = 0; i < plan.repeats; i++)
				round(plan.sizes.value[size], plan.batches.value[batch]);
}

static void parse_peers(char *text)
{
	for (char *at = strtok(text, ","); at; at = strtok(NULL, ",")) {
		if (plan.peers == PEERS_MAX || rte_ether_unformat_addr(at, &plan.peer[plan.peers]))
			die("not an address, or too many: %s\n", at);
		plan.peers++;
	}
}

static round_fn parse_role(char *role)
{
	char *peers = strchr(role, '=');

	if (!strcmp(role, "loop"))
		return loop;
	if (!strcmp(role, "loops"))
		return loops;
	if (!strcmp(role, "receive"))
		return receive_from_peer;
	if (!peers)
		die("no such role: %s\n", role);
	*peers = 0;
	parse_peers(peers + 1);
	if (!strcmp(role, "send") && plan.peers)
		return send_to_peers;
	if (!strcmp(role, "exchange") && plan.peers == 1)
		return exchange;
	die("no such role: %s\n", role);
}

static round_fn parse(int count, char **arguments)
{
	if (count < 5)
		die("ROLE PACKETS SIZE[,SIZE...] BATCH[,BATCH...] [REPEATS [MEMBER]]\n");
	plan.packets = (unsigned int)strtoul(arguments[2], NULL, 10);
	plan.sizes = parse_list(arguments[3]);
	plan.batches = parse_list(arguments[4]);
	plan.repeats = count > 5 ? (unsigned int)strtoul(arguments[5], NULL, 10) : 1;
	plan.member = count > 6 ? (unsigned int)strtoul(arguments[6], NULL, 10) : 0;
	if (!plan.packets || plan.packets > PACKETS_MAX)
		die("1 to %d packets\n", PACKETS_MAX);
	for (unsigned int i = 0; i < plan.batches.count; i++)
		if (!plan.batches.value[i] || plan.packets % plan.batches.value[i])
			die("batches that divide %u\n", plan.packets);
	return parse_role(arguments[1]);
}

/* All of a ring have their ports. */
static void wait_for_go(void)
{
	uint64_t end = rte_get_timer_cycles() + WAIT_LIMIT_S * rte_get_timer_hz();

	while (access(GO, F_OK)) {
		if (rte_get_timer_cycles() > end)
			die("there is no %s\n", GO);
		rte_delay_us_sleep(1000);
	}
}

int main(int count, char **arguments)
{
	int used = rte_eal_init(count, arguments);
	round_fn round;
	uint16_t port;

	if (used < 0)
		die("EAL does not start\n");
	count -= used;
	arguments += used;
	round = parse(count, arguments);
	pool = rte_pktmbuf_pool_create("bench", POOL_MBUFS, CACHE, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
	if (!pool)
		die("no memory for packets\n");
	RTE_ETH_FOREACH_DEV(port)
	{
		start_port(port);
	}
	puts("ready");
	fflush(stdout);
	if (round == exchange)
		wait_for_go();
	run(round);
	RTE_ETH_FOREACH_DEV(port)
	{
		rte_eth_dev_stop(port);
		rte_eth_dev_close(port);
	}
	return rte_eal_cleanup() ? EXIT_FAILURE : 0;
}
