/* SPDX-License-Identifier: MIT */
/* Words and copies. Either end may be changing meanwhile: whatever comes of that is the client's, or is found out. */
#ifndef ELISA_KV_MEMORY_H
#define ELISA_KV_MEMORY_H

#include "state.h"

#define COPY_REP_MIN 128 /* from this on a string instruction is shorter than moves */
#define APART __attribute__((__noinline__))

typedef uint64_t kv_word __attribute__((aligned(1), may_alias));

static inline __attribute__((no_sanitize("thread"))) uint64_t word_load(const uint8_t *at)
{
	return *(const volatile kv_word *)at;
}

static inline __attribute__((no_sanitize("thread"))) void word_store(uint8_t *at, uint64_t word)
{
	*(volatile kv_word *)at = word;
}

/* Whole words. */
static inline void copy_words(uint8_t *to, const uint8_t *from, uint64_t words)
{
	if (words >= COPY_REP_MIN / 8) {
		asm volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
		return;
	}
	for (; words >= 2; words -= 2, to += 16, from += 16) {
		uint64_t low = word_load(from), high = word_load(from + 8);

		word_store(to, low);
		word_store(to + 8, high);
	}
	if (words)
		word_store(to, word_load(from));
}

static inline void copy(uint8_t *to, const uint8_t *from, uint64_t bytes)
{
	copy_words(to, from, bytes / 8);
	if (bytes % 8)
		elisa_copy(to + bytes / 8 * 8, from + bytes / 8 * 8, bytes % 8);
}

/*
 * Four words, if what they lie in is still there after they were read: if *WORD is what it was. In between they are in
 * registers, where nobody sees them.
 */
static inline __attribute__((always_inline)) int copy_four_if(uint8_t *to, int64_t from, const uint64_t *word,
							      uint64_t was)
{
	uint64_t a = 0, b = 0, c = 0, d = 0;

	asm volatile goto("mov (%4,%5), %0\n\t"
			  "mov 8(%4,%5), %1\n\t"
			  "mov 16(%4,%5), %2\n\t"
			  "mov 24(%4,%5), %3\n\t"
			  "cmp %7, (%6)\n\t"
			  "jne %l[changed]\n\t"
			  "mov %0, (%4)\n\t"
			  "mov %1, 8(%4)\n\t"
			  "mov %2, 16(%4)\n\t"
			  "mov %3, 24(%4)"
			  : "=&r"(a), "=&r"(b), "=&r"(c), "=&r"(d)
			  : "r"(to), "r"(from), "r"(word), "r"(was)
			  : "memory", "cc"
			  : changed);
	return 1;
changed:
	return 0;
}

/* The same of any number of bytes, in whole words; 0: some may be missing, and nothing was written that was not there.
 */
static inline __attribute__((always_inline)) int copy_if(uint8_t *to, const uint8_t *at, int64_t bytes,
							 const uint64_t *word, uint64_t was)
{
	int64_t from = at - to;
	uint8_t *end = to + (bytes & ~31ll);

	while (to != end) {
		if (__builtin_expect(!copy_four_if(to, from, word, was), 0))
			return 0;
		to += 32;
	}
	for (bytes &= 31; bytes > 0; bytes -= 8, to += 8) {
		uint64_t a = word_load(to + from);

		if (__builtin_expect(KV_READ(*word) != was, 0))
			return 0;
		word_store(to, a);
	}
	return 1;
}

static inline uint64_t round_up(uint64_t bytes)
{
	return (bytes + 7) & ~7ull;
}

#endif
