// SPDX-License-Identifier: MIT
/* The shared cache: kv.h says what each function does, table.h and blocks.h why it holds. */
#include "get.h"
#include "number.h"

ELISA_ENTRY(kv_fetch, uint64_t where, uint64_t which, uint64_t room)
{
	struct kv_call call;
	uint32_t options;
	long result = call_begin(&call, info, where, which, room, 1);

	if (result)
		return result;
	options = KV_READ(call.slot->options);
	if (options & ~(KV_TOUCH | KV_CREATE | KV_RECACHE | KV_NO_VALUE | KV_KEEP | KV_CLAIM | KV_TOUCHED))
		return -EINVAL;
	result = fetch(&call, room, options);
	if (options & KV_TOUCH) {
		if (result >= 0)
			STAT(&call, touch_hits);
		else
			STAT(&call, touch_misses);
	}
	if (!(options & KV_NO_VALUE)) {
		if (result >= 0)
			STAT(&call, get_hits);
		else
			STAT(&call, get_misses);
	}
	return result;
}

/* May it be stored? 0, or why not; what it is made of is added to the recipe. */
static int store_check(struct kv_call *call, uint32_t block, uint32_t options, struct recipe *recipe)
{
	const struct kv_item *item = item_at(call->state, block);
	uint32_t mode = options & KV_MODE;
	uint64_t cas = KV_READ(call->slot->cas);

	/* What is there already is no question of its cas to KV_ADD. */
	if (options & KV_IF_CAS && mode != KV_ADD) {
		if (!block)
			return -ENOENT;
		if (item->cas != cas) {
			if (!(options & KV_STALE) || cas > item->cas || mode >= KV_APPEND)
				return -EEXIST;
			recipe->state = KV_BYTES_STALE | (item->bytes & KV_BYTES_WON);
			recipe->expiry = item->expiry;
		}
	}
	if (mode == KV_ADD)
		return block ? -EEXIST : 0;
	if (mode == KV_SET)
		return 0;
	if (mode == KV_REPLACE || !block)
		return block || (mode != KV_REPLACE && options & KV_CREATE) ? 0 : -ENOENT;
	if (recipe->part[0].bytes + (item->bytes & KV_BYTES_MASK) > KV_VALUE_MAX)
		return -EFBIG;
	recipe->flags = item->flags;
	recipe->expiry = item->expiry;
	recipe->parts = 2;
	recipe->part[1] = recipe->part[0];
	recipe->part[mode == KV_PREPEND] = (struct part){ .block = block, .bytes = item->bytes & KV_BYTES_MASK };
	if (mode == KV_APPEND)
		return 0;
	recipe->part[0] = (struct part){ .from = call->slot->value, .bytes = recipe->part[0].bytes };
	return 0;
}

static long store_locked(struct kv_call *call, uint32_t options, struct recipe *recipe)
{
	uint32_t block = find_live(call), made;
	int error = store_check(call, block, options, recipe);

	if (options & KV_IF_CAS) {
		if (error == -ENOENT)
			STAT(call, cas_misses);
		else if (error)
			STAT(call, cas_badval);
		else
			STAT(call, cas_hits);
	}
	if (error)
		return error;
	made = item_make(call, recipe, block);
	if (!made)
		return -ENOMEM;
	item_show(call, made);
	item_link(call, made);
	return 0;
}

ELISA_ENTRY(kv_store, uint64_t where, uint64_t which, uint64_t bytes)
{
	struct recipe recipe = { .parts = 1 };
	struct kv_call call;
	uint32_t options;
	long result = call_begin(&call, info, where, which, bytes, 1);

	if (result)
		return result;
	options = KV_READ(call.slot->options);
	if ((options & KV_MODE) > KV_PREPEND || options & ~(KV_MODE | KV_IF_CAS | KV_CREATE | KV_STALE))
		return -EINVAL;
	recipe.flags = KV_READ(call.slot->flags);
	recipe.expiry = expiry_of(&call, KV_READ(call.slot->expiry));
	recipe.part[0] = (struct part){ .from = call.slot->value, .bytes = bytes };
	call_lock(&call);
	result = store_locked(&call, options, &recipe);
	call_unlock(&call);
	if (!result)
		STAT(&call, stores);
	return result;
}

static long delete_locked(struct kv_call *call, uint32_t options)
{
	struct place place = chain_find(call);
	struct kv_item *item = item_at(call->state, place.block);

	if (!place.block || item_dead(item, call->epoch, call->now))
		return -ENOENT;
	if (options & KV_IF_CAS && item->cas != KV_READ(call->slot->cas))
		return -EEXIST;
	if (!(options & KV_STALE)) {
		item_remove(call->state, call->stripe, call->bucket, place.previous, place.block);
		return 0;
	}
	if (options & KV_TOUCH)
		KV_WRITE(item->expiry, expiry_of(call, KV_READ(call->slot->expiry)));
	item_state_set(item, KV_BYTES_STALE, KV_BYTES_WON);
	KV_WRITE(item->cas, ++call->stripe->serial);
	return 0;
}

ELISA_ENTRY(kv_delete, uint64_t where, uint64_t which)
{
	struct kv_call call;
	uint32_t options;
	long result = call_begin(&call, info, where, which, 0, 1);

	if (result)
		return result;
	options = KV_READ(call.slot->options);
	if (options & ~(KV_IF_CAS | KV_STALE | KV_TOUCH))
		return -EINVAL;
	call_lock(&call);
	result = delete_locked(&call, options);
	call_unlock(&call);
	if (!result)
		STAT(&call, delete_hits);
	else
		STAT(&call, delete_misses);
	return result;
}

/* The new number; the value is as long as the old one was at least, with spaces behind it. */
static int count_value(struct kv_call *call, uint32_t block, uint32_t options, uint8_t text[NUMBER_MAX],
		       uint32_t *bytes)
{
	uint32_t old = item_at(call->state, block)->bytes & KV_BYTES_MASK, some = old < NUMBER_MAX ? old : NUMBER_MAX;
	uint64_t number, change = KV_READ(call->slot->number);
	struct stream from;

	value_begin(&from, call->state, block);
	stream_get(&from, text, some);
	if (number_parse(text, some, &number))
		return -EDOM;
	if (options & KV_DOWN)
		number = change > number ? 0 : number - change;
	else
		number += change;
	*bytes = number_print(number, text);
	call->slot->item_number = number;
	return 0;
}

static long count_locked(struct kv_call *call, uint32_t options, uint64_t room)
{
	struct recipe recipe = { .parts = 1 };
	uint32_t block = find_live(call), made, bytes, old, fetched = 0;
	uint8_t text[NUMBER_MAX];
	int error, had = -1;
	uint64_t initial;

	if (block) {
		const struct kv_item *item = item_at(call->state, block);

		had = left_of(call, item);
		old = item->bytes & KV_BYTES_MASK;
		if (old && options & KV_IF_CAS && item->cas != KV_READ(call->slot->cas))
			return -EEXIST;
		error = count_value(call, block, options, text, &bytes);
		if (error)
			return error;
		if (old > bytes)
			recipe.part[recipe.parts++].bytes = old - bytes;
		/* With room for the number it stays the item that it is. */
		if (old >= bytes) {
			recipe.state = item->bytes & ~KV_BYTES_MASK;
			fetched = KV_READ(*used_at(call->state, block)) & KV_USED_FETCHED;
		}
		recipe.flags = item->flags;
		recipe.expiry = item->expiry;
		if (options & KV_TOUCH)
			recipe.expiry = expiry_of(call, KV_READ(call->slot->expiry));
	} else {
		if (!(options & KV_CREATE))
			return -ENOENT;
		initial = KV_READ(call->slot->initial);
		recipe.flags = KV_READ(call->slot->flags);
		recipe.expiry = expiry_of(call, KV_READ(call->slot->create));
		bytes = number_print(initial, text);
		call->slot->item_number = initial;
	}
	recipe.part[0] = (struct part){ .from = text, .bytes = bytes };
	made = item_make(call, &recipe, block);
	if (!made)
		return -ENOMEM;
	item_show(call, made);
	item_link(call, made);
	if (fetched)
		touch_used(call, made, KV_USED_RECENT | KV_USED_FETCHED);
	answer(call, item_at(call->state, made), made, block ? 0 : KV_MADE);
	call->slot->item_had = had;
	if (bytes <= room)
		copy(call->slot->value, text, bytes);
	return item_at(call->state, made)->bytes & KV_BYTES_MASK;
}

ELISA_ENTRY(kv_count, uint64_t where, uint64_t which, uint64_t room)
{
	struct kv_call call;
	uint32_t options;
	long result = call_begin(&call, info, where, which, room, 1);

	if (result)
		return result;
	options = KV_READ(call.slot->options);
	if (options & ~(KV_IF_CAS | KV_TOUCH | KV_CREATE | KV_DOWN))
		return -EINVAL;
	call_lock(&call);
	result = count_locked(&call, options, room);
	call_unlock(&call);
	if (options & KV_DOWN) {
		if (result >= 0)
			STAT(&call, decr_hits);
		else if (result == -ENOENT)
			STAT(&call, decr_misses);
	} else {
		if (result >= 0)
			STAT(&call, incr_hits);
		else if (result == -ENOENT)
			STAT(&call, incr_misses);
	}
	return result;
}

/* --- all of a name space */

ELISA_ENTRY(kv_flush, uint64_t number, uint64_t delay)
{
	struct kv_state *state = (struct kv_state *)info->memory.address;
	uint64_t row = info->value, *space, word, next, at;

	if (info->memory.bytes < sizeof(*state) || state->version != KV_VERSION)
		return -EPROTO;
	number &= KV_SPACES - 1;
	if (row >= KV_ROWS)
		return -EACCES;
	if (!(state->rows[row].write >> number & 1) || !info->writable)
		return -EACCES;
	space = &state->spaces[number ? number : KV_SPACES + row];
	at = KV_READ(state->seconds) + delay;
	if (delay > 0xfffffff0u || at > 0xffffffffu)
		return -EINVAL;
	word = KV_READ(*space);
	do
		next = delay ? word >> 32 << 32 | at : ((word >> 32) + 1) << 32;
	while (!__atomic_compare_exchange_n(space, &word, next, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
	__atomic_fetch_add(&state->rows[row].stats.flushes, 1, __ATOMIC_RELAXED);
	return 0;
}

ELISA_ENTRY(kv_space, uint64_t where)
{
	struct kv_state *state = (struct kv_state *)info->memory.address;
	const struct kv_slot *slot = slot_at(info, where, sizeof(*slot));
	uint64_t row = info->value, name[KV_SPACE_NAME / 8];

	if (info->memory.bytes < sizeof(*state) || state->version != KV_VERSION)
		return -EPROTO;
	if (row >= KV_ROWS)
		return -EACCES;
	if (!slot)
		return -EFAULT;
	copy_words((uint8_t *)name, slot->key, KV_SPACE_NAME / 8);
	for (uint32_t space = 1; space < KV_SPACES; space++) {
		const char *a = (const char *)name, *b = state->names[space];
		uint32_t i = 0;

		while (i < KV_SPACE_NAME - 1 && a[i] && a[i] == b[i])
			i++;
		if (i && a[i] == b[i] && state->rows[row].read >> space & 1)
			return space;
	}
	return -ENOENT;
}

ELISA_ENTRY(kv_stats, uint64_t where)
{
	struct kv_state *state = (struct kv_state *)info->memory.address;
	struct kv_slot *slot = slot_at(info, where, sizeof(*slot) + sizeof(struct kv_stats));
	uint64_t row = info->value;
	struct kv_stats stats;

	if (info->memory.bytes < sizeof(*state) || state->version != KV_VERSION)
		return -EPROTO;
	if (row >= KV_ROWS)
		return -EACCES;
	if (!slot)
		return -EFAULT;
	copy_words((uint8_t *)&stats, (const uint8_t *)&state->rows[row].stats, sizeof(stats) / 8);
	kv_state_stats(state, &stats);
	copy_words(slot->value, (const uint8_t *)&stats, sizeof(stats) / 8);
	return 0;
}
