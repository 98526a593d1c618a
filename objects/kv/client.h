/* SPDX-License-Identifier: MIT */
/*
 * The shared cache for C programs: a slot for each thread, and calls. All functions return what kv.h says, or what
 * elisa_call() does when a call was ended.
 */
#ifndef ELISA_KV_CLIENT_H
#define ELISA_KV_CLIENT_H

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include <elisa.h>

#include "kv.h"

enum kv_function { KV_GET, KV_FETCH, KV_STORE, KV_DELETE, KV_COUNT, KV_FLUSH, KV_SPACE, KV_STATS, KV_FUNCTIONS };

/* One attachment, for all threads of a process. */
struct kv {
	struct elisa_attachment *attachment;
	struct elisa_function function[KV_FUNCTIONS];
};

/* What one thread calls with. */
struct kv_client {
	const struct kv *kv;
	struct kv_slot *slot;
	uint32_t buffer, room; /* bytes that a value may have */
};

/* Attaches; PATH is that of the trusted code for ELISA_BY_DIRECT. */
static inline int kv_open(struct kv *kv, const char *name, enum elisa_scheme scheme, const char *path)
{
	static const char *const names[] = { "kv_get",   "kv_fetch", "kv_store", "kv_delete",
					     "kv_count", "kv_flush", "kv_space", "kv_stats" };
	int error = scheme == ELISA_BY_DIRECT ? elisa_attach_direct(&kv->attachment, name, path)
					      : elisa_attach(&kv->attachment, name, scheme);

	for (int i = 0; i < KV_FUNCTIONS && !error; i++) {
		error = elisa_function_find(kv->attachment, names[i], &kv->function[i]);
		if (error)
			elisa_detach(kv->attachment);
	}
	return error;
}

static inline void kv_close(struct kv *kv)
{
	elisa_detach(kv->attachment);
}

/* A slot for values of up to ROOM bytes, shared with the functions. Errors: ENOMEM, those of elisa_share(). */
static inline int kv_client_init(struct kv_client *client, const struct kv *kv, uint32_t room)
{
	size_t bytes = (sizeof(struct kv_slot) + room + 8 + 4095) & ~(size_t)4095;
	int error;

	client->kv = kv;
	client->room = (uint32_t)(bytes - sizeof(struct kv_slot)) & ~7u;
	if (client->room > KV_VALUE_MAX)
		client->room = KV_VALUE_MAX;
	client->slot = (struct kv_slot *)mmap(NULL, bytes, PROT_READ | PROT_WRITE,
					      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (client->slot == MAP_FAILED)
		return -ENOMEM;
	error = elisa_share(kv->attachment, client->slot, bytes, 0, &client->buffer);
	if (error)
		munmap(client->slot, bytes);
	return error;
}

/* Puts a key into the slot: what KV_WHICH says of it. The client sees to it that it is not too long. */
static inline uint64_t kv_key(const struct kv_client *client, unsigned int space, const void *key, size_t bytes)
{
	memcpy(client->slot->key, key, bytes);
	return KV_WHICH(space, bytes);
}

static inline __attribute__((always_inline)) long kv_call(const struct kv_client *client, enum kv_function function,
							  uint64_t which, uint64_t bytes)
{
	return elisa_call3(&client->kv->function[function], KV_WHERE(client->buffer, 0), which, bytes);
}

/* The value's bytes; the value is client->slot->value, if it has no more than client->room. */
static inline long kv_client_get(const struct kv_client *client, unsigned int space, const void *key, size_t key_bytes)
{
	return kv_call(client, KV_GET, kv_key(client, space, key, key_bytes), client->room);
}

static inline long kv_client_store(const struct kv_client *client, unsigned int space, const void *key,
				   size_t key_bytes, const void *value, uint32_t bytes, uint32_t flags, int64_t expiry,
				   enum kv_mode mode)
{
	struct kv_slot *slot = client->slot;

	if (bytes > client->room)
		return -EFBIG;
	if (value != slot->value)
		memcpy(slot->value, value, bytes);
	slot->flags = flags;
	slot->expiry = expiry;
	slot->options = mode;
	return kv_call(client, KV_STORE, kv_key(client, space, key, key_bytes), bytes);
}

static inline long kv_client_delete(const struct kv_client *client, unsigned int space, const void *key,
				    size_t key_bytes)
{
	client->slot->options = 0;
	return kv_call(client, KV_DELETE, kv_key(client, space, key, key_bytes), 0);
}

/* 0; the number is client->slot->item_number. OPTIONS: KV_DOWN, KV_CREATE with client->slot->initial set. */
static inline long kv_client_count(const struct kv_client *client, unsigned int space, const void *key,
				   size_t key_bytes, uint64_t by, uint32_t options)
{
	long result;

	client->slot->number = by;
	client->slot->options = options;
	result = kv_call(client, KV_COUNT, kv_key(client, space, key, key_bytes), 24);
	return result < 0 ? result : 0;
}

static inline long kv_client_flush(const struct kv_client *client, unsigned int space, uint32_t delay)
{
	return elisa_call2(&client->kv->function[KV_FLUSH], space, delay);
}

/* The number of a name space. */
static inline long kv_client_space(const struct kv_client *client, const char *name)
{
	if (!strcmp(name, "own"))
		return KV_OWN;
	strncpy((char *)client->slot->key, name, KV_SPACE_NAME);
	return elisa_call1(&client->kv->function[KV_SPACE], KV_WHERE(client->buffer, 0));
}

static inline long kv_client_stats(const struct kv_client *client, struct kv_stats *stats)
{
	long result = elisa_call1(&client->kv->function[KV_STATS], KV_WHERE(client->buffer, 0));

	if (!result)
		memcpy(stats, client->slot->value, sizeof(*stats));
	return result;
}

#endif
