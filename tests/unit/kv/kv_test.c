// SPDX-License-Identifier: MIT
/* What each function does, one thing at a time; refusals; name spaces; expiry; eviction. */
#include "world.h"

#define A 0u
#define B 1u
#define READER 3u /* may only read SHARED */

static int small(void **test)
{
	(void)test;
	world_reset(2 << 20, 9);
	return 0;
}

static int whole(void **test)
{
	const char *wrong = world_check(state);

	(void)test;
	if (wrong)
		print_error("%s\n", wrong);
	return wrong != NULL;
}

static void stores_and_gets(void **test)
{
	(void)test;
	assert_int_equal(get(A, KV_OWN, "k"), -ENOENT);
	assert_int_equal(set(A, KV_OWN, "k", "hello"), 0);
	assert_true(has(A, KV_OWN, "k", "hello", 5));
	assert_int_equal(clients[A].slot->item_bytes, 5);
	assert_int_equal(get(B, KV_OWN, "k"), -ENOENT); /* another's own */
	slot_of(A, "k")->flags = 0xdeadbeef;
	memcpy(clients[A].slot->value, "abcdefgh", 8);
	assert_int_equal(kv_store(&clients[A].info, KV_WHERE(BUFFER, 0), which(KV_OWN, "k"), 8), 0);
	assert_true(has(A, KV_OWN, "k", "abcdefgh", 8));
	assert_int_equal(clients[A].slot->item_flags, 0xdeadbeef);
	assert_int_equal(store(A, KV_OWN, "empty", KV_SET, "", 0), 0);
	assert_true(has(A, KV_OWN, "empty", "", 0));
	assert_int_equal(erase(A, KV_OWN, "k"), 0);
	assert_int_equal(erase(A, KV_OWN, "k"), -ENOENT);
	assert_int_equal(get(A, KV_OWN, "k"), -ENOENT);
}

/* Each length of key and many of values: their bytes, and of the room behind them none. */
static void sizes(void **test)
{
	static uint8_t value[KV_VALUE_MAX];
	char key[KV_KEY_MAX + 1] = "";

	(void)test;
	world_reset(16 << 20, 9);
	for (size_t i = 0; i < sizeof(value); i++)
		value[i] = (uint8_t)(i * 131 + i / 251);
	for (uint32_t length = 1; length <= KV_KEY_MAX; length++) {
		key[length - 1] = (char)('a' + length % 26);
		for (uint32_t bytes = 0; bytes < 260; bytes += length < 40 ? 1 : 13) {
			assert_int_equal(store(A, KV_OWN, key, KV_SET, value + length, bytes), 0);
			memset(clients[A].slot->value, 0xee, 300);
			assert_true(has(A, KV_OWN, key, value + length, bytes));
			for (uint64_t i = bytes; i < round_up(bytes); i++) /* nothing of anybody's */
				assert_int_equal(clients[A].slot->value[i], 0);
			assert_int_equal(clients[A].slot->value[round_up(bytes)], 0xee);
		}
	}
	for (uint32_t bytes = 1000; bytes <= KV_VALUE_MAX; bytes += bytes / 3) {
		assert_int_equal(store(A, KV_OWN, "large", KV_SET, value, bytes), 0);
		assert_true(has(A, KV_OWN, "large", value, bytes));
	}
	assert_int_equal(store(A, KV_OWN, "large", KV_SET, value, KV_VALUE_MAX), 0);
	assert_true(has(A, KV_OWN, "large", value, KV_VALUE_MAX));
	assert_int_equal(kv_store(&clients[A].info, KV_WHERE(BUFFER, 0), which(KV_OWN, "large"), KV_VALUE_MAX + 1),
			 -EFBIG);
	/* Without room it is described only. */
	slot_of(A, "large");
	assert_int_equal(kv_get(&clients[A].info, KV_WHERE(BUFFER, 0), which(KV_OWN, "large"), 100), KV_VALUE_MAX);
	assert_int_equal(clients[A].slot->item_bytes, KV_VALUE_MAX);
}

static void modes(void **test)
{
	uint64_t cas;

	(void)test;
	assert_int_equal(store(A, KV_OWN, "k", KV_REPLACE, "x", 1), -ENOENT);
	assert_int_equal(store(A, KV_OWN, "k", KV_APPEND, "x", 1), -ENOENT);
	assert_int_equal(store(A, KV_OWN, "k", KV_PREPEND, "x", 1), -ENOENT);
	assert_int_equal(store(A, KV_OWN, "k", KV_ADD, "one", 3), 0);
	assert_int_equal(store(A, KV_OWN, "k", KV_ADD, "two", 3), -EEXIST);
	assert_true(has(A, KV_OWN, "k", "one", 3));
	assert_int_equal(store(A, KV_OWN, "k", KV_REPLACE, "two", 3), 0);
	assert_int_equal(store(A, KV_OWN, "k", KV_APPEND, "-end", 4), 0);
	assert_int_equal(store(A, KV_OWN, "k", KV_PREPEND, "begin-", 6), 0);
	assert_true(has(A, KV_OWN, "k", "begin-two-end", 13));
	cas = clients[A].slot->item_cas;
	slot_of(A, "k")->options = KV_IF_CAS;
	clients[A].slot->cas = cas + 1;
	assert_int_equal(kv_store(&clients[A].info, KV_WHERE(BUFFER, 0), which(KV_OWN, "k"), 1), -EEXIST);
	clients[A].slot->cas = cas;
	clients[A].slot->value[0] = '!';
	assert_int_equal(kv_store(&clients[A].info, KV_WHERE(BUFFER, 0), which(KV_OWN, "k"), 1), 0);
	assert_int_equal(kv_store(&clients[A].info, KV_WHERE(BUFFER, 0), which(KV_OWN, "k"), 1), -EEXIST);
	assert_true(has(A, KV_OWN, "k", "!", 1));
	assert_int_equal(store(A, KV_OWN, "none", KV_IF_CAS, "x", 1), -ENOENT);
	/* Together too large: it stays as it was. */
	assert_int_equal(kv_store(&clients[A].info, KV_WHERE(BUFFER, 0), KV_WHICH(KV_OWN, 4), 0), -ENOENT);
	slot_of(A, "k")->options = KV_APPEND;
	assert_int_equal(kv_store(&clients[A].info, KV_WHERE(BUFFER, 0), which(KV_OWN, "k"), KV_VALUE_MAX), -EFBIG);
	assert_true(has(A, KV_OWN, "k", "!", 1));
}

static void counts(void **test)
{
	static const char *const wrong[] = { "", " ", "x", "1x", "-1", "18446744073709551616", "0x10" };
	struct kv_slot *slot = clients[A].slot;

	(void)test;
	assert_int_equal(count_up(A, KV_OWN, "n", 1), -ENOENT);
	set(A, KV_OWN, "n", "9");
	assert_int_equal(count_up(A, KV_OWN, "n", 1), 2);
	assert_int_equal(slot->item_number, 10);
	assert_true(has(A, KV_OWN, "n", "10", 2));
	slot_of(A, "n")->options = KV_DOWN;
	slot->number = 1;
	assert_int_equal(kv_count(&clients[A].info, KV_WHERE(BUFFER, 0), which(KV_OWN, "n"), 8), 2);
	assert_true(has(A, KV_OWN, "n", "9 ", 2)); /* as long as it was */
	slot_of(A, "n")->options = KV_DOWN;
	slot->number = 100;
	kv_count(&clients[A].info, KV_WHERE(BUFFER, 0), which(KV_OWN, "n"), 8);
	assert_int_equal(slot->item_number, 0);
	set(A, KV_OWN, "n", "18446744073709551615");
	count_up(A, KV_OWN, "n", 2);
	assert_int_equal(slot->item_number, 1);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		set(A, KV_OWN, "n", wrong[i]);
		assert_int_equal(count_up(A, KV_OWN, "n", 1), -EDOM);
		assert_true(has(A, KV_OWN, "n", wrong[i], (uint32_t)strlen(wrong[i])));
	}
	slot_of(A, "new")->options = KV_CREATE;
	slot->initial = 77;
	assert_int_equal(kv_count(&clients[A].info, KV_WHERE(BUFFER, 0), which(KV_OWN, "new"), 8), 2);
	assert_true(has(A, KV_OWN, "new", "77", 2));
}

static long fetch_with(uint32_t n, const char *key, uint32_t options, int64_t expiry)
{
	slot_of(n, key)->options = options;
	clients[n].slot->expiry = clients[n].slot->create = expiry;
	return kv_fetch(&clients[n].info, KV_WHERE(BUFFER, 0), which(KV_OWN, key), 1000);
}

static void expiry(void **test)
{
	(void)test;
	set(A, KV_OWN, "k", "v");
	assert_int_equal(fetch_with(A, "k", 0, 0), 1);
	assert_int_equal(clients[A].slot->item_left, -1);
	assert_int_equal(fetch_with(A, "k", KV_TOUCH, 10), 1);
	assert_int_equal(clients[A].slot->item_left, 10);
	state->seconds += 9;
	assert_int_equal(fetch_with(A, "k", 0, 0), 1);
	assert_int_equal(clients[A].slot->item_left, 1);
	assert_int_equal(clients[A].slot->item_idle, 9);
	state->seconds++;
	assert_int_equal(get(A, KV_OWN, "k"), -ENOENT);
	assert_int_equal(fetch_with(A, "k", 0, 0), -ENOENT);
	assert_int_equal(store(A, KV_OWN, "k", KV_ADD, "new", 3), 0);
	assert_int_equal(fetch_with(A, "k", KV_TOUCH, 1700000000ll + state->seconds + 5), 3); /* since 1970 */
	assert_int_equal(clients[A].slot->item_left, 5);
	assert_int_equal(fetch_with(A, "k", KV_TOUCH, -1), 3);
	assert_int_equal(get(A, KV_OWN, "k"), -ENOENT);
	set(A, KV_OWN, "k", "v");
	assert_int_equal(fetch_with(A, "k", KV_TOUCH, 1600000000), 1); /* long ago */
	assert_int_equal(get(A, KV_OWN, "k"), -ENOENT);
}

static void flushes(void **test)
{
	(void)test;
	set(A, KV_OWN, "k", "v");
	set(A, SHARED, "k", "s");
	assert_int_equal(kv_flush(&clients[A].info, KV_OWN, 0), 0);
	assert_int_equal(get(A, KV_OWN, "k"), -ENOENT);
	assert_true(has(A, SHARED, "k", "s", 1));
	set(A, KV_OWN, "k", "after");
	assert_true(has(A, KV_OWN, "k", "after", 5));
	assert_int_equal(kv_flush(&clients[A].info, KV_OWN, 5), 0);
	set(A, KV_OWN, "k2", "before it comes");
	state->seconds += 4;
	assert_true(has(A, KV_OWN, "k", "after", 5));
	state->seconds += 1;
	assert_int_equal(get(A, KV_OWN, "k"), -ENOENT);
	assert_int_equal(get(A, KV_OWN, "k2"), -ENOENT);
	set(A, KV_OWN, "k", "later");
	assert_true(has(A, KV_OWN, "k", "later", 5));
	assert_int_equal(kv_flush(&clients[READER].info, SHARED, 0), -EACCES);
	assert_int_equal(kv_flush(&clients[A].info, KV_SPACES - 1, 0), -EACCES);
}

/* One reader is told to make it anew, the others that one was. */
static void stale(void **test)
{
	struct kv_slot *slot = clients[A].slot;

	(void)test;
	assert_int_equal(fetch_with(A, "k", KV_CREATE, 30), 0);
	assert_int_equal(slot->item_state, KV_WON | KV_MADE);
	assert_int_equal(fetch_with(A, "k", KV_CREATE, 30), 0);
	assert_int_equal(slot->item_state & (KV_WON | KV_LOST), KV_LOST);
	set(A, KV_OWN, "k", "fresh");
	assert_int_equal(fetch_with(A, "k", 0, 0), 5);
	assert_int_equal(slot->item_state, 0);
	assert_int_equal(fetch_with(A, "k", 0, 0), 5);
	assert_int_equal(slot->item_state, KV_FETCHED);
	slot_of(A, "k")->options = KV_STALE;
	assert_int_equal(kv_delete(&clients[A].info, KV_WHERE(BUFFER, 0), which(KV_OWN, "k")), 0);
	assert_int_equal(fetch_with(A, "k", KV_TOUCH, 0), 5);
	assert_int_equal(slot->item_state, KV_IS_STALE | KV_FETCHED);
	assert_int_equal(fetch_with(A, "k", KV_CLAIM, 0), 5);
	assert_int_equal(slot->item_state, KV_WON | KV_IS_STALE | KV_FETCHED);
	assert_int_equal(fetch_with(A, "k", KV_CLAIM, 0), 5);
	assert_int_equal(slot->item_state, KV_LOST | KV_IS_STALE | KV_FETCHED);
	assert_int_equal(fetch_with(A, "k", 0, 0), 5);
	assert_int_equal(slot->item_state, KV_LOST | KV_IS_STALE | KV_FETCHED);
}

static void spaces(void **test)
{
	struct kv_slot *slot = clients[A].slot;

	(void)test;
	set(A, SHARED, "k", "all");
	assert_true(has(B, SHARED, "k", "all", 3));
	assert_true(has(READER, SHARED, "k", "all", 3));
	assert_int_equal(set(READER, SHARED, "k", "x"), -EACCES);
	assert_int_equal(erase(READER, SHARED, "k"), -EACCES);
	assert_int_equal(count_up(READER, SHARED, "k", 1), -EACCES);
	for (uint64_t space = 2; space < KV_SPACES; space++) {
		assert_int_equal(get(A, (uint32_t)space, "k"), -EACCES);
		assert_int_equal(set(A, (uint32_t)space, "k", "x"), -EACCES);
	}
	assert_int_equal(kv_get(&clients[A].info, KV_WHERE(BUFFER, 0), ~0ull << 8 | 1, 0), -EACCES);
	slot_of(A, "shared");
	assert_int_equal(kv_space(&clients[A].info, KV_WHERE(BUFFER, 0)), SHARED);
	slot_of(A, "share");
	assert_int_equal(kv_space(&clients[A].info, KV_WHERE(BUFFER, 0)), -ENOENT);
	slot_of(A, "");
	assert_int_equal(kv_space(&clients[A].info, KV_WHERE(BUFFER, 0)), -ENOENT);
	state->rows[A + 1].read = 1;
	slot_of(A, "shared");
	assert_int_equal(kv_space(&clients[A].info, KV_WHERE(BUFFER, 0)), -ENOENT);
	assert_int_equal(get(A, SHARED, "k"), -EACCES);
	/* Memory that may only be read, and is. */
	clients[B].info.writable = 0;
	assert_true(has(B, SHARED, "k", "all", 3));
	assert_int_equal(set(B, KV_OWN, "k", "x"), -EACCES);
	assert_int_equal(slot->reserved, 0);
}

static void refusals(void **test)
{
	const struct elisa_info *info = &clients[A].info;
	uint64_t end = sizeof(struct kv_slot) + KV_VALUE_MAX;
	struct elisa_info wrong = *info;

	(void)test;
	slot_of(A, "k");
	assert_int_equal(kv_get(info, KV_WHERE(BUFFER, 0), KV_WHICH(0, 0), 0), -EINVAL);
	assert_int_equal(kv_get(info, KV_WHERE(BUFFER, 0), KV_WHICH(0, 251), 0), -EINVAL);
	assert_int_equal(kv_get(info, KV_WHERE(BUFFER, 0), KV_WHICH(0, 250), 0), -ENOENT);
	assert_int_equal(kv_get(info, KV_WHERE(BUFFER + 1, 0), KV_WHICH(0, 1), 0), -EFAULT);
	assert_int_equal(kv_get(info, ~0ull, KV_WHICH(0, 1), 0), -EFAULT);
	assert_int_equal(kv_get(info, KV_WHERE(BUFFER, 16), KV_WHICH(0, 1), KV_VALUE_MAX), -EFAULT);
	assert_int_equal(kv_get(info, KV_WHERE(BUFFER, end - 320), KV_WHICH(0, 1), 0), -EFAULT);
	assert_int_equal(kv_store(info, KV_WHERE(BUFFER, 16), KV_WHICH(0, 1), KV_VALUE_MAX - 7), -EFAULT);
	clients[A].slot->options = 1u << 31;
	assert_int_equal(kv_store(info, KV_WHERE(BUFFER, 0), KV_WHICH(0, 1), 0), -EINVAL);
	assert_int_equal(kv_fetch(info, KV_WHERE(BUFFER, 0), KV_WHICH(0, 1), 0), -EINVAL);
	assert_int_equal(kv_delete(info, KV_WHERE(BUFFER, 0), KV_WHICH(0, 1)), -EINVAL);
	assert_int_equal(kv_count(info, KV_WHERE(BUFFER, 0), KV_WHICH(0, 1), 0), -EINVAL);
	clients[A].slot->options = KV_PREPEND + 1;
	assert_int_equal(kv_store(info, KV_WHERE(BUFFER, 0), KV_WHICH(0, 1), 0), -EINVAL);
	wrong.value = 0;
	assert_int_equal(kv_get(&wrong, KV_WHERE(BUFFER, 0), KV_WHICH(0, 1), 0), -EACCES);
	wrong.value = KV_ROWS;
	assert_int_equal(kv_store(&wrong, KV_WHERE(BUFFER, 0), KV_WHICH(0, 1), 0), -EACCES);
	wrong.value = 1;
	wrong.memory.bytes = 4096;
	assert_int_equal(kv_get(&wrong, KV_WHERE(BUFFER, 0), KV_WHICH(0, 1), 0), -EPROTO);
}

/* Four times what there is room for: it stays within its limit, keeps what is used, and what is new. */
static void evicts(void **test)
{
	static char value[4096];
	struct kv_stats stats;
	uint32_t kept = 0;
	char key[32];

	(void)test;
	world_reset(4 << 20, 9);
	set(A, KV_OWN, "used", "often");
	for (uint32_t i = 0; i < 16384; i++) {
		snprintf(key, sizeof(key), "key%u", i);
		assert_int_equal(store(A, KV_OWN, key, KV_SET, value, i % 7 ? 500 : 4096), 0);
		assert_true(has(A, KV_OWN, "used", "often", 5));
	}
	for (uint32_t i = 16384 - 500; i < 16384; i++) {
		snprintf(key, sizeof(key), "key%u", i);
		kept += get(A, KV_OWN, key) >= 0;
	}
	stats = stats_of(A);
	assert_true(stats.evictions > 8000);
	assert_true(stats.bytes <= stats.limit_bytes && stats.bytes > stats.limit_bytes * 6 / 10);
	assert_true(kept > 450);
}

/* Large values take room from all. */
static void large_values(void **test)
{
	static uint8_t value[KV_VALUE_MAX];
	char key[32];

	(void)test;
	world_reset(8 << 20, 9);
	for (uint32_t i = 0; i < 5000; i++) {
		snprintf(key, sizeof(key), "small%u", i);
		assert_int_equal(store(A, KV_OWN, key, KV_SET, value, 1000), 0);
	}
	for (uint32_t i = 0; i < 64; i++) {
		snprintf(key, sizeof(key), "large%u", i);
		memset(value, (int)i, sizeof(value));
		assert_int_equal(store(A, KV_OWN, key, KV_SET, value, sizeof(value)), 0);
		assert_true(has(A, KV_OWN, key, value, sizeof(value)));
	}
	for (uint32_t i = 0; i < 5000; i++) {
		snprintf(key, sizeof(key), "small%u", i);
		assert_int_equal(store(A, KV_OWN, key, KV_SET, value, 100), 0);
	}
}

/* All keys in one bucket, as if somebody could aim: chains stay short. */
static void crowded(void **test)
{
	char key[32];

	(void)test;
	state->bucket_mask = 0;
	for (uint32_t i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "key%u", i);
		assert_int_equal(set(A, KV_OWN, key, key), 0);
		assert_true(has(A, KV_OWN, key, key, (uint32_t)strlen(key)));
		assert_null(world_check(state));
	}
	assert_int_equal(stats_of(A).items, CHAIN_MAX);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, small, whole)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(stores_and_gets), TEST(sizes),  TEST(modes),    TEST(counts), TEST(expiry),       TEST(flushes),
		TEST(stale),           TEST(spaces), TEST(refusals), TEST(evicts), TEST(large_values), TEST(crowded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
