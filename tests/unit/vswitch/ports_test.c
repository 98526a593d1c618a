// SPDX-License-Identifier: MIT
/* Ports: opening, closing, what is refused; queues; waking; what calls that were cut short leave behind. */
#include "world.h"

static int empty(void **test)
{
	(void)test;
	world_reset(VSWITCH_PORTS_MAX, 64);
	return 0;
}

static int two(void **test)
{
	empty(test);
	client_join(0, 1);
	client_join(1, 1);
	return 0;
}

/* What opening must refuse: one field is wrong each time. */
#define REFUSED(error, ...)                                             \
	do {                                                            \
		struct vswitch_config *config = client_config(0, 2, 2); \
		__VA_ARGS__;                                            \
		assert_int_equal(client_open(0), error);                \
		assert_int_equal(state->open, 0);                       \
	} while (0)

static void refusals(void **test)
{
	const uint32_t index = clients[0].index;

	(void)test;
	REFUSED(-EINVAL, config->rx_queues = 0);
	REFUSED(-EINVAL, config->tx_queues = 0);
	REFUSED(-EINVAL, config->rx_queues = VSWITCH_QUEUES_MAX + 1);
	REFUSED(-EINVAL, config->tx_queues = ~0u);
	REFUSED(-EINVAL, config->mtu = 67);
	REFUSED(-EINVAL, config->mtu = 9001);
	REFUSED(-EINVAL, config->flags = 8);
	REFUSED(-EPERM, config->flags = VSWITCH_PROMISCUOUS);
	REFUSED(-EINVAL, config->reserved = 1);
	REFUSED(-EINVAL, config->mac[0] = 1);
	REFUSED(-EINVAL, memset(config->mac, 0xff, 6));
	REFUSED(-EINVAL, strcpy(config->name, "a b"));
	REFUSED(-EINVAL, strcpy(config->name, "a\x7f"));
	REFUSED(-EINVAL, memset(config->name, 'a', sizeof(config->name)));
	REFUSED(-EINVAL, config->rx[1].size = 0);
	REFUSED(-EINVAL, config->rx[1].size = 255);
	REFUSED(-EINVAL, config->rx[1].size = 2 * VSWITCH_RING_MAX);
	REFUSED(-EINVAL, config->rx[1].size = 1u << 31);
	REFUSED(-EINVAL, config->rx[1].reserved = 1);
	REFUSED(-EINVAL, config->rx[1].where += 32);
	REFUSED(-EINVAL, config->tx[1].size = 0);
	REFUSED(-EINVAL, config->tx[1].size = VSWITCH_BURST_MAX + 1);
	REFUSED(-EINVAL, config->tx[1].reserved = 1);
	REFUSED(-EINVAL, config->tx[1].where += 8);
	REFUSED(-EFAULT, config->rx[1].where = VSWITCH_WHERE(index, CLIENT_BYTES - 64));
	REFUSED(-EFAULT, config->rx[1].where = VSWITCH_WHERE(index, ~63u));
	REFUSED(-EFAULT, config->rx[1].where = VSWITCH_WHERE(clients[1].index, AT_RX(0)));
	REFUSED(-EFAULT, config->rx[1].where = VSWITCH_WHERE(256, 0));
	REFUSED(-EFAULT, config->tx[1].where = VSWITCH_WHERE(index, CLIENT_BYTES - 16));
	REFUSED(-EFAULT, config->tx[1].where = VSWITCH_WHERE(clients[1].index, AT_TX(0)));
	REFUSED(-EROFS, (void)config, clients[0].info.writable = 0);
	clients[0].info.writable = 1;
	REFUSED(-EROFS, (void)config, state->version++);
	state->version--;
	REFUSED(-EROFS, (void)config, clients[0].info.memory.bytes--);
	clients[0].info.memory.bytes++;
	assert_int_equal(vswitch_open(&clients[0].info, VSWITCH_WHERE(index, CLIENT_BYTES - 8)), -EFAULT);
	assert_int_equal(vswitch_open(&clients[0].info, VSWITCH_WHERE(clients[1].index, 0)), -EFAULT);
	client_config(0, 2, 2);
	assert_int_equal(client_open(0), 0);
}

static void names_and_addresses(void **test)
{
	struct vswitch_config *config = client_config(0, 1, 1);

	(void)test;
	strcpy(config->name, "one");
	assert_int_equal(client_open(0), 0);
	assert_string_equal(config->name, "one");
	config = client_config(1, 1, 1);
	strcpy(config->name, "one");
	assert_int_equal(client_open(1), -EEXIST);
	config = client_config(1, 1, 1);
	address_store(config->mac, mac(0));
	assert_int_equal(client_open(1), -EADDRINUSE);
	memset(config->mac, 0, 6);
	strcpy(config->name, "port2"); /* which the next one would be called */
	assert_int_equal(client_open(1), 1);
	assert_true((config->mac[0] & 3) == 2);
	assert_int_equal(config->mtu, 1500);
	config = client_config(2, 1, 1);
	assert_int_equal(client_open(2), 2);
	assert_string_equal(config->name, "port66");
	assert_int_equal(config->port, 2);
}

static void managers_address(void **test)
{
	struct vswitch_config *config = client_config(0, 1, 1);

	(void)test;
	clients[0].info.value = mac(40) | VSWITCH_VALUE_BIND;
	assert_int_equal(client_open(0), -EPERM);
	memset(config->mac, 0, 6);
	assert_int_equal(client_open(0), 0);
	assert_true(address_load(config->mac) == mac(40));
	assert_int_equal(config->flags, VSWITCH_BIND);
	assert_int_equal(vswitch_set(&clients[0].info, 0, VSWITCH_SET_MAC, mac(41)), -EPERM);
	assert_int_equal(vswitch_set(&clients[0].info, 0, VSWITCH_SET_FLAGS, 0), 0);
	assert_int_equal(state->ports[0].flags, VSWITCH_BIND); /* stays */
	client_join(1, 1);
	client_send_one(0, mac(1), mac(0), 64, 1);
	assert_int_equal(client_pending(1), 0);
	client_send_one(0, mac(1), mac(40), 64, 1);
	assert_int_equal(client_pending(1), 1);
}

static void other_address(void **test)
{
	(void)test;
	assert_int_equal(vswitch_set(&clients[0].info, 0, VSWITCH_SET_MAC, mac(1)), -EADDRINUSE);
	assert_int_equal(vswitch_set(&clients[0].info, 0, VSWITCH_SET_MAC, 0), -EINVAL);
	assert_int_equal(vswitch_set(&clients[0].info, 0, VSWITCH_SET_MAC, 1), -EINVAL);
	assert_int_equal(vswitch_set(&clients[0].info, 0, VSWITCH_SET_MAC, 2 | 1ull << 48), -EINVAL);
	assert_int_equal(vswitch_set(&clients[0].info, 0, VSWITCH_SET_FLAGS, VSWITCH_BIND), 0);
	client_send_one(1, mac(0), mac(1), 64, 1);
	assert_int_equal(client_pending(0), 1);
	assert_int_equal(vswitch_set(&clients[0].info, 0, VSWITCH_SET_MAC, mac(7)), 0);
	client_send_one(1, mac(0), mac(1), 64, 1); /* nobody's, and the port is bound */
	assert_int_equal(client_pending(0), 1);
	client_send_one(1, mac(7), mac(1), 64, 1);
	assert_int_equal(client_pending(0), 2);
	assert_int_equal(vswitch_set(&clients[0].info, 0, 99, 0), -EINVAL);
}

/* A port is its attachment's alone. */
static void not_ones_own(void **test)
{
	const struct elisa_info *info = &clients[1].info;

	(void)test;
	assert_int_equal(vswitch_send(info, 0, 0, 1), -ENOTCONN);
	assert_int_equal(vswitch_close(info, 0), -ENOTCONN);
	assert_int_equal(vswitch_set(info, 0, VSWITCH_SET_MTU, 100), -ENOTCONN);
	assert_int_equal(vswitch_counters(info, 0, VSWITCH_WHERE(clients[1].index, 0)), -ENOTCONN);
	assert_int_equal(vswitch_send(info, 2, 0, 1), -ENOTCONN);
	assert_int_equal(vswitch_send(info, VSWITCH_PORTS_MAX, 0, 1), -ENOTCONN);
	assert_int_equal(vswitch_send(info, ~0ull, 0, 1), -ENOTCONN);
	assert_int_equal(vswitch_counters(info, 1, VSWITCH_WHERE(clients[0].index, 0)), -EFAULT);
	assert_int_equal(vswitch_close(info, 1), 0);
	assert_int_equal(vswitch_close(info, 1), -ENOTCONN);
	assert_int_equal(vswitch_send(info, 1, 0, 1), -ENOTCONN);
}

/* Several of one attachment, as of several processes of a VM. */
static void several_ports(void **test)
{
	struct vswitch_config *config = client_config(0, 1, 1);
	long number;

	(void)test;
	address_store(config->mac, mac(50));
	number = vswitch_open(&clients[0].info, VSWITCH_WHERE(clients[0].index, AT_CONFIG));
	assert_int_equal(number, 2);
	client_send_one(0, mac(1), mac(0), 64, 1);
	assert_int_equal(client_pending(1), 1);
	assert_int_equal(vswitch_close(&clients[0].info, 0), 0);
	assert_int_equal(vswitch_send(&clients[0].info, 2, 0, 1), 1);
}

/*
 * One process closes its port, is told that this was cut short, and closes it again; meanwhile another one of its VM
 * got the place.
 */
static void closed_again(void **test)
{
	const struct elisa_info *info = &clients[0].info;
	struct vswitch_config *config = client_config(0, 1, 1);
	uint64_t next;

	(void)test;
	assert_int_equal(vswitch_close(info, 0), 0);
	address_store(config->mac, mac(50));
	next = (uint64_t)vswitch_open(info, VSWITCH_WHERE(clients[0].index, AT_CONFIG));
	assert_int_equal(port_number(next), 0);
	assert_int_equal(vswitch_close(info, 0), -ENOTCONN);
	assert_int_equal(vswitch_send(info, 0, 0, 1), -ENOTCONN);
	assert_int_equal(vswitch_set(info, 0, VSWITCH_SET_MTU, 100), -ENOTCONN);
	assert_int_equal(vswitch_counters(info, 0, VSWITCH_WHERE(clients[0].index, 0)), -ENOTCONN);
	assert_int_equal(vswitch_send(info, next | 1ull << 32, 0, 1), -ENOTCONN);
	assert_int_equal(vswitch_send(info, VSWITCH_NO_PORT, 0, 1), -ENOTCONN);
	assert_int_equal(vswitch_send(info, next, 0, 1), 1);
	assert_int_equal(vswitch_close(info, next), 0);
	/* Each of its handles was another, and none is an error. */
	state->ports[0].opened = UINT64_MAX / VSWITCH_PORTS_MAX;
	assert_true(vswitch_open(info, VSWITCH_WHERE(clients[0].index, AT_CONFIG)) > (long)next);
}

static void all_ports(void **test)
{
	(void)test;
	for (uint32_t n = 0; n < VSWITCH_PORTS_MAX; n++)
		client_join(n, 1);
	client_config(64, 1, 1);
	assert_int_equal(client_open(64), -ENOSPC);
	client_send_one(5, VSWITCH_BROADCAST, mac(5), 64, 1);
	for (uint32_t n = 0; n < VSWITCH_PORTS_MAX; n++)
		assert_int_equal(client_pending(n), n != 5);
	for (uint32_t n = 0; n < VSWITCH_PORTS_MAX; n++) {
		client_send_one(n, mac((n + 1) % VSWITCH_PORTS_MAX), mac(n), 64, 1);
		assert_int_equal(counters_of(n).tx_packets, n == 5 ? 2 : 1);
	}
	/* One is closed, one's client is gone and the manager has said so, one has unshared its rings. */
	assert_int_equal(vswitch_close(&clients[10].info, 10), 0);
	assert_int_equal(client_open(64), port_handle(10, 1));
	state->ports[20].gone = state->ports[20].owner;
	vswitch_changed(state);
	client_config(65, 1, 1);
	assert_int_equal(client_open(65), port_handle(20, 1));
	client_unshare(30);
	client_config(20, 1, 1);
	assert_int_equal(client_open(20), port_handle(30, 1));
	client_config(10, 1, 1);
	assert_int_equal(client_open(10), -ENOSPC);
}

static long open_at(uint32_t n, uint64_t address)
{
	address_store(client_config(n, 1, 1)->mac, address);
	return vswitch_open(&clients[n].info, VSWITCH_WHERE(clients[n].index, AT_CONFIG));
}

/* No attachment takes all ports, however many it asks for. */
static void ports_each(void **test)
{
	(void)test;
	state->ports_each = VSWITCH_PORTS_EACH_DEFAULT;
	for (uint32_t n = 0; n < VSWITCH_PORTS_EACH_DEFAULT; n++)
		assert_int_equal(open_at(0, mac(n)), n);
	assert_int_equal(open_at(0, mac(20)), -EDQUOT);
	assert_int_equal(state->open, (1 << VSWITCH_PORTS_EACH_DEFAULT) - 1);
	assert_int_equal(open_at(1, mac(21)), VSWITCH_PORTS_EACH_DEFAULT);
	/* One that is closed does not count, nor one whose closing was cut short. */
	assert_int_equal(vswitch_close(&clients[0].info, 3), 0);
	assert_int_equal(open_at(0, mac(20)), port_handle(3, 1));
	assert_int_equal(open_at(0, mac(22)), -EDQUOT);
	mask_set(&state->open, 5, 0);
	assert_int_equal(open_at(0, mac(22)), port_handle(5, 1));
	assert_int_equal(open_at(0, mac(23)), -EDQUOT);
	/* What is said when there is none left for anybody either. */
	state->ports_max = VSWITCH_PORTS_EACH_DEFAULT + 1;
	assert_int_equal(open_at(0, mac(23)), -EDQUOT);
	assert_int_equal(open_at(1, mac(23)), -ENOSPC);
}

/* The next address of a station that is in this one's bucket. */
static uint64_t neighbour(uint64_t address)
{
	uint64_t *bucket = table_bucket(state, address);

	do
		address += 1 << 16;
	while (table_bucket(state, address) != bucket);
	return address;
}

/* Nor all places of a bucket: another's address that belongs there can be opened. */
static void fixed_each(void **test)
{
	uint64_t address = mac(0), first = address, last;

	(void)test;
	for (uint32_t n = 0; n < ENTRY_FIXED_EACH; n++, address = neighbour(address))
		assert_int_equal(open_at(0, address), n);
	assert_int_equal(open_at(0, address), -EADDRINUSE);
	assert_int_equal(state->open, (1 << ENTRY_FIXED_EACH) - 1);
	/* Not if it was learned there first, nor by setting it. */
	packet_put(0, 0, mac(60), address, 64, 1);
	assert_int_equal(vswitch_send(&clients[0].info, 0, 0, 1), 1);
	assert_true(table_find(table_bucket(state, address), address) != 0);
	assert_int_equal(open_at(0, address), -EADDRINUSE);
	/* The place was taken for a moment by each of the two that were refused. */
	last = (uint64_t)open_at(0, mac(5));
	assert_int_equal(last, port_handle(ENTRY_FIXED_EACH, 2));
	assert_int_equal(vswitch_set(&clients[0].info, last, VSWITCH_SET_MAC, address), -EADDRINUSE);
	assert_int_equal(open_at(1, address), ENTRY_FIXED_EACH + 1);
	/* What it gives back it may have again. */
	assert_int_equal(vswitch_set(&clients[0].info, 0, VSWITCH_SET_MAC, mac(6)), 0);
	assert_int_equal(open_at(0, first), ENTRY_FIXED_EACH + 2);
}

/* What leads to a port that was closed does not lead to the next one that gets its number. */
static void closed_and_opened(void **test)
{
	(void)test;
	client_send_one(0, mac(1), mac(33), 64, 1); /* mac(33) is behind port 0 */
	assert_int_equal(vswitch_close(&clients[0].info, 0), 0);
	client_config(2, 1, 1)->flags = VSWITCH_BIND;
	assert_int_equal(client_open(2), port_handle(0, 1));
	client_post(2, 0, 10, PLACE_BYTES);
	client_send_one(1, mac(33), mac(1), 64, 1);
	client_send_one(1, mac(0), mac(1), 64, 1);
	assert_int_equal(client_pending(2), 0);
	client_send_one(1, mac(2), mac(1), 64, 1);
	assert_int_equal(client_pending(2), 1);
	assert_int_equal(counters_of(2).rx_packets, 1);
}

static uint64_t station(uint32_t n)
{
	return 0x06 | (uint64_t)n << 24;
}

/* No port fills a bucket, let alone the table; what it learned last is known. */
static void shares_of_the_table(void **test)
{
	uint32_t held = 0;

	(void)test;
	for (uint32_t n = 1; n < 5000; n++)
		client_send_one(0, mac(1), station(n), 64, 1);
	for (uint32_t bucket = 0; bucket < state->buckets; bucket++) {
		uint32_t learned = 0;

		for (uint32_t way = 0; way < VSWITCH_WAYS; way++) {
			uint64_t entry = state->table[bucket][way];

			learned += entry && entry_port(entry) == 0 && !(entry & ENTRY_FIXED);
		}
		assert_in_range(learned, 0, ENTRY_EACH);
		held += learned;
	}
	assert_int_equal(held, ENTRY_EACH * state->buckets);
	assert_true(entry_port(table_find(table_bucket(state, station(4999)), station(4999))) == 0);
	assert_true(table_find(table_bucket(state, mac(0)), mac(0)) & ENTRY_FIXED);
	assert_true(table_find(table_bucket(state, mac(1)), mac(1)) & ENTRY_FIXED);
}

/* UDP over IPv4, told apart by `flow`, numbered in its payload. */
static void put_udp(uint32_t slot, uint32_t flow, uint32_t number)
{
	uint8_t *at = packet_put(0, slot, mac(1), mac(0), 64, 0);
	uint32_t l3 = 14 + 4 * (flow % 3);

	for (uint32_t tag = 12; tag < l3 - 2; tag += 4)
		at[tag] = 0x81;
	at[l3 - 2] = 8;
	at[l3] = 0x45;
	at[l3 + 9] = 17;
	at[l3 + 12] = 10;
	memcpy(at + l3 + 16, &flow, 4);
	memcpy(at + 48, &flow, 4);
	memcpy(at + 52, &number, 4);
}

#define FLOWS 64

static void flows(void **test)
{
	uint32_t next[FLOWS] = { 0 }, sent[FLOWS] = { 0 }, queue_of[FLOWS], got[CLIENT_QUEUES] = { 0 }, total = 0;

	(void)test;
	empty(test);
	client_join(0, 1);
	client_join(1, CLIENT_QUEUES);
	memset(queue_of, 0xff, sizeof(queue_of));
	for (uint32_t round = 0; round < 40; round++) {
		for (uint32_t i = 0; i < 32; i++) {
			uint32_t flow = (round * 37 + i * 11 + i / 7) % FLOWS;

			put_udp(i, flow, sent[flow]++);
		}
		assert_int_equal(client_send(0, 32), 32);
		for (uint32_t queue = 0; queue < CLIENT_QUEUES; queue++) {
			uint8_t *at;

			while (client_take(1, queue, &at)) {
				uint32_t flow, number;

				memcpy(&flow, at + 48, 4);
				memcpy(&number, at + 52, 4);
				assert_int_equal(number, next[flow]++);
				assert_true(queue_of[flow] == ~0u || queue_of[flow] == queue);
				queue_of[flow] = queue;
				got[queue]++;
				total++;
				client_post(1, queue, 1, PLACE_BYTES);
			}
		}
	}
	assert_int_equal(total, 40 * 32);
	for (uint32_t queue = 0; queue < CLIENT_QUEUES; queue++)
		assert_in_range(got[queue], total / CLIENT_QUEUES / 3, total / CLIENT_QUEUES * 3);
}

static void queues_off(void **test)
{
	(void)test;
	empty(test);
	client_join(0, 1);
	client_join(1, 3);
	assert_int_equal(vswitch_set(&clients[1].info, 1, VSWITCH_SET_RX, 3 | 1ull << 32), -EINVAL);
	assert_int_equal(vswitch_set(&clients[1].info, 1, VSWITCH_SET_RX, 1ull << 33), -EINVAL);
	assert_int_equal(vswitch_set(&clients[1].info, 1, VSWITCH_SET_RX, 0), 0);
	assert_int_equal(vswitch_set(&clients[1].info, 1, VSWITCH_SET_RX, 2), 0);
	for (uint32_t flow = 0; flow < 32; flow++)
		put_udp(flow, flow, 0);
	assert_int_equal(client_send(0, 32), 32);
	assert_int_equal(ring_of(1, 1)->filled, 32);
	assert_int_equal(vswitch_set(&clients[1].info, 1, VSWITCH_SET_RX, 1), 0);
	client_send(0, 1);
	assert_int_equal(client_send(0, 31), 31);
	assert_int_equal(client_pending(1), 32);
	assert_int_equal(counters_of(1).rx_drops[VSWITCH_DROP_FULL], 32);
	assert_int_equal(vswitch_set(&clients[1].info, 1, VSWITCH_SET_RX, 2 | 1ull << 32), 0);
	assert_int_equal(client_send(0, 32), 32);
	assert_int_equal(ring_of(1, 2)->filled, 32);
	assert_int_equal(vswitch_set(&clients[1].info, 1, VSWITCH_SET_RX, 1ull << 32), 0);
	assert_int_equal(client_send(0, 32), 32);
	assert_in_range(ring_of(1, 2)->filled, 33, 63);
}

static void wakes(void **test)
{
	(void)test;
	client_send_one(0, mac(1), mac(0), 64, 1);
	assert_int_equal(notified[1], 0);
	ring_of(1, 0)->waits = 1;
	client_send_one(0, mac(1), mac(0), 64, 1);
	assert_int_equal(notified[1], 1);
	assert_int_equal(ring_of(1, 0)->waits, 0);
	client_send_one(0, mac(1), mac(0), 64, 1);
	assert_int_equal(notified[1], 1);
	/* Once a call, whatever it brings. */
	ring_of(1, 0)->waits = 5;
	for (uint32_t i = 0; i < 32; i++)
		packet_put(0, i, i % 2 ? mac(1) : VSWITCH_BROADCAST, mac(0), 64, 1);
	assert_int_equal(client_send(0, 32), 32);
	assert_int_equal(notified[1], 2);
	assert_int_equal(notified[0], 0);
	assert_int_equal(counters_of(1).notified, 2);
	/* Nothing came: nobody is woken. */
	ring_of(1, 0)->waits = 1;
	ring_of(1, 0)->posted = ring_of(1, 0)->filled;
	client_send_one(0, mac(1), mac(0), 64, 1);
	assert_int_equal(notified[1], 2);
	assert_int_equal(ring_of(1, 0)->waits, 1);
}

/* Who died while waking has cleared `waits` already: the next sender wakes. */
static void wakes_for_the_dead(void **test)
{
	(void)test;
	client_send_one(0, mac(1), mac(0), 64, 1);
	for (uint32_t burst = 1; burst <= 2; burst++) { /* both ways to send */
		state->ports[1].wake.word = ELISA_LOCK_DEAD;
		packet_put(0, 1, mac(1), mac(0), 64, 1);
		assert_int_equal(client_send(0, burst), burst);
		assert_int_equal(notified[1], burst);
		assert_int_equal(state->ports[1].wake.word, 0);
	}
}

/* Cut short at any place between filling a slot and publishing it. */
static void cut_short(void **test)
{
	struct vswitch_rx *rx = &state->ports[1].rx[0];
	struct vswitch_slot *slot;
	uint8_t *at;

	(void)test;
	for (uint32_t burst = 1; burst <= 2; burst++) { /* both ways to send */
		/* Its own count was written, the ring's was not. */
		client_send_one(0, mac(1), mac(0), 64, 1);
		client_send_one(0, mac(1), mac(0), 64, 2);
		ring_of(1, 0)->filled--;
		rx->lock.word = ELISA_LOCK_DEAD;
		packet_put(0, 0, mac(1), mac(0), 64, 3);
		packet_put(0, 1, mac(1), mac(0), 64, 4);
		assert_int_equal(client_send(0, burst), burst);
		assert_int_equal(rx->lock.word, 0);
		assert_int_equal(client_pending(1), 2 + burst);
		for (uint8_t mark = 1; mark <= 2 + burst; mark++) {
			assert_non_null(client_take(1, 0, &at));
			assert_int_equal(at[20], mark);
		}
		/* A slot was filled, and none of the counts written: it still has all its room. */
		client_send_one(0, mac(1), mac(0), 64, 1);
		rx->filled--;
		ring_of(1, 0)->filled--;
		rx->lock.word = ELISA_LOCK_DEAD;
		packet_put(0, 0, mac(1), mac(0), 1500, 9);
		packet_put(0, 1, mac(1), mac(0), 1500, 9);
		assert_int_equal(client_send(0, burst), burst);
		for (uint32_t i = 0; i < burst; i++) {
			slot = client_take(1, 0, &at);
			assert_non_null(slot);
			assert_int_equal(slot->bytes, 1500);
			assert_int_equal(slot->flags & VSWITCH_MORE, 0);
			assert_int_equal(at[1499], 9);
		}
		assert_null(client_take(1, 0, NULL));
	}
	/* Published also by who has nothing to add. */
	rx->lock.word = ELISA_LOCK_DEAD;
	ring_of(1, 0)->filled -= 2;
	ring_of(1, 0)->posted = rx->filled;
	client_send_one(0, mac(1), mac(0), 64, 1);
	assert_int_equal(ring_of(1, 0)->filled, rx->filled);
	rx->lock.word = ELISA_LOCK_DEAD;
	ring_of(1, 0)->filled -= 2;
	assert_int_equal(vswitch_set(&clients[1].info, 1, VSWITCH_SET_RX, 1ull << 32), 0);
	assert_int_equal(ring_of(1, 0)->filled, rx->filled);
}

/* Opening, or closing, was cut short: who opens next takes it apart, or who closes it. */
static void half_a_port(void **test)
{
	uint32_t again = port_handle(1, 1);

	(void)test;
	state->lock.word = ELISA_LOCK_DEAD;
	state->open &= ~VSWITCH_BIT(0); /* as closing begins, and opening ends */
	client_config(2, 1, 1);
	address_store(client_config(2, 1, 1)->mac, mac(0));
	assert_int_equal(client_open(2), port_handle(0, 1));
	assert_int_equal(state->lock.word, 0);
	assert_int_equal(client_send(0, 1), -ENOTCONN);
	state->ports[1].owner = 0; /* a little later */
	state->open &= ~VSWITCH_BIT(1);
	state->lock.word = ELISA_LOCK_DEAD;
	client_config(3, 1, 1);
	address_store(client_config(3, 1, 1)->mac, mac(1));
	assert_int_equal(client_open(3), again);
	/* So does who repeats closing it: nothing is left when he is told that the port is none of his. */
	state->ports[1].owner = 0;
	state->open &= ~VSWITCH_BIT(1);
	assert_int_equal(vswitch_close(&clients[2].info, again), -ENOTCONN);
	assert_int_equal(vswitch_close(&clients[3].info, again), 0);
	assert_int_equal(state->ports[1].claimed, 0);
	assert_true(state->ports[1].rx[0].live == VSWITCH_NO_SERIAL);
	assert_int_equal(vswitch_close(&clients[3].info, again), -ENOTCONN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(refusals, empty),          cmocka_unit_test_setup(names_and_addresses, empty),
		cmocka_unit_test_setup(managers_address, empty),  cmocka_unit_test_setup(other_address, two),
		cmocka_unit_test_setup(not_ones_own, two),        cmocka_unit_test_setup(several_ports, two),
		cmocka_unit_test_setup(all_ports, empty),         cmocka_unit_test_setup(closed_and_opened, two),
		cmocka_unit_test_setup(shares_of_the_table, two), cmocka_unit_test_setup(flows, empty),
		cmocka_unit_test_setup(queues_off, empty),        cmocka_unit_test_setup(wakes, two),
		cmocka_unit_test_setup(wakes_for_the_dead, two),  cmocka_unit_test_setup(cut_short, two),
		cmocka_unit_test_setup(half_a_port, two),         cmocka_unit_test_setup(ports_each, empty),
		cmocka_unit_test_setup(fixed_each, empty),        cmocka_unit_test_setup(closed_again, two),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
