// SPDX-License-Identifier: MIT
/*
 * kv-many NAME SPACE WHAT COUNT [FIRST]: "fill" stores COUNT items that say what they are, "check" finds them all,
 * "churn" stores and deletes others for ever; all from number FIRST on. "count" adds 1 to one of the items "number-0"
 * to "number-3", in turn, COUNT times, from when FIRST processes are there to do so; it says how many times it was
 * done, and may have been done: the call was ended.
 */
#include <stdbool.h>

#include "program.h"

#include "../../../objects/kv/client.h"

static struct kv kv;
static struct kv_client client;
static unsigned int space;

#define NUMBERS 4

/* What an item has: its name, over and over, as many bytes as its number says. */
static uint32_t item(unsigned long number, char key[32], char *value)
{
	uint32_t bytes = 8 + (uint32_t)(number * 2654435761u % 3000);
	int length = snprintf(key, 32, "item-%lu", number);

	for (uint32_t i = 0; i < bytes; i++)
		value[i] = key[i % (uint32_t)length];
	return bytes;
}

static long store(unsigned long number)
{
	static char value[4096];
	char key[32];
	uint32_t bytes = item(number, key, value);

	return kv_client_store(&client, space, key, strlen(key), value, bytes, 0, 0, KV_SET);
}

static void check(unsigned long number)
{
	static char value[4096];
	char key[32];
	uint32_t bytes = item(number, key, value);

	expect(key, kv_client_get(&client, space, key, strlen(key)), bytes);
	if (memcmp(client.slot->value, value, bytes) != 0)
		die("%s is not what was stored", key);
}

static void churn(unsigned long first, unsigned long count)
{
	char key[32];

	puts("churns");
	fflush(stdout);
	for (unsigned long i = 0;; i = (i + 1) % count) {
		snprintf(key, sizeof(key), "item-%lu", first + (i + count / 2) % count);
		store(first + i);
		kv_client_delete(&client, space, key, strlen(key));
	}
}

/* Whether there was none yet. */
static bool add(const char *key)
{
	long result;

	do
		result = kv_client_store(&client, space, key, strlen(key), "0", 1, 0, 0, KV_ADD);
	while (result == -ECANCELED);
	expect(key, result == -EEXIST ? 0 : result, 0);
	return !result;
}

static void count_up(unsigned long count, unsigned long processes)
{
	unsigned long done = 0, unknown = 0;
	unsigned int place = 0;
	char key[32];

	for (unsigned int i = 0; i < NUMBERS; i++) {
		snprintf(key, sizeof(key), "number-%u", i);
		add(key);
	}
	do
		snprintf(key, sizeof(key), "ready-%u", place++);
	while (!add(key));
	snprintf(key, sizeof(key), "ready-%lu", processes - 1);
	while (kv_client_get(&client, space, key, strlen(key)) < 0)
		;
	for (unsigned long i = 0; i < count; i++) {
		long result;

		snprintf(key, sizeof(key), "number-%u", (unsigned int)(i % NUMBERS));
		result = kv_client_count(&client, space, key, strlen(key), 1, 0);
		if (result == -ECANCELED)
			unknown++;
		else if (result)
			expect(key, result, 0);
		else
			done++;
	}
	printf("done %lu unknown %lu\n", done, unknown);
}

int main(int argc, char **arguments)
{
	unsigned long count, first;
	int error;

	if (argc < 5)
		die("kv-many NAME SPACE count|fill|check|churn COUNT [FIRST]");
	count = number(arguments[4]);
	first = argc > 5 ? number(arguments[5]) : 0;
	error = kv_open(&kv, arguments[1], ELISA_BY_GATE, NULL);
	if (!error)
		error = kv_client_init(&client, &kv, 4096);
	if (error)
		die("%s: %s: %s", arguments[1], strerror(-error), elisa_reason());
	if (kv_client_space(&client, arguments[2]) < 0)
		die("no name space %s", arguments[2]);
	space = (unsigned int)kv_client_space(&client, arguments[2]);
	if (!strcmp(arguments[3], "churn"))
		churn(first, count);
	if (!strcmp(arguments[3], "count")) {
		count_up(count, first);
		return 0;
	}
	for (unsigned long i = 0; i < count; i++) {
		if (!strcmp(arguments[3], "fill"))
			expect("store", store(first + i), 0);
		else
			check(first + i);
	}
	printf("%s %lu\n", arguments[3], count);
	return 0;
}
