// SPDX-License-Identifier: MIT
/*
 * A libelisa without a VM: the trusted code of the switch runs in the process that calls it. So stock DPDK programs run
 * with the driver on any machine.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define ELISA_TEST
#include "../../objects/vswitch/state.h"
#include "../../objects/vswitch/vswitch.c"

#include "../../lib/elisa.h"
#include "fake.h"

#define ATTACHMENT 7 /* a VM has one, whoever of its processes attaches */
#define BUFFER_BYTES_MAX (64u << 20)

struct elisa_attachment {
	struct elisa_info info;
	int fd;
	int dead; /* its object has gone */
	struct elisa_attachment *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* protects all of the following */
static struct vswitch_state *state;
static struct elisa_exchange exchange[ELISA_EXCHANGES_MAX];
static const struct elisa_attachment *sharer[ELISA_EXCHANGES_MAX];
static struct elisa_attachment *attachments;
static uint64_t serial, value, calls;
static unsigned int buffers, buffers_max = ELISA_EXCHANGES_EACH;
static int failure, take = -1;
static struct cut {
	unsigned int count;
	int error, done;
} cuts[FAKE_COUNTERS + 1];

static _Thread_local char reason[128] = "nothing has failed";

__attribute__((format(printf, 2, 3))) static int fail(int error, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vsnprintf(reason, sizeof(reason), format, list);
	va_end(list);
	return error;
}

const char *elisa_reason(void)
{
	return reason;
}

void fake_value(uint64_t new)
{
	value = new;
}

void fake_fail(int error)
{
	failure = error;
}

void fake_cut(enum fake_function function, int error, unsigned int count, int done)
{
	cuts[function] = (struct cut){ count, error, done };
}

void fake_restart(void)
{
	pthread_mutex_lock(&lock);
	failure = 0;
	for (struct elisa_attachment *each = attachments; each; each = each->next)
		each->dead = 1;
	memset(state->ports, 0, vswitch_state_bytes(state->buckets) - offsetof(struct vswitch_state, ports));
	state->open = state->promiscuous = state->multicast = state->any = 0;
	pthread_mutex_unlock(&lock);
}

void fake_take(int slots)
{
	take = slots;
}

unsigned int fake_buffers(void)
{
	return buffers;
}

void fake_buffers_max(unsigned int count)
{
	buffers_max = count;
}

uint64_t fake_calls(void)
{
	return calls;
}

unsigned int fake_attachments(void)
{
	unsigned int count = 0;

	for (struct elisa_attachment *each = attachments; each; each = each->next)
		count++;
	return count;
}

/* What the manager does. */
static void make_switch(void)
{
	if (state)
		return;
	state = mmap(NULL, vswitch_state_bytes(VSWITCH_BUCKETS_DEFAULT), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (state == MAP_FAILED)
		abort();
	state->magic = VSWITCH_MAGIC;
	state->version = VSWITCH_VERSION;
	state->ports_max = VSWITCH_PORTS_MAX;
	state->ports_each = VSWITCH_PORTS_EACH_DEFAULT;
	state->buckets = VSWITCH_BUCKETS_DEFAULT;
	state->age_limit = 300;
	state->key = state->route_key = 0x9e3779b97f4a7c15;
}

int elisa_attach(struct elisa_attachment **attachment, const char *name, enum elisa_scheme scheme)
{
	struct elisa_attachment *new;

	if (strncmp(name, "vswitch", 7))
		return fail(-ENOENT, "no object is called %s", name);
	if (scheme != ELISA_BY_GATE && scheme != ELISA_BY_VMCALL)
		return fail(-EINVAL, "no such scheme");
	new = calloc(1, sizeof(*new));
	if (!new)
		return fail(-ENOMEM, "no memory");
	new->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	pthread_mutex_lock(&lock);
	make_switch();
	new->info.value = value;
	new->info.attachment = ATTACHMENT;
	new->info.writable = 1;
	new->info.memory = (struct elisa_range){ (uintptr_t)state, vswitch_state_bytes(state->buckets) };
	new->info.exchange = (struct elisa_range){ (uintptr_t)exchange, sizeof(exchange) };
	new->next = attachments;
	attachments = new;
	pthread_mutex_unlock(&lock);
	*attachment = new;
	return 0;
}

static void unshare_locked(uint32_t index)
{
	__atomic_store_n(&exchange[index].range.bytes, 0, __ATOMIC_RELEASE);
	exchange[index] = (struct elisa_exchange){};
	sharer[index] = NULL;
	buffers--;
}

void elisa_detach(struct elisa_attachment *attachment)
{
	struct elisa_attachment **link = &attachments;

	if (!attachment)
		return;
	pthread_mutex_lock(&lock);
	for (uint32_t index = 0; index < ELISA_EXCHANGES_MAX; index++)
		if (sharer[index] == attachment)
			unshare_locked(index);
	while (*link != attachment)
		link = &(*link)->next;
	*link = attachment->next;
	pthread_mutex_unlock(&lock);
	close(attachment->fd);
	free(attachment);
}

int elisa_share(struct elisa_attachment *attachment, void *address, size_t bytes, unsigned int flags, uint32_t *buffer)
{
	uint32_t index = 3;
	int error = 0;

	if (flags != ELISA_BUFFER_EXCHANGE || (uintptr_t)address % ELISA_PAGE || bytes % ELISA_PAGE || !bytes ||
	    bytes > BUFFER_BYTES_MAX)
		return fail(-EINVAL, "not page-aligned, or too large");
	pthread_mutex_lock(&lock);
	while (index < ELISA_EXCHANGES_MAX && sharer[index])
		index++;
	if (buffers >= buffers_max) {
		error = fail(-ENOSPC, "%u buffers are shared", buffers);
	} else {
		serial++;
		exchange[index] = (struct elisa_exchange){
			.range = { (uintptr_t)address, bytes },
			.attachment = ATTACHMENT,
			.serial = serial,
		};
		sharer[index] = attachment;
		buffers++;
		*buffer = ELISA_EXCHANGE_FIRST + index;
	}
	pthread_mutex_unlock(&lock);
	return error;
}

int elisa_unshare(struct elisa_attachment *attachment, uint32_t buffer)
{
	uint32_t index = buffer - ELISA_EXCHANGE_FIRST;
	int error = 0;

	pthread_mutex_lock(&lock);
	if (index >= ELISA_EXCHANGES_MAX || sharer[index] != attachment)
		error = fail(-ENOENT, "no such buffer");
	else
		unshare_locked(index);
	pthread_mutex_unlock(&lock);
	return error;
}

void elisa_notify(const struct elisa_info *info, uint32_t attachment)
{
	const uint64_t one = 1;

	(void)info;
	(void)attachment;
	pthread_mutex_lock(&lock);
	for (struct elisa_attachment *each = attachments; each; each = each->next)
		if (write(each->fd, &one, sizeof(one)) != sizeof(one))
			abort();
	pthread_mutex_unlock(&lock);
}

int elisa_wait(struct elisa_attachment *attachment, int limit_ms)
{
	struct pollfd poll_fd = { .fd = attachment->fd, .events = POLLIN };
	uint64_t count;
	int ready = poll(&poll_fd, 1, limit_ms);

	if (ready < 0)
		return fail(-errno, "interrupted");
	return ready && read(attachment->fd, &count, sizeof(count)) > 0 ? 0 : fail(-ETIMEDOUT, "nothing came");
}

int elisa_attachment_fd(const struct elisa_attachment *attachment)
{
	return attachment->fd;
}

uint32_t elisa_attachment_number(const struct elisa_attachment *attachment)
{
	return attachment->info.attachment;
}

int elisa_function_find(struct elisa_attachment *attachment, const char *name, struct elisa_function *function)
{
	static const char *const names[] = {
		[FAKE_OPEN] = "vswitch_open", [FAKE_CLOSE] = "vswitch_close",       [FAKE_SEND] = "vswitch_send",
		[FAKE_SET] = "vswitch_set",   [FAKE_COUNTERS] = "vswitch_counters",
	};

	for (uint32_t index = 0; index < sizeof(names) / sizeof(*names); index++) {
		if (!strcmp(names[index], name)) {
			*function = (struct elisa_function){ .index = index, .attachment = attachment };
			return 0;
		}
	}
	return fail(-ENOENT, "no such function");
}

static long call(const struct elisa_info *info, uint32_t function, uint64_t a0, uint64_t a1, uint64_t a2)
{
	switch (function) {
	case FAKE_OPEN:
		return vswitch_open(info, a0);
	case FAKE_CLOSE:
		return vswitch_close(info, a0);
	case FAKE_SEND:
		return vswitch_send(info, a0, a1, take >= 0 && (uint64_t)take < a2 ? (uint64_t)take : a2);
	case FAKE_SET:
		return vswitch_set(info, a0, a1, a2);
	case FAKE_COUNTERS:
		return vswitch_counters(info, a0, a1);
	default:
		abort();
	}
}

long elisa_call(const struct elisa_function *function, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4)
{
	const struct elisa_attachment *attachment = function->attachment;
	struct cut *cut = &cuts[function->index];

	(void)a3;
	(void)a4;
	__atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED);
	if (failure || attachment->dead)
		return failure ? failure : -ESHUTDOWN;
	if (!cut->count)
		return call(&attachment->info, function->index, a0, a1, a2);
	cut->count--;
	if (cut->done)
		call(&attachment->info, function->index, a0, a1, a2);
	return cut->error;
}

long elisa_call0(const struct elisa_function *function)
{
	return elisa_call(function, 0, 0, 0, 0, 0);
}

long elisa_call1(const struct elisa_function *function, uint64_t a0)
{
	return elisa_call(function, a0, 0, 0, 0, 0);
}

long elisa_call2(const struct elisa_function *function, uint64_t a0, uint64_t a1)
{
	return elisa_call(function, a0, a1, 0, 0, 0);
}

long elisa_call3(const struct elisa_function *function, uint64_t a0, uint64_t a1, uint64_t a2)
{
	return elisa_call(function, a0, a1, a2, 0, 0);
}

long elisa_call4(const struct elisa_function *function, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3)
{
	return elisa_call(function, a0, a1, a2, a3, 0);
}
