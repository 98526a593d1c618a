/* SPDX-License-Identifier: MIT */
/* The cache's trusted code as part of an ordinary program: its memory, and clients of it. */
#ifndef KV_WORLD_H
#define KV_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ELISA_TEST
#include "../../../objects/kv/kv.c"

#define CLIENTS 4 /* the row of each is its number; its attachment is that + 1 */
#define BUFFER 3  /* the number of a client's buffer */
#define SHARED 1  /* a name space that all may write but the last one, who may only read it */

struct client {
	struct elisa_info info;
	struct kv_slot *slot;
};

extern struct client clients[CLIENTS];
extern struct kv_state *state;

/* An empty cache of so many bytes. Its memory is shared with processes that fork. */
void world_reset(uint64_t bytes, uint32_t page_shift);

/* Calls by client n; what is asked is as if asked for the first time. Keys are strings. */
struct kv_slot *slot_of(uint32_t n, const char *key);
uint64_t which(uint32_t space, const char *key);
long get(uint32_t n, uint32_t space, const char *key);
long store(uint32_t n, uint32_t space, const char *key, uint32_t options, const void *value, uint32_t bytes);
long set(uint32_t n, uint32_t space, const char *key, const char *value);
long erase(uint32_t n, uint32_t space, const char *key);
long count_up(uint32_t n, uint32_t space, const char *key, uint64_t by);

/* Is it there, with this value? */
bool has(uint32_t n, uint32_t space, const char *key, const void *value, uint32_t bytes);

struct kv_stats stats_of(uint32_t n);

/* Every block is in one place, and all that is counted is so many: NULL, or what is wrong. Nobody holds a lock. */
const char *world_check(const struct kv_state *of);

#endif
