/* SPDX-License-Identifier: MIT */
/*
 * Keys, and the chains of items that buckets begin.
 *
 * An item in a chain is whole and stays as it is; a new one comes before the old one, by one store of the bucket's
 * word, and hides it. The word counts changes: whoever has read a chain, or an item in it, and then finds the word
 * unchanged, has read what was there; a block is used again only after the word has changed. So a read takes no lock,
 * waits for nobody, and a writer that stops for good, wherever, is in nobody's way. What a reader has read before it
 * looks at the word again may be anything, also another's: it goes no further than our own stack until then.
 *
 * x86 keeps the order of loads, and that of stores; KV_READ and KV_WRITE keep the compiler's.
 */
#ifndef ELISA_KV_TABLE_H
#define ELISA_KV_TABLE_H

#include "memory.h"

#define CHAIN_MAX 32 /* items of a bucket; the last one makes room for one more */

struct kv_key {
	uint64_t hash, id;
	uint32_t words;
	uint64_t word[KV_KEY_MAX / 8 + 2];
};

/* What a call works with, after its arguments were checked. */
struct kv_call {
	const struct elisa_info *info;
	struct kv_state *state;
	struct kv_row *row;
	struct kv_slot *slot;
	uint64_t *bucket;
	struct kv_stripe *stripe;
	uint32_t now;
	uint32_t epoch;
	struct kv_key key;
};

/* The product's halves, added without carry: each bit of either factor reaches all of it. */
static inline uint64_t mix(uint64_t a, uint64_t b)
{
	asm("mulq %1" : "+a"(a), "+d"(b) : : "cc");
	return a ^ b;
}

/* Two words more of a key; of the last one, if their number is odd, none. */
static inline uint64_t hash_add(uint64_t hash, uint64_t secret, uint64_t a, uint64_t b)
{
	return mix(a ^ secret, b ^ hash);
}

static inline uint64_t last_word(uint64_t word, uint32_t bytes)
{
	return word & ~0ull >> (-bytes & 7) * 8;
}

/*
 * What an item is known by: half of its key's hash, name space, bytes; and with the hash, by exclusive or, the epoch of
 * its name space, so that after a flush none of before is found. It is the same for one key: nothing else is like it.
 */
static inline uint64_t id_of(uint64_t hash, uint64_t space_bytes)
{
	return space_bytes << 32 | hash >> 32;
}

/* Takes the key out of the client's hands: 1 to KV_KEY_MAX bytes, of which whole words can be read. */
static inline void key_load(struct kv_key *key, const struct kv_state *state, const uint8_t *from, uint32_t space,
			    uint32_t bytes)
{
	uint64_t space_bytes = (uint64_t)space << 8 | bytes, hash = state->secret[1] ^ space_bytes;
	uint32_t words = (bytes + 7) / 8;

	for (uint32_t i = 0; i < words - 1; i++)
		key->word[i] = word_load(from + 8 * i);
	key->word[words - 1] = last_word(word_load(from + 8 * (words - 1)), bytes);
	key->word[words] = 0;
	for (uint32_t i = 0; i < words; i += 2)
		hash = hash_add(hash, state->secret[0], key->word[i], key->word[i + 1]);
	key->hash = hash;
	key->id = id_of(hash, space_bytes);
	key->words = words;
}

static inline uint64_t *bucket_of(const struct kv_state *state, uint64_t hash)
{
	return (uint64_t *)kv_at(state, state->buckets_at) + (hash & state->bucket_mask);
}

static inline struct kv_stripe *stripe_at(const struct kv_state *state, uint32_t number)
{
	return (struct kv_stripe *)kv_at(state, state->stripes_at) + (number & (state->stripes - 1));
}

static inline struct kv_stripe *stripe_of(const struct kv_state *state, uint64_t hash)
{
	return stripe_at(state, (uint32_t)((hash & state->bucket_mask) >> state->bucket_shift));
}

/* What was no block's number becomes 0, which is a block with nothing in it. */
static inline uint64_t block_index(const struct kv_state *state, uint32_t block)
{
	return block & elisa_index_mask(block, state->blocks);
}

static inline struct kv_item *item_of(const struct kv_state *state, uint64_t index)
{
	return (struct kv_item *)((uint8_t *)state + state->blocks_at + index * KV_BLOCK);
}

static inline struct kv_item *item_at(const struct kv_state *state, uint32_t block)
{
	return item_of(state, block_index(state, block));
}

static inline struct kv_block *block_at(const struct kv_state *state, uint32_t block)
{
	return (struct kv_block *)item_at(state, block);
}

static inline uint32_t *used_at(const struct kv_state *state, uint32_t block)
{
	return (uint32_t *)kv_at(state, state->used_at) + (block & elisa_index_mask(block, state->blocks));
}

/* A key that goes on in more blocks. */
static APART int key_same_rest(const struct kv_state *state, const struct kv_item *item, const struct kv_key *key)
{
	const struct kv_block *block = (const struct kv_block *)item;

	for (uint32_t word = KV_ITEM_DATA / 8; word < key->words;) {
		block = block_at(state, KV_READ(block->next));
		for (uint32_t i = 0; i < KV_BLOCK_DATA / 8 && word < key->words; i++, word++) {
			if (word_load(block->data + 8 * i) != key->word[word])
				return 0;
		}
	}
	return 1;
}

static inline int key_same(const struct kv_state *state, const struct kv_item *item, const struct kv_key *key)
{
	uint32_t words = key->words, some = words < KV_ITEM_DATA / 8 ? words : KV_ITEM_DATA / 8;

	for (uint32_t i = 0; i < some; i++) {
		if (word_load(item->data + 8 * i) != key->word[i])
			return 0;
	}
	return __builtin_expect(some == words, 1) || key_same_rest(state, item, key);
}

/* Is it gone, though it is still there? */
static inline int item_dead(const struct kv_item *item, uint32_t epoch, uint32_t now)
{
	uint32_t expiry = KV_READ(item->expiry);

	return item->epoch != epoch || (expiry && expiry <= now);
}

/* The epoch of a name space, after a flush that was to come has come. One word, so that nobody sees half of it. */
static inline uint32_t space_epoch(uint64_t *space, uint32_t now, int writable)
{
	uint64_t word = KV_READ(*space);

	while (__builtin_expect((uint32_t)word != 0, 0) && (uint32_t)word <= now) {
		uint64_t next = ((word >> 32) + 1) << 32;

		if (!writable || __atomic_compare_exchange_n(space, &word, next, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			return (uint32_t)(next >> 32);
	}
	return (uint32_t)(word >> 32);
}

/* --- with the stripe's lock held */

/* An item and what leads to it. */
struct place {
	uint32_t block;    /* 0: there is none */
	uint32_t previous; /* of its bucket; 0: it is the first */
	uint32_t length;   /* of the chain, as far as was looked */
};

static inline struct place chain_find(const struct kv_call *call)
{
	struct place place = { (uint32_t)*call->bucket, 0, 0 };

	while (place.block) {
		const struct kv_item *item = item_at(call->state, place.block);

		if (item->id == call->key.id && key_same(call->state, item, &call->key))
			break;
		place.previous = place.block;
		place.block = item->chain;
		place.length++;
	}
	return place;
}

static inline void bucket_set(uint64_t *bucket, uint32_t first)
{
	KV_WRITE(*bucket, ((*bucket >> 32) + 1) << 32 | first);
}

/* Afterwards no reader that begins finds it, and none that has found it believes it. */
static inline void chain_remove(const struct kv_state *state, uint64_t *bucket, uint32_t previous, uint32_t block)
{
	uint32_t next = item_at(state, block)->chain;

	if (previous) {
		KV_WRITE(item_at(state, previous)->chain, next);
		next = (uint32_t)*bucket;
	}
	bucket_set(bucket, next);
}

#endif
