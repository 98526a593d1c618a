/* SPDX-License-Identifier: MIT */
/*
 * Blocks: those that are free, more pages, what is evicted, and how all of it is made whole after a writer that has
 * died. A stripe's lock protects its chains, its blocks and its pages.
 *
 * What counts is which items the buckets lead to, and which stripe a page belongs to; both change by single stores, and
 * are right after each. All the rest follows from them: which blocks are free, how many, how large all is. So a repair
 * finds out anew, changes nothing that counts, and may itself be cut short and repeated. The one thing more that a
 * writer leaves behind is an old item that the new one hides: the repair takes it out.
 */
#ifndef ELISA_KV_BLOCKS_H
#define ELISA_KV_BLOCKS_H

#include "table.h"

#define STEAL_TRIES 64 /* pages that are looked at before a stripe evicts its own */

/* What a repair costs: in blocks that it looks at, for an item as many more. A stripe that has so much does not grow.
 */
#define REPAIR_ITEM 10
#define REPAIR_MAX 24576

static inline uint32_t *owner_of(const struct kv_state *state, uint32_t page)
{
	return (uint32_t *)kv_at(state, state->owners_at) + page;
}

static inline uint32_t number_of(const struct kv_state *state, const struct kv_stripe *stripe)
{
	return (uint32_t)(stripe - (struct kv_stripe *)kv_at(state, state->stripes_at));
}

static inline uint64_t *first_bucket(const struct kv_state *state, const struct kv_stripe *stripe)
{
	return (uint64_t *)kv_at(state, state->buckets_at) +
	       ((uint64_t)number_of(state, stripe) << state->bucket_shift);
}

static inline uint32_t group_of(const struct kv_state *state, uint32_t stripe)
{
	return stripe >> state->group_shift;
}

static inline struct kv_group *group_at(const struct kv_state *state, uint32_t group)
{
	return (struct kv_group *)kv_at(state, state->groups_at) + group;
}

/* The first of the pages that may be the stripe's; there are group_pages. */
static inline uint32_t first_page(const struct kv_state *state, uint32_t stripe)
{
	return group_of(state, stripe) * state->group_pages;
}

/* A chain of blocks, given back at once. */
static inline void blocks_free(const struct kv_state *state, struct kv_stripe *stripe, uint32_t first)
{
	struct kv_block *last = block_at(state, first);
	uint32_t count = 1;

	for (; last->next; count++)
		last = block_at(state, last->next);
	last->next = stripe->free;
	stripe->free = first;
	stripe->free_count += count;
}

static inline uint64_t item_bytes(const struct kv_item *item)
{
	return (item->bytes & KV_BYTES_MASK) + (item->id >> 32 & 0xff);
}

static inline void item_remove(const struct kv_state *state, struct kv_stripe *stripe, uint64_t *bucket,
			       uint32_t previous, uint32_t block)
{
	KV_WRITE(stripe->items, stripe->items - 1);
	KV_WRITE(stripe->bytes, stripe->bytes - item_bytes(item_at(state, block)));
	chain_remove(state, bucket, previous, block);
	blocks_free(state, stripe, block);
}

static inline void block_mark(uint64_t *marks, uint32_t block)
{
	marks[block / 64] |= 1ull << block % 64;
}

/* All of a page's blocks that are not marked; block 0 is no block. */
static inline void page_free(const struct kv_state *state, struct kv_stripe *stripe, const uint64_t *marks,
			     uint32_t page)
{
	uint32_t first = page << state->page_shift;

	for (uint32_t block = first + (1u << state->page_shift); block-- > first;) {
		if (!block || (marks && marks[block / 64] >> block % 64 & 1))
			continue;
		block_at(state, block)->next = stripe->free;
		stripe->free = block;
		stripe->free_count++;
	}
}

/* An item that an earlier one of its chain hides. */
static inline int item_hidden(const struct kv_state *state, uint32_t first, uint32_t block)
{
	const struct kv_item *item = item_at(state, block);

	for (; first != block; first = item_at(state, first)->chain) {
		const struct kv_item *other = item_at(state, first);
		const struct kv_block *a = (const struct kv_block *)item, *b = (const struct kv_block *)other;
		uint64_t left = round_up(item->id >> 32 & 0xff), words = KV_ITEM_DATA / 8, same = 1;
		const uint8_t *x = item->data, *y = other->data;

		if (item->id != other->id)
			continue;
		while (left && same) {
			for (; left && words && same; words--, left -= 8, x += 8, y += 8)
				same = word_load(x) == word_load(y);
			a = block_at(state, a->next);
			b = block_at(state, b->next);
			x = a->data;
			y = b->data;
			words = KV_BLOCK_DATA / 8;
		}
		if (same)
			return 1;
	}
	return 0;
}

static inline void chain_repair(const struct kv_state *state, struct kv_stripe *stripe, uint64_t *bucket,
				uint64_t *marks)
{
	uint32_t previous = 0, block = (uint32_t)*bucket;

	while (block) {
		const struct kv_item *item = item_at(state, block);

		if (item_hidden(state, (uint32_t)*bucket, block)) {
			chain_remove(state, bucket, previous, block);
		} else {
			KV_WRITE(stripe->items, stripe->items + 1);
			KV_WRITE(stripe->bytes, stripe->bytes + item_bytes(item));
			for (uint32_t at = block; at; at = block_at(state, at)->next)
				block_mark(marks, at);
			previous = block;
		}
		block = item->chain;
	}
}

/* What the dead holder of a stripe's lock was about is forgotten. */
static APART void stripe_repair(const struct kv_state *state, struct kv_stripe *stripe)
{
	uint32_t number = number_of(state, stripe), words = 1u << (state->page_shift - 6);
	uint32_t first = first_page(state, number), end = first + state->group_pages;
	uint64_t *marks = kv_at(state, state->marks_at), *bucket = first_bucket(state, stripe);

	KV_WRITE(stripe->repairs, stripe->repairs + 1);
	stripe->free = stripe->free_count = stripe->pages = 0;
	KV_WRITE(stripe->items, 0);
	KV_WRITE(stripe->bytes, 0);
	for (uint32_t page = first; page < end; page++) {
		if (KV_READ(*owner_of(state, page)) != number + 1)
			continue;
		stripe->pages++;
		for (uint32_t i = 0; i < words; i++)
			marks[page * words + i] = 0;
	}
	for (uint32_t i = 0; i < 1u << state->bucket_shift; i++)
		chain_repair(state, stripe, bucket + i, marks);
	for (uint32_t page = first; page < end; page++) {
		if (KV_READ(*owner_of(state, page)) == number + 1)
			page_free(state, stripe, marks, page);
	}
}

static inline void stripe_lock(const struct kv_call *call, struct kv_stripe *stripe)
{
	if (__builtin_expect(elisa_lock(&stripe->lock, call->info) == -EOWNERDEAD, 0))
		stripe_repair(call->state, stripe);
}

/*
 * A page that is nobody's yet. The next one's number is raised after it was taken, by whoever sees that it was: if
 * there is one who does not live to do it, the next does.
 */
static inline int page_take(const struct kv_state *state, struct kv_stripe *stripe)
{
	uint32_t number = number_of(state, stripe), first = first_page(state, number);
	struct kv_group *group = group_at(state, group_of(state, number));
	uint32_t page = KV_READ(group->page_next);

	while (page < state->group_pages) {
		uint32_t owner = 0, mine = page;
		int taken = __atomic_compare_exchange_n(owner_of(state, first + mine), &owner, number + 1, 0,
							__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);

		if (__atomic_compare_exchange_n(&group->page_next, &page, mine + 1, 0, __ATOMIC_SEQ_CST,
						__ATOMIC_SEQ_CST))
			page = mine + 1;
		if (!taken)
			continue;
		stripe->pages++;
		page_free(state, stripe, NULL, first + mine);
		return 1;
	}
	return 0;
}

static inline int chain_meets(const struct kv_state *state, uint32_t block, uint32_t page)
{
	for (; block; block = block_at(state, block)->next) {
		if (block >> state->page_shift == page)
			return 1;
	}
	return 0;
}

/* Leaves a page of a stripe without anything in it, and without a free block of that stripe's. */
static inline void page_empty(const struct kv_state *state, struct kv_stripe *stripe, uint32_t page)
{
	uint64_t *bucket = first_bucket(state, stripe);
	uint32_t *link = &stripe->free;

	for (uint32_t i = 0; i < 1u << state->bucket_shift; i++, bucket++) {
		uint32_t previous = 0, block = (uint32_t)*bucket, next;

		for (; block; block = next) {
			next = item_at(state, block)->chain;
			if (chain_meets(state, block, page)) {
				item_remove(state, stripe, bucket, previous, block);
				KV_WRITE(stripe->evicted, stripe->evicted + 1);
			} else {
				previous = block;
			}
		}
	}
	while (*link) {
		struct kv_block *block = block_at(state, *link);

		if (*link >> state->page_shift == page) {
			*link = block->next;
			stripe->free_count--;
		} else {
			link = &block->next;
		}
	}
}

/*
 * A page of another stripe, which loses what is in it: of one that has more than its share, or (ANY) of the next. Two
 * locks are held then, the second one only if nobody holds it; whoever dies with both leaves both to be repaired, and
 * the page is the one's or the other's.
 */
static APART int page_steal(const struct kv_call *call, struct kv_stripe *stripe, int any)
{
	struct kv_state *state = call->state;
	uint32_t share = state->pages / state->stripes, number = number_of(state, stripe);
	struct kv_group *group = group_at(state, group_of(state, number));

	for (uint32_t try = 0; try < STEAL_TRIES; try++) {
		uint32_t hand = __atomic_fetch_add(&group->page_hand, 1, __ATOMIC_RELAXED) % state->group_pages;
		uint32_t page = first_page(state, number) + hand;
		uint32_t owner = KV_READ(*owner_of(state, page));
		struct kv_stripe *other = stripe_at(state, owner - 1);
		int error;

		if (!owner || other == stripe || (!any && KV_READ(other->pages) <= share))
			continue;
		error = elisa_trylock(&other->lock, call->info);
		if (error == -EBUSY)
			continue;
		if (error)
			stripe_repair(state, other);
		if (KV_READ(*owner_of(state, page)) == owner) {
			page_empty(state, other, page);
			other->pages--;
			stripe->pages++;
			KV_WRITE(*owner_of(state, page), number + 1);
			page_free(state, stripe, NULL, page);
			elisa_unlock(&other->lock, call->info);
			return 1;
		}
		elisa_unlock(&other->lock, call->info);
	}
	return 0;
}

/*
 * Makes room by what was not used since it was last looked at, but for the item KEEP. A hand goes round over the
 * buckets: what is not dead and was used gets one more round. 0: there is nothing left.
 */
static APART int evict(const struct kv_call *call, struct kv_stripe *stripe, uint32_t keep)
{
	struct kv_state *state = call->state;
	uint32_t mask = (1u << state->bucket_shift) - 1, before = stripe->free_count;

	for (uint32_t i = 0; i <= 2 * mask + 2 && stripe->free_count == before; i++) {
		uint64_t *bucket = first_bucket(state, stripe) + (stripe->hand++ & mask);
		uint32_t previous = 0, block = (uint32_t)*bucket, next;

		for (; block; block = next) {
			const struct kv_item *item = item_at(state, block);
			uint32_t space = (uint32_t)(item->id >> 40) % (KV_SPACES + KV_ROWS);
			int dead = item_dead(item, space_epoch(&state->spaces[space], call->now, 1), call->now);
			uint32_t *used = used_at(state, block);

			next = item->chain;
			if (block != keep && (dead || !(*used & KV_USED_RECENT))) {
				item_remove(state, stripe, bucket, previous, block);
				if (dead)
					KV_WRITE(stripe->reclaimed, stripe->reclaimed + 1);
				else
					KV_WRITE(stripe->evicted, stripe->evicted + 1);
			} else {
				KV_WRITE(*used, *used & ~KV_USED_RECENT);
				previous = block;
			}
		}
	}
	return stripe->free_count != before;
}

/* Would its repair still be done in time with one page more? */
static inline int stripe_may_grow(const struct kv_state *state, const struct kv_stripe *stripe)
{
	return ((uint64_t)stripe->pages << state->page_shift) + (uint64_t)stripe->items * REPAIR_ITEM < REPAIR_MAX;
}

/*
 * So many blocks, which lead to each other; 0: there is no room. What is small makes room among its stripe's own, once
 * that has its share of pages; what is large takes pages from all in turn, as long as the stripe may grow.
 */
static inline uint32_t blocks_take(const struct kv_call *call, uint32_t count, uint32_t keep)
{
	struct kv_stripe *stripe = call->stripe;
	struct kv_state *state = call->state;
	uint32_t share = state->pages / state->stripes, first, last, left;
	int large = count > (share << state->page_shift) / 4;

	while (__builtin_expect(stripe->free_count < count, 0)) {
		int grows = stripe->pages < share || stripe_may_grow(state, stripe);

		if (grows && page_take(state, stripe))
			continue;
		if ((large ? grows : stripe->pages < share) && page_steal(call, stripe, large))
			continue;
		if (!evict(call, stripe, keep) && !page_steal(call, stripe, 1))
			return 0;
	}
	first = last = stripe->free;
	for (left = count; left > 1; left--)
		last = block_at(state, last)->next;
	stripe->free = block_at(state, last)->next;
	stripe->free_count -= count;
	block_at(state, last)->next = 0;
	return first;
}

#endif
