// SPDX-License-Identifier: MIT
/*
 * kv-together NAME SPACE NUMBER VMS BYTES READS CALLS KEYS RUN: what a call costs VM NUMBER (from 0) while VMS of them
 * are at work, each on KEYS keys of its own in one name space: READS of 100 calls are gets, the others sets.
 *
 * All are at work from before the first one is counted until the last one was: each says in the cache, under the name
 * of this RUN, how far it is. Region "VM NUMBER" has CALLS calls. What is printed then: how many of them were done
 * again, as another VM had waited too long for the lock that they held.
 */
#include "marker.h"
#include "program.h"

#include "../../../objects/kv/client.h"

#define VMS_MAX 4
#define KEYS_MAX 4096
#define SOME 64 /* calls between two looks at how far the others are */

static struct kv kv;
static struct kv_client client;
static unsigned int space;
static char keys[KEYS_MAX][24];
static unsigned long key_count, key, reads, part, again;
static uint32_t bytes;

/* To store once more what is to be stored harms nobody. */
static void call(enum kv_function function, uint64_t which, long wanted)
{
	long result;

	while ((result = kv_call(&client, function, which, bytes)) == -ECANCELED)
		again++;
	if (__builtin_expect(result != wanted, 0))
		expect(keys[key], result, wanted);
}

static void work(unsigned long calls)
{
	for (unsigned long i = 0; i < calls; i++) {
		uint64_t which = kv_key(&client, space, keys[key], 16);

		if (part < reads)
			call(KV_GET, which, bytes);
		else
			call(KV_STORE, which, 0);
		part = part + 1 == 100 ? 0 : part + 1;
		key = key + 1 == key_count ? 0 : key + 1;
	}
}

/* Stores, whatever becomes of the first try. */
static void store(const char *text, uint32_t text_bytes)
{
	long result;

	do
		result = kv_client_store(&client, space, text, strlen(text), client.slot->value, text_bytes, 0, 0,
					 KV_SET);
	while (result == -ECANCELED);
	expect(text, result, 0);
}

/* This one is there; works until all are. */
static void meet(const char *where, unsigned long who, unsigned long vms)
{
	char name[96];
	unsigned long there;

	snprintf(name, sizeof(name), "%s:%lu", where, who);
	store(name, 8);
	do {
		work(SOME);
		there = 0;
		for (unsigned long i = 0; i < vms; i++) {
			snprintf(name, sizeof(name), "%s:%lu", where, i);
			there += kv_client_get(&client, space, name, strlen(name)) >= 0;
		}
	} while (there < vms);
}

#define COUNTED(n)                               \
	do {                                     \
		marker_name(16 + (n), "VM " #n); \
		marker_begin(16 + (n));          \
		work(calls);                     \
		marker_end(16 + (n));            \
	} while (0)

static void counted(unsigned long who, unsigned long calls)
{
	switch (who) {
	case 0:
		COUNTED(0);
		return;
	case 1:
		COUNTED(1);
		return;
	case 2:
		COUNTED(2);
		return;
	default:
		COUNTED(3);
	}
}

int main(int count, char **arguments)
{
	unsigned long who, vms, calls, before;
	char where[64];
	long found;
	int error;

	if (count < 10)
		die("kv-together NAME SPACE NUMBER VMS BYTES READS CALLS KEYS RUN");
	who = number(arguments[3]);
	vms = number(arguments[4]);
	bytes = (uint32_t)number(arguments[5]);
	reads = number(arguments[6]);
	calls = number(arguments[7]);
	key_count = number(arguments[8]);
	if (vms > VMS_MAX || who >= vms || !key_count || key_count > KEYS_MAX)
		die("too many");
	error = kv_open(&kv, arguments[1], ELISA_BY_GATE, NULL);
	if (!error)
		error = kv_client_init(&client, &kv, bytes);
	if (error)
		die("%s: %s: %s", arguments[1], strerror(-error), elisa_reason());
	found = kv_client_space(&client, arguments[2]);
	if (found < 0)
		die("no name space %s: %s", arguments[2], strerror((int)-found));
	space = (unsigned int)found;
	memset(client.slot->value, 'v', bytes);
	for (unsigned long i = 0; i < key_count; i++) {
		snprintf(keys[i], sizeof(keys[i]), "vm%u of %u: %06u", (unsigned int)who & 7, (unsigned int)vms & 7,
			 (unsigned int)i);
		store(keys[i], bytes);
	}
	snprintf(where, sizeof(where), "ready %.40s", arguments[9]);
	meet(where, who, vms);
	before = again;
	counted(who, calls);
	before = again - before;
	snprintf(where, sizeof(where), "done %.40s", arguments[9]);
	meet(where, who, vms);
	printf("again %lu\n", before);
	kv_close(&kv);
	return 0;
}
