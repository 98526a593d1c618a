/* SPDX-License-Identifier: MIT */
/*
 * The shared cache for C programs: a slot for each thread, and calls. All functions return what kv.h says, or what
 * elisa_call() does when a call was ended. ECANCELED and EINTR: nobody can tell whether it was done; where that can be
 * told, it is made again, or is done.
 */
#ifndef ELISA_KV_CLIENT_H
#define ELISA_KV_CLIENT_H

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include <elisa.h>

#include "kv.h"

#define KV_TRIES 8 /* of what is ended again and again */

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

/* Whether a call was ended that may well go through if it is made again. */
static inline int kv_ended(long result)
{
	return result == -ECANCELED || result == -EINTR;
}

/*
 * What became of a store whose call was ended. Its cas tells: larger ones come later. The new value's bytes: it was
 * done; -EAGAIN: it was not; else it may have been, and is not there any more, or nothing can be found out.
 */
static inline long kv_became(const struct kv_client *client, uint64_t which)
{
	struct kv_slot *slot = client->slot;
	uint32_t options = slot->options;
	uint64_t cas = slot->item_cas;
	long result = -EINTR;

	if (!cas)
		return -EAGAIN;
	slot->options = KV_NO_VALUE | KV_KEEP;
	for (int tries = 0; tries < KV_TRIES && kv_ended(result); tries++)
		result = kv_call(client, KV_FETCH, which, 0);
	slot->options = options;
	if (result >= 0 && slot->item_cas != cas)
		result = slot->item_cas < cas ? -EAGAIN : -ECANCELED;
	return result == -ENOENT ? -ECANCELED : result;
}

/* The rest of kv_call_key() for a call that was ended with RESULT. */
static __attribute__((noinline, unused)) long kv_call_again(const struct kv_client *client, enum kv_function function,
							    uint64_t which, uint64_t bytes, long result)
{
	for (int tries = 0; tries < KV_TRIES && kv_ended(result); tries++) {
		if (function == KV_STORE || function == KV_COUNT) {
			long became = kv_became(client, which);

			if (became != -EAGAIN)
				return became < 0 ? became : function == KV_COUNT ? became : 0;
			client->slot->item_cas = 0;
		}
		result = kv_call(client, function, which, bytes);
		/* Who finds nothing to delete may have deleted it. */
		if (function == KV_DELETE && result < 0)
			result = -ECANCELED;
	}
	return result;
}

/* A call for the key in the slot. */
static inline __attribute__((always_inline)) long kv_call_key(const struct kv_client *client, enum kv_function function,
							      uint64_t which, uint64_t bytes)
{
	long result;

	if (function == KV_STORE || function == KV_COUNT)
		client->slot->item_cas = 0;
	result = kv_call(client, function, which, bytes);
	return __builtin_expect(kv_ended(result), 0) ? kv_call_again(client, function, which, bytes, result) : result;
}

/* The value's bytes; the value is client->slot->value, if it has no more than client->room. */
static inline long kv_client_get(const struct kv_client *client, unsigned int space, const void *key, size_t key_bytes)
{
	return kv_call_key(client, KV_GET, kv_key(client, space, key, key_bytes), client->room);
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
	return kv_call_key(client, KV_STORE, kv_key(client, space, key, key_bytes), bytes);
}

static inline long kv_client_delete(const struct kv_client *client, unsigned int space, const void *key,
				    size_t key_bytes)
{
	client->slot->options = 0;
	return kv_call_key(client, KV_DELETE, kv_key(client, space, key, key_bytes), 0);
}

/* 0; the number is client->slot->item_number. OPTIONS: KV_DOWN, KV_CREATE with client->slot->initial set. */
static inline long kv_client_count(const struct kv_client *client, unsigned int space, const void *key,
				   size_t key_bytes, uint64_t by, uint32_t options)
{
	long result;

	client->slot->number = by;
	client->slot->options = options;
	result = kv_call_key(client, KV_COUNT, kv_key(client, space, key, key_bytes), 24);
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
