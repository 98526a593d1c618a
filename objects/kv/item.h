/* SPDX-License-Identifier: MIT */
/* Keys and values in the blocks of an item: reading them, and making new ones. */
#ifndef ELISA_KV_ITEM_H
#define ELISA_KV_ITEM_H

#include "blocks.h"

/* A place among an item's bytes. Reading may meet anything: it goes from block to block, and never elsewhere. */
struct stream {
	const struct kv_state *state;
	uint8_t *at;
	uint32_t left; /* in its block */
	uint32_t next;
};

static inline void stream_begin(struct stream *stream, const struct kv_state *state, uint32_t block)
{
	struct kv_item *item = item_at(state, block);

	stream->state = state;
	stream->at = item->data;
	stream->left = KV_ITEM_DATA;
	stream->next = KV_READ(item->next);
}

/* Up to *BYTES that lie together, as many as there are; they are passed. */
static inline uint8_t *stream_take(struct stream *stream, uint64_t *bytes)
{
	uint8_t *at;

	if (!stream->left) {
		struct kv_block *block = block_at(stream->state, stream->next);

		stream->at = block->data;
		stream->left = KV_BLOCK_DATA;
		stream->next = KV_READ(block->next);
	}
	if (*bytes > stream->left)
		*bytes = stream->left;
	at = stream->at;
	stream->at += *bytes;
	stream->left -= (uint32_t)*bytes;
	return at;
}

static inline void stream_skip(struct stream *stream, uint64_t bytes)
{
	while (bytes) {
		uint64_t some = bytes;

		stream_take(stream, &some);
		bytes -= some;
	}
}

static inline void stream_put(struct stream *stream, const void *from, uint64_t bytes)
{
	while (bytes) {
		uint64_t some = bytes;
		uint8_t *to = stream_take(stream, &some);

		copy(to, from, some);
		from = (const uint8_t *)from + some;
		bytes -= some;
	}
}

static inline void stream_get(struct stream *stream, void *to, uint64_t bytes)
{
	while (bytes) {
		uint64_t some = bytes;
		const uint8_t *from = stream_take(stream, &some);

		copy(to, from, some);
		to = (uint8_t *)to + some;
		bytes -= some;
	}
}

static inline void value_begin(struct stream *stream, const struct kv_state *state, uint32_t block)
{
	stream_begin(stream, state, block);
	stream_skip(stream, round_up(item_at(state, block)->id >> 32 & 0xff));
}

/* What a new item is made of: the values of one that there is, and of the caller, in order. */
struct part {
	uint32_t block;   /* an item's */
	const void *from; /* else; NULL: spaces */
	uint64_t bytes;
};

struct recipe {
	uint32_t flags, expiry, state;
	uint64_t cas; /* 0: the next */
	uint32_t parts;
	struct part part[2];
};

static inline void part_put(struct stream *to, const struct part *part)
{
	struct stream from;
	uint64_t left = part->bytes;

	if (!part->block && part->from) {
		stream_put(to, part->from, left);
		return;
	}
	while (!part->block && left) {
		uint64_t some = left, count;
		uint8_t *at = stream_take(to, &some);

		left -= count = some;
		asm volatile("rep stosb" : "+D"(at), "+c"(count) : "a"(' ') : "memory");
	}
	if (!part->block)
		return;
	value_begin(&from, to->state, part->block);
	while (left) {
		uint64_t some = left;
		const uint8_t *at = stream_take(&from, &some);

		stream_put(to, at, some);
		left -= some;
	}
}

/* Under the stripe's lock. The block of a whole item that is in no chain yet; 0: there is no room. */
static inline uint32_t item_make(const struct kv_call *call, const struct recipe *recipe, uint32_t keep)
{
	uint64_t bytes = 0, total = call->key.words * 8, pad = 0;
	struct kv_item *item;
	struct stream stream;
	uint32_t block;

	for (uint32_t i = 0; i < recipe->parts; i++)
		bytes += recipe->part[i].bytes;
	total += round_up(bytes);
	block = 1;
	if (total > KV_ITEM_DATA)
		block += (uint32_t)((total - KV_ITEM_DATA + KV_BLOCK_DATA - 1) / KV_BLOCK_DATA);
	block = blocks_take(call, block, keep);
	if (!block)
		return 0;
	item = item_at(call->state, block);
	item->id = call->key.id;
	item->epoch = call->epoch;
	item->expiry = recipe->expiry;
	item->flags = recipe->flags;
	item->bytes = (uint32_t)bytes | recipe->state;
	item->cas = recipe->cas ? recipe->cas : ++call->stripe->serial;
	stream_begin(&stream, call->state, block);
	stream_put(&stream, call->key.word, call->key.words * 8);
	for (uint32_t i = 0; i < recipe->parts; i++)
		part_put(&stream, &recipe->part[i]);
	/* A value is read by whole words: of what was there before, nothing is. */
	stream_put(&stream, &pad, round_up(bytes) - bytes);
	return block;
}

/* The client is told which item it will be before it is one: if the call is ended, it looks whether that is there. */
static inline void item_show(const struct kv_call *call, uint32_t block)
{
	KV_WRITE(call->slot->item_cas, item_at(call->state, block)->cas);
}

/* Puts an item in place of the one that there may be. From the first store of the bucket's word on it is stored. */
static inline void item_link(const struct kv_call *call, uint32_t block)
{
	const struct kv_state *state = call->state;
	struct kv_stripe *stripe = call->stripe;
	struct kv_item *item = item_at(state, block);
	struct place old = chain_find(call);
	uint32_t first = (uint32_t)*call->bucket;

	KV_WRITE(*used_at(state, block), call->now << KV_USED_SHIFT | KV_USED_RECENT);
	KV_WRITE(stripe->items, stripe->items + 1);
	KV_WRITE(stripe->bytes, stripe->bytes + item_bytes(item));
	KV_WRITE(stripe->stored, stripe->stored + 1);
	if (old.block && !old.previous) {
		KV_WRITE(stripe->items, stripe->items - 1);
		KV_WRITE(stripe->bytes, stripe->bytes - item_bytes(item_at(state, old.block)));
		item->chain = item_at(state, old.block)->chain;
		bucket_set(call->bucket, block);
		blocks_free(state, stripe, old.block);
		return;
	}
	item->chain = first;
	bucket_set(call->bucket, block);
	if (!old.block && old.length < CHAIN_MAX)
		return;
	if (!old.block) {
		/* The last one makes room: what leads to it is found once more. */
		uint32_t before = block;

		old.block = item->chain;
		for (uint32_t next; (next = item_at(state, old.block)->chain); old.block = next)
			before = old.block;
		old.previous = before;
		KV_WRITE(stripe->evicted, stripe->evicted + 1);
	}
	item_remove(state, stripe, call->bucket, old.previous, old.block);
}

#endif
