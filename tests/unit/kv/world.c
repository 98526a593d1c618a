// SPDX-License-Identifier: MIT
#include <sys/mman.h>

#include "world.h"

struct client clients[CLIENTS];
struct kv_state *state;
static uint64_t state_bytes;

static void *allocate(size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		abort();
	return at;
}

void world_reset(uint64_t bytes, uint32_t page_shift)
{
	static const uint64_t secret[2] = { 0x9e3779b97f4a7c15, 0xc2b2ae3d27d4eb4f };

	if (state)
		munmap(state, state_bytes);
	state = allocate(state_bytes = bytes);
	if (kv_state_init(state, bytes, page_shift, secret))
		abort();
	state->unix_base = 1700000000;
	strcpy(state->names[SHARED], "shared");
	for (uint32_t n = 0; n < CLIENTS; n++) {
		struct client *client = &clients[n];
		struct kv_slot *slot = client->slot ? client->slot : allocate(sizeof(*slot) + KV_VALUE_MAX + 8);

		*client = (struct client){ .slot = slot };
		client->info.value = KV_VALUE(n + 1);
		client->info.attachment = n + 1;
		client->info.writable = 1;
		client->info.memory = (struct elisa_range){ (uintptr_t)state, bytes };
		client->info.buffers[BUFFER] =
			(struct elisa_range){ (uintptr_t)slot, sizeof(*slot) + KV_VALUE_MAX + 8 };
		state->rows[n + 1].read = 1 << KV_OWN | 1 << SHARED;
		state->rows[n + 1].write = 1 << KV_OWN | (n < CLIENTS - 1) << SHARED;
	}
}

struct kv_slot *slot_of(uint32_t n, const char *key)
{
	struct kv_slot *slot = clients[n].slot;

	memset(slot, 0, sizeof(*slot));
	memcpy(slot->key, key, strlen(key));
	return slot;
}

uint64_t which(uint32_t space, const char *key)
{
	return KV_WHICH(space, strlen(key));
}

long get(uint32_t n, uint32_t space, const char *key)
{
	slot_of(n, key);
	return kv_get(&clients[n].info, KV_WHERE(BUFFER, 0), which(space, key), KV_VALUE_MAX);
}

long store(uint32_t n, uint32_t space, const char *key, uint32_t options, const void *value, uint32_t bytes)
{
	struct kv_slot *slot = slot_of(n, key);

	slot->options = options;
	memcpy(slot->value, value, bytes);
	return kv_store(&clients[n].info, KV_WHERE(BUFFER, 0), which(space, key), bytes);
}

long set(uint32_t n, uint32_t space, const char *key, const char *value)
{
	return store(n, space, key, KV_SET, value, (uint32_t)strlen(value));
}

long erase(uint32_t n, uint32_t space, const char *key)
{
	slot_of(n, key);
	return kv_delete(&clients[n].info, KV_WHERE(BUFFER, 0), which(space, key));
}

long count_up(uint32_t n, uint32_t space, const char *key, uint64_t by)
{
	slot_of(n, key)->number = by;
	return kv_count(&clients[n].info, KV_WHERE(BUFFER, 0), which(space, key), KV_VALUE_MAX);
}

bool has(uint32_t n, uint32_t space, const char *key, const void *value, uint32_t bytes)
{
	return get(n, space, key) == (long)bytes && !memcmp(clients[n].slot->value, value, bytes);
}

struct kv_stats stats_of(uint32_t n)
{
	struct kv_stats stats;

	if (kv_stats(&clients[n].info, KV_WHERE(BUFFER, 0)))
		abort();
	memcpy(&stats, clients[n].slot->value, sizeof(stats));
	return stats;
}

/* Counts a chain of blocks of a stripe; each must be its own, and met for the first time. */
static const char *take(const struct kv_state *of, uint8_t *seen, uint32_t stripe, uint32_t block, uint64_t *count)
{
	for (; block; block = block_at(of, block)->next) {
		if (block >= of->blocks)
			return "a block that there is not";
		if (*owner_of(of, block >> of->page_shift) != stripe + 1)
			return "a block of another's page";
		if (seen[block]++)
			return "a block in two places";
		++*count;
	}
	return NULL;
}

static const char *check_stripe(const struct kv_state *of, uint8_t *seen, uint32_t number)
{
	const struct kv_stripe *stripe = stripe_at(of, number);
	uint64_t items = 0, bytes = 0, blocks = 0, free_blocks = 0, pages = 0, has_first = 0;
	const char *wrong;

	if (stripe->lock.word)
		return "a lock that is held";
	for (uint32_t i = 0; i < 1u << of->bucket_shift; i++) {
		uint32_t first = (uint32_t)first_bucket(of, stripe)[i], length = 0;

		for (uint32_t block = first; block; block = item_at(of, block)->chain) {
			wrong = take(of, seen, number, block, &blocks);
			if (wrong)
				return wrong;
			if (item_hidden(of, first, block))
				return "two items of one key";
			if (++length > CHAIN_MAX + 1)
				return "a chain that is too long";
			items++;
			bytes += item_bytes(item_at(of, block));
		}
	}
	wrong = take(of, seen, number, stripe->free, &free_blocks);
	if (wrong)
		return wrong;
	for (uint32_t page = 0; page < of->pages; page++) {
		pages += *owner_of(of, page) == number + 1;
		has_first |= !page && *owner_of(of, page) == number + 1;
		if (*owner_of(of, page) == number + 1 && page - first_page(of, number) >= of->group_pages)
			return "a page of another group's";
	}
	if (pages != stripe->pages || free_blocks != stripe->free_count || items != stripe->items ||
	    bytes != stripe->bytes)
		return "a count that is wrong";
	if (blocks + free_blocks + has_first != pages << of->page_shift)
		return "a block that is lost";
	return NULL;
}

const char *world_check(const struct kv_state *of)
{
	uint8_t *seen = calloc(1, of->blocks);
	const char *wrong = NULL;

	for (uint32_t number = 0; number < of->stripes && !wrong; number++)
		wrong = check_stripe(of, seen, number);
	free(seen);
	return wrong;
}
