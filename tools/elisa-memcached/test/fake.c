// SPDX-License-Identifier: MIT
/* A libelisa without a VM, for tests: the cache's trusted code runs in the process that calls it. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define ELISA_TEST
#include "../../../objects/kv/kv.c"

#include <elisa.h>

#define BYTES (64u << 20)

struct elisa_attachment {
	struct elisa_info info;
};

static struct elisa_attachment the_attachment;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t buffers;
static __thread uint32_t thread_number;
static uint32_t threads;
static uint64_t begin_s;

const char *elisa_reason(void)
{
	return "there is no room";
}

static struct kv_state *state_of_fake(void)
{
	return (struct kv_state *)the_attachment.info.memory.address;
}

/* Of a clock that nobody sets, as elisa-kv's: else all would expire when somebody does. */
static uint64_t monotonic_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec;
}

static void tick(void)
{
	KV_WRITE(state_of_fake()->seconds, (uint32_t)(monotonic_s() - begin_s + 2));
}

int elisa_attach(struct elisa_attachment **attachment, const char *name, enum elisa_scheme scheme)
{
	static const uint64_t secret[2] = { 0x9e3779b97f4a7c15, 0xc2b2ae3d27d4eb4f };
	struct kv_state *state = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)name, (void)scheme;
	if (state == MAP_FAILED || kv_state_init(state, BYTES, KV_PAGE_SHIFT, secret))
		return -ENOMEM;
	begin_s = monotonic_s();
	state->unix_base = (uint64_t)time(NULL) - 2;
	/* So that a smaller cas than an item's can be asked for, as of memcached. */
	for (uint32_t i = 0; i < state->stripes; i++)
		stripe_at(state, i)->serial = 1000;
	state->rows[1].read = state->rows[1].write = 1;
	the_attachment.info.value = KV_VALUE(1);
	the_attachment.info.writable = 1;
	the_attachment.info.memory = (struct elisa_range){ (uintptr_t)state, BYTES };
	*attachment = &the_attachment;
	return 0;
}

int elisa_attach_direct(struct elisa_attachment **attachment, const char *name, const char *path)
{
	(void)path;
	return elisa_attach(attachment, name, ELISA_BY_GATE);
}

void elisa_detach(struct elisa_attachment *attachment)
{
	(void)attachment;
}

int elisa_function_find(struct elisa_attachment *attachment, const char *name, struct elisa_function *function)
{
	static const char *const names[] = { "kv_get",   "kv_fetch", "kv_store", "kv_delete",
					     "kv_count", "kv_flush", "kv_space", "kv_stats" };

	for (uint32_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(names[i], name) != 0)
			continue;
		*function = (struct elisa_function){ .index = i, .attachment = attachment };
		return 0;
	}
	return -ENOENT;
}

int elisa_share(struct elisa_attachment *attachment, void *address, size_t bytes, unsigned int flags, uint32_t *buffer)
{
	(void)flags;
	pthread_mutex_lock(&lock);
	*buffer = buffers++;
	pthread_mutex_unlock(&lock);
	if (*buffer >= ELISA_BUFFERS_MAX)
		return -ENOSPC;
	attachment->info.buffers[*buffer] = (struct elisa_range){ (uintptr_t)address, bytes };
	return 0;
}

/* Each thread calls as another attachment: their locks differ. */
static long execute(const struct elisa_function *function, uint64_t a0, uint64_t a1, uint64_t a2)
{
	struct elisa_info info = function->attachment->info;

	if (!thread_number)
		thread_number = __atomic_add_fetch(&threads, 1, __ATOMIC_RELAXED);
	info.attachment = thread_number;
	tick();
	switch (function->index) {
	case 0:
		return kv_get(&info, a0, a1, a2);
	case 1:
		return kv_fetch(&info, a0, a1, a2);
	case 2:
		return kv_store(&info, a0, a1, a2);
	case 3:
		return kv_delete(&info, a0, a1);
	case 4:
		return kv_count(&info, a0, a1, a2);
	case 5:
		return kv_flush(&info, a0, a1);
	case 6:
		return kv_space(&info, a0);
	default:
		return kv_stats(&info, a0);
	}
}

/*
 * One of FAKE_ENDED calls is ended: before it has begun, when its item is made but not in the table, or after it was
 * done, in turn. Not those of which nobody can find out what became of them: kv_delete, kv_fetch that makes an item,
 * the second way where there is none before, and what is stored so that it expires at once.
 */
static long call(const struct elisa_function *function, uint64_t a0, uint64_t a1, uint64_t a2)
{
	static uint32_t calls, each = UINT32_MAX;
	struct kv_slot *slot =
		(struct kv_slot *)the_attachment.info.buffers[a0 >> 32 & (ELISA_BUFFERS_MAX - 1)].address;
	uint32_t when;
	long result;

	if (each == UINT32_MAX)
		each = getenv("FAKE_ENDED") ? (uint32_t)atoi(getenv("FAKE_ENDED")) : 0;
	when = __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
	if (!each || when % each || function->index > 4 || function->index == 3 ||
	    (function->index == 1 && slot->options & KV_CREATE) || (function->index == 2 && slot->expiry < 0))
		return execute(function, a0, a1, a2);
	if (when / each % 3 == 1 && (function->index == 2 || function->index == 4)) {
		struct elisa_function get = { .index = 0, .attachment = function->attachment };

		if (execute(&get, a0, a1, 0) >= 0)
			slot->item_cas = UINT64_MAX / 2;
		return -ECANCELED;
	}
	if (when / each % 3 <= 1)
		return -ECANCELED;
	result = execute(function, a0, a1, a2);
	return result < 0 ? result : -ECANCELED;
}

long elisa_call1(const struct elisa_function *function, uint64_t a0)
{
	return call(function, a0, 0, 0);
}

long elisa_call2(const struct elisa_function *function, uint64_t a0, uint64_t a1)
{
	return call(function, a0, a1, 0);
}

long elisa_call3(const struct elisa_function *function, uint64_t a0, uint64_t a1, uint64_t a2)
{
	return call(function, a0, a1, a2);
}
