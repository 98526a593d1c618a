/* SPDX-License-Identifier: MIT */
/*
 * The cache's own memory: what trusted code, the host's version of it and the manager have in common. The manager fills
 * the header in before it publishes the object (kv_state_init()), ticks the clock, and grants; clients never see any of
 * it. There are no pointers: the memory lies at another address for each of them.
 *
 * Items are chains of blocks of 128 bytes. Blocks lie in pages; a page belongs to a stripe, or to nobody yet. A stripe
 * is a part of the hash table with the items in it, and all that only they need: a lock, a list of free blocks. Two
 * calls for keys in different stripes write no line in common.
 *
 * Whoever takes the lock of a dead call repairs the stripe while he holds it. So that he is done before it is taken
 * from him, all that a repair looks at is of a size that does not grow with the cache: the stripe has a few pages, and
 * those that may be its own are its group's.
 */
#ifndef ELISA_KV_STATE_H
#define ELISA_KV_STATE_H

#include <elisa/object.h>

#include "kv.h"

#define KV_MAGIC 0x656863616320766bull
#define KV_VERSION 0x6b760002u /* written last: all else is in place */
#define KV_BLOCK 128
#define KV_ITEM_DATA 88        /* bytes of key and value in an item's first block */
#define KV_BLOCK_DATA 120      /* in each block after it */
#define KV_ROWS 256            /* attachments, or groups of them that share all; 0 has no rights */
#define KV_STRIPE_PAGES 4      /* at least, and less than twice as many, if there are so many */
#define KV_GROUP_STRIPES 1024u /* that have their pages from each other */
#define KV_PAGE_SHIFT 9        /* blocks of a page: 64 KiB, fewer in a small cache */
#define KV_BYTES_MIN (1u << 20)

/* An item's first block. It never changes once it is in the table, but for expiry, `bytes` (its state), and chain. */
struct kv_item {
	uint32_t next;  /* block with more of its value; 0: none. Free: the next free one */
	uint32_t chain; /* the next item of its bucket; 0: none */
	uint64_t cas;
	uint64_t id;     /* of the key: half of its hash, its name space, its bytes */
	uint32_t epoch;  /* of its name space when it was stored */
	uint32_t expiry; /* second in which it is gone; 0: never */
	uint32_t flags;
	uint32_t bytes;             /* of its value, and its state above KV_BYTES_MASK */
	uint8_t data[KV_ITEM_DATA]; /* the key, zeros up to a multiple of 8, the value, zeros likewise */
};

struct kv_block {
	uint32_t next;
	uint32_t reserved;
	uint8_t data[KV_BLOCK_DATA];
};

_Static_assert(sizeof(struct kv_item) == KV_BLOCK && sizeof(struct kv_block) == KV_BLOCK, "blocks are of one size");

#define KV_BYTES_MASK 0xffffffu
#define KV_BYTES_STALE (1u << 24)
#define KV_BYTES_WON (1u << 25)

/* All of it is protected by its lock, and may be read without. */
struct kv_stripe {
	struct elisa_lock lock;
	uint64_t serial; /* the last cas that was given */
	uint32_t free;   /* the first of its free blocks */
	uint32_t free_count;
	uint32_t pages;
	uint32_t hand; /* the bucket where it evicts next */
	uint64_t bytes;
	uint32_t items;
	uint32_t repairs;
	uint32_t evicted;
	uint32_t reclaimed; /* that had expired, or were flushed */
	uint64_t stored;
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct kv_stripe) == 128 || sizeof(struct kv_stripe) == 64, "a stripe has lines of its own");

/* Stripes with numbers that follow each other, and pages likewise: they are theirs, whichever of them has which. */
struct kv_group {
	/* Pages, counted from its first: handed out in order, then taken from one another. */
	uint32_t page_next;
	uint32_t page_hand;
} __attribute__((aligned(64)));

/* What an attachment may do, found by its value (KV_VALUE()); and in another line, what it did. */
struct kv_row {
	uint64_t read, write; /* the manager's: name spaces, by bits; KV_OWN is always its own */
	uint64_t vm;
	uint64_t pad[5];
	struct kv_stats stats; /* up to `retried` */
} __attribute__((aligned(512)));

/* The manager's answer to an attach. */
#define KV_VALUE(row) ((uint64_t)(row))

struct kv_state {
	/* The manager's: constant. */
	uint64_t magic;
	uint32_t version;
	uint32_t page_shift;
	uint32_t pages, stripes, buckets, blocks;                                 /* block 0 is not used */
	uint32_t bucket_shift;                                                    /* buckets of a stripe */
	uint32_t bucket_mask;                                                     /* buckets - 1 */
	uint64_t stripes_at, buckets_at, used_at, marks_at, owners_at, blocks_at; /* offsets */
	uint64_t secret[2]; /* of the hash, so that nobody can aim at a bucket; odd */
	uint64_t bytes;
	uint64_t groups_at;
	uint32_t group_shift; /* stripes of a group */
	uint32_t group_pages;

	/* The manager's: the clock. */
	uint32_t seconds __attribute__((aligned(64)));
	uint32_t clock_reserved;
	uint64_t unix_base; /* seconds since 1970, when the clock was at 0 */

	/* Of each name space: epoch << 32 | second of the next one, 0: none. Shared ones first, then those of the rows.
	 */
	uint64_t spaces[KV_SPACES + KV_ROWS] __attribute__((aligned(64)));
	char names[KV_SPACES][KV_SPACE_NAME];
	struct kv_row rows[KV_ROWS];
	/*
	 * Then: struct kv_stripe[stripes]; struct kv_group[], of each KV_GROUP_STRIPES of them one; uint64_t[buckets],
	 * count of changes << 32 | first block; uint32_t[blocks], when its item was last used, KV_USED_*;
	 * uint64_t[blocks / 64], for repairs; uint32_t[pages], the stripe + 1; blocks.
	 */
};

#define KV_USED_RECENT 1u /* since the hand last passed */
#define KV_USED_FETCHED 2u
#define KV_USED_SHIFT 2

/*
 * A word that others write meanwhile, read or written once; nothing of the program is moved across it either way. On
 * x86 that is all that the order of loads, and that of stores, needs; and a writer that is killed has done all that
 * comes before, and nothing that comes after.
 */
#define KV_BARRIER() asm volatile("" : : : "memory")
#define KV_READ(word)                                                             \
	({                                                                        \
		KV_BARRIER();                                                     \
		__auto_type kv_read = __atomic_load_n(&(word), __ATOMIC_ACQUIRE); \
		KV_BARRIER();                                                     \
		kv_read;                                                          \
	})
#define KV_WRITE(word, value)                                       \
	do {                                                        \
		KV_BARRIER();                                       \
		__atomic_store_n(&(word), value, __ATOMIC_RELEASE); \
		KV_BARRIER();                                       \
	} while (0)

static inline void *kv_at(const struct kv_state *state, uint64_t offset)
{
	return (uint8_t *)state + offset;
}

static inline uint64_t kv_line(uint64_t offset)
{
	return (offset + 63) & ~63ull;
}

/* Where all lies in so many bytes. 0, or -EINVAL: there are too few. The memory is all zeros before. */
static inline int kv_state_init(struct kv_state *state, uint64_t bytes, uint32_t page_shift, const uint64_t secret[2])
{
	uint64_t each = KV_BLOCK + sizeof(uint32_t) + sizeof(uint64_t) + 1, at, pages, stripes = 1, buckets, groups;

	if (page_shift < 6 || page_shift > KV_PAGE_SHIFT || bytes < sizeof(*state) + (each << page_shift))
		return -EINVAL;
	pages = (bytes - sizeof(*state)) / (each << page_shift);
	if (pages << page_shift > 0xffffffffull)
		pages = 0xffffffffull >> page_shift;
	while (stripes * 2 * KV_STRIPE_PAGES <= pages)
		stripes *= 2;
	groups = stripes > KV_GROUP_STRIPES ? stripes / KV_GROUP_STRIPES : 1;
	for (pages -= pages % groups;; pages -= groups) {
		if (!pages)
			return -EINVAL;
		for (buckets = 8 * stripes; buckets * 2 <= pages << page_shift;)
			buckets *= 2;
		state->stripes_at = at = kv_line(sizeof(*state));
		state->groups_at = at = kv_line(at + stripes * sizeof(struct kv_stripe));
		state->buckets_at = at = kv_line(at + groups * sizeof(struct kv_group));
		state->used_at = at = kv_line(at + buckets * sizeof(uint64_t));
		state->marks_at = at = kv_line(at + (pages << page_shift) * sizeof(uint32_t));
		state->owners_at = at = kv_line(at + ((pages << page_shift) / 64) * sizeof(uint64_t));
		state->blocks_at = at = (at + pages * sizeof(uint32_t) + KV_BLOCK - 1) & ~(uint64_t)(KV_BLOCK - 1);
		if (at + (pages << page_shift) * KV_BLOCK <= bytes)
			break;
	}
	state->page_shift = page_shift;
	state->pages = (uint32_t)pages;
	state->stripes = (uint32_t)stripes;
	state->buckets = (uint32_t)buckets;
	state->blocks = (uint32_t)(pages << page_shift);
	state->bucket_mask = (uint32_t)(buckets - 1);
	state->bucket_shift = (uint32_t)__builtin_ctzll(buckets / stripes);
	state->group_shift = (uint32_t)__builtin_ctzll(stripes / groups);
	state->group_pages = (uint32_t)(pages / groups);
	state->secret[0] = secret[0] | 1;
	state->secret[1] = secret[1] | 1;
	state->bytes = bytes;
	state->seconds = 2;
	state->magic = KV_MAGIC;
	__atomic_store_n(&state->version, KV_VERSION, __ATOMIC_RELEASE);
	return 0;
}

/* Where an epoch of a name space has ended, the next one begins: whatever was stored before is gone. */
static inline void kv_space_clear(uint64_t *space)
{
	uint64_t word = KV_READ(*space);

	while (!__atomic_compare_exchange_n(space, &word, ((word >> 32) + 1) << 32, 0, __ATOMIC_SEQ_CST,
					    __ATOMIC_SEQ_CST))
		;
}

/* What all have: not counted anywhere. The rest is a row's. */
static inline void kv_state_stats(const struct kv_state *state, struct kv_stats *stats)
{
	const struct kv_stripe *stripe = kv_at(state, state->stripes_at);

	for (uint32_t i = 0; i < state->stripes; i++, stripe++) {
		stats->items += KV_READ(stripe->items);
		stats->bytes += KV_READ(stripe->bytes);
		stats->evictions += KV_READ(stripe->evicted);
		stats->reclaimed += KV_READ(stripe->reclaimed);
		stats->repairs += KV_READ(stripe->repairs);
		stats->total_items += KV_READ(stripe->stored);
	}
	stats->limit_bytes = (uint64_t)state->blocks * KV_BLOCK;
	stats->seconds = KV_READ(state->seconds);
	stats->unix_seconds = state->unix_base + stats->seconds;
}

#endif
