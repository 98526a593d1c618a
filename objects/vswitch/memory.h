/* SPDX-License-Identifier: MIT */
/* Clients' memory: places in it, checked, and copies from one to another. */
#ifndef ELISA_VSWITCH_MEMORY_H
#define ELISA_VSWITCH_MEMORY_H

#include "state.h"

#define NO_INDEX (~0ull)
#define COPY_REP_MIN 128 /* from this on a string instruction is shorter than moves */

typedef uint64_t vswitch_word __attribute__((aligned(1), may_alias));

/*
 * A buffer of one owner's, looked up in the exchange's table once for as long as places lie in the same one. A call may
 * use what it has looked up until it returns (elisa_exchange()).
 */
struct window {
	uint64_t index;
	uint64_t address, bytes;
};

static inline void window_load(const struct elisa_info *info, struct window *window, uint32_t owner, uint64_t index)
{
	const struct elisa_exchange *table = (const struct elisa_exchange *)info->exchange.address;

	*window = (struct window){ .index = index };
	if (index >= info->exchange.bytes / sizeof(*table))
		return;
	table += index & elisa_index_mask(index, ELISA_EXCHANGES_MAX);
	if (VSWITCH_READ(table->attachment) != owner)
		return;
	/* In this order: a size other than 0 comes with its address. */
	window->bytes = __atomic_load_n(&table->range.bytes, __ATOMIC_ACQUIRE);
	window->address = VSWITCH_READ(table->range.address);
}

/* The address of `bytes`, fewer than 2^32, at a place in memory of the owner's; NULL if it is not all theirs. */
static inline uint8_t *window_at(const struct elisa_info *info, struct window *window, uint32_t owner, uint64_t where,
				 uint64_t bytes)
{
	uint64_t offset = (uint32_t)where, end = offset + bytes;

	if (__builtin_expect(where >> 32 != window->index, 0))
		window_load(info, window, owner, where >> 32);
	if (__builtin_expect(end > window->bytes, 0))
		return NULL;
	return (uint8_t *)(window->address + (offset & elisa_index_mask(end, window->bytes + 1)));
}

/*
 * The same of a place that is to be in the sharing that it was in before: the index may lead to something else since,
 * also of the same owner's.
 */
static inline void *shared_at(const struct elisa_info *info, uint32_t owner, uint64_t where, uint64_t serial,
			      uint64_t bytes)
{
	if (!serial || elisa_exchange_serial(info, owner, where >> 32) != serial)
		return NULL;
	return elisa_exchange(info, owner, where >> 32, (uint32_t)where, bytes);
}

/* Both ends may be changing: whatever comes of that is theirs. */
static inline __attribute__((no_sanitize("thread"))) uint64_t load_word(const uint8_t *at)
{
	return *(const volatile vswitch_word *)at;
}

static inline __attribute__((no_sanitize("thread"))) void store_word(uint8_t *at, uint64_t word)
{
	*(volatile vswitch_word *)at = word;
}

static inline void copy_16(uint8_t *to, const uint8_t *from)
{
	uint64_t low = load_word(from), high = load_word(from + 8);

	store_word(to, low);
	store_word(to + 8, high);
}

static inline void copy_words(uint8_t *to, const uint8_t *from, uint64_t words)
{
	asm volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
}

/* A packet of at least 28 bytes but for its first 16. The last 16 may be copied twice, from and to behind the 12th. */
static inline void copy_body(uint8_t *to, const uint8_t *from, uint32_t bytes)
{
	uint32_t at = 16;

	if (bytes >= COPY_REP_MIN) {
		copy_words(to + 16, from + 16, (bytes - 16) / 8);
	} else {
		for (; at + 32 <= bytes; at += 32) {
			copy_16(to + at, from + at);
			copy_16(to + at + 16, from + at + 16);
		}
		if (at + 16 < bytes)
			copy_16(to + at, from + at);
	}
	copy_16(to + bytes - 16, from + bytes - 16);
}

/* A part of a packet that lies in several: its address is checked. */
struct part {
	uint8_t *at;
	uint32_t bytes;
};

/* Copies `bytes` from a list of parts, from *skip bytes after the beginning of the first on, and goes on in the list.
 */
static inline const struct part *copy_parts(uint8_t *to, const struct part *part, uint32_t *skip, uint32_t bytes)
{
	while (bytes) {
		uint32_t some = part->bytes - *skip;

		if (some > bytes)
			some = bytes;
		elisa_copy(to, part->at + *skip, some & 7);
		copy_words(to + (some & 7), part->at + *skip + (some & 7), some / 8);
		to += some;
		bytes -= some;
		*skip += some;
		if (*skip == part->bytes) {
			part++;
			*skip = 0;
		}
	}
	return part;
}

#endif
