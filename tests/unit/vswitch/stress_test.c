// SPDX-License-Identifier: MIT
/*
 * Clients that send to each other, each in a thread of its own, while two threads of a hostile one call everything with
 * anything, and write anything into its memory: rings, slots, what is sent and what is posted. What arrives with the
 * others is whole, in order and for them; what they sent each other is nowhere in the hostile one's memory.
 *
 *	stress [SECONDS [SEED]]
 */
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "world.h"

#define HONEST 3u
#define HOSTILE HONEST
#define MARK 0x6d61726b00000000ull /* and who sends, and to whom */
#define BURST 16
#define PAYLOAD 16        /* bytes of headers before it */
#define AT_GUARD 0xf0000u /* shared, and nowhere posted or sent */

static uint64_t seed;
static bool stop;
static uint64_t received[HONEST], lost[HONEST], calls[2];

static void wrong(const char *what, uint32_t client, uint64_t a, uint64_t b)
{
	fprintf(stderr, "client %u: %s: %#lx, not %#lx (seed %lu)\n", client, what, a, b, seed);
	_exit(1);
}

static uint64_t next(uint64_t *random)
{
	*random ^= *random << 13;
	*random ^= *random >> 7;
	*random ^= *random << 17;
	return *random;
}

static uint64_t mark(uint32_t from, uint32_t to)
{
	return MARK | from << 8 | to;
}

/* Mark and number all over it; their length depends on the number. */
static void put(uint32_t n, uint32_t slot, uint32_t to, uint64_t number)
{
	uint32_t bytes = 64 + number * 8 % 1400;
	uint8_t *at = packet_put(n, slot, mac(to), mac(n), bytes, 0);

	for (uint32_t i = PAYLOAD; i + 16 <= bytes; i += 16) {
		uint64_t words[2] = { mark(n, to), number };

		memcpy(at + i, words, 16);
	}
}

static void check(uint32_t n, const struct vswitch_slot *slot, const uint8_t *at, uint64_t *expected)
{
	uint64_t words[2], source = address_load(at + 6), number = 0;
	uint32_t from = 0;

	if (address_load(at) != mac(n) && address_load(at) != VSWITCH_BROADCAST)
		wrong("somebody else's packet", n, address_load(at), mac(n));
	while (from < HONEST && source != mac(from))
		from++;
	/* The hostile one's port is not bound: it sends from any address that is nobody's, or half of one. */
	if (from == HONEST)
		return;
	for (uint32_t i = PAYLOAD; i + 16 <= slot->bytes; i += 16) {
		memcpy(words, at + i, 16);
		if (words[0] != mark(from, n))
			wrong("mark", n, words[0], mark(from, n));
		if (i == PAYLOAD)
			number = words[1];
		if (words[1] != number)
			wrong("mixed", n, words[1], number);
	}
	if (slot->bytes != 64 + number * 8 % 1400)
		wrong("length", n, slot->bytes, 64 + number * 8 % 1400);
	if (number < expected[from])
		wrong("order", n, number, expected[from]);
	lost[n] += number - expected[from];
	expected[from] = number + 1;
	received[n]++;
}

static void *honest(void *argument)
{
	uint32_t n = (uint32_t)(uintptr_t)argument, to = n;
	uint64_t numbers[HONEST] = { 0 }, expected[HONEST] = { 0 };

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		struct vswitch_slot *slot;
		uint8_t *at;

		to = (to + 1) % HONEST;
		to = to == n ? (to + 1) % HONEST : to;
		for (uint32_t i = 0; i < BURST; i++)
			put(n, i, to, numbers[to]++);
		if (client_send(n, BURST) != BURST)
			wrong("sent", n, 0, BURST);
		while ((slot = client_take(n, 0, &at)) != NULL) {
			check(n, slot, at, expected);
			client_post(n, 0, 1, PLACE_BYTES);
		}
	}
	return NULL;
}

/* Anything, and often something that is nearly right. */
static uint64_t word(uint64_t *random)
{
	uint64_t value = next(random), index = value >> 60 < 12 ? clients[HOSTILE].index : value >> 8 & 0x1ff;

	switch (value & 7) {
	case 0:
		return value;
	case 1:
		return value >> 32 & 0xffff;
	case 2:
		return value >> 32 & 1;
	case 3:
		return VSWITCH_WHERE(index, CLIENT_BYTES - (value >> 32 & 0xfff));
	default:
		return VSWITCH_WHERE(index, (value >> 20) % CLIENT_BYTES);
	}
}

/* Its own memory: descriptors, rings, config, packets. But for a look at what has come in, all the time. */
static void *scribbles(void *argument)
{
	uint64_t random = seed * 2 + 1, *memory = (uint64_t *)(void *)clients[HOSTILE].memory;

	(void)argument;
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		uint64_t where = next(&random), value = word(&random);
		uint32_t at = where & 1   ? AT_TX(0) + (where >> 8) % 0x1000
			      : where & 2 ? AT_RX(0) + (where >> 8) % 0x2000
			      : where & 4 ? AT_OUT + (where >> 8) % 0x8000
					  : (where >> 8) % 0x800;

		if (where & 8) { /* addresses of a packet that may be on its way */
			at = AT_OUT + (where >> 8 & 7) * PLACE_BYTES;
			value = mac(where >> 12 & 1) | 2ull << 48;
		} else if (where >> 56 == 0)
			value = mark((uint32_t)(where >> 8) % HONEST, HOSTILE);
		__atomic_store_n(&memory[at / 8], value, __ATOMIC_RELAXED);
		calls[0]++;
	}
	return NULL;
}

/*
 * What the hostile one's threads do to each other in its memory is no race of the switch's: it is not recorded.
 * (Filtering the reports is not enough: a report whose other half is long past has no stack to go by.)
 */
#ifdef __SANITIZE_THREAD__
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);
#else
#define AnnotateIgnoreReadsBegin(file, line)
#define AnnotateIgnoreReadsEnd(file, line)
#define AnnotateIgnoreWritesBegin(file, line)
#define AnnotateIgnoreWritesEnd(file, line)
#endif

/* Its own memory as an honest one would write it. */
static void writes_properly(uint64_t what)
{
	AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
	AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
	switch (what & 31) {
	case 2:
		client_config(HOSTILE, 2, 2);
		break;
	case 5:
		client_post(HOSTILE, 0, RING_SIZE, PLACE_BYTES);
		break;
	case 6:
		packet_put(HOSTILE, what >> 32 & 7, mac(what >> 40 & 3), mac(HOSTILE), 64 + (what >> 48 & 0x3ff), 9);
		break;
	}
	AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
	AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
}

static void *calls_anything(void *argument)
{
	const struct elisa_info *info = &clients[HOSTILE].info;
	uint64_t random = seed * 3 + 7;

	(void)argument;
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		uint64_t what = next(&random), port = what >> 40 & 3 ? (uint64_t)clients[HOSTILE].port : word(&random);

		calls[1]++;
		writes_properly(what);
		switch (what & 31) {
		case 0:
			vswitch_close(info, port);
			break;
		case 1:
			vswitch_open(info, VSWITCH_WHERE(clients[HOSTILE].index, what >> 32 & 0x7f8));
			break;
		case 2:
			client_open(HOSTILE);
			break;
		case 3:
			vswitch_set(info, port, next(&random) % 5, word(&random));
			break;
		case 4:
			vswitch_counters(info, port, word(&random));
			break;
		case 5:
		case 6:
			break;
		default:
			vswitch_send(info, port, what >> 32 & 1, what >> 33 & 0x1ff);
		}
	}
	return NULL;
}

static void check_memory(void)
{
	for (uint32_t n = 0; n < HONEST; n++) {
		for (uint32_t i = 0; i < 0x10000; i++) {
			if (clients[n].memory[AT_GUARD + i] != 0xc3)
				wrong("not its own place", n, clients[n].memory[AT_GUARD + i], 0xc3);
		}
	}
	for (uint32_t i = 0; i + 8 <= CLIENT_BYTES; i++) {
		uint64_t found;

		memcpy(&found, clients[HOSTILE].memory + i, 8);
		if ((found & ~0xffffull) == MARK && (found & 0xff) != HOSTILE)
			wrong("others' packets", HOSTILE, found, 0);
	}
}

/* What was lost was so because a ring was full, and nothing was dropped otherwise. */
static void check_counters(uint32_t n)
{
	struct vswitch_counters counters = counters_of(n);

	for (unsigned int why = 0; why < VSWITCH_DROPS; why++) {
		if (counters.tx_drops[why])
			wrong("dropped on the way in", n, why, 0);
		/* The hostile one's packets can be too long. */
		if (why != VSWITCH_DROP_FULL && why != VSWITCH_DROP_SIZE && counters.rx_drops[why])
			wrong("dropped on the way out", n, why, 0);
	}
	if (lost[n] > counters.rx_drops[VSWITCH_DROP_FULL])
		wrong("lost", n, lost[n], counters.rx_drops[VSWITCH_DROP_FULL]);
}

int main(int count, char **arguments)
{
	pthread_t threads[HONEST + 2];

	seed = count > 2 ? strtoull(arguments[2], NULL, 0) : (uint64_t)time(NULL);
	printf("seed %lu\n", seed);
	world_reset(8, 64);
	for (uint32_t n = 0; n <= HOSTILE; n++) {
		clients[n].info.value = n < HOSTILE ? VSWITCH_VALUE_BIND : 0;
		client_join(n, n < HOSTILE ? 1 : 2);
		memset(clients[n].memory + AT_GUARD, 0xc3, 0x10000);
	}
	for (uintptr_t n = 0; n < HONEST; n++)
		pthread_create(&threads[n], NULL, honest, (void *)n);
	pthread_create(&threads[HONEST], NULL, scribbles, NULL);
	pthread_create(&threads[HONEST + 1], NULL, calls_anything, NULL);
	sleep(count > 1 ? (unsigned int)atoi(arguments[1]) : 3);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (uint32_t i = 0; i < HONEST + 2; i++)
		pthread_join(threads[i], NULL);
	check_memory();
	for (uint32_t n = 0; n < HONEST; n++) {
		printf("client %u: %lu received and right, %lu lost\n", n, received[n], lost[n]);
		if (received[n] < 1000)
			wrong("too few", n, received[n], 1000);
		check_counters(n);
	}
	printf("%lu words written by the hostile one, and %lu calls\n", calls[0], calls[1]);
	return 0;
}
