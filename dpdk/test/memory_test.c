// SPDX-License-Identifier: MIT
/* How EAL's memory is cut into buffers, and what becomes of them when some of it comes or goes. No EAL: the test is it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>

#include <cmocka.h>
#include <rte_memory.h>

#include "../driver.h"

#define MIB ((size_t)1 << 20)
#define BASE ((uintptr_t)0x100000000)

int net_elisa_logtype;
static struct rte_memseg_list list;
static struct {
	uintptr_t start;
	size_t bytes;
} runs[20], shared[64];
static unsigned int run_count, share_count, share_max;

int rte_log(uint32_t level, uint32_t type, const char *format, ...)
{
	(void)level;
	(void)type;
	(void)format;
	return 0;
}

int rte_memseg_list_walk_thread_unsafe(rte_memseg_list_walk_t function, void *argument)
{
	return function(&list, argument);
}

int rte_memseg_contig_walk_thread_unsafe(rte_memseg_contig_walk_t function, void *argument)
{
	for (unsigned int i = 0; i < run_count; i++) {
		struct rte_memseg segment = { .addr = (void *)runs[i].start };

		function(&list, &segment, runs[i].bytes, argument);
	}
	return 0;
}

const char *elisa_reason(void)
{
	return "";
}

int elisa_share(struct elisa_attachment *attachment, void *address, size_t bytes, unsigned int flags, uint32_t *buffer)
{
	(void)attachment;
	(void)flags;
	assert_true(bytes && bytes <= NET_BUFFER_BYTES);
	for (uint32_t i = 0; i < share_max; i++) {
		if (!shared[i].bytes) {
			shared[i].start = (uintptr_t)address;
			shared[i].bytes = bytes;
			share_count++;
			*buffer = 0x100 + i;
			return 0;
		}
	}
	return -ENOSPC;
}

int elisa_unshare(struct elisa_attachment *attachment, uint32_t buffer)
{
	(void)attachment;
	assert_true(shared[buffer - 0x100].bytes);
	shared[buffer - 0x100].bytes = 0;
	share_count--;
	return 0;
}

static struct net_memory memory;

static void begin(size_t bytes)
{
	list = (struct rte_memseg_list){ .base_va = (void *)BASE, .page_sz = 2 * MIB, .len = (size_t)16 << 30 };
	memset(shared, 0, sizeof(shared));
	share_count = 0;
	share_max = 64;
	runs[0].start = BASE;
	runs[0].bytes = bytes;
	run_count = bytes != 0;
}

/* `bytes` at an address are in one buffer, at the place that is said. */
static void reachable(uintptr_t address, size_t bytes)
{
	uint64_t where = net_memory_where(&memory, (void *)address);
	uint32_t index = where >> 32, offset = (uint32_t)where;

	assert_int_not_equal(where, NET_NOWHERE);
	assert_true(index < 64);
	assert_int_equal(shared[index].start + offset, address);
	assert_true(offset + bytes <= shared[index].bytes);
}

static void unreachable(uintptr_t address)
{
	assert_int_equal(net_memory_where(&memory, (void *)address), NET_NOWHERE);
}

static void one_buffer(void **state)
{
	(void)state;
	begin(64 * MIB);
	assert_int_equal(net_memory_create(&memory, NULL), 0);
	assert_int_equal(share_count, 1);
	reachable(BASE, 64 * MIB);
	reachable(BASE + 64 * MIB - 1, 1);
	unreachable(BASE + 64 * MIB);
	unreachable(BASE - 1);
	unreachable(0);
	unreachable(UINTPTR_MAX);
	net_memory_destroy(&memory);
	assert_int_equal(share_count, 0);
}

/* Nothing of up to 2 MiB lies across an end, wherever it begins. */
static void overlap(void **state)
{
	(void)state;
	begin(500 * MIB);
	assert_int_equal(net_memory_create(&memory, NULL), 0);
	for (uintptr_t at = BASE; at <= BASE + 498 * MIB; at += MIB / 2)
		reachable(at, 2 * MIB);
	reachable(BASE + 500 * MIB - 64, 64);
	net_memory_destroy(&memory);
	assert_int_equal(share_count, 0);
}

static void comes_and_goes(void **state)
{
	(void)state;
	begin(32 * MIB);
	assert_int_equal(net_memory_create(&memory, NULL), 0);
	net_memory_added(&memory, BASE + 40 * MIB, 10 * MIB);
	assert_int_equal(share_count, 2);
	reachable(BASE + 40 * MIB, 10 * MIB);
	unreachable(BASE + 36 * MIB);
	/* A part in the middle: the rest stays where it is. */
	net_memory_removed(&memory, BASE + 8 * MIB, 4 * MIB);
	reachable(BASE, MIB);
	unreachable(BASE + 8 * MIB);
	unreachable(BASE + 12 * MIB - 1);
	reachable(BASE + 12 * MIB, 20 * MIB);
	/* The same addresses again are other memory: in a buffer of their own. */
	net_memory_added(&memory, BASE + 8 * MIB, 4 * MIB);
	assert_int_equal(share_count, 3);
	reachable(BASE + 8 * MIB, 4 * MIB);
	assert_int_not_equal(net_memory_where(&memory, (void *)(BASE + 8 * MIB)) >> 32,
			     net_memory_where(&memory, (void *)BASE) >> 32);
	/* All that a buffer was for has gone: it is shared no more. */
	net_memory_removed(&memory, BASE, 8 * MIB);
	assert_int_equal(share_count, 3);
	net_memory_removed(&memory, BASE + 12 * MIB, 20 * MIB);
	assert_int_equal(share_count, 2);
	net_memory_removed(&memory, BASE + 40 * MIB, 10 * MIB);
	net_memory_removed(&memory, BASE + 8 * MIB, 4 * MIB);
	assert_int_equal(share_count, 0);
	net_memory_destroy(&memory);
}

static void not_ours(void **state)
{
	(void)state;
	begin(32 * MIB);
	assert_int_equal(net_memory_create(&memory, NULL), 0);
	net_memory_added(&memory, BASE - 64 * MIB, 2 * MIB);
	net_memory_added(&memory, BASE + ((uintptr_t)16 << 30), 2 * MIB);
	net_memory_removed(&memory, BASE - 64 * MIB, 2 * MIB);
	assert_int_equal(share_count, 1);
	net_memory_destroy(&memory);
}

/* More pieces than buffers: the others are nowhere, until all is shared anew. */
static void too_many(void **state)
{
	(void)state;
	begin(2 * MIB);
	assert_int_equal(net_memory_create(&memory, NULL), 0);
	for (unsigned int i = 1; i < 30; i++)
		net_memory_added(&memory, BASE + i * 2 * MIB, 2 * MIB);
	assert_int_equal(share_count, NET_BUFFERS_MAX);
	unreachable(BASE + 58 * MIB);
	assert_true(memory.stale);
	runs[0].bytes = 60 * MIB;
	assert_int_equal(net_memory_refresh(&memory), 0);
	assert_int_equal(share_count, 1);
	reachable(BASE, 60 * MIB);
	net_memory_destroy(&memory);
}

static void refused(void **state)
{
	(void)state;
	begin(2 * MIB);
	share_max = 0;
	assert_int_equal(net_memory_create(&memory, NULL), -ENOMEM);
	begin(0);
	assert_int_equal(net_memory_create(&memory, NULL), -ENOMEM);
	assert_int_equal(share_count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_buffer), cmocka_unit_test(overlap),  cmocka_unit_test(comes_and_goes),
		cmocka_unit_test(not_ours),   cmocka_unit_test(too_many), cmocka_unit_test(refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
