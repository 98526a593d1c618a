// SPDX-License-Identifier: MIT
#include <sys/mman.h>

#include "world.h"

struct client clients[CLIENTS_MAX];
struct elisa_exchange exchange[ELISA_EXCHANGES_MAX];
struct vswitch_state *state;
uint64_t notified[CLIENTS_MAX];
static uint64_t serials, state_bytes;

void elisa_notify(const struct elisa_info *info, uint32_t attachment)
{
	(void)info;
	assert(attachment - 1 < CLIENTS_MAX);
	__atomic_fetch_add(&notified[attachment - 1], 1, __ATOMIC_SEQ_CST);
}

static void *allocate(size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert(at != MAP_FAILED);
	return at;
}

void client_share(uint32_t n)
{
	struct client *client = &clients[n];

	exchange[client->index] = (struct elisa_exchange){
		.range = { (uintptr_t)client->memory, CLIENT_BYTES },
		.attachment = client->info.attachment,
		.serial = ++serials,
	};
}

void client_unshare(uint32_t n)
{
	exchange[clients[n].index] = (struct elisa_exchange){};
}

void world_reset(uint32_t ports, uint32_t buckets)
{
	if (state)
		munmap(state, state_bytes);
	state_bytes = vswitch_state_bytes(buckets);
	state = allocate(state_bytes);
	state->magic = VSWITCH_MAGIC;
	state->version = VSWITCH_VERSION;
	state->ports_max = ports;
	state->ports_each = ports;
	state->buckets = buckets;
	state->age_limit = 100;
	state->key = FLOW_FACTOR;
	state->route_key = 0xd6e8feb86659fd93;
	state->generation = 0xa0761d6478bd642f;
	state->address_seed = 0xe7037ed1a0b428db;
	memset(exchange, 0, sizeof(exchange));
	memset(notified, 0, sizeof(notified));
	for (uint32_t n = 0; n < CLIENTS_MAX; n++) {
		struct client *client = &clients[n];
		uint8_t *memory = client->memory ? client->memory : allocate(CLIENT_BYTES);

		madvise(memory, CLIENT_BYTES, MADV_DONTNEED);
		*client = (struct client){ .memory = memory, .index = n + 3, .port = -1 };
		client->info.attachment = n + 1;
		client->info.writable = 1;
		client->info.vm = n;
		client->info.memory = (struct elisa_range){ (uintptr_t)state, state_bytes };
		client->info.exchange = (struct elisa_range){ (uintptr_t)exchange, sizeof(exchange) };
		client_share(n);
	}
}

static uint64_t where_of(uint32_t n, uint32_t offset)
{
	return VSWITCH_WHERE(clients[n].index, offset);
}

struct vswitch_ring *ring_of(uint32_t n, uint32_t queue)
{
	return (struct vswitch_ring *)(void *)(clients[n].memory + AT_RX(queue));
}

struct vswitch_slot *tx_slots(uint32_t n, uint32_t queue)
{
	return (struct vswitch_slot *)(void *)(clients[n].memory + AT_TX(queue));
}

uint64_t mac(uint32_t n)
{
	return 2 | (uint64_t)(n + 1) << 40;
}

struct vswitch_config *client_config(uint32_t n, uint32_t rx_queues, uint32_t tx_queues)
{
	struct vswitch_config *config = (void *)(clients[n].memory + AT_CONFIG);

	*config = (struct vswitch_config){ .rx_queues = rx_queues, .tx_queues = tx_queues };
	address_store(config->mac, mac(n));
	for (uint32_t queue = 0; queue < CLIENT_QUEUES; queue++) {
		config->rx[queue].where = where_of(n, AT_RX(queue));
		config->rx[queue].size = RING_SIZE;
		config->tx[queue].where = where_of(n, AT_TX(queue));
		config->tx[queue].size = VSWITCH_BURST_MAX;
	}
	return config;
}

long client_open(uint32_t n)
{
	return clients[n].port = vswitch_open(&clients[n].info, where_of(n, AT_CONFIG));
}

void client_post(uint32_t n, uint32_t queue, uint32_t count, uint32_t room)
{
	struct client *client = &clients[n];
	struct vswitch_ring *ring = ring_of(n, queue);

	for (uint32_t i = 0; i < count; i++) {
		uint32_t slot = client->posted[queue]++ % RING_SIZE;

		ring->slots[slot] = (struct vswitch_slot){ where_of(n, AT_IN(queue) + slot * PLACE_BYTES), room, 0 };
	}
	__atomic_store_n(&ring->posted, client->posted[queue], __ATOMIC_RELEASE);
}

void world_post_anew(uint32_t n, uint32_t room)
{
	struct client *client = &clients[n];
	struct vswitch_ring *ring = ring_of(n, 0);

	client->posted[0] = client->taken[0] = ring->filled;
	client_post(n, 0, RING_SIZE, room);
}

void client_join(uint32_t n, uint32_t queues)
{
	client_config(n, queues, queues);
	assert_int_equal(client_open(n) >= 0, 1);
	for (uint32_t queue = 0; queue < queues; queue++)
		client_post(n, queue, RING_SIZE, PLACE_BYTES);
}

uint8_t *packet_put(uint32_t n, uint32_t slot, uint64_t to, uint64_t from, uint32_t bytes, uint8_t mark)
{
	uint32_t offset = AT_OUT + slot * PLACE_BYTES;
	uint8_t *at = clients[n].memory + offset;

	memset(at, mark, bytes);
	address_store(at, to);
	address_store(at + 6, from);
	tx_slots(n, 0)[slot] = (struct vswitch_slot){ where_of(n, offset), bytes, 0 };
	return at;
}

long client_send(uint32_t n, uint32_t count)
{
	return vswitch_send(&clients[n].info, (uint64_t)clients[n].port, 0, count);
}

long client_send_one(uint32_t n, uint64_t to, uint64_t from, uint32_t bytes, uint8_t mark)
{
	packet_put(n, 0, to, from, bytes, mark);
	return client_send(n, 1);
}

struct vswitch_slot *client_take(uint32_t n, uint32_t queue, uint8_t **at)
{
	struct client *client = &clients[n];
	struct vswitch_ring *ring = ring_of(n, queue);
	struct vswitch_slot *slot = &ring->slots[client->taken[queue] % RING_SIZE];

	if (client->taken[queue] == __atomic_load_n(&ring->filled, __ATOMIC_ACQUIRE))
		return NULL;
	client->taken[queue]++;
	if (at)
		*at = client->memory + (uint32_t)slot->where;
	return slot;
}

uint32_t client_pending(uint32_t n)
{
	uint32_t count = 0;

	for (uint32_t queue = 0; queue < CLIENT_QUEUES; queue++)
		count += ring_of(n, queue)->filled - clients[n].taken[queue];
	return count;
}

struct vswitch_counters counters_of(uint32_t n)
{
	struct client *client = &clients[n];
	struct vswitch_counters counters;

	assert_int_equal(vswitch_counters(&client->info, (uint64_t)client->port, where_of(n, AT_COUNTERS)), 0);
	memcpy(&counters, client->memory + AT_COUNTERS, sizeof(counters));
	return counters;
}

static bool is_queue(uint64_t offset)
{
	uint64_t in_port = (offset - offsetof(struct vswitch_state, ports)) % sizeof(struct vswitch_port);

	return offset >= offsetof(struct vswitch_state, ports) && offset < sizeof(struct vswitch_state) &&
	       in_port >= offsetof(struct vswitch_port, rx) && in_port < offsetof(struct vswitch_port, tx) &&
	       (in_port - offsetof(struct vswitch_port, rx)) % sizeof(struct vswitch_rx) == 0;
}

bool world_routes_hold(void)
{
	for (uint32_t n = 0; n < VSWITCH_PORTS_MAX; n++) {
		for (uint32_t i = 0; i < VSWITCH_QUEUES_MAX * VSWITCH_ROUTES && state->ports[n].owner; i++) {
			const struct vswitch_tx *tx = &state->ports[n].tx[i / VSWITCH_ROUTES];

			if (!is_queue(tx->routes[i % VSWITCH_ROUTES].word >> 32))
				return false;
		}
	}
	return true;
}
