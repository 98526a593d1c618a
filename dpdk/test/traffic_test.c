// SPDX-License-Identifier: MIT
/* What is sent arrives: whole, in order, once, and every mbuf has one owner. */
#include <stdlib.h>
#include <string.h>

#include <rte_malloc.h>

#include "../../objects/vswitch/vswitch.h"
#include "fake.h"
#include "ports.h"

#define BURST 64
#define FAST RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE

static const struct options plain = { .ring = 512 }, fast = { .ring = 512, .tx_offloads = FAST };
static const struct options scattered = { .ring = 512,
					  .mtu = 9000,
					  .rx_offloads = RTE_ETH_RX_OFFLOAD_SCATTER,
					  .tx_offloads = RTE_ETH_TX_OFFLOAD_MULTI_SEGS };

static void all_back(void)
{
	assert_int_equal(rte_mempool_avail_count(senders), POOL_MBUFS);
}

/* `rounds` bursts of random numbers of packets, of random sizes, in segments of random sizes if `segments`. */
static void exchange(const struct options *options, unsigned int rounds, uint32_t longest, int segments)
{
	struct port a = port_make("name=a", options), b = port_make("name=b", options);
	struct rte_ether_addr to = port_mac(&b);
	struct rte_mbuf *mbufs[300];
	uint32_t bytes[300], seed = 0;
	uint64_t total = 0;
	struct rte_eth_stats stats;

	for (unsigned int round = 0; round < rounds; round++) {
		unsigned int count = 1 + (unsigned int)rand() % (longest > 2000 ? 30 : 280);

		for (unsigned int i = 0; i < count; i++) {
			uint32_t segment = segments && rand() % 2 ? longest / 20 + (uint32_t)rand() % 1000 : 0;

			bytes[i] = VSWITCH_PACKET_MIN + (uint32_t)rand() % (longest - VSWITCH_PACKET_MIN + 1);
			if (bytes[i] > 2000 && !segment)
				segment = 2000;
			mbufs[i] = packet(&a, &to, bytes[i], seed + i, segment);
			total += bytes[i];
		}
		assert_int_equal(rte_eth_tx_burst(a.id, 0, mbufs, (uint16_t)count), count);
		receive(&b, 0, mbufs, count);
		for (unsigned int i = 0; i < count; i++)
			packet_check(mbufs[i], bytes[i], seed + i);
		seed += count;
	}
	receive_nothing(&b, 0);
	receive_nothing(&a, 0);
	all_back();
	assert_int_equal(rte_eth_stats_get(a.id, &stats), 0);
	assert_int_equal(stats.opackets, seed);
	assert_int_equal(stats.obytes, total);
	assert_int_equal(stats.oerrors, 0);
	assert_int_equal(rte_eth_stats_get(b.id, &stats), 0);
	assert_int_equal(stats.ipackets, seed);
	assert_int_equal(stats.ibytes, total);
	assert_int_equal(stats.q_ipackets[0], seed);
	assert_int_equal(stats.imissed + stats.ierrors + stats.rx_nombuf, 0);
	port_close(&a);
	port_close(&b);
}

static void contents_and_order(void **state)
{
	(void)state;
	exchange(&plain, 300, 1514, 0);
}

static void contents_fast_free(void **state)
{
	(void)state;
	exchange(&fast, 300, 1514, 0);
}

static void several_segments(void **state)
{
	(void)state;
	exchange(&plain, 100, 1514, 1);
}

static void jumbo_scattered(void **state)
{
	(void)state;
	exchange(&scattered, 100, 9014, 1);
}

/* What the switch has not taken is the caller's still, and can be sent again. */
static void not_accepted(void **state)
{
	struct port a = port_make("name=a", &plain), b = port_make("name=b", &plain);
	struct rte_ether_addr to = port_mac(&b);
	struct rte_mbuf *mbufs[BURST];

	(void)state;
	for (uint32_t i = 0; i < BURST; i++)
		mbufs[i] = packet(&a, &to, 100, i, 0);
	fake_take(0);
	assert_int_equal(rte_eth_tx_burst(a.id, 0, mbufs, BURST), 0);
	assert_int_equal(rte_mempool_in_use_count(senders), BURST);
	fake_take(5); /* the driver goes on where the switch has stopped */
	assert_int_equal(rte_eth_tx_burst(a.id, 0, mbufs, BURST), BURST);
	fake_take(-1);
	all_back();
	receive(&b, 0, mbufs, BURST);
	for (uint32_t i = 0; i < BURST; i++)
		packet_check(mbufs[i], 100, i);
	port_close(&a);
	port_close(&b);
}

/* A full receiver costs its own packets, counted as its own; the sender's are gone. */
static void full_receiver(void **state)
{
	const struct options small = { .ring = 64 };
	struct port a = port_make("name=a", &plain), b = port_make("name=b", &small);
	struct rte_ether_addr to = port_mac(&b);
	struct rte_mbuf *mbufs[100];
	struct rte_eth_stats stats;

	(void)state;
	for (uint32_t i = 0; i < 100; i++)
		mbufs[i] = packet(&a, &to, 100, i, 0);
	assert_int_equal(rte_eth_tx_burst(a.id, 0, mbufs, 100), 100);
	all_back();
	assert_int_equal(rte_eth_rx_queue_count(b.id, 0), 64);
	assert_int_equal(rte_eth_stats_get(b.id, &stats), 0);
	assert_int_equal(stats.imissed, 36);
	assert_int_equal(port_xstat(&b, "switch_rx_drop_full"), 36);
	receive(&b, 0, mbufs, 64);
	for (uint32_t i = 0; i < 64; i++)
		packet_check(mbufs[i], 100, i);
	receive_nothing(&b, 0);
	assert_int_equal(rte_eth_stats_reset(b.id), 0);
	assert_int_equal(port_xstat(&b, "switch_rx_drop_full"), 0);
	assert_int_equal(rte_eth_stats_get(b.id, &stats), 0);
	assert_int_equal(stats.imissed + stats.ipackets, 0);
	port_close(&a);
	port_close(&b);
}

/* A receiver whose pool is used up goes on when it is not any more. */
static void no_mbufs(void **state)
{
	struct port a = port_make("name=a", &plain), b = port_make("name=b", &(struct options){ .ring = 64 });
	struct rte_ether_addr to = port_mac(&b);
	static struct rte_mbuf *all[POOL_MBUFS];
	struct rte_mbuf *mbufs[64];
	unsigned int left = rte_mempool_avail_count(b.pool);

	(void)state;
	/* One by one: some are in a cache, some are not. */
	for (unsigned int i = 0; i < left; i++)
		assert_non_null(all[i] = rte_pktmbuf_alloc(b.pool));
	for (uint32_t i = 0; i < 64; i++)
		mbufs[i] = packet(&a, &to, 100, i, 0);
	assert_int_equal(rte_eth_tx_burst(a.id, 0, mbufs, 64), 64);
	receive(&b, 0, mbufs, 64);
	assert_true(port_xstat(&b, "rx_no_mbuf") > 0);
	for (uint32_t i = 0; i < 64; i++)
		packet_check(mbufs[i], 100, i);
	for (unsigned int i = 0; i < left; i++)
		rte_pktmbuf_free(all[i]);
	receive_nothing(&b, 0); /* the ring is empty; it is looked after here */
	mbufs[0] = packet(&a, &to, 100, 99, 0);
	assert_int_equal(rte_eth_tx_burst(a.id, 0, mbufs, 1), 1);
	receive(&b, 0, mbufs, 1);
	packet_check(mbufs[0], 100, 99);
	port_close(&a);
	port_close(&b);
}

/* Mbufs with several references, from several pools, or attached to others, in one burst with ordinary ones. */
static void odd_mbufs(void **state)
{
	struct port a = port_make("name=a", &plain), b = port_make("name=b", &plain);
	struct rte_mempool *others = rte_pktmbuf_pool_create("others", 127, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
	struct rte_ether_addr to = port_mac(&b);
	struct rte_mbuf *mbufs[5], *kept, *other;

	(void)state;
	kept = mbufs[0] = packet(&a, &to, 100, 0, 0);
	rte_mbuf_refcnt_update(kept, 1);
	mbufs[1] = packet(&a, &to, 100, 1, 0);
	mbufs[2] = rte_pktmbuf_clone(kept, others);
	other = mbufs[3] = rte_pktmbuf_copy(kept, others, 0, UINT32_MAX);
	assert_non_null(mbufs[2]);
	assert_non_null(other);
	mbufs[4] = packet(&a, &to, 100, 4, 0);
	assert_int_equal(rte_eth_tx_burst(a.id, 0, mbufs, 5), 5);
	assert_int_equal(rte_mbuf_refcnt_read(kept), 1);
	assert_int_equal(rte_mempool_in_use_count(senders), 1);
	assert_int_equal(rte_mempool_in_use_count(others), 0);
	rte_pktmbuf_free(kept);
	receive(&b, 0, mbufs, 5);
	packet_check(mbufs[0], 100, 0);
	packet_check(mbufs[1], 100, 1);
	packet_check(mbufs[2], 100, 0);
	packet_check(mbufs[3], 100, 0);
	packet_check(mbufs[4], 100, 4);
	rte_mempool_free(others);
	all_back();
	port_close(&a);
	port_close(&b);
}

static void freed(void *address, void *count)
{
	(void)address;
	++*(int *)count;
}

static struct rte_mbuf *foreign(uint8_t *memory, uint16_t bytes, int *count, struct rte_mbuf_ext_shared_info *info)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(senders);

	info->free_cb = freed;
	info->fcb_opaque = count;
	rte_mbuf_ext_refcnt_set(info, 1);
	rte_pktmbuf_attach_extbuf(mbuf, memory, RTE_BAD_IOVA, bytes, info);
	assert_non_null(rte_pktmbuf_append(mbuf, bytes));
	return mbuf;
}

/* Packets in memory that the switch does not see are copied first, also when one segment of several is there. */
static void foreign_memory(void **state)
{
	struct port a = port_make("name=a", &plain), b = port_make("name=b", &plain);
	struct rte_ether_addr to = port_mac(&b);
	struct rte_mbuf_ext_shared_info infos[100];
	static uint8_t memory[1000];
	struct rte_mbuf *mbufs[102], *model;
	int count = 0;

	(void)state;
	model = packet(&a, &to, 1000, 42, 0);
	memcpy(memory, rte_pktmbuf_mtod(model, void *), 1000);
	rte_pktmbuf_free(model);
	mbufs[0] = packet(&a, &to, 300, 1, 0);
	for (unsigned int i = 0; i < 100; i++)
		mbufs[1 + i] = foreign(memory, 1000, &count, &infos[i]);
	mbufs[101] = packet(&a, &to, 300, 2, 0);
	assert_int_equal(rte_eth_tx_burst(a.id, 0, mbufs, 102), 102);
	assert_int_equal(count, 100);
	all_back();
	assert_int_equal(port_xstat(&a, "tx_bounced"), 100);
	receive(&b, 0, mbufs, 102);
	packet_check(mbufs[0], 300, 1);
	for (unsigned int i = 0; i < 100; i++)
		packet_check(mbufs[1 + i], 1000, 42);
	packet_check(mbufs[101], 300, 2);

	/* The packet's first 400 bytes in an mbuf, the others elsewhere. */
	mbufs[0] = rte_pktmbuf_alloc(senders);
	memcpy(rte_pktmbuf_append(mbufs[0], 400), memory, 400);
	assert_int_equal(rte_pktmbuf_chain(mbufs[0], foreign(memory + 400, 600, &count, &infos[0])), 0);
	assert_int_equal(rte_eth_tx_burst(a.id, 0, mbufs, 1), 1);
	receive(&b, 0, mbufs, 1);
	packet_check(mbufs[0], 1000, 42);
	assert_int_equal(port_xstat(&a, "tx_bounced"), 101);
	all_back();
	port_close(&a);
	port_close(&b);
}

/* What can never be sent is refused by tx_prepare, and by tx_burst counted and freed, whatever is before and behind. */
static void refused(void **state)
{
	struct port a = port_make("name=a", &scattered), b = port_make("name=b", &scattered);
	struct rte_ether_addr to = port_mac(&b);
	struct rte_mbuf *mbufs[4];
	struct rte_eth_stats stats;

	(void)state;
	mbufs[0] = packet(&a, &to, 100, 0, 0);
	mbufs[1] = packet(&a, &to, VSWITCH_PACKET_MAX + 1, 1, 2000);
	mbufs[2] = packet(&a, &to, (VSWITCH_PARTS_MAX + 1) * 20, 2, 20);
	mbufs[3] = packet(&a, &to, 100, 3, 0);
	assert_int_equal(rte_eth_tx_prepare(a.id, 0, mbufs, 4), 1);
	assert_int_equal(rte_errno, EINVAL);
	assert_int_equal(rte_eth_tx_prepare(a.id, 0, mbufs + 2, 2), 0);
	assert_int_equal(rte_eth_tx_prepare(a.id, 0, mbufs + 3, 1), 1);
	assert_int_equal(rte_eth_tx_burst(a.id, 0, mbufs, 4), 4);
	all_back();
	assert_int_equal(port_xstat(&a, "tx_refused"), 2);
	assert_int_equal(rte_eth_stats_get(a.id, &stats), 0);
	assert_int_equal(stats.opackets, 2);
	assert_int_equal(stats.obytes, 200);
	assert_int_equal(stats.oerrors, 2);
	receive(&b, 0, mbufs, 2);
	packet_check(mbufs[0], 100, 0);
	packet_check(mbufs[1], 100, 3);
	port_close(&a);
	port_close(&b);
}

/* Flows spread over the queues of the receiver; each stays in order, and all arrive. */
static void several_queues(void **state)
{
	const struct options four = { .queues = 4, .ring = 512 };
	struct port a = port_make("name=a", &four), b = port_make("name=b", &four);
	struct rte_ether_addr to = port_mac(&b);
	unsigned int got[4] = { 0 }, total = 0;
	struct rte_mbuf *mbufs[BURST];
	struct rte_eth_stats stats;

	(void)state;
	for (uint32_t i = 0; i < BURST; i++) {
		struct rte_ether_addr from = { { 2, 1, 1, 1, 1, (uint8_t)i } };

		mbufs[i] = packet(&a, &to, 100, i, 0);
		rte_ether_addr_copy(&from, &rte_pktmbuf_mtod(mbufs[i], struct rte_ether_hdr *)->src_addr);
	}
	for (uint16_t queue = 0; queue < 4; queue++)
		assert_int_equal(rte_eth_tx_burst(a.id, queue, mbufs + queue * (BURST / 4), BURST / 4), BURST / 4);
	for (uint16_t queue = 0; queue < 4; queue++) {
		int last = -1;

		got[queue] = rte_eth_rx_burst(b.id, queue, mbufs, BURST);
		for (unsigned int i = 0; i < got[queue]; i++) {
			uint8_t n = rte_pktmbuf_mtod(mbufs[i], struct rte_ether_hdr *)->src_addr.addr_bytes[5];

			assert_true(n > last);
			last = n;
			packet_check(mbufs[i], 100, n);
		}
		total += got[queue];
	}
	assert_int_equal(total, BURST);
	assert_true(got[0] && got[1] && got[2] && got[3]);
	assert_int_equal(rte_eth_stats_get(b.id, &stats), 0);
	for (uint16_t queue = 0; queue < 4; queue++)
		assert_int_equal(stats.q_ipackets[queue], got[queue]);
	all_back();
	port_close(&a);
	port_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(contents_and_order), cmocka_unit_test(contents_fast_free),
		cmocka_unit_test(several_segments),   cmocka_unit_test(jumbo_scattered),
		cmocka_unit_test(not_accepted),       cmocka_unit_test(full_receiver),
		cmocka_unit_test(no_mbufs),           cmocka_unit_test(odd_mbufs),
		cmocka_unit_test(foreign_memory),     cmocka_unit_test(refused),
		cmocka_unit_test(several_queues),
	};
	unsigned int seed = getenv("SEED") ? (unsigned int)strtoul(getenv("SEED"), NULL, 0) : 1;

	print_message("seed %u\n", seed);
	srand(seed);
	return cmocka_run_group_tests(tests, ports_setup, ports_teardown);
}
