// SPDX-License-Identifier: MIT
/*
 * Random calls by all clients, against a plain model of what each name space has; then threads that all write at once:
 * readers see only what was stored, and no increment is lost. SEED=N repeats a run.
 */
#include <pthread.h>
#include <time.h>

#include "world.h"

#define CALLS 200000
#define NAMES 300
#define VALUE_MAX 3000

struct entry {
	bool there;
	uint8_t value[VALUE_MAX * 2];
	uint32_t bytes, flags;
	uint32_t expiry; /* 0: never */
	uint64_t cas;
};

static struct entry model[CLIENTS + 1][NAMES]; /* their own, and the shared one */
static uint64_t seed, random_state;

static uint32_t draw(uint32_t below)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)((random_state >> 33) % below);
}

static void name_of(uint32_t number, char *name)
{
	snprintf(
		name, KV_KEY_MAX + 1, "%u-%.*s", number, (int)(number % 3 ? number % 30 : number % 240),
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
		"cccccccccccccccccccccccccccccccccccccc");
}

static bool live(struct entry *entry)
{
	if (entry->there && entry->expiry && entry->expiry <= state->seconds)
		entry->there = false;
	return entry->there;
}

static void check_get(uint32_t n, uint32_t space, const char *name, struct entry *entry)
{
	long got = get(n, space, name);

	if (!live(entry)) {
		assert_int_equal(got, -ENOENT);
		return;
	}
	assert_int_equal(got, entry->bytes);
	assert_memory_equal(clients[n].slot->value, entry->value, entry->bytes);
	assert_int_equal(clients[n].slot->item_flags, entry->flags);
	if (entry->cas)
		assert_int_equal(clients[n].slot->item_cas, entry->cas);
	entry->cas = clients[n].slot->item_cas;
}

static void stored(struct entry *entry, const uint8_t *value, uint32_t bytes, uint32_t flags, uint32_t expiry)
{
	*entry = (struct entry){ .there = true, .bytes = bytes, .flags = flags, .expiry = expiry };
	memcpy(entry->value, value, bytes);
}

static void random_store(uint32_t n, uint32_t space, const char *name, struct entry *entry)
{
	struct kv_slot *slot = slot_of(n, name);
	uint32_t mode = draw(KV_PREPEND + 1), bytes = draw(8) ? draw(100) : draw(VALUE_MAX), flags = draw(1000);
	bool with_cas = !draw(4) && mode != KV_ADD, there = live(entry), right = draw(2);
	static uint8_t value[VALUE_MAX], old[2 * VALUE_MAX];
	int64_t expiry = draw(3) ? 0 : (int64_t)draw(20) - 2;
	uint32_t second = !expiry ? 0 : expiry < 0 ? 1 : state->seconds + (uint32_t)expiry, old_bytes = entry->bytes;
	long result, wanted = 0;

	for (uint32_t i = 0; i < bytes; i++)
		value[i] = (uint8_t)draw(256);
	slot->options = mode | (with_cas ? KV_IF_CAS : 0);
	slot->cas = right ? entry->cas : entry->cas + 1;
	slot->flags = flags;
	slot->expiry = expiry;
	if (entry->bytes + bytes > sizeof(entry->value))
		return;
	memcpy(slot->value, value, bytes);
	if (with_cas && there && !entry->cas)
		return;
	result = kv_store(&clients[n].info, KV_WHERE(BUFFER, 0), which(space, name), bytes);
	if (with_cas && !there)
		wanted = -ENOENT;
	else if (with_cas && !right)
		wanted = -EEXIST;
	else if (mode == KV_ADD && there)
		wanted = -EEXIST;
	else if (mode >= KV_REPLACE && !there)
		wanted = -ENOENT;
	assert_int_equal(result, wanted);
	if (result)
		return;
	if (mode == KV_APPEND || mode == KV_PREPEND) {
		memcpy(old, entry->value, old_bytes);
		memcpy(entry->value + (mode == KV_APPEND ? old_bytes : 0), value, bytes);
		memcpy(entry->value + (mode == KV_APPEND ? 0 : bytes), old, old_bytes);
		entry->bytes += bytes;
		entry->cas = 0;
	} else {
		stored(entry, value, bytes, flags, second);
	}
}

static void random_count(uint32_t n, uint32_t space, const char *name, struct entry *entry)
{
	struct kv_slot *slot = slot_of(n, name);
	static uint8_t padded[2 * VALUE_MAX];
	char text[32];
	long result;

	if (draw(2) && live(entry)) {
		int bytes = snprintf(text, sizeof(text), "%u", draw(1 << 20));

		assert_int_equal(store(n, space, name, KV_SET, text, (uint32_t)bytes), 0);
		stored(entry, (uint8_t *)text, (uint32_t)bytes, 0, 0);
		slot_of(n, name);
	}
	slot->number = draw(100);
	slot->options = draw(2) ? KV_DOWN : 0;
	result = kv_count(&clients[n].info, KV_WHERE(BUFFER, 0), which(space, name), NUMBER_MAX);
	if (!live(entry)) {
		assert_int_equal(result, -ENOENT);
		return;
	}
	if (result == -EDOM)
		return;
	/* As long as it was at least, with spaces behind the number. */
	assert_true(result >= (long)entry->bytes);
	memset(padded, ' ', sizeof(padded));
	memcpy(padded, text, (size_t)snprintf(text, sizeof(text), "%lu", slot->item_number));
	stored(entry, padded, (uint32_t)result, entry->flags, entry->expiry);
}

static void random_call(void)
{
	uint32_t n = draw(CLIENTS), space = n == CLIENTS - 1 ? KV_OWN : draw(2), number = draw(NAMES);
	struct entry *entry = &model[space ? CLIENTS : n][number];
	char name[KV_KEY_MAX + 1];

	name_of(number, name);
	switch (draw(12)) {
	case 0:
	case 1:
	case 2:
	case 3:
		random_store(n, space, name, entry);
		break;
	case 4:
		assert_int_equal(erase(n, space, name), live(entry) ? 0 : -ENOENT);
		entry->there = false;
		break;
	case 5:
		random_count(n, space, name, entry);
		break;
	case 6:
		if (!draw(50))
			state->seconds++;
		if (draw(2000))
			break;
		assert_int_equal(kv_flush(&clients[n].info, space, 0), 0);
		memset(model[space ? CLIENTS : n], 0, sizeof(model[0]));
		break;
	default:
		check_get(n, space, name, entry);
	}
}

static void random_calls(void **test)
{
	(void)test;
	random_state = seed;
	world_reset(16 << 20, 9);
	for (uint32_t i = 0; i < CALLS; i++)
		random_call();
	assert_null(world_check(state));
	for (uint32_t space = 0; space < 2; space++) {
		for (uint32_t number = 0; number < NAMES; number++) {
			char name[KV_KEY_MAX + 1];

			name_of(number, name);
			check_get(0, space, name, &model[space ? CLIENTS : 0][number]);
		}
	}
	assert_int_equal(stats_of(0).evictions, 0);
}

/* --- all at once */

#define ROUNDS 30000

/* A value says of itself what it is: a letter, as often as the letter says. */
static void *thread(void *argument)
{
	uint32_t n = (uint32_t)(uintptr_t)argument, random = n;
	struct kv_slot *slot = clients[n].slot;
	static const char *const names[] = { "a", "a key of some length", "another",
					     "and one that is longer than others are" };
	char value[2000];

	for (uint32_t i = 0; i < ROUNDS; i++) {
		const char *name = names[(random = random * 1664525 + 1013904223) >> 28 & 3];
		uint32_t letter = random >> 16 & 15;
		long bytes;

		if (n == CLIENTS - 1 || random >> 24 & 1) { /* the last one only reads */
			bytes = get(n, SHARED, name);
			if (bytes == -ENOENT)
				continue;
			if (bytes < 0 || bytes != slot->value[0] % 16 * 100 + 1)
				return (void *)name;
			for (long at = 1; at < bytes; at++) {
				if (slot->value[at] != slot->value[0])
					return (void *)name;
			}
			continue;
		}
		if (count_up(n, SHARED, "number", 1) < 0)
			return (void *)"number";
		memset(value, (int)(64 + letter), sizeof(value));
		if (random >> 20 & 7 ? store(n, SHARED, name, KV_SET, value, letter * 100 + 1)
				     : erase(n, SHARED, name) != 0 && false)
			return (void *)name;
		__atomic_fetch_add(&random_state, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void threads(void **test)
{
	pthread_t id[CLIENTS];
	void *wrong;

	(void)test;
	world_reset(4 << 20, 9);
	random_state = 0; /* counts increments here */
	set(0, SHARED, "number", "0");
	for (uint32_t n = 0; n < CLIENTS; n++)
		assert_int_equal(pthread_create(&id[n], NULL, thread, (void *)(uintptr_t)n), 0);
	for (uint32_t n = 0; n < CLIENTS; n++) {
		pthread_join(id[n], &wrong);
		if (wrong)
			fail_msg("%s is not what was stored", (const char *)wrong);
	}
	assert_true(get(0, SHARED, "number") > 0);
	clients[0].slot->value[clients[0].slot->item_bytes] = 0;
	assert_int_equal(strtoull((const char *)clients[0].slot->value, NULL, 10), random_state);
	assert_null(world_check(state));
	print_message("%lu increments by %d at once; %lu reads met a store\n", random_state, CLIENTS - 1,
		      stats_of(0).retried + stats_of(CLIENTS - 1).retried);
}

int main(void)
{
	const char *given = getenv("SEED");
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_calls),
		cmocka_unit_test(threads),
	};

	seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
	printf("SEED=%lu\n", seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
