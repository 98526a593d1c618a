// SPDX-License-Identifier: MIT
/* Who gets what: learning, ageing, flooding, binding, sizes, tags, counters. What is handed over: places_test.c. */
#include "three.h"

#define MULTICAST 0x0000005e0001ull
#define ELSEWHERE 0xbb0000000002ull /* an address of nobody's: locally administered */

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

/* A station behind A is learned, found, moves to C, and is forgotten when it was not seen for long. */
static void learns(void **test)
{
	(void)test;
	client_send_one(B, ELSEWHERE, mac(B), 64, 1);
	expect(1, 0, 1);
	client_send_one(A, mac(B), ELSEWHERE, 64, 1);
	expect(0, 1, 0);
	client_send_one(B, ELSEWHERE, mac(B), 64, 1);
	expect(1, 0, 0);
	client_send_one(C, mac(B), ELSEWHERE, 64, 1);
	expect(0, 1, 0);
	client_send_one(B, ELSEWHERE, mac(B), 64, 1);
	expect(0, 0, 1);
	client_send_one(C, ELSEWHERE, mac(C), 64, 1);
	expect(0, 0, 0);
	assert_int_equal(counters_of(C).tx_drops[VSWITCH_DROP_LOCAL], 1);
}

static void tick(uint32_t now)
{
	state->now = now;
	vswitch_changed(state);
}

static void ages(void **test)
{
	(void)test;
	client_send_one(A, mac(B), ELSEWHERE, 64, 1);
	tick(state->age_limit);
	client_send_one(B, ELSEWHERE, mac(B), 64, 1);
	expect(1, 1, 0);
	/* Seen again: its time begins anew. */
	client_send_one(A, mac(B), ELSEWHERE, 64, 1);
	tick(2 * state->age_limit);
	client_send_one(B, ELSEWHERE, mac(B), 64, 1);
	expect(1, 1, 0);
	tick(2 * state->age_limit + 1);
	client_send_one(B, ELSEWHERE, mac(B), 64, 1);
	expect(1, 0, 1);
	/* Ports' own addresses do not age. */
	tick(5 * state->age_limit);
	client_send_one(B, mac(C), mac(B), 64, 1);
	expect(0, 0, 1);
	/* Nor do any if the manager says so. */
	client_send_one(A, mac(B), ELSEWHERE, 64, 1);
	state->age_limit = 0;
	tick(8 * 100);
	client_send_one(B, ELSEWHERE, mac(B), 64, 1);
	expect(1, 1, 0);
}

/* Stamps come round every 512 units: the manager clears what is old in time. */
static void ages_cleanly(void **test)
{
	(void)test;
	client_send_one(A, mac(B), ELSEWHERE, 64, 1);
	tick(200);
	table_clean(state);
	tick(512);
	client_send_one(B, ELSEWHERE, mac(B), 64, 1);
	expect(1, 1, 1);
	assert_true(table_find(table_bucket(state, mac(A)), mac(A)) != 0);
}

static void binds(void **test)
{
	(void)test;
	assert_int_equal(vswitch_set(&clients[A].info, 0, VSWITCH_SET_FLAGS, VSWITCH_BIND), 0);
	client_send_one(A, mac(B), ELSEWHERE, 64, 1);
	client_send_one(A, mac(B), mac(C), 64, 1);
	client_send_one(A, mac(B), 0, 64, 1);
	expect(0, 0, 0);
	client_send_one(A, mac(B), mac(A), 64, 1);
	expect(0, 1, 0);
	assert_int_equal(counters_of(A).tx_drops[VSWITCH_DROP_SPOOFED], 3);
	/* What goes to unknown addresses is not for it. */
	client_send_one(B, ELSEWHERE, mac(B), 64, 1);
	expect(0, 0, 1);
	client_send_one(B, BROADCAST, mac(B), 64, 1);
	expect(1, 0, 1);
}

/* Nobody takes an address that another port was opened with, or sends from one that is none. */
static void spoofs(void **test)
{
	(void)test;
	client_send_one(A, mac(B), mac(C), 64, 1);
	client_send_one(A, mac(B), mac(B), 64, 1);
	client_send_one(A, mac(B), 0, 64, 1);
	client_send_one(A, mac(B), MULTICAST, 64, 1);
	client_send_one(A, BROADCAST, BROADCAST, 64, 1);
	client_send_one(A, BROADCAST, 0, 64, 1);
	expect(0, 0, 0);
	assert_int_equal(counters_of(A).tx_drops[VSWITCH_DROP_SPOOFED], 6);
	client_send_one(B, mac(C), mac(B), 64, 1);
	expect(0, 0, 1);
}

static void promiscuous(void **test)
{
	(void)test;
	client_send_one(A, mac(B), mac(A), 64, 1); /* the switch knows this way then, and has to forget it */
	expect(0, 1, 0);
	assert_int_equal(vswitch_set(&clients[C].info, 2, VSWITCH_SET_FLAGS, VSWITCH_PROMISCUOUS), -EPERM);
	clients[C].info.value = VSWITCH_VALUE_PROMISCUOUS;
	assert_int_equal(vswitch_set(&clients[C].info, 2, VSWITCH_SET_FLAGS, VSWITCH_PROMISCUOUS), 0);
	client_send_one(A, mac(B), mac(A), 64, 1);
	expect(0, 1, 1);
	client_send_one(A, MULTICAST, mac(A), 64, 1);
	expect(0, 0, 1);
	client_send_one(A, mac(A), mac(A), 64, 1);
	expect(0, 0, 1);
	assert_int_equal(vswitch_set(&clients[C].info, 2, VSWITCH_SET_FLAGS, 0), 0);
	client_send_one(A, mac(B), mac(A), 64, 1);
	expect(0, 1, 0);
}

static void tag(uint8_t *packet, uint32_t offset, uint16_t type)
{
	packet[offset] = (uint8_t)(type >> 8);
	packet[offset + 1] = (uint8_t)type;
}

/* A receiver's MTU is of what is in the frame: tags come on top. */
static void mtu_and_tags(void **test)
{
	(void)test;
	client_send_one(A, mac(B), mac(A), 1514, 1);
	expect(0, 1, 0);
	client_send_one(A, mac(B), mac(A), 1515, 1);
	expect(0, 0, 0);
	for (uint32_t tags = 1; tags <= 2; tags++) {
		for (uint32_t over = 0; over < 2; over++) {
			uint8_t *at = packet_put(A, 0, mac(B), mac(A), 1514 + 4 * tags + over, 1), *got;

			tag(at, 12, tags == 2 ? 0x88a8 : 0x8100);
			tag(at, 16, tags == 2 ? 0x8100 : 0x0800);
			client_send(A, 1);
			if (!over) {
				assert_non_null(client_take(B, 0, &got));
				assert_memory_equal(got, at, 1514 + 4 * tags);
			}
			expect(0, 0, 0);
		}
	}
	assert_int_equal(counters_of(B).rx_drops[VSWITCH_DROP_SIZE], 3);
	assert_int_equal(vswitch_set(&clients[B].info, 1, VSWITCH_SET_MTU, 67), -EINVAL);
	assert_int_equal(vswitch_set(&clients[B].info, 1, VSWITCH_SET_MTU, 9001), -EINVAL);
}

/* Longer than a place: it goes on in the next ones. Longer than the switch takes: it goes nowhere. */
static void jumbo(void **test)
{
	uint8_t *sent = packet_put(A, 0, mac(B), mac(A), VSWITCH_PACKET_MAX, 0), *got;
	uint32_t taken = 0;

	(void)test;
	assert_int_equal(vswitch_set(&clients[B].info, 1, VSWITCH_SET_MTU, 9000), 0);
	for (uint32_t i = 12; i < VSWITCH_PACKET_MAX; i++)
		sent[i] = (uint8_t)(i * 11 + i / 256);
	tag(sent, 12, 0x8100);
	tag(sent, 16, 0x8100);
	assert_int_equal(client_send(A, 1), 1);
	for (uint32_t part = 0; part < 5; part++) {
		struct vswitch_slot *slot = client_take(B, 0, &got);

		assert_non_null(slot);
		assert_int_equal(slot->bytes, part < 4 ? PLACE_BYTES : VSWITCH_PACKET_MAX - 4 * PLACE_BYTES);
		assert_int_equal(slot->flags & VSWITCH_MORE, part < 4 ? VSWITCH_MORE : 0);
		assert_memory_equal(got, sent + taken, slot->bytes);
		taken += slot->bytes;
	}
	expect(0, 0, 0);
	assert_int_equal(counters_of(B).rx_packets, 1);
	assert_int_equal(counters_of(B).rx_bytes, VSWITCH_PACKET_MAX);
	tx_slots(A, 0)->bytes = VSWITCH_PACKET_MAX + 1;
	assert_int_equal(client_send(A, 1), 1);
	expect(0, 0, 0);
	assert_int_equal(counters_of(A).tx_drops[VSWITCH_DROP_SIZE], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(one_packet, three),  cmocka_unit_test_setup(sizes, three),
		cmocka_unit_test_setup(floods, three),      cmocka_unit_test_setup(learns, three),
		cmocka_unit_test_setup(ages, three),        cmocka_unit_test_setup(ages_cleanly, three),
		cmocka_unit_test_setup(binds, three),       cmocka_unit_test_setup(spoofs, three),
		cmocka_unit_test_setup(promiscuous, three), cmocka_unit_test_setup(mtu_and_tags, three),
		cmocka_unit_test_setup(jumbo, three),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
