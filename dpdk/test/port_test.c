// SPDX-License-Identifier: MIT
/* The port itself: what it says of itself, its life, its filter, what happens when the switch goes. */
#include <errno.h>
#include <string.h>

#include <rte_bus_vdev.h>
#include <rte_cycles.h>
#include <rte_interrupts.h>

#include "../../objects/vswitch/vswitch.h"
#include "fake.h"
#include "ports.h"

static void tells_the_truth(void **state)
{
	struct port a = port_make("name=a,queues=3,mac=02:00:00:00:12:34", NULL);
	struct rte_ether_addr address = port_mac(&a);
	struct rte_eth_dev_info info;
	struct rte_eth_rxq_info rx;
	struct rte_eth_txq_info tx;
	struct rte_eth_link link;
	char text[RTE_ETHER_ADDR_FMT_SIZE];
	uint16_t mtu;

	(void)state;
	assert_int_equal(rte_eth_dev_info_get(a.id, &info), 0);
	assert_string_equal(info.driver_name, "net_elisa");
	assert_int_equal(info.max_rx_queues, 3);
	assert_int_equal(info.max_tx_queues, 3);
	assert_int_equal(info.max_mtu, 9000);
	assert_int_equal(info.min_mtu, 68);
	assert_int_equal(info.max_rx_pktlen - info.max_mtu, 22);
	assert_int_equal(info.rx_offload_capa, RTE_ETH_RX_OFFLOAD_SCATTER);
	assert_int_equal(info.tx_offload_capa, RTE_ETH_TX_OFFLOAD_MULTI_SEGS | RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE);
	assert_int_equal(info.flow_type_rss_offloads, 0);
	assert_int_equal(rte_eth_rx_queue_info_get(a.id, 0, &rx), 0);
	assert_int_equal(rx.nb_desc, info.default_rxportconf.ring_size);
	assert_ptr_equal(rx.mp, a.pool);
	assert_int_equal(rx.queue_state, RTE_ETH_QUEUE_STATE_STARTED);
	assert_int_equal(rte_eth_tx_queue_info_get(a.id, 0, &tx), 0);
	assert_int_equal(rte_eth_dev_get_mtu(a.id, &mtu), 0);
	assert_int_equal(mtu, 1500);
	rte_ether_format_addr(text, sizeof(text), &address);
	assert_string_equal(text, "02:00:00:00:12:34");
	assert_int_equal(rte_eth_link_get_nowait(a.id, &link), 0);
	assert_int_equal(link.link_speed, RTE_ETH_SPEED_NUM_UNKNOWN);
	assert_int_equal(rte_eth_rx_descriptor_status(a.id, 0, 0), RTE_ETH_RX_DESC_AVAIL);
	assert_int_equal(rte_eth_tx_descriptor_status(a.id, 0, 0), RTE_ETH_TX_DESC_DONE);
	port_close(&a);
}

static void given_address(void **state)
{
	struct port a = port_make("", NULL), b = port_make("", NULL);
	struct rte_ether_addr one = port_mac(&a), two = port_mac(&b);

	(void)state;
	assert_true(rte_is_valid_assigned_ether_addr(&one));
	assert_false(rte_is_same_ether_addr(&one, &two));
	port_close(&a);
	port_close(&b);
}

/* Each argument is refused for the one thing that is wrong with it, and leaves nothing behind. */
static void bad_arguments(void **state)
{
	static const char *const bad[] = {
		"name=a",
		"name=b,mac=02:00:00:00:00:01",
		"name=abcdefghijklmnopqrstuvwxyzabcdef",
		"mac=03:00:00:00:00:01",
		"mac=no",
		"bind=2",
		"queues=0",
		"queues=9",
		"queues=1x",
		"scheme=direct",
		"object=nothing",
		"object=",
		"colour=red",
	};
	struct port a = port_make("name=a,mac=02:00:00:00:00:01", NULL);
	unsigned int buffers = fake_buffers(), attachments = fake_attachments();

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(bad); i++)
		if (!rte_vdev_init("net_elisa99", bad[i]))
			fail_msg("\"%s\" was not refused", bad[i]);
	assert_int_equal(rte_eth_dev_count_avail(), 1);
	assert_int_equal(fake_buffers(), buffers);
	assert_int_equal(fake_attachments(), attachments);
	port_close(&a);
	assert_int_equal(fake_attachments(), 0);
	assert_int_equal(fake_buffers(), 0);
}

static void lives(void **state)
{
	const struct options small = { .ring = 128 };
	struct port a = port_make("name=a", NULL), b = port_make("name=b", NULL);
	struct rte_ether_addr to = port_mac(&b), same;

	(void)state;
	for (uint32_t round = 0; round < 20; round++) {
		send_one(&a, &to, 200, round);
		if (round % 2)
			receive_one(&b, 200, round);
		/* else it is there when the port stops */
		assert_int_equal(rte_eth_dev_stop(b.id), 0);
		assert_int_equal(rte_mempool_avail_count(b.pool), POOL_MBUFS);
		send_one(&a, &to, 200, round); /* to nobody */
		if (round % 3 == 0)
			port_configure(&b, round % 2 ? &small : &(struct options){ 0 });
		port_start(&b);
		same = port_mac(&b);
		assert_true(rte_is_same_ether_addr(&to, &same));
		receive_nothing(&b, 0);
	}
	/* Counters go on, though the switch begins anew each time. */
	assert_true(port_xstat(&b, "switch_rx_packets") >= 20);
	assert_int_equal(rte_mempool_in_use_count(senders), 0);
	port_close(&a);
	port_close(&b);
}

static void mtu(void **state)
{
	const struct options scatter = { .rx_offloads = RTE_ETH_RX_OFFLOAD_SCATTER };
	struct port a = port_make("name=a", NULL), b = port_make("name=b", NULL);
	struct rte_ether_addr to = port_mac(&b);
	uint64_t dropped;

	(void)state;
	send_one(&a, &to, 1514, 1);
	receive_one(&b, 1514, 1);
	dropped = port_xstat(&b, "switch_rx_drop_size");
	send_one(&a, &to, 1515, 1);
	receive_nothing(&b, 0);
	assert_int_equal(port_xstat(&b, "switch_rx_drop_size"), dropped + 1);
	assert_int_equal(rte_eth_dev_set_mtu(b.id, 1600), 0);
	send_one(&a, &to, 1614, 2);
	receive_one(&b, 1614, 2);
	assert_int_equal(rte_eth_dev_set_mtu(b.id, 9001), -EINVAL);
	assert_int_equal(rte_eth_dev_set_mtu(b.id, 67), -EINVAL);
	assert_int_equal(rte_eth_dev_set_mtu(b.id, 9000), -EINVAL); /* no SCATTER, and small mbufs */
	assert_int_equal(rte_eth_dev_stop(b.id), 0);
	port_configure(&b, &scatter);
	assert_int_equal(rte_eth_dev_set_mtu(b.id, 9000), 0); /* kept until it starts */
	port_start(&b);
	send_one(&a, &to, 9014, 3);
	receive_one(&b, 9014, 3);
	port_close(&a);
	port_close(&b);
}

static void filter(void **state)
{
	struct port a = port_make("name=a", NULL), b = port_make("name=b", NULL);
	struct rte_ether_addr mine = port_mac(&b), other = { { 2, 9, 9, 9, 9, 9 } }, second = { { 2, 9, 9, 9, 9, 8 } };
	struct rte_ether_addr group = { { 1, 0, 0x5e, 0, 0, 1 } }, all = { { 255, 255, 255, 255, 255, 255 } };
	struct rte_mbuf *mbufs[3];

	(void)state;
	send_one(&a, &all, 100, 1);
	receive_one(&b, 100, 1);
	/* The switch does not know it, and floods. */
	mbufs[0] = packet(&a, &mine, 100, 2, 0);
	mbufs[1] = packet(&a, &other, 100, 3, 0);
	mbufs[2] = packet(&a, &mine, 100, 4, 0);
	assert_int_equal(rte_eth_tx_burst(a.id, 0, mbufs, 3), 3);
	receive(&b, 0, mbufs, 2);
	packet_check(mbufs[0], 100, 2);
	packet_check(mbufs[1], 100, 4);
	assert_int_equal(port_xstat(&b, "rx_filtered"), 1);
	rte_eth_promiscuous_enable(b.id);
	send_one(&a, &other, 100, 5);
	receive_one(&b, 100, 5);
	rte_eth_promiscuous_disable(b.id);
	send_one(&a, &other, 100, 5);
	receive_nothing(&b, 0);

	assert_int_equal(rte_eth_dev_mac_addr_add(b.id, &second, 0), 0);
	send_one(&a, &second, 100, 6);
	receive_one(&b, 100, 6);
	assert_int_equal(rte_eth_dev_mac_addr_remove(b.id, &second), 0);
	send_one(&a, &second, 100, 6);
	receive_nothing(&b, 0);

	send_one(&a, &group, 100, 7);
	receive_nothing(&b, 0);
	assert_int_equal(rte_eth_dev_set_mc_addr_list(b.id, &group, 1), 0);
	send_one(&a, &group, 100, 7);
	receive_one(&b, 100, 7);
	group.addr_bytes[5] = 2;
	send_one(&a, &group, 100, 8);
	receive_nothing(&b, 0);
	assert_int_equal(rte_eth_allmulticast_enable(b.id), 0);
	send_one(&a, &group, 100, 8);
	receive_one(&b, 100, 8);
	port_close(&a);
	port_close(&b);
}

static void address_set(void **state)
{
	struct port a = port_make("name=a", NULL), b = port_make("name=b", NULL), bound;
	struct rte_ether_addr taken = port_mac(&a), new = { { 2, 7, 7, 7, 7, 7 } }, now;
	struct rte_mbuf *mbuf;

	(void)state;
	assert_true(rte_eth_dev_default_mac_addr_set(b.id, &taken) < 0);
	assert_int_equal(rte_eth_dev_default_mac_addr_set(b.id, &new), 0);
	send_one(&a, &new, 100, 1);
	receive_one(&b, 100, 1);
	assert_int_equal(rte_eth_dev_stop(b.id), 0);
	new.addr_bytes[5] = 8;
	assert_int_equal(rte_eth_dev_default_mac_addr_set(b.id, &new), 0);
	port_start(&b);
	now = port_mac(&b);
	assert_true(rte_is_same_ether_addr(&now, &new));
	send_one(&a, &new, 100, 2);
	receive_one(&b, 100, 2);

	/* A port that asked to be bound sends from its own address only. */
	bound = port_make("name=c,bind=1", NULL);
	send_one(&bound, &new, 100, 3);
	receive_one(&b, 100, 3);
	mbuf = packet(&a, &new, 100, 4, 0);
	assert_int_equal(rte_eth_tx_burst(bound.id, 0, &mbuf, 1), 1);
	receive_nothing(&b, 0);
	assert_int_equal(port_xstat(&bound, "switch_tx_drop_spoofed"), 1);
	port_close(&bound);
	port_close(&a);
	port_close(&b);
}

static void queues_stop(void **state)
{
	const struct options two = { .queues = 2 }, deferred = { .deferred = 1 };
	struct port a = port_make("name=a", &two), b = port_make("name=b", &two);
	struct rte_ether_addr to = port_mac(&b);
	struct rte_mbuf *mbufs[32];

	(void)state;
	assert_int_equal(rte_eth_dev_tx_queue_stop(a.id, 0), 0);
	mbufs[0] = packet(&a, &to, 100, 1, 0);
	assert_int_equal(rte_eth_tx_burst(a.id, 0, mbufs, 1), 0);
	assert_int_equal(rte_eth_tx_burst(a.id, 1, mbufs, 1), 1);
	assert_int_equal(rte_eth_dev_tx_queue_start(a.id, 0), 0);
	assert_int_equal(rte_eth_dev_rx_queue_stop(b.id, 0), 0);
	for (uint32_t i = 0; i < 31; i++)
		send_one(&a, &to, 100, i);
	/* The first was sent before; whichever queue it went to, the others are in one that is on. */
	assert_true(rte_eth_rx_queue_count(b.id, 1) >= 31);
	receive(&b, 1, mbufs, 31);
	rte_pktmbuf_free_bulk(mbufs, 31);
	assert_int_equal(rte_eth_dev_rx_queue_start(b.id, 0), 0);
	port_close(&a);
	port_close(&b);

	a = port_make("name=a", &deferred);
	assert_int_equal(rte_eth_dev_tx_queue_start(a.id, 0), 0);
	assert_int_equal(rte_eth_dev_rx_queue_start(a.id, 0), 0);
	port_close(&a);
}

static volatile int link_events;

static int link_event(uint16_t port, enum rte_eth_event_type type, void *argument, void *result)
{
	(void)port;
	(void)type;
	(void)argument;
	(void)result;
	link_events++;
	return 0;
}

/* The switch ends: the link is down, nothing crashes, what was not sent is the caller's; a new start connects again. */
static void switch_goes(void **state)
{
	const struct options events = { .link_events = 1 };
	struct port a = port_make("name=a", &events), b = port_make("name=b", NULL);
	struct rte_ether_addr to = port_mac(&b);
	struct rte_eth_stats stats;
	struct rte_eth_link link;
	struct rte_mbuf *mbuf;

	(void)state;
	rte_eth_dev_callback_register(a.id, RTE_ETH_EVENT_INTR_LSC, link_event, NULL);
	send_one(&a, &to, 100, 1);
	receive_one(&b, 100, 1);
	fake_fail(-ESHUTDOWN);
	mbuf = packet(&a, &to, 100, 2, 0);
	assert_int_equal(rte_eth_tx_burst(a.id, 0, &mbuf, 1), 0);
	assert_int_equal(rte_eth_tx_burst(a.id, 0, &mbuf, 1), 0);
	rte_pktmbuf_free(mbuf);
	assert_int_equal(rte_eth_link_get_nowait(a.id, &link), 0);
	assert_int_equal(link.link_status, RTE_ETH_LINK_DOWN);
	/* One that only receives finds out when it looks. */
	assert_int_equal(rte_eth_link_get_nowait(b.id, &link), 0);
	assert_int_equal(link.link_status, RTE_ETH_LINK_DOWN);
	receive_nothing(&b, 0);
	assert_int_equal(rte_eth_stats_get(a.id, &stats), 0);
	assert_int_equal(stats.opackets, 1);
	for (int i = 0; i < 100 && !link_events; i++)
		rte_delay_us_sleep(10000);
	assert_int_equal(link_events, 1);
	rte_eth_dev_callback_unregister(a.id, RTE_ETH_EVENT_INTR_LSC, link_event, NULL);

	assert_int_equal(rte_eth_dev_stop(a.id), 0);
	assert_int_equal(rte_eth_dev_stop(b.id), 0);
	fake_restart();
	port_start(&a);
	port_start(&b);
	send_one(&a, &to, 100, 3);
	receive_one(&b, 100, 3);
	assert_int_equal(fake_attachments(), 1);
	port_close(&a);
	port_close(&b);
	assert_int_equal(fake_attachments(), 0);
}

/* A call that was cut short is no reason to give up. */
static void interrupted(void **state)
{
	struct port a = port_make("name=a", NULL), b = port_make("name=b", NULL);
	struct rte_ether_addr to = port_mac(&b);
	struct rte_mbuf *mbuf = packet(&a, &to, 100, 1, 0);

	(void)state;
	fake_fail(-EINTR);
	assert_int_equal(rte_eth_tx_burst(a.id, 0, &mbuf, 1), 0);
	fake_fail(0);
	assert_int_equal(rte_eth_tx_burst(a.id, 0, &mbuf, 1), 1);
	receive_one(&b, 100, 1);
	port_close(&a);
	port_close(&b);
}

static void sleeps(void **state)
{
	const struct options interrupts = { .interrupts = 1 };
	struct port a = port_make("name=a", NULL), b = port_make("name=b", &interrupts);
	struct rte_ether_addr to = port_mac(&b);
	struct rte_epoll_event event;

	(void)state;
	assert_int_equal(rte_eth_dev_rx_intr_enable(a.id, 0), -ENOTSUP);
	assert_int_equal(rte_eth_dev_rx_intr_ctl_q(b.id, 0, RTE_EPOLL_PER_THREAD, RTE_INTR_EVENT_ADD, NULL), 0);
	for (uint32_t round = 0; round < 5; round++) {
		assert_int_equal(rte_eth_dev_rx_intr_enable(b.id, 0), 0);
		assert_int_equal(rte_epoll_wait(RTE_EPOLL_PER_THREAD, &event, 1, 20), 0);
		send_one(&a, &to, 100, round);
		assert_int_equal(rte_epoll_wait(RTE_EPOLL_PER_THREAD, &event, 1, 1000), 1);
		assert_int_equal(rte_eth_dev_rx_intr_disable(b.id, 0), 0);
		receive_one(&b, 100, round);
		/* Before it slept. */
		send_one(&a, &to, 100, round);
		assert_int_equal(rte_eth_dev_rx_intr_enable(b.id, 0), 0);
		assert_int_equal(rte_epoll_wait(RTE_EPOLL_PER_THREAD, &event, 1, 1000), 1);
		assert_int_equal(rte_eth_dev_rx_intr_disable(b.id, 0), 0);
		receive_one(&b, 100, round);
	}
	assert_int_equal(port_xstat(&b, "switch_notified"), 5);
	assert_int_equal(rte_eth_dev_rx_intr_ctl_q(b.id, 0, RTE_EPOLL_PER_THREAD, RTE_INTR_EVENT_DEL, NULL), 0);
	port_close(&a);
	port_close(&b);
}

/* Receiving makes no call at all; a burst is one. */
static void calls(void **state)
{
	struct port a = port_make("name=a", NULL), b = port_make("name=b", NULL);
	struct rte_ether_addr to = port_mac(&b);
	struct rte_mbuf *mbufs[256];
	uint64_t before;

	(void)state;
	for (uint32_t i = 0; i < 256; i++)
		mbufs[i] = packet(&a, &to, 100, i, 0);
	before = fake_calls();
	assert_int_equal(rte_eth_tx_burst(a.id, 0, mbufs, 256), 256);
	assert_int_equal(fake_calls(), before + 1);
	receive(&b, 0, mbufs, 256);
	receive_nothing(&b, 0);
	assert_int_equal(fake_calls(), before + 1);
	rte_pktmbuf_free_bulk(mbufs, 256);
	port_close(&a);
	port_close(&b);
}

static void promiscuous_allowed(void **state)
{
	struct port a, b, c;
	struct rte_ether_addr to;

	(void)state;
	fake_value(VSWITCH_VALUE_PROMISCUOUS);
	a = port_make("name=a", NULL);
	b = port_make("name=b", NULL);
	c = port_make("name=c", &(struct options){ .promiscuous = 1 });
	fake_value(0);
	to = port_mac(&b);
	send_one(&a, &to, 100, 1);
	receive_one(&b, 100, 1);
	receive_one(&c, 100, 1);
	rte_eth_promiscuous_disable(c.id);
	send_one(&a, &to, 100, 2);
	receive_one(&b, 100, 2);
	receive_nothing(&c, 0);
	port_close(&a);
	port_close(&b);
	port_close(&c);
}

/* What cannot be shared is said, and refused where it is needed. */
static void nothing_shared(void **state)
{
	(void)state;
	fake_buffers_max(0);
	assert_true(rte_vdev_init("net_elisa99", "name=a") < 0);
	fake_buffers_max(16);
	assert_int_equal(fake_attachments(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_the_truth),
		cmocka_unit_test(given_address),
		cmocka_unit_test(bad_arguments),
		cmocka_unit_test(lives),
		cmocka_unit_test(mtu),
		cmocka_unit_test(filter),
		cmocka_unit_test(address_set),
		cmocka_unit_test(queues_stop),
		cmocka_unit_test(switch_goes),
		cmocka_unit_test(interrupted),
		cmocka_unit_test(sleeps),
		cmocka_unit_test(calls),
		cmocka_unit_test(nothing_shared),
		cmocka_unit_test(promiscuous_allowed),
	};

	return cmocka_run_group_tests(tests, ports_setup, ports_teardown);
}
