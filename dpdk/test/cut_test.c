// SPDX-License-Identifier: MIT
/*
 * Calls that open and close ports, cut short by the host. Whatever was done, once a port has stopped, or has not
 * started, its mbufs are the program's, and the switch writes into none of them.
 */
#include <errno.h>
#include <string.h>

#include <rte_bus_vdev.h>

#include "fake.h"
#include "ports.h"

#define FILL 0xa5

/* Each byte of the port's pool, taken by the program for something else. */
static void fill_pool(const struct port *port, struct rte_mbuf **mbufs)
{
	for (unsigned int i = 0; i < POOL_MBUFS; i++) {
		mbufs[i] = rte_pktmbuf_alloc(port->pool);
		assert_non_null(mbufs[i]);
		memset(mbufs[i]->buf_addr, FILL, mbufs[i]->buf_len);
	}
}

static void check_pool(struct rte_mbuf **mbufs)
{
	for (unsigned int i = 0; i < POOL_MBUFS; i++) {
		const uint8_t *data = mbufs[i]->buf_addr;

		for (unsigned int at = 0; at < mbufs[i]->buf_len; at++)
			if (data[at] != FILL)
				fail_msg("the switch has written into mbuf %u of a port that has stopped", i);
		rte_pktmbuf_free(mbufs[i]);
	}
}

/* B has stopped, and its mbufs are the program's: whatever A sends now, it is not written into them. */
static void lets_go(const struct port *a, const struct port *b)
{
	static struct rte_mbuf *mbufs[POOL_MBUFS];
	struct rte_ether_addr to = port_mac(b), all = { { 255, 255, 255, 255, 255, 255 } };

	fill_pool(b, mbufs);
	send_one(a, &to, 100, 1);
	send_one(a, &all, 100, 2);
	check_pool(mbufs);
}

/* On an attachment of its own, so that it goes on whatever becomes of others'. */
static struct port other_make(void)
{
	return port_make("name=a,scheme=vmcall", NULL);
}

/* A call that closes and was cut short, once, more often than is tried, or for a reason that stays. */
static void close_cut(void **state)
{
	static const struct {
		int error;
		unsigned int count, done;
	} cuts[] = {
		{ -EINTR, 1, 0 },      { -ECANCELED, 3, 0 },   { -ETIME, 1, 1 },  { -EAGAIN, 2, 0 },
		{ -EINTR, 100000, 0 }, { -EFAULT, 100000, 0 }, { -EILSEQ, 1, 0 }, { -EADDRINUSE, 1, 0 },
	};
	struct port a = other_make(), b = port_make("name=b", NULL);
	struct rte_ether_addr to = port_mac(&b);

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(cuts); i++) {
		send_one(&a, &to, 100, i);
		receive_one(&b, 100, i);
		fake_cut(FAKE_CLOSE, cuts[i].error, cuts[i].count, cuts[i].done);
		assert_int_equal(rte_eth_dev_stop(b.id), 0);
		lets_go(&a, &b);
		port_start(&b);
	}
	port_close(&a);
	port_close(&b);
	assert_int_equal(fake_attachments(), 0);
	assert_int_equal(fake_buffers(), 0);
}

/* What closes after some tries costs no other port of the process its link; what does not, does. */
static void close_cut_others(void **state)
{
	struct port a = port_make("name=a", NULL), b = port_make("name=b", NULL), c = port_make("name=c", NULL);
	struct rte_ether_addr to = port_mac(&c);
	struct rte_eth_link link;
	struct rte_mbuf *mbuf;

	(void)state;
	for (int done = 0; done < 2; done++) {
		fake_cut(FAKE_CLOSE, -EINTR, 1, done);
		assert_int_equal(rte_eth_dev_stop(b.id), 0);
		send_one(&a, &to, 100, 1);
		receive_one(&c, 100, 1);
		port_start(&b);
	}
	fake_cut(FAKE_CLOSE, -EILSEQ, 1, 0);
	assert_int_equal(rte_eth_dev_stop(b.id), 0);
	mbuf = packet(&a, &to, 100, 2, 0);
	assert_int_equal(rte_eth_tx_burst(a.id, 0, &mbuf, 1), 0);
	rte_pktmbuf_free(mbuf);
	receive_nothing(&c, 0);
	assert_int_equal(rte_eth_link_get_nowait(c.id, &link), 0);
	assert_int_equal(link.link_status, RTE_ETH_LINK_DOWN);
	assert_int_equal(fake_buffers(), 0);
	/* Each connects again when it is started. */
	port_start(&b);
	assert_int_equal(rte_eth_dev_stop(a.id), 0);
	assert_int_equal(rte_eth_dev_stop(c.id), 0);
	port_start(&a);
	port_start(&c);
	assert_int_equal(fake_attachments(), 1);
	send_one(&a, &to, 100, 3);
	receive_one(&c, 100, 3);
	port_close(&a);
	port_close(&b);
	port_close(&c);
}

/* A port whose link went down for a reason that passes is open at the switch. */
static void close_lost(void **state)
{
	struct port a = other_make(), b = port_make("name=b", NULL);
	struct rte_eth_link link;

	(void)state;
	fake_cut(FAKE_COUNTERS, -EADDRINUSE, 1, 0);
	assert_int_equal(rte_eth_link_get_nowait(b.id, &link), 0);
	assert_int_equal(link.link_status, RTE_ETH_LINK_DOWN);
	assert_int_equal(rte_eth_dev_stop(b.id), 0);
	lets_go(&a, &b);
	port_start(&b);
	port_close(&a);
	port_close(&b);
}

/* A call that opens was cut short when it had taken place. */
static void open_cut(void **state)
{
	struct port a = other_make(), b = port_make("name=b", NULL);
	struct rte_ether_addr to = port_mac(&b), same;

	(void)state;
	assert_int_equal(rte_eth_dev_stop(b.id), 0);
	for (int done = 0; done < 2; done++) {
		fake_cut(FAKE_OPEN, -ECANCELED, 2, done);
		port_start(&b);
		same = port_mac(&b);
		assert_true(rte_is_same_ether_addr(&to, &same));
		send_one(&a, &to, 100, 1);
		receive_one(&b, 100, 1);
		assert_int_equal(rte_eth_dev_stop(b.id), 0);
	}
	fake_cut(FAKE_OPEN, -EINTR, 100000, 1);
	assert_int_equal(rte_eth_dev_start(b.id), -EINTR);
	lets_go(&a, &b);
	fake_cut(FAKE_OPEN, -EFAULT, 1, 1);
	assert_int_equal(rte_eth_dev_start(b.id), -EFAULT);
	lets_go(&a, &b);
	/* This the switch might say, too; here it is the host, which lets no call through. */
	fake_cut(FAKE_OPEN, -EADDRINUSE, 1, 1);
	fake_cut(FAKE_COUNTERS, -EADDRINUSE, 1, 0);
	assert_int_equal(rte_eth_dev_start(b.id), -EADDRINUSE);
	lets_go(&a, &b);
	port_start(&b);
	port_close(&a);
	port_close(&b);
	/* The same when a port is made. */
	fake_cut(FAKE_OPEN, -EINTR, 2, 1);
	b = port_make("name=b", NULL);
	port_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(close_cut),
		cmocka_unit_test(close_cut_others),
		cmocka_unit_test(close_lost),
		cmocka_unit_test(open_cut),
	};

	return cmocka_run_group_tests(tests, ports_setup, ports_teardown);
}
