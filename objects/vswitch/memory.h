/* SPDX-License-Identifier: MIT */
/* Clients' memory: places in it, checked, and copies from one to another. */
#ifndef ELISA_VSWITCH_MEMORY_H
#define ELISA_VSWITCH_MEMORY_H

#include "state.h"

#define VSWITCH_BUFFER (~0xffffffffull) /* of a place, without the offset in it */
#define COPY_REP_MIN 128                /* from this on a string instruction is shorter than moves */

typedef uint64_t vswitch_word __attribute__((aligned(1), may_alias));

/*
 * A buffer of one owner's, looked up in the exchange's table once for as long as places lie in the same one. A call may
 * use what it has looked up until it returns (elisa_exchange()).
 */
struct window {
	uint64_t base; /* the place where it begins */
	uint64_t fast; /* any packet that begins before this offset is whole within */
	uint64_t address;
};

/* How large a buffer is; 0: it has been taken away. Its address is read after that, and goes with it. */
static inline uint64_t entry_bytes(const struct elisa_exchange *entry)
{
	return __atomic_load_n(&entry->range.bytes, __ATOMIC_ACQUIRE);
}

/* 0: no packet is sure to be whole within; then nothing is fast, also while the CPU speculates. */
static inline __attribute__((always_inline)) int window_set(struct window *window, const struct elisa_exchange *entry,
							    uint64_t bytes)
{
	int small;

	asm("sub %2, %0\n\tcmovb %3, %0"
	    : "=r"(window->fast), "=@ccb"(small)
	    : "i"(VSWITCH_PACKET_MAX), "r"(0ull), "0"(bytes));
	window->address = VSWITCH_READ(entry->range.address);
	return !small;
}

/* Where the exchange's table has the buffer in which a place lies: bytes from the table's start. */
static inline uint32_t entry_offset(uint64_t where)
{
	return (uint32_t)(where >> 32) * (uint32_t)sizeof(struct elisa_exchange);
}

/*
 * Turns to the buffer in which the place is, and gives the address of `bytes`, fewer than 2^32, there; NULL if they are
 * not all within.
 */
static APART uint8_t *window_find(const struct elisa_info *info, struct window *window, uint32_t owner, uint64_t where,
				  uint64_t bytes)
{
	const struct elisa_exchange *table = (const struct elisa_exchange *)info->exchange.address;
	uint64_t index = where >> 32, offset = (uint32_t)where, end = offset + bytes, size;

	if (index >= info->exchange.bytes / sizeof(*table))
		return NULL;
	table += index & elisa_index_mask(index, ELISA_EXCHANGES_MAX);
	if (VSWITCH_READ(table->attachment) != owner)
		return NULL;
	size = entry_bytes(table);
	window->base = where & VSWITCH_BUFFER;
	window_set(window, table, size);
	if (end > size)
		return NULL;
	return (uint8_t *)(window->address + (offset & elisa_index_mask(end, size + 1)));
}

/*
 * The same for what lay in a sharing when the port was opened, whose entry was found then: a serial is only ever that
 * of one sharing, with its owner and its size. 0: it is not shared any more. If it was taken away, but is not forgotten
 * yet, it is found, and has no bytes.
 */
static inline __attribute__((always_inline)) int entry_again(const struct elisa_info *info, uint64_t offset,
							     uint64_t serial, const struct elisa_exchange **entry)
{
	*entry = (const struct elisa_exchange *)(info->exchange.address + offset);
	return VSWITCH_IS((*entry)->serial, serial);
}

/*
 * Is a packet of VSWITCH_PACKET_MAX at that place whole in the window? One comparison says that it is this buffer, and
 * within; else window_find() has to be asked. The offset is masked then: elisa_index_mask(), whose flags are used, too.
 */
static inline __attribute__((always_inline)) int window_within(const struct window *window, uint64_t where,
							       uint64_t *offset)
{
	uint64_t from = where - window->base, mask;
	int within;

	asm volatile("cmp %3, %2\n\tsbb %0, %0" : "=r"(mask), "=@ccc"(within) : "r"(from), "rm"(window->fast));
	if (__builtin_expect(!within, 0))
		return 0;
	*offset = from & mask;
	return 1;
}

/* What lay in a sharing at an earlier time, or NULL: the index may lead to something else since. */
static inline void *shared_at(const struct elisa_info *info, uint32_t owner, uint64_t where, uint64_t serial,
			      uint64_t bytes)
{
	if (elisa_exchange_serial(info, owner, where >> 32) != serial)
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
static inline void copy_body(uint8_t *to, const uint8_t *from, uint64_t bytes)
{
	uint8_t *to_end = to + bytes;
	const uint8_t *from_end = from + bytes;

	if (__builtin_expect(bytes - 49 < 16, 1)) {
		copy_16(to + 16, from + 16);
		copy_16(to + 32, from + 32);
	} else if (bytes < COPY_REP_MIN) {
		for (uint64_t at = 16; at + 16 < bytes; at += 16)
			copy_16(to + at, from + at);
	} else {
		copy_words(to + 16, from + 16, (bytes - 16) / 8);
	}
	copy_16(to_end - 16, from_end - 16);
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
