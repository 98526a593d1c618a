/* SPDX-License-Identifier: MIT */
/* Reading without a lock: kv_get(). */
#ifndef ELISA_KV_GET_H
#define ELISA_KV_GET_H

#include "fetch.h"

/* Without memory, a call inside ends by itself; the host's kernel must not. */
#if defined(__KERNEL__) || defined(ELISA_TEST)
#define MEMORY_IS_THERE(info, state) ((info)->memory.bytes >= sizeof(*(state)))
#else
#define MEMORY_IS_THERE(info, state) 1
#endif

#define RETRIES 64 /* of a read that meets stores; then it takes the lock */

enum { GET_AGAIN = -1000, GET_SLOWLY };

/*
 * A value that may go on in more blocks. What is read of it goes on to the client by four words at a time, each time
 * after it is known that the item was still there when they were read.
 */
static APART int value_copy_if(uint8_t *to, const struct kv_state *state, uint32_t block, uint32_t skip, uint64_t bytes,
			       const uint64_t *bucket, uint64_t word)
{
	uint64_t left = round_up(bytes);
	struct stream from;

	stream_begin(&from, state, block);
	stream_skip(&from, skip);
	while (left) {
		uint64_t some = left;
		const uint8_t *at = stream_take(&from, &some);

		if (!copy_if(to, at, (int64_t)some, bucket, word))
			return 0;
		to += some;
		left -= some;
	}
	return 1;
}

/* What was found, to the client. Bytes of its value; GET_AGAIN: it is not there any more. */
static inline __attribute__((always_inline)) long get_found(const struct elisa_info *info, const struct kv_state *state,
							    struct kv_slot *slot, uint64_t room, const uint64_t *bucket,
							    uint64_t word, const struct kv_item *item, uint64_t index,
							    uint64_t words)
{
	uint32_t bytes = item->bytes & KV_BYTES_MASK, flags, expiry = item->expiry, used, *used_word;
	uint64_t cas;

	asm("" : "+r"(bytes)); /* once, and not as it was before the mask as well */
	if (__builtin_expect(expiry && expiry <= KV_READ(state->seconds), 0))
		return KV_READ(*bucket) != word ? GET_AGAIN : -ENOENT;
	if (__builtin_expect(words * 8 < KV_ITEM_DATA && bytes - 1 < KV_ITEM_DATA - words * 8 && bytes <= room, 1)) {
		if (!copy_if(slot->value, item->data + words * 8, bytes, bucket, word))
			return GET_AGAIN;
	} else if (bytes && bytes <= room &&
		   !value_copy_if(slot->value, state, (uint32_t)index, (uint32_t)words * 8, bytes, bucket, word)) {
		return GET_AGAIN;
	}
	cas = item->cas;
	flags = item->flags;
	KV_BARRIER();
	if (__builtin_expect(*bucket != word, 0))
		return GET_AGAIN;
	KV_BARRIER();
	slot->item_cas = cas;
	*(volatile uint32_t *)&slot->item_flags = flags;
	slot->item_bytes = bytes;
	used = KV_READ(state->seconds) << KV_USED_SHIFT | KV_USED_RECENT | KV_USED_FETCHED;
	used_word = (uint32_t *)((uint8_t *)state + state->used_at) + index;
	if (__builtin_expect(*used_word != used, 0) && info->writable)
		KV_WRITE(*used_word, used);
	return bytes;
}

static inline long get_once(struct kv_call *call, uint64_t room)
{
	uint64_t word = KV_READ(*call->bucket);
	const struct kv_state *state = call->state;
	uint32_t block = (uint32_t)word, hops = CHAIN_MAX + 2;
	const struct kv_item *item;
	uint64_t index;

	for (;; block = KV_READ(item->chain)) {
		if (!block || !hops--)
			return KV_READ(*call->bucket) != word ? GET_AGAIN : -ENOENT;
		index = block_index(state, block);
		item = item_of(state, index);
		if (KV_READ(item->id) == call->key.id && key_same(state, item, &call->key))
			break;
	}
	return get_found(call->info, state, call->slot, room, call->bucket, word, item, index, call->key.words);
}

static inline long get_count(const struct kv_call *call, long result)
{
	if (!call->info->writable)
		return result;
	if (result >= 0)
		STAT(call, get_hits);
	else
		STAT(call, get_misses);
	return result;
}

/* Any: with a long key, or one that writers do not let come through. */
static APART long get_any(const struct elisa_info *info, uint64_t where, uint64_t which, uint64_t room)
{
	struct kv_call call;
	long result = call_begin(&call, info, where, which, room, 0);

	if (result)
		return result;
	result = get_once(&call, room);
	if (result == GET_AGAIN && info->writable)
		STAT(&call, retried);
	for (uint32_t i = 0; i < RETRIES && result == GET_AGAIN; i++) {
		__builtin_ia32_pause();
		result = get_once(&call, room);
	}
	if (result == GET_AGAIN)
		result = info->writable ? fetch(&call, room, 0) : -EAGAIN;
	return get_count(&call, result);
}

/* What kv_get has found out by then; a key of so many words stays in registers. */
struct get {
	const struct elisa_info *info;
	struct kv_state *state;
	struct kv_row *row;
	struct kv_slot *slot;
	uint64_t space, bytes, room;
};

/* No item has 0 as what it is known by; block 0 is all zeros. */
static inline __attribute__((always_inline)) int item_is(const struct kv_item *item, uint64_t id, const uint32_t words,
							 uint64_t k0, uint64_t k1, uint64_t k2, uint64_t k3)
{
	const kv_word *key = (const kv_word *)item->data;

	return item->id == id && key[0] == k0 && (words < 2 || key[1] == k1) && (words < 3 || key[2] == k2) &&
	       (words < 4 || key[3] == k3);
}

static inline __attribute__((always_inline)) long get_short(const struct get *get, const uint32_t words)
{
	const struct kv_state *state = get->state;
	const uint8_t *from = get->slot->key;
	uint64_t secret = state->secret[0], space_bytes = get->space << 8 | get->bytes, id, word, epoch, *bucket;
	uint64_t hash = state->secret[1] ^ space_bytes, k0 = word_load(from), k1 = 0, k2 = 0, k3 = 0;
	const struct kv_item *item;
	uint32_t block;
	uint64_t index;
	long result;

	if (words > 1)
		k1 = word_load(from + 8);
	if (words > 2)
		k2 = word_load(from + 16);
	if (words > 3)
		k3 = word_load(from + 24);
	*(words == 1 ? &k0 : words == 2 ? &k1 : words == 3 ? &k2 : &k3) &= ~0ull >> (-(get->bytes * 8) & 63);
	hash = hash_add(hash, secret, k0, k1);
	if (words > 2)
		hash = hash_add(hash, secret, k2, k3);
	epoch = KV_READ(state->spaces[get->space]);
	if (__builtin_expect((uint32_t)epoch != 0, 0))
		return GET_SLOWLY;
	id = id_of(hash, space_bytes) ^ epoch >> 32;
	bucket = bucket_of(state, hash);
	word = KV_READ(*bucket);
	/* The first one is the bucket's word, and right; others may be read from what is an item no more. */
	index = block = (uint32_t)word;
	item = item_of(state, index);
	if (__builtin_expect(!item_is(item, id, words, k0, k1, k2, k3), 0)) {
		uint32_t hops = CHAIN_MAX + 2;

		do {
			if (block)
				block = KV_READ(item->chain);
			if (!block) {
				if (KV_READ(*bucket) != word)
					return GET_AGAIN;
				if (get->info->writable)
					STAT(get, get_misses);
				return -ENOENT;
			}
			if (!hops--)
				return GET_AGAIN;
			index = block_index(state, block);
			item = item_of(state, index);
		} while (!item_is(item, id, words, k0, k1, k2, k3));
	}
	result = get_found(get->info, state, get->slot, get->room, bucket, word, item, index, words);
	if (__builtin_expect(result >= 0, 1)) {
		if (__builtin_expect(get->info->writable != 0, 1))
			STAT(get, get_hits);
		return result;
	}
	return GET_AGAIN;
}

/* The common case, with the fewest steps; all others, and what is wrong, are for get_any(). */
ELISA_ENTRY(kv_get, uint64_t where, uint64_t which, uint64_t room)
{
	uint64_t space = which >> 8 & (KV_SPACES - 1), offset = (uint32_t)where, end, size, words;
	const struct elisa_range *range = &info->buffers[where >> 32 & (ELISA_BUFFERS_MAX - 1)];
	struct kv_state *state = (struct kv_state *)info->memory.address;
	long result = GET_SLOWLY;
	struct kv_row *row;
	struct get get;

	if (!MEMORY_IS_THERE(info, state) || state->version != KV_VERSION)
		return get_any(info, where, which, room);
	room = (uint32_t)room;
	end = offset + sizeof(struct kv_slot) + 7 + room; /* if it is not there, get_any() looks closely */
	/* In this order: a size other than 0 comes with its address. The value is the manager's word, and no client's.
	 */
	row = &state->rows[info->value];
	size = KV_READ(range->bytes);
	if (end > size || !(row->read >> space & 1))
		return get_any(info, where, which, room);
	get.info = info;
	get.state = state;
	get.row = row;
	get.slot = (struct kv_slot *)(KV_READ(range->address) + (offset & elisa_index_mask(end, size + 1)));
	get.space = space ? space : KV_SPACES + info->value;
	get.bytes = which & 0xff;
	get.room = room;
	words = (get.bytes + 7) / 8;
	if (words == 2)
		result = get_short(&get, 2);
	else if (words == 3)
		result = get_short(&get, 3);
	else if (words == 4)
		result = get_short(&get, 4);
	else if (words == 1)
		result = get_short(&get, 1);
	if (__builtin_expect(result > GET_SLOWLY, 1))
		return result;
	if (result == GET_AGAIN && info->writable)
		STAT(&get, retried);
	return get_any(info, where, which, room);
}

#endif
