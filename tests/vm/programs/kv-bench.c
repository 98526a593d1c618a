// SPDX-License-Identifier: MIT
/*
 * kv-bench NAME SCHEME BYTES READS LOOPS [KEYS [SPACE]]: what calls of the cache cost, with keys of 16 bytes and values
 * of BYTES. Regions of LOOPS calls each: "gets" (the key lies in the slot), "gets of keys" (it is copied there),
 * "sets", "mixed" (READS of 100 are gets, KEYS keys in turn), "null calls" of an ordinary function, to see what the
 * loop costs.
 */
#include <unistd.h>

#include "marker.h"
#include "program.h"

#include "../../../objects/kv/client.h"

static struct kv kv;
static struct kv_client client;
static char value[KV_VALUE_MAX], keys[4096][24];

__attribute__((noipa)) static long plain(const struct kv_client *unused)
{
	(void)unused;
	return 0;
}

static void open_cache(const char *name, const char *scheme)
{
	int direct = !strncmp(scheme, "direct=", 7);
	int error = kv_open(&kv, name,
			    direct                      ? ELISA_BY_DIRECT
			    : !strcmp(scheme, "vmcall") ? ELISA_BY_VMCALL
							: ELISA_BY_GATE,
			    direct ? scheme + 7 : NULL);

	if (error)
		die("%s: %s: %s", name, strerror(-error), elisa_reason());
	error = kv_client_init(&client, &kv, KV_VALUE_MAX);
	if (error)
		die("slot: %s: %s", strerror(-error), elisa_reason());
}

int main(int count, char **arguments)
{
	unsigned long bytes, reads, loops, number_of_keys, key = 0, part = 0;
	unsigned int space = KV_OWN;
	long wrong = 0;
	struct elisa_function get;
	uint64_t which, where;

	if (count < 6)
		die("kv-bench NAME gate|vmcall|direct=FILE BYTES READS LOOPS [KEYS [SPACE]]");
	bytes = number(arguments[3]);
	reads = number(arguments[4]);
	loops = number(arguments[5]);
	number_of_keys = count > 6 ? number(arguments[6]) : 1;
	if (bytes > sizeof(value) || number_of_keys > 4096)
		die("too many");
	open_cache(arguments[1], arguments[2]);
	if (count > 7)
		space = (unsigned int)kv_client_space(&client, arguments[7]);
	memset(value, 'v', sizeof(value));
	for (unsigned long i = 0; i < number_of_keys; i++) {
		snprintf(keys[i], sizeof(keys[i]), "bench:%05lu:%04u", i, (unsigned int)getpid() % 10000);
		expect("set", kv_client_store(&client, space, keys[i], 16, value, (uint32_t)bytes, 0, 0, KV_SET), 0);
		expect("get", kv_client_get(&client, space, keys[i], 16), (long)bytes);
	}
	which = kv_key(&client, space, keys[0], 16);
	where = KV_WHERE(client.buffer, 0);
	get = kv.function[KV_GET];
	marker_name(1, "gets");
	marker_name(2, "gets of keys");
	marker_name(3, "sets");
	marker_name(4, "mixed");
	marker_name(5, "null calls");

	marker_begin(1);
	for (unsigned long i = 0; i < loops; i++)
		wrong |= elisa_call3(&get, where, which, bytes) ^ (long)bytes;
	marker_end(1);
	marker_begin(2);
	for (unsigned long i = 0; i < loops; i++)
		wrong |= kv_client_get(&client, space, keys[0], 16) ^ (long)bytes;
	marker_end(2);
	client.slot->options = KV_SET;
	marker_begin(3);
	for (unsigned long i = 0; i < loops; i++)
		wrong |= kv_call(&client, KV_STORE, which, bytes);
	marker_end(3);
	marker_begin(4);
	for (unsigned long i = 0; i < loops; i++) {
		which = kv_key(&client, space, keys[key], 16);
		if (part < reads)
			wrong |= kv_call(&client, KV_GET, which, bytes) ^ (long)bytes;
		else
			wrong |= kv_call(&client, KV_STORE, which, bytes);
		part = part + 1 == 100 ? 0 : part + 1;
		key = key + 1 == number_of_keys ? 0 : key + 1;
	}
	marker_end(4);
	plain(&client);
	marker_begin(5);
	for (unsigned long i = 0; i < loops; i++)
		wrong |= plain(&client);
	marker_end(5);
	expect("all calls", wrong, 0);
	printf("%lu calls\n", loops);
	kv_close(&kv);
	return 0;
}
