// SPDX-License-Identifier: MIT
/*
 * The switch's trusted code as part of an ordinary program: three clients call anything, with anything in their memory.
 * After each call what the switch keeps is right, and no client's memory was written where it has not posted.
 */
#include "../unit/vswitch/world.h"

#define FUZZ_CLIENTS 3u
#define OPERATIONS_MAX 200
#define GUARD 0x80000u /* never posted, unless the input does so: then nothing is said of it */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *data;
	size_t size;
};

static void require(bool holds)
{
	if (!holds)
		abort();
}

static uint8_t next_byte(struct input *input)
{
	if (!input->size)
		return 0;
	input->size--;
	return *input->data++;
}

static uint64_t next_bytes(struct input *input, unsigned int count)
{
	uint64_t value = 0;

	while (count--)
		value = value << 8 | next_byte(input);
	return value;
}

/* A place, mostly one of the client's own, often near an end. */
static uint64_t next_where(struct input *input, uint32_t n)
{
	uint8_t how = next_byte(input);
	uint64_t index = how & 8 ? next_byte(input) : clients[n].index;

	switch (how & 7) {
	case 0:
		return VSWITCH_WHERE(index, CLIENT_BYTES - next_byte(input));
	case 1:
		return next_bytes(input, 8) | 2 * GUARD; /* not there */
	case 2:
		return VSWITCH_WHERE(clients[(n + 1) % FUZZ_CLIENTS].index, next_bytes(input, 3) & ~63u);
	default:
		return VSWITCH_WHERE(index, (AT_IN(0) + next_bytes(input, 2)));
	}
}

static uint64_t next_address(struct input *input)
{
	uint8_t how = next_byte(input);

	if (how == 255)
		return VSWITCH_BROADCAST;
	if (how >= 128)
		return mac(how % FUZZ_CLIENTS);
	return next_bytes(input, how & 3) << 40 | (how & 0x7f);
}

static void change_config(struct input *input, uint32_t n)
{
	struct vswitch_config *config = client_config(n, 1 + next_byte(input) % 4, 1 + next_byte(input) % 4);
	uint32_t changes = next_byte(input) & 3;

	while (changes--)
		((uint8_t *)config)[next_bytes(input, 2) % sizeof(*config)] = next_byte(input);
}

static void change_ring(struct input *input, uint32_t n)
{
	struct vswitch_ring *ring = ring_of(n, next_byte(input) % CLIENT_QUEUES);
	struct vswitch_slot *slot = &ring->slots[next_byte(input) % RING_SIZE];

	switch (next_byte(input) & 7) {
	case 0:
		ring->posted = (uint32_t)next_bytes(input, 4);
		break;
	case 1:
		ring->filled = (uint32_t)next_bytes(input, 4);
		break;
	case 2:
		ring->waits = next_byte(input);
		break;
	default:
		slot->where = next_where(input, n);
		slot->bytes = (uint32_t)next_bytes(input, 2);
		slot->flags = (uint32_t)next_bytes(input, next_byte(input) & 4);
	}
}

static void change_slots(struct input *input, uint32_t n)
{
	uint32_t slot = next_byte(input) % 32, count = 1 + next_byte(input) % 8;

	for (; count; count--, slot++) {
		uint64_t to = next_address(input), from = next_address(input);
		uint32_t bytes = (uint32_t)next_bytes(input, 2) % 1600;

		packet_put(n, slot, to, from, bytes < 14 ? 14 : bytes, (uint8_t)n);
		tx_slots(n, 0)[slot].bytes = bytes;
		tx_slots(n, 0)[slot].flags = next_byte(input) & 1;
		if (next_byte(input) > 200)
			tx_slots(n, 0)[slot].where = next_where(input, n);
	}
}

static void call(struct input *input, uint32_t n)
{
	const struct elisa_info *info = &clients[n].info;
	uint8_t what = next_byte(input);
	uint64_t port = what & 128 ? next_byte(input) : (uint64_t)clients[n].port, argument = next_bytes(input, 2);

	switch (what % 8) {
	case 0:
		require(client_open(n) < 0 || port_number((uint64_t)clients[n].port) < state->ports_max);
		break;
	case 1:
		vswitch_close(info, port);
		break;
	case 2:
		vswitch_set(info, port, argument & 7,
			    next_byte(input) & 1 ? next_address(input) : next_bytes(input, 5));
		break;
	case 3:
		vswitch_counters(info, port, next_where(input, n));
		break;
	default:
		require(vswitch_send(info, port, argument >> 8 & 3, argument & 0x1f) <= (long)(argument & 0x1f));
	}
}

/* As the host does, and as time goes by. */
static void meanwhile(struct input *input, uint32_t n)
{
	switch (next_byte(input) & 7) {
	case 0:
		client_unshare(n);
		break;
	case 1:
		client_share(n);
		break;
	case 2:
		state->now += next_byte(input);
		vswitch_changed(state);
		break;
	case 3:
		table_clean(state);
		break;
	case 4:
		state->ports[next_byte(input) % 4].rx[0].lock.word = ELISA_LOCK_DEAD;
		break;
	case 5:
		state->ports[next_byte(input) % 4].wake.word = ELISA_LOCK_DEAD;
		break;
	default:
		client_post(n, next_byte(input) % CLIENT_QUEUES, next_byte(input) % RING_SIZE, PLACE_BYTES);
	}
}

/* What the switch keeps: no lock is left, ports and table are whole. */
static void check_state(void)
{
	require(!state->lock.word && !(state->open >> state->ports_max));
	require(state->magic == VSWITCH_MAGIC && world_routes_hold());
	for (uint32_t n = 0; n < VSWITCH_PORTS_MAX; n++) {
		const struct vswitch_port *port = &state->ports[n];
		bool open = state->open >> n & 1;

		require(!open || (port->owner == port->claimed && port->owner));
		require(!open || !(port->address & VSWITCH_GROUP));
		require(open || !port->claimed || n < state->ports_max);
		for (uint32_t other = 0; other < n && open; other++)
			require(!(state->open >> other & 1) || state->ports[other].address != port->address);
	}
	for (uint32_t bucket = 0; bucket < state->buckets; bucket++) {
		uint32_t each[VSWITCH_PORTS_MAX] = { 0 };

		for (uint32_t way = 0; way < VSWITCH_WAYS; way++) {
			uint64_t entry = state->table[bucket][way];

			if (!entry || entry & ENTRY_FIXED)
				continue;
			require(++each[entry_port(entry)] <= ENTRY_EACH);
			require(!(entry & VSWITCH_GROUP));
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };

	world_reset(4, 16);
	for (uint32_t n = 0; n < FUZZ_CLIENTS; n++)
		client_join(n, 1 + n);
	clients[1].info.value = VSWITCH_VALUE_PROMISCUOUS;
	for (unsigned int i = 0; i < OPERATIONS_MAX && input.size; i++) {
		uint8_t what = next_byte(&input);
		uint32_t n = what % FUZZ_CLIENTS;

		switch (what / FUZZ_CLIENTS % 8) {
		case 0:
			change_config(&input, n);
			break;
		case 1:
			change_ring(&input, n);
			break;
		case 2:
		case 3:
			change_slots(&input, n);
			break;
		case 4:
			meanwhile(&input, n);
			break;
		default:
			call(&input, n);
			check_state();
		}
	}
	for (uint32_t n = 0; n < FUZZ_CLIENTS; n++) {
		for (uint32_t i = 0; i < 0x1000; i++)
			require(!clients[n].memory[GUARD + i]);
	}
	return 0;
}
