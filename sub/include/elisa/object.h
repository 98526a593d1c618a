/* SPDX-License-Identifier: MIT */
/*
 * For trusted code. The same source is built three ways:
 *
 *   by default        freestanding, to run inside (pkg-config elisa-sub)
 *   in a module       to run in the host's kernel, for comparison (elisa/interpose.h)
 *   with ELISA_TEST   as part of an ordinary program, for tests and sanitizers
 *
 *	static ELISA_SHARED uint64_t total;
 *
 *	ELISA_ENTRY(add, uint64_t n)
 *	{
 *		return __atomic_add_fetch(&total, n, __ATOMIC_RELAXED);
 *	}
 *
 * Whoever calls is hostile: all arguments, and the contents of buffers, which change while they are read. Read once
 *into a local, check, then use; reach buffers through elisa_buffer() only.
 */
#ifndef ELISA_OBJECT_H
#define ELISA_OBJECT_H

#ifdef __KERNEL__
#include <linux/errno.h>
#include <linux/types.h>
#else
#include <asm/errno.h>
#include <stddef.h>
#include <stdint.h>
#endif
#include <elisa/layout.h>

/*
 * ELISA_ENTRY(name, up to five arguments of 64 bits) defines a function that clients may call by that name, and returns
 * a long. It finds `info`, what the host says of the caller's attachment.
 *
 * ELISA_SHARED: a variable at the start of the object's memory, one for all attachments; its initial value takes room
 * in the file, so what is large belongs further up in the memory: elisa_memory(). Any other variable that can be
 * written is each attachment's own.
 */
#define ELISA__DEFINE(name, ...) static long name(const struct elisa_info *info __attribute__((unused)), ##__VA_ARGS__)

#if defined(__KERNEL__)
#include <elisa/interpose.h>
#define ELISA_SHARED
/* In the order of the source, between the two ends of the table, of which elisa/module.h has the other. */
#define ELISA_INTERPOSE_TABLE __attribute__((section(".rodata.elisa"), used, no_reorder, aligned(16)))
static const struct elisa_interpose_function elisa_entries_begin[1] ELISA_INTERPOSE_TABLE = { { 0, 0 } };
#define ELISA_ENTRY(name, ...)                                                                    \
	ELISA__DEFINE(name, ##__VA_ARGS__);                                                       \
	static const struct elisa_interpose_function elisa_entry_##name ELISA_INTERPOSE_TABLE = { \
		#name,                                                                            \
		(void *)name,                                                                     \
	};                                                                                        \
	ELISA__DEFINE(name, ##__VA_ARGS__)
#elif defined(ELISA_TEST)
#define ELISA_SHARED
#define ELISA_ENTRY(name, ...)                                      \
	__attribute__((unused)) ELISA__DEFINE(name, ##__VA_ARGS__); \
	ELISA__DEFINE(name, ##__VA_ARGS__)
#else
#define ELISA_SHARED __attribute__((section(".elisa.shared")))
/* An entry of the table that the linker script makes: struct elisa_function_entry of elisa/elisa.h. */
struct elisa_entry {
	char name[64];
	uint64_t address;
};
/* Aligned by hand, or the compiler aligns more and leaves gaps. */
#define ELISA__TABLE __attribute__((section(".elisa.functions"), used, aligned(8)))
#define ELISA_ENTRY(name, ...)                                                         \
	ELISA__DEFINE(name, ##__VA_ARGS__);                                            \
	static const struct elisa_entry elisa_entry_##name ELISA__TABLE = {            \
		#name,                                                                 \
		(uint64_t)name,                                                        \
	};                                                                             \
	_Static_assert(sizeof(#name) <= 64, "a function's name has 63 bytes at most"); \
	ELISA__DEFINE(name, ##__VA_ARGS__)
#endif

/* All ones if index < size, else 0, also while the CPU speculates: AND an index with it after its check. size < 2^63.
 */
static inline uint64_t elisa_index_mask(uint64_t index, uint64_t size)
{
	uint64_t mask;

	asm volatile("cmp %2, %1\n\tsbb %0, %0" : "=r"(mask) : "r"(index), "g"(size) : "cc");
	return mask;
}

/* `bytes` at `offset` of a range, or NULL if they are not all within. */
static inline void *elisa_within(const struct elisa_range *range, uint64_t offset, uint64_t bytes)
{
	uint64_t address = *(const volatile __u64 *)&range->address;
	uint64_t size = *(const volatile __u64 *)&range->bytes;

	if (offset > size || bytes > size - offset)
		return NULL;
	address += offset & elisa_index_mask(offset, size + 1);
	return (void *)(address & elisa_index_mask(bytes, size - offset + 1));
}

/*
 * `bytes` at `offset` of the buffer that the client has shared as `number`, or NULL. Its contents change at any time,
 * and what was shared read-only ends the call when it is written.
 */
static inline void *elisa_buffer(const struct elisa_info *info, uint64_t number, uint64_t offset, uint64_t bytes)
{
	if (number >= ELISA_BUFFERS_MAX)
		return NULL;
	return elisa_within(&info->buffers[number & elisa_index_mask(number, ELISA_BUFFERS_MAX)], offset, bytes);
}

/* The same for the object's memory, whose start holds the variables marked ELISA_SHARED. */
static inline void *elisa_memory(const struct elisa_info *info, uint64_t offset, uint64_t bytes)
{
	return elisa_within(&info->memory, offset, bytes);
}

/* Copies and clears without the vector registers, which are the caller's. */
static inline void elisa_copy(void *to, const void *from, uint64_t bytes)
{
	asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
}

static inline void elisa_zero(void *to, uint64_t bytes)
{
	asm volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(0) : "memory");
}

/*
 * A lock in the object's memory. Its word says who holds it, so that the host can take it from one that does not go on:
 * it raises the epoch and clears the owner, and the unlock of the former holder then fails.
 */
struct elisa_lock {
	uint64_t word;    /* bits 0 to 31: owner, its attachment + 1, or 0; bits 32 to 63: epoch */
	uint32_t waiters; /* how many spin: the host interferes only for somebody */
	uint32_t reserved;
};

#define ELISA_LOCK_SPINS 100000

static inline uint64_t elisa_lock_owner(const struct elisa_info *info)
{
	return (uint64_t)info->attachment + 1;
}

/* 0, or -EBUSY. */
static inline int elisa_trylock(struct elisa_lock *lock, const struct elisa_info *info)
{
	uint64_t word = __atomic_load_n(&lock->word, __ATOMIC_RELAXED);

	if ((uint32_t)word)
		return -EBUSY;
	/* Acquire: what the former holder wrote is seen by whoever takes the lock. */
	return __atomic_compare_exchange_n(&lock->word, &word, word | elisa_lock_owner(info), 0, __ATOMIC_ACQUIRE,
					   __ATOMIC_RELAXED)
		       ? 0
		       : -EBUSY;
}

/* Waits, but not for ever: 0, or -EBUSY. */
static inline int elisa_lock(struct elisa_lock *lock, const struct elisa_info *info)
{
	int error = elisa_trylock(lock, info);

	if (!error)
		return 0;
	__atomic_fetch_add(&lock->waiters, 1, __ATOMIC_RELAXED);
	for (uint32_t spins = 0; error && spins < ELISA_LOCK_SPINS; spins++) {
		__builtin_ia32_pause();
		error = elisa_trylock(lock, info);
	}
	__atomic_fetch_sub(&lock->waiters, 1, __ATOMIC_RELAXED);
	return error;
}

/* 0, or -EOWNERDEAD if the lock was taken from the caller meanwhile. */
static inline int elisa_unlock(struct elisa_lock *lock, const struct elisa_info *info)
{
	uint64_t word = __atomic_load_n(&lock->word, __ATOMIC_RELAXED);

	if ((uint32_t)word != elisa_lock_owner(info))
		return -EOWNERDEAD;
	/* Release: what we wrote is seen before the lock is free. */
	return __atomic_compare_exchange_n(&lock->word, &word, word >> 32 << 32, 0, __ATOMIC_RELEASE, __ATOMIC_RELAXED)
		       ? 0
		       : -EOWNERDEAD;
}

#endif
