// SPDX-License-Identifier: MIT
/*
 * What clients can find out of the switch's secrets, and what one that knew them could do. The forger here knows all of
 * them: what holds against it needs none.
 */
#include "../../../objects/vswitch/manager/manager.h"

#include "three.h"

#define SAMPLES 1000

static uint64_t made_up(uint32_t n)
{
	struct vswitch_config *config = client_config(n, 1, 1);

	memset(config->mac, 0, sizeof(config->mac));
	assert_true(client_open(n) >= 0);
	assert_int_equal(vswitch_close(&clients[n].info, (uint64_t)clients[n].port), 0);
	return address_load(config->mac);
}

/* Addresses that the switch makes up go to everybody: they depend on no secret. */
static void addresses(void **test)
{
	uint64_t first[8];

	(void)test;
	for (uint32_t round = 0; round < 5; round++) {
		world_reset(64, 64);
		state->route_key ^= round == 1 ? 0xabcdef0123456780 : 0;
		state->key ^= round == 2 ? 0xabcdef0123456780 : 0;
		state->generation += round == 3;
		state->address_seed += round == 4;
		for (uint32_t i = 0; i < 8; i++) {
			uint64_t address = made_up(i % 3);

			if (!round)
				first[i] = address;
			else if (round < 4)
				assert_true(address == first[i]);
			else
				assert_true(address != first[i]);
		}
	}
}

/* A packet that is taken for what is kept in the slot, while nothing is. False: none can be, in this generation. */
static bool forge(uint32_t n, uint32_t slot, uint32_t of)
{
	const struct vswitch_route *route = &state->ports[port_number((uint64_t)clients[n].port)].tx[0].routes[of];
	uint64_t low = route_tie(&clients[n].info, state, route->word, state->generation, 0) ^ route->check;
	uint8_t *at = packet_put(n, slot, 0, 0, 64, 0);

	store_word(at, low);
	store_word(at + 8, (uint32_t)route->word);
	return route_slot(low) == of;
}

/* Whoever guesses a slot in which nothing is kept sends to himself. */
static void forged(void **test)
{
	uint32_t own = 0;

	(void)test;
	for (uint32_t burst = 1; burst <= 2; burst++) { /* both ways to send */
		for (uint32_t slot = 0; slot < VSWITCH_ROUTES; slot++) {
			while (!forge(A, 0, slot) || !forge(A, 1, slot))
				vswitch_changed(state);
			assert_true(world_routes_hold());
			assert_int_equal(client_send(A, burst), burst);
			own += burst;
			assert_int_equal(client_pending(A), own);
		}
	}
	expect(own, 0, 0);
	assert_true(state->magic == VSWITCH_MAGIC);
	client_join(C + 1, 1);
	client_send_one(A, mac(B), mac(A), 64, 1);
	expect(0, 1, 0);
}

/* Also in a port's later lives, of whatever shape, and in queues that it does not have. */
static void lead_to_queues(void **test)
{
	(void)test;
	for (uint32_t round = 0; round < 20; round++) {
		uint32_t other = round % 2 ? A : 5;

		for (uint32_t i = 0; i < 30; i++) {
			client_send_one(A, mac(B + i % 2), mac(A) + (i << 16), 64, 1);
			client_send_one(B, mac(A), mac(B) + (i << 24), 64, 1);
			assert_true(world_routes_hold());
		}
		assert_int_equal(vswitch_close(&clients[A].info, (uint64_t)clients[A].port), 0);
		client_config(other, 1 + round % CLIENT_QUEUES, 1 + round / 2 % CLIENT_QUEUES);
		assert_int_equal(client_open(other), port_handle(0, 2 * round + 1));
		assert_true(world_routes_hold());
		assert_int_equal(vswitch_close(&clients[other].info, (uint64_t)clients[other].port), 0);
		client_config(A, 1, 1);
		assert_int_equal(client_open(A), port_handle(0, 2 * round + 2));
	}
}

/* Of two routes one has the word, another the check: as two calls leave them that write at once. */
static void mixtures(void **test)
{
	const uint32_t other = B + VSWITCH_ROUTES; /* has the same slot */
	struct vswitch_route *route = &state->ports[0].tx[0].routes[route_slot(mac(B))], kept[2];

	(void)test;
	client_join(other, 1);
	for (uint32_t round = 0; round < 100; round++) {
		uint64_t from[2] = { mac(A), mac(A) + ((uint64_t)round << 24) };

		for (uint32_t i = 0; i < 2; i++) {
			client_send_one(A, mac(i ? other : B), from[i], 64, 1);
			kept[i] = *route;
		}
		for (uint32_t i = 0; i < 2; i++) {
			for (uint32_t burst = 1; burst <= 2; burst++) {
				*route = (struct vswitch_route){ kept[i].word, kept[!i].check };
				packet_put(A, 0, mac(i ? B : other), from[i], 64, 1);
				packet_put(A, 1, mac(i ? B : other), from[i], 64, 1);
				assert_int_equal(client_send(A, burst), burst);
			}
		}
		assert_int_equal(client_pending(other), 1 + 3);
		expect(0, 1 + 3, 0);
		while (client_take(other, 0, NULL))
			client_post(other, 0, 1, PLACE_BYTES);
		client_post(B, 0, 4, PLACE_BYTES);
	}
}

static uint64_t next_random(uint64_t *random)
{
	*random ^= *random << 13;
	*random ^= *random >> 7;
	*random ^= *random << 17;
	return *random;
}

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* By what ties differ is another with each key, wherever the sums differ: of few that can be none would be twice. */
static void ties(void **test)
{
	static uint64_t differences[SAMPLES];
	const struct elisa_info *info = &clients[A].info;
	uint64_t random = 0x123456789abcdef;

	(void)test;
	for (uint32_t bit = 0; bit < 64; bit++) {
		for (uint32_t i = 0; i < SAMPLES; i++) {
			uint64_t word = next_random(&random), generation = next_random(&random);

			state->route_key = next_random(&random) | 1;
			differences[i] = route_tie(info, state, word, generation, 0) ^
					 route_tie(info, state, word + (1ull << bit), generation, 0);
		}
		qsort(differences, SAMPLES, sizeof(differences[0]), compare);
		for (uint32_t i = 1; i < SAMPLES; i++)
			assert_true(differences[i - 1] != differences[i]);
	}
}

/* What shows which addresses share a bucket tells of the table's key, and is no help with routes. */
static void keys_apart(void **test)
{
	const struct elisa_info *info = &clients[A].info;
	uint64_t tie = route_tie(info, state, 1, 2, 3), *bucket = table_bucket(state, mac(A));

	(void)test;
	state->key += 2;
	assert_true(route_tie(info, state, 1, 2, 3) == tie);
	state->key -= 2;
	state->route_key = ~state->route_key;
	assert_true(route_tie(info, state, 1, 2, 3) != tie);
	assert_ptr_equal(table_bucket(state, mac(A)), bucket);
}

/* As the manager begins: every secret is random, and another. */
static void prepared(void **test)
{
	uint64_t secrets[4 * 8];

	(void)test;
	for (uint32_t round = 0; round < 8; round++) {
		memset(state, 0, sizeof(*state));
		state_prepare(state, 33, 7, 64, 300);
		assert_true(state->magic == VSWITCH_MAGIC);
		assert_int_equal(state->ports_max, 33);
		assert_int_equal(state->ports_each, 7);
		assert_true(state->route_key & 1 && state->key & 1);
		memcpy(&secrets[4 * round],
		       (uint64_t[]){ state->route_key, state->key | 1, state->generation | 1, state->address_seed | 1 },
		       4 * sizeof(secrets[0]));
	}
	qsort(secrets, 4 * 8, sizeof(secrets[0]), compare);
	assert_true(secrets[0] > UINT32_MAX);
	for (uint32_t i = 1; i < 4 * 8; i++)
		assert_true(secrets[i - 1] != secrets[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses),
		cmocka_unit_test_setup(forged, three),
		cmocka_unit_test_setup(lead_to_queues, three),
		cmocka_unit_test_setup(mixtures, three),
		cmocka_unit_test_setup(ties, three),
		cmocka_unit_test_setup(keys_apart, three),
		cmocka_unit_test_setup(prepared, three),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
