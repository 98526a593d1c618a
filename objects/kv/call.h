/* SPDX-License-Identifier: MIT */
/* What a call begins with: its arguments, checked; and what it answers. */
#ifndef ELISA_KV_CALL_H
#define ELISA_KV_CALL_H

#include "item.h"

#define STAT(call, name) __atomic_fetch_add(&(call)->row->stats.name, 1, __ATOMIC_RELAXED)

static inline struct kv_slot *slot_at(const struct elisa_info *info, uint64_t where, uint64_t bytes)
{
	return elisa_buffer(info, where >> 32 & (ELISA_BUFFERS_MAX - 1), (uint32_t)where, bytes);
}

/* Everything that is checked before a call looks at keys. Two name spaces: the caller's number, and ours. */
static inline int call_begin(struct kv_call *call, const struct elisa_info *info, uint64_t where, uint64_t which,
			     uint64_t room, int write)
{
	uint64_t row = info->value, space = which >> 8 & (KV_SPACES - 1), bytes = which & 0xff, rights;
	struct kv_state *state = (struct kv_state *)info->memory.address;
	struct kv_slot *slot;

	if (__builtin_expect(info->memory.bytes < sizeof(*state) || state->version != KV_VERSION, 0))
		return -EPROTO;
	/* The row is the manager's word: nobody can make us speculate with another. */
	if (row >= KV_ROWS)
		return -EACCES;
	call->row = &state->rows[row];
	rights = write ? call->row->write : call->row->read;
	if (!(rights >> space & 1) || (write && !info->writable))
		return -EACCES;
	if (bytes - 1 >= KV_KEY_MAX)
		return -EINVAL;
	if (room > KV_VALUE_MAX)
		return -EFBIG;
	slot = slot_at(info, where, sizeof(*slot) + round_up(room));
	if (!slot)
		return -EFAULT;
	space = space ? space : KV_SPACES + row;
	call->info = info;
	call->state = state;
	call->slot = slot;
	call->now = KV_READ(state->seconds);
	key_load(&call->key, state, slot->key, (uint32_t)space, (uint32_t)bytes);
	call->epoch = space_epoch(&state->spaces[space], call->now, (int)info->writable);
	call->key.id ^= call->epoch;
	call->bucket = bucket_of(state, call->key.hash);
	return 0;
}

static inline void call_lock(struct kv_call *call)
{
	call->stripe = stripe_of(call->state, call->key.hash);
	stripe_lock(call, call->stripe);
}

static inline void call_unlock(struct kv_call *call)
{
	elisa_unlock(&call->stripe->lock, call->info);
}

static inline uint32_t expiry_of(const struct kv_call *call, int64_t seconds)
{
	int64_t base = (int64_t)call->state->unix_base;

	if (!seconds)
		return 0;
	if (seconds > KV_RELATIVE_MAX)
		seconds = seconds <= base + 1 ? 1 : seconds - base;
	else
		seconds = seconds < 0 ? 1 : seconds + call->now;
	return seconds > 0xffffffffll ? 0xffffffffu : (uint32_t)seconds;
}

/* Seconds until it expires; -1: it does not. One that has just been made to expire has none. */
static inline int32_t left_of(const struct kv_call *call, const struct kv_item *item)
{
	uint32_t expiry = item->expiry;

	return !expiry ? -1 : expiry <= call->now ? 0 : (int32_t)(expiry - call->now);
}

/* What is said of an item but for its value. */
static inline void answer(const struct kv_call *call, const struct kv_item *item, uint32_t block, uint32_t state)
{
	uint32_t used = KV_READ(*used_at(call->state, block)), bytes = item->bytes;
	struct kv_slot *slot = call->slot;

	slot->item_cas = item->cas;
	slot->item_flags = item->flags;
	slot->item_bytes = bytes & KV_BYTES_MASK;
	slot->item_left = slot->item_had = left_of(call, item);
	slot->item_idle = call->now - (used >> KV_USED_SHIFT);
	slot->item_state =
		state | (used & KV_USED_FETCHED ? KV_FETCHED : 0) | (bytes & KV_BYTES_STALE ? KV_IS_STALE : 0);
}

/* Once a second for an item at most, so that its readers do not take a line from each other at each read. */
static inline void touch_used(const struct kv_call *call, uint32_t block, uint32_t bits)
{
	uint32_t *used = used_at(call->state, block), word = call->now << KV_USED_SHIFT | bits;

	if (*used != word && call->info->writable)
		KV_WRITE(*used, word);
}

#endif
