// SPDX-License-Identifier: MIT
/* What clients hand over, and what becomes of it: packets in parts, slots and places that are none, the ends of
 * buffers, memory that goes or changes meanwhile. */
#include <pthread.h>

#include "three.h"

/* All ways to cut a packet in up to four, also within its header, into places of another size. */
static void scattered(void **test)
{
	const uint32_t bytes = 150;

	(void)test;
	for (uint32_t seed = 0; seed < 3000; seed++) {
		uint8_t *sent = packet_put(A, 0, mac(B), mac(A), bytes, 0), *got, whole[150];
		uint32_t cuts[5] = { 0, seed % 17, 17 + seed % 23, 40 + seed % 110, bytes }, room = 20 + seed % 150,
			 taken = 0;
		struct vswitch_slot *slot;

		for (uint32_t i = 12; i < bytes; i++)
			sent[i] = (uint8_t)(i * 3 + seed);
		for (uint32_t part = 0; part < 4; part++)
			tx_slots(A, 0)[part] = (struct vswitch_slot){
				VSWITCH_WHERE(clients[A].index, AT_OUT + cuts[part]),
				cuts[part + 1] - cuts[part],
				part < 3 ? VSWITCH_MORE : 0,
			};
		world_post_anew(B, room);
		assert_int_equal(client_send(A, 4), 4);
		while ((slot = client_take(B, 0, &got)) != NULL) {
			assert_true(slot->bytes <= room && taken + slot->bytes <= bytes);
			memcpy(whole + taken, got, slot->bytes);
			taken += slot->bytes;
			assert_int_equal(slot->flags & VSWITCH_MORE, taken < bytes ? VSWITCH_MORE : 0);
		}
		assert_int_equal(taken, bytes);
		assert_memory_equal(whole, sent, bytes);
	}
	assert_int_equal(counters_of(A).tx_packets, 3000);
	assert_int_equal(counters_of(B).rx_bytes, 3000 * bytes);
}

/* Slots that a client may hand over, and what becomes of them: taken, and counted. */
static void bad_slots(void **test)
{
	const uint64_t good = VSWITCH_WHERE(clients[A].index, AT_OUT);
	const struct {
		struct vswitch_slot slot[2];
		enum vswitch_drop why;
	} bad[] = {
		{ { { good, 0, 0 } }, VSWITCH_DROP_SIZE },
		{ { { good, 13, 0 } }, VSWITCH_DROP_SIZE },
		{ { { good, VSWITCH_PACKET_MAX + 1, 0 } }, VSWITCH_DROP_SIZE },
		{ { { good, ~0u, 0 } }, VSWITCH_DROP_SIZE },
		{ { { good, 64, VSWITCH_MORE }, { good, VSWITCH_PACKET_MAX - 63, 0 } }, VSWITCH_DROP_SIZE },
		{ { { good, 64, VSWITCH_MORE }, { good, ~0u - 63, 0 } }, VSWITCH_DROP_SIZE },
		{ { { good, 6, VSWITCH_MORE }, { good, 7, 0 } }, VSWITCH_DROP_SIZE },
		{ { { good, 64, VSWITCH_MORE }, { good, 64, VSWITCH_MORE } }, VSWITCH_DROP_SIZE }, /* goes on nowhere */
		{ { { VSWITCH_WHERE(clients[A].index, CLIENT_BYTES - 63), 64, 0 } }, VSWITCH_DROP_WHERE },
		{ { { VSWITCH_WHERE(clients[A].index, CLIENT_BYTES), 64, 0 } }, VSWITCH_DROP_WHERE },
		{ { { VSWITCH_WHERE(clients[A].index, ~0u), 64, 0 } }, VSWITCH_DROP_WHERE },
		{ { { VSWITCH_WHERE(clients[B].index, AT_OUT), 64, 0 } }, VSWITCH_DROP_WHERE }, /* another client's */
		{ { { VSWITCH_WHERE(200, 0), 64, 0 } }, VSWITCH_DROP_WHERE },                   /* nobody's */
		{ { { VSWITCH_WHERE(256, 0), 64, 0 } }, VSWITCH_DROP_WHERE },
		{ { { ~0ull, 64, 0 } }, VSWITCH_DROP_WHERE },
		{ { { good, 64, VSWITCH_MORE }, { VSWITCH_WHERE(clients[B].index, 0), 64, 0 } }, VSWITCH_DROP_WHERE },
	};
	struct vswitch_counters before, after;

	(void)test;
	packet_put(A, 0, mac(B), mac(A), 64, 1);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint32_t count = bad[i].slot[0].flags & VSWITCH_MORE ? 2 : 1;

		before = counters_of(A);
		memcpy(tx_slots(A, 0), bad[i].slot, sizeof(bad[i].slot));
		assert_int_equal(client_send(A, count), count);
		expect(0, 0, 0);
		after = counters_of(A);
		if (after.tx_drops[bad[i].why] != before.tx_drops[bad[i].why] + 1)
			fail_msg("slots %zu: not counted as %d", i, bad[i].why);
		assert_int_equal(after.tx_packets, before.tx_packets);
	}
	/* More parts than a packet may have. */
	for (uint32_t i = 0; i <= VSWITCH_PARTS_MAX; i++)
		tx_slots(A, 0)[i] = (struct vswitch_slot){ good, 4, i < VSWITCH_PARTS_MAX ? VSWITCH_MORE : 0 };
	assert_int_equal(client_send(A, VSWITCH_PARTS_MAX + 1), VSWITCH_PARTS_MAX + 1);
	expect(0, 0, 0);
	/* Flags that mean nothing change nothing. */
	packet_put(A, 0, mac(B), mac(A), 64, 1);
	tx_slots(A, 0)->flags = ~(uint32_t)VSWITCH_MORE;
	assert_int_equal(client_send(A, 1), 1);
	expect(0, 1, 0);
	assert_int_equal(client_send(A, VSWITCH_BURST_MAX + 1), -EINVAL);
	assert_int_equal(vswitch_send(&clients[A].info, 0, 1, 1), -EINVAL);
	assert_int_equal(vswitch_send(&clients[A].info, 0, VSWITCH_QUEUES_MAX, 1), -EINVAL);
	assert_int_equal(vswitch_send(&clients[A].info, 0, ~0ull, 1), -EINVAL);
}

/* A receiver's ring: full, impossible, with places of no use. */
static void bad_places(void **test)
{
	struct vswitch_ring *ring = ring_of(B, 0);
	const uint64_t bad[] = {
		VSWITCH_WHERE(clients[B].index, CLIENT_BYTES - 63),
		VSWITCH_WHERE(clients[A].index, AT_IN(0)),
		VSWITCH_WHERE(201, 0),
		VSWITCH_WHERE(1000, 0),
		~0ull,
	};
	struct vswitch_slot *slot;

	(void)test;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ring->slots[i].where = bad[i];
		client_send_one(A, mac(B), mac(A), 64, 1);
		slot = client_take(B, 0, NULL);
		assert_non_null(slot);
		assert_int_equal(slot->bytes, 0);
		expect(0, 0, 0);
	}
	ring->slots[5].bytes = 0;
	ring->slots[6].bytes = 10; /* begins here, and goes on in the next one */
	client_send_one(A, mac(B), mac(A), 64, 1);
	expect(0, 1, 0);
	client_send_one(A, mac(B), mac(A), 64, 1);
	expect(0, 2, 0);
	assert_int_equal(counters_of(B).rx_drops[VSWITCH_DROP_POSTED], 6);
	/* A bad place in the middle of a packet: all up to it come back empty. */
	ring->slots[8].bytes = 10;
	ring->slots[9].where = ~0ull;
	client_send_one(A, mac(B), mac(A), 64, 1);
	expect(0, 2, 0);
	assert_int_equal(ring->slots[8].bytes, 0);
	ring->posted = ring->filled + RING_SIZE + 1;
	client_send_one(A, mac(B), mac(A), 64, 1);
	ring->posted = ring->filled;
	client_send_one(A, mac(B), mac(A), 64, 1);
	expect(0, 0, 0);
	assert_int_equal(counters_of(B).rx_drops[VSWITCH_DROP_FULL], 2);
	ring->filled = 77; /* the client's copy only */
	ring->posted = 11;
	client_send_one(A, mac(B), mac(A), 64, 1);
	assert_int_equal(ring->filled, 11);
}

/* A full receiver costs its own packets only, and its sender none of the rest. */
static void full(void **test)
{
	(void)test;
	for (uint32_t i = 0; i < VSWITCH_BURST_MAX; i++)
		packet_put(A, i, mac(i % 2 ? B : C), mac(A), 64, (uint8_t)i);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(client_send(A, VSWITCH_BURST_MAX), VSWITCH_BURST_MAX);
	assert_int_equal(counters_of(B).rx_drops[VSWITCH_DROP_FULL], 3 * VSWITCH_BURST_MAX / 2 - RING_SIZE);
	assert_int_equal(counters_of(C).rx_drops[VSWITCH_DROP_FULL], 3 * VSWITCH_BURST_MAX / 2 - RING_SIZE);
	assert_int_equal(counters_of(A).tx_packets, 3 * VSWITCH_BURST_MAX);
	expect(0, RING_SIZE, RING_SIZE);
}

/* A call copies no more than its budget, and says how far it came. */
static void budget(void **test)
{
	uint32_t calls = 0, sent = 0;

	(void)test;
	assert_int_equal(vswitch_set(&clients[B].info, 1, VSWITCH_SET_MTU, 9000), 0);
	for (uint32_t i = 0; i < VSWITCH_BURST_MAX; i++) {
		packet_put(A, 0, mac(B), mac(A), 9000, 7);
		tx_slots(A, 0)[i] = tx_slots(A, 0)[0];
	}
	while (sent < VSWITCH_BURST_MAX) {
		long done = client_send(A, VSWITCH_BURST_MAX - sent);

		assert_in_range(done, 1, BUDGET / 9000 + 1);
		sent += (uint32_t)done;
		calls++;
		while (client_take(B, 0, NULL))
			client_post(B, 0, 1, PLACE_BYTES);
	}
	assert_in_range(calls, 8, 10);
	assert_int_equal(counters_of(B).rx_packets, VSWITCH_BURST_MAX);
}

static void unshared(void **test)
{
	(void)test;
	client_send_one(A, mac(B), mac(A), 64, 1);
	assert_int_equal(vswitch_set(&clients[C].info, 2, VSWITCH_SET_FLAGS, VSWITCH_BIND), 0);
	client_send_one(A, mac(B), mac(A), 64, 1);
	client_unshare(B);
	/* It is noticed: the port is as good as closed, and costs nothing more. */
	client_send_one(A, mac(B), mac(A), 64, 1);
	client_send_one(A, BROADCAST, mac(A), 64, 1);
	assert_int_equal(state->open, 5);
	assert_int_equal(counters_of(A).tx_drops[VSWITCH_DROP_CLOSED], 1);
	client_unshare(A);
	assert_int_equal(client_send(A, 1), -ENOTCONN);
	/* Shared again it is another sharing, and not the port's. */
	client_share(A);
	assert_int_equal(client_send(A, 1), -ENOTCONN);
	/* Name, address and port are there for the next one. */
	client_config(B, 1, 1);
	client_share(B);
	assert_int_equal(client_open(B), port_handle(0, 1));
	expect(0, 0, 1);
}

/* A packet that begins less than the longest one's length before its buffer's end goes, or arrives, the long way. */
static void near_ends(void **test)
{
	uint32_t at_end = CLIENT_BYTES - 64;
	uint8_t *at, *sent;

	(void)test;
	client_send_one(A, mac(B), mac(A), 64, 1);
	client_take(B, 0, NULL);
	for (uint32_t burst = 1; burst <= 2; burst++) {
		sent = packet_put(A, burst - 1, mac(B), mac(A), 64, 7);
		memcpy(clients[A].memory + at_end, sent, 64);
		for (uint32_t bytes = 64; bytes <= 65; bytes++) {
			struct vswitch_slot *slot = &tx_slots(A, 0)[burst - 1];

			slot->where = VSWITCH_WHERE(clients[A].index, at_end);
			slot->bytes = bytes;
			assert_int_equal(client_send(A, burst), burst);
			assert_int_equal(counters_of(A).tx_drops[VSWITCH_DROP_WHERE], burst - 1 + bytes - 64);
			/* The first of two was sent whole, the second maybe not. */
			assert_int_equal(client_pending(B), burst - (bytes - 64));
			while (client_take(B, 0, &at))
				assert_memory_equal(at, sent, 64);
			slot->where = VSWITCH_WHERE(clients[A].index, AT_OUT + (burst - 1) * PLACE_BYTES);
		}
		tx_slots(A, 0)->bytes = 64;
	}
}

/* The same of places, and of rings in a buffer that is shorter than the longest packet. */
static void small_buffers(void **test)
{
	struct vswitch_config *config = client_config(C, 1, 1);
	uint8_t *at;

	(void)test;
	vswitch_close(&clients[C].info, (uint64_t)clients[C].port);
	client_share(C);
	exchange[clients[C].index].range.bytes = 0x2200;
	config->rx[0].where = VSWITCH_WHERE(clients[C].index, 0x1800);
	config->rx[0].size = 16;
	assert_true(client_open(C) >= 0);
	for (uint32_t i = 0; i < 4; i++) {
		struct vswitch_ring *ring = (struct vswitch_ring *)(void *)(clients[C].memory + 0x1800);
		uint32_t burst = 1 + i % 2;

		ring->slots[ring->filled % 16] =
			(struct vswitch_slot){ VSWITCH_WHERE(clients[C].index, 0x21c0), 64, 0 };
		__atomic_store_n(&ring->posted, ring->filled + 1, __ATOMIC_RELEASE);
		packet_put(A, 0, mac(C), mac(A), 64, (uint8_t)i);
		packet_put(A, 1, mac(B), mac(A), 64, (uint8_t)i);
		assert_int_equal(client_send(A, burst), burst);
		assert_int_equal(ring->filled, i + 1);
		assert_int_equal(ring->slots[i].bytes, 64);
		assert_int_equal(clients[C].memory[0x21ff], i);
		/* And from there. */
		tx_slots(C, 0)[0] = (struct vswitch_slot){ VSWITCH_WHERE(clients[C].index, 0x21c0), 64, 0 };
		address_store(clients[C].memory + 0x21c0, mac(B));
		address_store(clients[C].memory + 0x21c6, mac(C));
		assert_int_equal(client_send(C, 1), 1);
		assert_int_equal(client_pending(B), burst);
		while (client_take(B, 0, &at))
			assert_int_equal(at[63], i);
	}
}

static bool flip_ends;

/* One bit makes B of C in the destination of a packet, all the time. */
static void *flips(void *argument)
{
	uint8_t *last = argument;

	for (uint8_t i = 0; !__atomic_load_n(&flip_ends, __ATOMIC_RELAXED); i++)
		__atomic_store_n(last, (uint8_t)(i & 1 ? mac(B) >> 40 : mac(C) >> 40), __ATOMIC_RELAXED);
	return NULL;
}

/* What was judged is what arrives: an address that changes while the packet is sent leads to either, whole. */
static void changing_addresses(void **test)
{
	uint8_t *at = packet_put(A, 0, mac(B), mac(A), 64, 1);
	uint32_t got[3] = { 0 };
	pthread_t thread;

	(void)test;
	flip_ends = false;
	pthread_create(&thread, NULL, flips, at + 5);
	for (uint32_t i = 0; i < 400000; i++) {
		/* By turns alone, and in a burst. */
		tx_slots(A, 0)[1] = tx_slots(A, 0)[0];
		assert_int_equal(client_send(A, 1 + i % 2), 1 + i % 2);
		for (uint32_t n = B; n <= C; n++) {
			while (client_take(n, 0, &at)) {
				assert_true(address_load(at) == mac(n));
				client_post(n, 0, 1, PLACE_BYTES);
				got[n]++;
			}
		}
	}
	__atomic_store_n(&flip_ends, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	assert_int_equal(got[B] + got[C], 600000);
	assert_true(got[B] > 100 && got[C] > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(scattered, three),
		cmocka_unit_test_setup(bad_slots, three),
		cmocka_unit_test_setup(bad_places, three),
		cmocka_unit_test_setup(full, three),
		cmocka_unit_test_setup(budget, three),
		cmocka_unit_test_setup(unshared, three),
		cmocka_unit_test_setup(changing_addresses, three),
		cmocka_unit_test_setup(near_ends, three),
		cmocka_unit_test_setup(small_buffers, three),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
