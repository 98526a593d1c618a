// SPDX-License-Identifier: MIT
/* Who gets what: learning, ageing, flooding, binding, sizes, tags, counters. */
#include "world.h"

#define A 0u
#define B 1u
#define C 2u
#define BROADCAST VSWITCH_BROADCAST
#define MULTICAST 0x0000005e0001ull
#define ELSEWHERE 0xbb0000000002ull /* an address of nobody's: locally administered */

static int three(void **test)
{
	(void)test;
	world_reset(64, 64);
	for (uint32_t n = A; n <= C; n++)
		client_join(n, 1);
	return 0;
}

/* What exactly so many of A, B, C have got. */
static void expect(uint32_t a, uint32_t b, uint32_t c)
{
	assert_int_equal(client_pending(A), a);
	assert_int_equal(client_pending(B), b);
	assert_int_equal(client_pending(C), c);
	for (uint32_t n = A; n <= C; n++) {
		while (client_take(n, 0, NULL))
			;
	}
}

static void one_packet(void **test)
{
	struct vswitch_counters counters;
	struct vswitch_slot *slot;
	uint8_t *sent, *got;

	(void)test;
	assert_int_equal(clients[A].port, 0);
	assert_int_equal(clients[C].port, 2);
	sent = packet_put(A, 0, mac(B), mac(A), 64, 0x5a);
	assert_int_equal(client_send(A, 1), 1);
	slot = client_take(B, 0, &got);
	assert_non_null(slot);
	assert_int_equal(slot->bytes, 64);
	assert_int_equal(slot->flags & 0xffff, 0);
	assert_memory_equal(got, sent, 64);
	assert_int_equal(got[64], 0);
	expect(0, 0, 0);
	counters = counters_of(A);
	assert_int_equal(counters.tx_packets, 1);
	assert_int_equal(counters.tx_bytes, 64);
	assert_int_equal(counters.rx_packets, 0);
	counters = counters_of(B);
	assert_int_equal(counters.rx_packets, 1);
	assert_int_equal(counters.rx_bytes, 64);
}

/* Each size, its bytes and not one more. */
static void sizes(void **test)
{
	(void)test;
	assert_int_equal(vswitch_set(&clients[B].info, 1, VSWITCH_SET_MTU, 2000), 0);
	for (uint32_t bytes = 1; bytes <= 2014; bytes++) {
		uint8_t *sent = packet_put(A, 0, mac(B), mac(A), bytes < 14 ? 14 : bytes, 0), *got;
		struct vswitch_slot *slot;

		for (uint32_t i = 14; i < bytes; i++)
			sent[i] = (uint8_t)(i * 7 + bytes);
		tx_slots(A, 0)->bytes = bytes;
		memset(clients[B].memory + AT_IN(0) + clients[B].taken[0] % RING_SIZE * PLACE_BYTES, 0xee, PLACE_BYTES);
		assert_int_equal(client_send(A, 1), 1);
		slot = client_take(B, 0, &got);
		if (bytes < VSWITCH_PACKET_MIN) {
			assert_null(slot);
			continue;
		}
		assert_non_null(slot);
		assert_int_equal(slot->bytes, bytes);
		assert_memory_equal(got, sent, bytes);
		for (uint32_t i = bytes; i < PLACE_BYTES; i++)
			assert_int_equal(got[i], 0xee);
		client_post(B, 0, 1, PLACE_BYTES);
	}
	assert_int_equal(counters_of(A).tx_drops[VSWITCH_DROP_SIZE], 13);
}

static void floods(void **test)
{
	(void)test;
	client_send_one(A, BROADCAST, mac(A), 64, 1);
	expect(0, 1, 1);
	client_send_one(A, MULTICAST, mac(A), 64, 1);
	expect(0, 0, 0);
	assert_int_equal(vswitch_set(&clients[C].info, 2, VSWITCH_SET_FLAGS, VSWITCH_ALL_MULTICAST), 0);
	client_send_one(A, MULTICAST, mac(A), 64, 1);
	expect(0, 0, 1);
	client_send_one(A, ELSEWHERE, mac(A), 64, 1);
	expect(0, 1, 1);
	assert_int_equal(counters_of(A).flooded, 2);
	assert_int_equal(counters_of(A).tx_packets, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(one_packet, three),
		cmocka_unit_test_setup(sizes, three),
		cmocka_unit_test_setup(floods, three),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
