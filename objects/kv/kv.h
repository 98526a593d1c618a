/* SPDX-License-Identifier: MIT */
/*
 * The shared cache: between its trusted code and its clients.
 *
 * A client shares memory (elisa_share()) with a struct kv_slot in it for each thread: keys and values go through it,
 * both ways. Nothing in it is trusted; what a client changes while a call reads it harms only what that call stores.
 */
#ifndef ELISA_KV_H
#define ELISA_KV_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdint.h>
#endif

#define KV_KEY_MAX 250
#define KV_VALUE_MAX (1u << 20)
#define KV_SPACES 64     /* that are shared and have names, but for KV_OWN */
#define KV_OWN 0         /* the caller's own name space */
#define KV_SPACE_NAME 32 /* bytes of a name, with its end */
#define KV_NEVER 0       /* an item that does not expire */
#define KV_RELATIVE_MAX (30 * 24 * 3600)

struct kv_slot {
	uint8_t key[256];
	/* What is asked. */
	uint64_t cas;      /* KV_IF_CAS: the item must have this one */
	int64_t expiry;    /* seconds from now; below 0: at once; above KV_RELATIVE_MAX: since 1970; KV_NEVER */
	uint64_t number;   /* kv_count: what is added or taken away */
	uint64_t initial;  /* kv_count, KV_CREATE: what a new one begins with */
	int64_t create;    /* KV_CREATE: the new one's expiry */
	int64_t recache;   /* KV_RECACHE: seconds */
	uint32_t flags;    /* the item's own word, which clients give a meaning */
	uint32_t options;  /* KV_IF_CAS ... */
	uint64_t reserved; /* 0 */
	/* What is answered. */
	uint64_t item_cas;    /* kv_store, kv_count: written before it takes place */
	uint64_t item_number; /* kv_count: after it */
	uint32_t item_flags;
	uint32_t item_bytes; /* of the value, also if there was no room for it */
	int32_t item_left;   /* seconds that it has; -1: it does not expire */
	uint32_t item_idle;  /* seconds since it was last read or stored */
	uint32_t item_state; /* KV_FETCHED ... */
	int32_t item_had;    /* seconds that it had before KV_TOUCH */
	uint32_t item_reserved[6];
	uint8_t value[]; /* with room for a whole number of 8 bytes */
} __attribute__((aligned(64)));

/* What is asked, in `options`. */
#define KV_MODE 0xfu /* of kv_store: an enum kv_mode */
enum kv_mode {
	KV_SET,     /* whether there is one or not */
	KV_ADD,     /* only if there is none */
	KV_REPLACE, /* only if there is one */
	KV_APPEND,  /* to one that there is, whose flags and expiry stay */
	KV_PREPEND,
};
#define KV_IF_CAS (1u << 4) /* only if its cas is that one; KV_ADD does not ask */
#define KV_TOUCH (1u << 5)  /* give it another expiry; kv_delete: with KV_STALE only */
#define KV_CREATE                                                                                                     \
	(1u << 6)            /* make one if there is none: kv_fetch empty, kv_count with `initial`, kv_store (APPEND) \
			      */
#define KV_RECACHE (1u << 7) /* kv_fetch: also claim one that has fewer seconds left than `recache` */
#define KV_STALE \
	(1u << 8) /* kv_delete: do not, but mark it; kv_store: also with a smaller cas than it has, and mark it */
#define KV_DOWN (1u << 9)      /* kv_count: take away; not below 0 */
#define KV_NO_VALUE (1u << 10) /* kv_fetch: not its value; it does not count as read */
#define KV_KEEP (1u << 11)     /* kv_fetch: it is not marked as read */
#define KV_CLAIM (1u << 12)    /* kv_fetch: one that is stale is to be made anew by this reader, if by no other */
#define KV_TOUCHED (1u << 13)  /* kv_fetch: KV_RECACHE goes by the expiry that KV_TOUCH gives, not by the one before */

/* An item's state. */
#define KV_FETCHED (1u << 0) /* it was read before */
#define KV_IS_STALE (1u << 1)
#define KV_WON (1u << 2)  /* this reader is the one to make it anew */
#define KV_LOST (1u << 3) /* another one is, or was asked to */
#define KV_MADE (1u << 4) /* KV_CREATE: there was none */

/* Of the attachment's VM, since it has attached; then of the whole cache. */
struct kv_stats {
	uint64_t get_hits, get_misses;
	uint64_t stores; /* that stored something */
	uint64_t touch_hits, touch_misses, delete_hits, delete_misses;
	uint64_t incr_hits, incr_misses, decr_hits, decr_misses;
	uint64_t cas_hits, cas_misses, cas_badval;
	uint64_t flushes;
	uint64_t retried; /* reads that met a store, and began anew */
	uint64_t items, bytes, limit_bytes, evictions, reclaimed, total_items;
	uint64_t repairs;               /* of what a dead call had left */
	uint64_t seconds, unix_seconds; /* the cache's clock: since it began (from 2 on), and since 1970 */
};

/*
 * Where a slot lies: the buffer's number, and the offset in it. What a key is: its name space and its bytes. Of a
 * number that is too large, the low six bits count.
 */
#define KV_WHERE(buffer, offset) ((uint64_t)(buffer) << 32 | (uint32_t)(offset))
#define KV_WHICH(space, key_bytes) ((uint64_t)(space) << 8 | (uint8_t)(key_bytes))

/*
 * Functions. All return a negative errno for what was not done:
 *
 *   EFAULT     the slot, or the room for a value behind it, is not within the buffer
 *   EINVAL     a key without or with too many bytes, an option that there is not
 *   EACCES     that name space is not the caller's to read, or to write
 *   ENOENT     there is no such item
 *   EEXIST     there is one (KV_ADD), or its cas is another (KV_IF_CAS)
 *   EFBIG      the value is too large
 *   ENOMEM     there is no room for it, even after what can be evicted is
 *   EDOM       kv_count: it is not a number
 *   EAGAIN     a read-only client's read met stores again and again
 *   EPROTO     the object's memory was not set up for this
 *
 * A value's bytes follow the slot; ROOM is how many there may be, rounded up to 8. A value that is longer than ROOM is
 * not copied, only described. Every kind of store makes a new cas.
 *
 *   kv_get(where, which, room)    the bytes of the value, which was copied if they are at most ROOM. Takes no lock.
 *   kv_fetch(where, which, room)  the same, with options
 *   kv_store(where, which, bytes) 0
 *   kv_delete(where, which)       0; options KV_IF_CAS, KV_STALE, KV_TOUCH
 *   kv_count(where, which, room)  the bytes of the new value, which begins with the number in decimal; the number is
 * copied kv_flush(space, delay)        all that is there now, or in DELAY seconds, is gone kv_space(where) the number
 * of the name space whose name, ending with 0, is in the key; ENOENT also if it is not granted kv_stats(where) a struct
 * kv_stats as the slot's value
 */

#endif
