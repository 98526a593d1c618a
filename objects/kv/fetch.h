/* SPDX-License-Identifier: MIT */
/* Reading, and more, with the stripe's lock held. */
#ifndef ELISA_KV_FETCH_H
#define ELISA_KV_FETCH_H

#include "call.h"

/* The item, if there is one that is not dead. */
static inline uint32_t find_live(struct kv_call *call)
{
	uint32_t block = chain_find(call).block;

	return block && !item_dead(item_at(call->state, block), call->epoch, call->now) ? block : 0;
}

/* As the lock is held, nobody takes it away meanwhile. */
static inline void value_copy(struct kv_call *call, uint32_t block, uint64_t room)
{
	uint64_t bytes = item_at(call->state, block)->bytes & KV_BYTES_MASK;
	struct stream from;

	if (bytes > room)
		return;
	value_begin(&from, call->state, block);
	stream_get(&from, call->slot->value, bytes);
}

static inline void item_state_set(struct kv_item *item, uint32_t set, uint32_t clear)
{
	KV_WRITE(item->bytes, (item->bytes & ~clear) | set);
}

/* Is this reader the one to make it anew? Only one is told so, and none who does not ask. */
static inline uint32_t win(struct kv_item *item, uint32_t options, int32_t left, int64_t recache)
{
	uint32_t bytes = item->bytes;
	int wanted = options & KV_CLAIM && bytes & KV_BYTES_STALE;

	if (bytes & KV_BYTES_WON)
		return KV_LOST;
	if (options & KV_RECACHE && left >= 0 && left < recache)
		wanted = 1;
	if (wanted)
		item_state_set(item, KV_BYTES_WON, 0);
	return wanted ? KV_WON : 0;
}

static inline long fetch_locked(struct kv_call *call, uint64_t room, uint32_t options)
{
	struct kv_slot *slot = call->slot;
	int64_t expiry = KV_READ(slot->expiry), create = KV_READ(slot->create), recache = KV_READ(slot->recache);
	uint32_t block = find_live(call), state;
	struct kv_item *item;
	int32_t had;

	if (!block) {
		struct recipe recipe = { .expiry = expiry_of(call, create), .state = KV_BYTES_WON };

		if (!(options & KV_CREATE))
			return -ENOENT;
		block = item_make(call, &recipe, 0);
		if (!block)
			return -ENOMEM;
		item_link(call, block);
		answer(call, item_at(call->state, block), block, KV_WON | KV_MADE);
		touch_used(call, block, KV_USED_RECENT | KV_USED_FETCHED);
		slot->item_had = -1;
		return 0;
	}
	item = item_at(call->state, block);
	had = left_of(call, item);
	if (options & KV_TOUCH)
		KV_WRITE(item->expiry, expiry_of(call, expiry));
	state = win(item, options, options & KV_TOUCHED ? left_of(call, item) : had, recache);
	answer(call, item, block, state);
	slot->item_had = had;
	if (!(options & KV_NO_VALUE))
		value_copy(call, block, room);
	if (!(options & KV_KEEP))
		touch_used(call, block, KV_USED_RECENT | KV_USED_FETCHED);
	return item->bytes & KV_BYTES_MASK;
}

static APART __attribute__((unused)) long fetch(struct kv_call *call, uint64_t room, uint32_t options)
{
	long result;

	call_lock(call);
	result = fetch_locked(call, room, options);
	call_unlock(call);
	return result;
}

#endif
