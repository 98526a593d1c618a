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
	/* In this order: a size other than 0 comes with its address. */
	uint64_t size = *(const volatile __u64 *)&range->bytes;
	uint64_t address = *(const volatile __u64 *)&range->address;

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

/*
 * The same for a buffer that a client has shared with all attachments, by its index in the exchange's table. It must be
 * OWNER's, the number of an attachment: after that one has unshared it, its place may be another's. A call that has got
 * an address may use it until it returns.
 */
static inline void *elisa_exchange(const struct elisa_info *info, uint32_t owner, uint64_t index, uint64_t offset,
				   uint64_t bytes)
{
	const struct elisa_exchange *table = (const struct elisa_exchange *)info->exchange.address;

	if (index >= info->exchange.bytes / sizeof(*table))
		return NULL;
	table += index & elisa_index_mask(index, ELISA_EXCHANGES_MAX);
	if (*(const volatile __u32 *)&table->attachment != owner)
		return NULL;
	return elisa_within(&table->range, offset, bytes);
}

/* Which sharing that is: another one has another serial, also if its owner and index are the same. 0: none. */
static inline uint64_t elisa_exchange_serial(const struct elisa_info *info, uint32_t owner, uint64_t index)
{
	const struct elisa_exchange *table = (const struct elisa_exchange *)info->exchange.address;

	if (index >= info->exchange.bytes / sizeof(*table))
		return 0;
	table += index & elisa_index_mask(index, ELISA_EXCHANGES_MAX);
	return *(const volatile __u32 *)&table->attachment == owner ? *(const volatile __u64 *)&table->serial : 0;
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
 * A lock in the object's memory that nobody blocks for long: the host takes it from a holder that is dead, was aborted,
 * is stopped or not scheduled, as soon as somebody waits for it. The next to take it is told, and has to make whole
 * what the lock protects before it goes on; the holder's own call, if it still runs, is aborted first.
 */
struct elisa_lock {
	uint64_t word; /* layout.h: ELISA_LOCK_DEAD */
};

#define ELISA_LOCK_SPINS 1000 /* before the host is asked; it decides how long is too long */

#if defined(__KERNEL__)
/* A call that the host executes is not aborted; it holds a lock with preemption off, so that it ends soon. */
static inline uint64_t elisa_lock_owner(const struct elisa_info *info)
{
	return elisa_interpose_lock_word(info->attachment);
}

#define elisa_lock_begin() elisa_interpose_lock_begin()
#define elisa_lock_end() elisa_interpose_lock_end()
typedef struct elisa_interpose_waiter elisa_lock_waiter;
#define elisa_lock_wait(info, lock, waiter) elisa_interpose_lock_wait(info, lock, waiter)
#elif defined(ELISA_TEST)
static inline uint64_t elisa_lock_owner(const struct elisa_info *info)
{
	return (uint64_t)info->attachment + 1;
}

#define elisa_lock_begin()
#define elisa_lock_end()
typedef struct {
	char unused;
} elisa_lock_waiter;
#define elisa_lock_wait(info, lock, waiter) ((void)(waiter))
#else
/* From link.ld: the stack, as what is read there is the same all through a call. Its address is known within reach. */
extern const uint32_t elisa_stack[ELISA_STACK_SIZE / 4] __attribute__((visibility("hidden")));

static inline uint64_t elisa_lock_owner(const struct elisa_info *info)
{
	(void)info;
	return (uint64_t)elisa_stack[(ELISA_LOCK_OWNER_OFFSET - ELISA_STACK_OFFSET) / 4] << 32 |
	       elisa_stack[(ELISA_STACK_SIZE - ELISA_FRAME_CALLS) / 4];
}

#define elisa_lock_begin()
#define elisa_lock_end()
typedef struct {
	char unused;
} elisa_lock_waiter;
static inline void elisa_lock_wait(const struct elisa_info *info, struct elisa_lock *lock, elisa_lock_waiter *waiter)
{
	(void)waiter;
	asm volatile("vmcall"
		     :
		     : "a"((uint64_t)ELISA_LOCK_WAIT), "D"(lock), "S"((uint64_t)info->attachment)
		     : "memory");
}
#endif

/*
 * Wakes the client of another attachment of this object, if it waits: one VM exit. What was written before is seen by
 * whoever is woken.
 */
#if defined(__KERNEL__)
#define elisa_notify elisa_interpose_notify
#elif defined(ELISA_TEST)
void elisa_notify(const struct elisa_info *info, uint32_t attachment); /* the test's */
#else
static inline void elisa_notify(const struct elisa_info *info, uint32_t attachment)
{
	asm volatile("vmcall"
		     :
		     : "a"((uint64_t)ELISA_NOTIFY), "D"((uint64_t)attachment), "S"((uint64_t)info->attachment)
		     : "memory");
}
#endif

/* 0; -EOWNERDEAD: taken, from one that had not finished; -EBUSY: not taken. */
static inline int elisa_trylock(struct elisa_lock *lock, const struct elisa_info *info)
{
	uint64_t word = __atomic_load_n(&lock->word, __ATOMIC_RELAXED), dead = word == ELISA_LOCK_DEAD;

	if (word && !dead)
		return -EBUSY;
	elisa_lock_begin();
	/* Acquire: what the former holder wrote is seen by whoever takes the lock. */
	if (!__atomic_compare_exchange_n(&lock->word, &word, elisa_lock_owner(info), 0, __ATOMIC_ACQUIRE,
					 __ATOMIC_RELAXED)) {
		elisa_lock_end();
		return -EBUSY;
	}
	return dead ? -EOWNERDEAD : 0;
}

/* Waits until it is taken: 0 or -EOWNERDEAD. */
static inline int elisa_lock(struct elisa_lock *lock, const struct elisa_info *info)
{
	elisa_lock_waiter waiter = { 0 };
	uint32_t spins = 0;
	int error;

	while ((error = elisa_trylock(lock, info)) == -EBUSY) {
		__builtin_ia32_pause();
		if (++spins % ELISA_LOCK_SPINS == 0)
			elisa_lock_wait(info, lock, &waiter);
	}
	return error;
}

/* 0, or -EOWNERDEAD if it was not the caller's (any more). */
static inline int elisa_unlock(struct elisa_lock *lock, const struct elisa_info *info)
{
	uint64_t word = elisa_lock_owner(info);
	/* Release: what we wrote is seen before the lock is free. */
	int mine = __atomic_compare_exchange_n(&lock->word, &word, 0, 0, __ATOMIC_RELEASE, __ATOMIC_RELAXED);

	elisa_lock_end();
	return mine ? 0 : -EOWNERDEAD;
}

#endif
