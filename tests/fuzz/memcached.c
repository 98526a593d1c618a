// SPDX-License-Identifier: MIT
/*
 * What clients send to elisa-memcached: any bytes, in pieces. The cache is in the process, and must be whole; a session
 * never takes more than it was given, and goes on with all that it has when answers were sent; those that wait are few.
 */
#include <stdlib.h>

#include "../../tools/elisa-memcached/session.h"

struct server_stats server_stats;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct kv kv;
static struct kv_client client;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct session session = { .kv = &client };
	size_t given = 0, taken = 0, piece = size ? data[0] + 1u : 1;
	char *input;

	if (!kv.attachment && (kv_open(&kv, "kv", ELISA_BY_GATE, NULL) || kv_client_init(&client, &kv, KV_VALUE_MAX)))
		abort();
	while ((given < size || session.paused) && !session.quit) {
		size_t done, left;

		if (!session.paused)
			given = given + piece < size ? given + piece : size;
		left = given - taken;
		/* Of its own, so that a byte too far is seen. */
		input = malloc(left ? left : 1);
		if (!input)
			abort();
		memcpy(input, data + taken, left);
		done = session_run(&session, input, left);
		free(input);
		if (done > left || session.out.bytes > OUTPUT_PAUSE + KV_VALUE_MAX + LINE_MAX_BYTES)
			abort();
		if (session.paused && !session.out.bytes)
			abort();
		taken += done;
		session.out.bytes = 0; /* sent */
	}
	free(session.out.data);
	return 0;
}
