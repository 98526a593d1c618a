// SPDX-License-Identifier: MIT
/* Trees of EPT tables: which leaves are chosen, what is refused, and that an error changes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "arena.h"
#include "ept.h"

#define PAGE 0x1000ULL
#define MIB2 0x200000ULL
#define GIB 0x40000000ULL
#define RW (ELISA_EPT_READ | ELISA_EPT_WRITE)

static struct arena arena;
static struct elisa_ept ept;

static int arena_setup(void **unused)
{
	(void)unused;
	arena_create(&arena, 46);
	return elisa_ept_create(&ept, &arena.allocator, ELISA_EPT_PDPT);
}

static int arena_teardown(void **unused)
{
	(void)unused;
	elisa_ept_destroy(&ept);
	elisa_ept_destroy(&ept);
	assert_int_equal(arena.pages, 0);
	arena_destroy(&arena);
	return 0;
}

/* The level and the entry at which a walk of the tree at offset ends. */
static u32 end_of(u64 offset, u64 *entry)
{
	const u64 *table = ept.table;
	u32 level = ept.level;

	for (;; level--) {
		*entry = table[offset >> (3 + 9 * level) & 511];
		if (!(*entry & 7) || level == 1 || *entry & ELISA_EPT_LARGE || *entry & ELISA_EPT_FOREIGN)
			return level;
		assert_int_equal(*entry & ~ELISA_EPT_ADDRESS, ELISA_EPT_ALL | ELISA_EPT_EXEC_USER);
		table = arena.allocator.virtual(&arena.allocator, *entry & ELISA_EPT_ADDRESS);
	}
}

static void assert_leaf(u64 offset, u32 level, hpa_t hpa, u64 prot)
{
	u64 entry, flags = 6 << 3 | 1 << 6 | 1ULL << 63 | prot;

	flags |= level > 1 ? 1 << 7 : 0;
	flags |= prot & 4 ? 1 << 10 : 0;
	assert_int_equal(end_of(offset, &entry), level);
	assert_int_equal(entry & ELISA_EPT_ADDRESS, hpa);
	assert_int_equal(entry & ~ELISA_EPT_ADDRESS, flags);
}

static void assert_none(u64 offset)
{
	u64 entry;

	end_of(offset, &entry);
	assert_int_equal(entry, 1ULL << 63);
}

static int map(u64 offset, hpa_t hpa, u64 bytes)
{
	return elisa_ept_map_range(&ept, offset, hpa, bytes, RW, ELISA_EPT_PDPT);
}

/* Fails with err, and leaves no trace. */
#define assert_refused(err, call)                              \
	do {                                                   \
		u64 before_ = arena_hash(&arena);              \
		assert_int_equal(call, err);                   \
		assert_int_equal(arena_hash(&arena), before_); \
	} while (0)

static void small_leaves(void **unused)
{
	(void)unused;
	assert_int_equal(map(MIB2 + PAGE, 0x5000, 3 * PAGE), 0);
	assert_none(MIB2);
	assert_leaf(MIB2 + PAGE, 1, 0x5000, RW);
	assert_leaf(MIB2 + 3 * PAGE, 1, 0x7000, RW);
	assert_none(MIB2 + 4 * PAGE);
	assert_none(0);
	assert_int_equal(arena.pages, 3);
	/* Into the same PT. */
	assert_int_equal(map(MIB2, 0x9000, PAGE), 0);
	assert_int_equal(arena.pages, 3);
}

static void large_leaves(void **unused)
{
	(void)unused;
	/* 4 KiB up to 2 MiB, 2 MiB up to 1 GiB, two of 1 GiB, and down again. */
	assert_int_equal(map(GIB - MIB2 - PAGE, 5 * GIB - MIB2 - PAGE, 2 * (GIB + MIB2 + PAGE)), 0);
	assert_leaf(GIB - MIB2 - PAGE, 1, 5 * GIB - MIB2 - PAGE, RW);
	assert_leaf(GIB - MIB2, 2, 5 * GIB - MIB2, RW);
	assert_leaf(GIB, 3, 5 * GIB, RW);
	assert_leaf(2 * GIB, 3, 6 * GIB, RW);
	assert_leaf(3 * GIB, 2, 7 * GIB, RW);
	assert_leaf(3 * GIB + MIB2, 1, 7 * GIB + MIB2, RW);
	assert_none(3 * GIB + MIB2 + PAGE);
	assert_int_equal(arena.pages, 5);
}

static void largest_leaf(void **unused)
{
	(void)unused;
	assert_int_equal(elisa_ept_map_range(&ept, 0, 0, GIB, ELISA_EPT_READ, ELISA_EPT_PD), 0);
	assert_leaf(0, 2, 0, ELISA_EPT_READ);
	assert_leaf(GIB - MIB2, 2, GIB - MIB2, ELISA_EPT_READ);
	assert_int_equal(elisa_ept_map_range(&ept, GIB, 0, 2 * MIB2, ELISA_EPT_EXEC, ELISA_EPT_PT), 0);
	assert_leaf(GIB, 1, 0, ELISA_EPT_EXEC);
	assert_leaf(GIB + 2 * MIB2 - PAGE, 1, 2 * MIB2 - PAGE, ELISA_EPT_EXEC);
	assert_int_equal(arena.pages, 5);
}

static void misaligned(void **unused)
{
	(void)unused;
	/* Either side alone is not enough. */
	assert_int_equal(map(0, PAGE, MIB2), 0);
	assert_leaf(0, 1, PAGE, RW);
	assert_int_equal(map(GIB + PAGE, GIB, MIB2), 0);
	assert_leaf(GIB + MIB2, 1, GIB + MIB2 - PAGE, RW);
	/* 2 MiB-aligned both, 1 GiB-aligned one. */
	assert_int_equal(map(2 * GIB, 2 * GIB + MIB2, GIB), 0);
	assert_leaf(2 * GIB, 2, 2 * GIB + MIB2, RW);
	assert_int_equal(map(4 * GIB, 4 * GIB, GIB - PAGE), 0);
	assert_leaf(4 * GIB, 2, 4 * GIB, RW);
	assert_leaf(5 * GIB - MIB2, 1, 5 * GIB - MIB2, RW);
}

static void whole_span(void **unused)
{
	(void)unused;
	assert_int_equal(map(0, 0, 512 * GIB), 0);
	assert_leaf(511 * GIB, 3, 511 * GIB, RW);
	assert_int_equal(arena.pages, 1);
	assert_int_equal(elisa_ept_unmap_range(&ept, 0, 512 * GIB), 0);
	assert_none(511 * GIB);
	assert_int_equal(map(512 * GIB - PAGE, (1ULL << 52) - PAGE, PAGE), 0);
	assert_leaf(512 * GIB - PAGE, 1, (1ULL << 52) - PAGE, RW);
}

static void existing(void **unused)
{
	(void)unused;
	assert_int_equal(map(8 * PAGE, 0, PAGE), 0);
	assert_int_equal(map(GIB + MIB2, 0, MIB2), 0);
	assert_int_equal(map(3 * GIB, 0, GIB), 0);
	assert_refused(-EEXIST, map(8 * PAGE, 0, PAGE));
	assert_refused(-EEXIST, map(0, 0, 9 * PAGE));
	assert_refused(-EEXIST, map(0, 0, GIB));
	assert_refused(-EEXIST, map(GIB + 2 * MIB2 - PAGE, 0, 2 * PAGE));
	assert_refused(-EEXIST, map(GIB, 0, 2 * MIB2));
	assert_refused(-EEXIST, map(2 * GIB, 0, 2 * GIB));
	assert_refused(-EEXIST, map(4 * GIB - PAGE, 0, PAGE));
	assert_int_equal(elisa_ept_link_foreign(&ept, 5 * GIB, 0x1234000, RW), 0);
	assert_refused(-EEXIST, map(4 * GIB, 0, GIB + PAGE));
	assert_refused(-EEXIST, elisa_ept_link_foreign(&ept, 5 * GIB, 0x1234000, RW));
	assert_refused(-EEXIST, elisa_ept_link_foreign(&ept, 3 * GIB, 0x1234000, RW));
	assert_refused(-EEXIST, elisa_ept_link_foreign(&ept, 0, 0x1234000, RW));
	/* Next to all of these is room. */
	assert_int_equal(map(9 * PAGE, 0, PAGE), 0);
	assert_int_equal(map(4 * GIB, 0, GIB), 0);
}

static void bad_arguments(void **unused)
{
	struct elisa_ept other;

	(void)unused;
	assert_refused(-EINVAL, map(0, 0, 0));
	assert_refused(-EINVAL, map(1, 0, PAGE));
	assert_refused(-EINVAL, map(0, 1, PAGE));
	assert_refused(-EINVAL, map(0, 0, PAGE + 8));
	assert_refused(-EINVAL, map(512 * GIB, 0, PAGE));
	assert_refused(-EINVAL, map(512 * GIB - PAGE, 0, 2 * PAGE));
	assert_refused(-EINVAL, map(-PAGE, 0, 2 * PAGE));
	assert_refused(-EINVAL, map(PAGE, 0, -PAGE));
	assert_refused(-EINVAL, map(0, 1ULL << 52, PAGE));
	assert_refused(-EINVAL, map(0, (1ULL << 52) - PAGE, 2 * PAGE));
	assert_refused(-EINVAL, elisa_ept_map_range(&ept, 0, 0, PAGE, 0, 3));
	assert_refused(-EINVAL, elisa_ept_map_range(&ept, 0, 0, PAGE, ELISA_EPT_WRITE, 3));
	assert_refused(-EINVAL, elisa_ept_map_range(&ept, 0, 0, PAGE, ELISA_EPT_WRITE | ELISA_EPT_EXEC, 3));
	assert_refused(-EINVAL, elisa_ept_map_range(&ept, 0, 0, PAGE, RW | 8, 3));
	assert_refused(-EINVAL, elisa_ept_map_range(&ept, 0, 0, PAGE, RW, 0));
	assert_refused(-EINVAL, elisa_ept_map_range(&ept, 0, 0, PAGE, RW, 4));
	assert_refused(-EINVAL, elisa_ept_unmap_range(&ept, 0, 0));
	assert_refused(-EINVAL, elisa_ept_unmap_range(&ept, 1, PAGE));
	assert_refused(-EINVAL, elisa_ept_unmap_range(&ept, 512 * GIB - PAGE, 2 * PAGE));
	assert_refused(-EINVAL, elisa_ept_link_foreign(&ept, PAGE, 0, RW));
	assert_refused(-EINVAL, elisa_ept_link_foreign(&ept, 512 * GIB, 0, RW));
	assert_refused(-EINVAL, elisa_ept_link_foreign(&ept, 0, 8, RW));
	assert_refused(-EINVAL, elisa_ept_link_foreign(&ept, 0, 0, ELISA_EPT_WRITE));
	assert_refused(-EINVAL, elisa_ept_create(&other, &arena.allocator, 0));
	assert_refused(-EINVAL, elisa_ept_create(&other, &arena.allocator, 4));
	elisa_ept_destroy(&other);
}

static void one_table(void **unused)
{
	struct elisa_ept pt;

	(void)unused;
	assert_int_equal(elisa_ept_create(&pt, &arena.allocator, ELISA_EPT_PT), 0);
	assert_int_equal(elisa_ept_map_range(&pt, 0, 0, MIB2, RW, ELISA_EPT_PDPT), 0);
	assert_int_equal(pt.table[511] & ELISA_EPT_ADDRESS, 511 * PAGE);
	assert_int_equal(pt.table[511] & ELISA_EPT_LARGE, 0);
	assert_refused(-EINVAL, elisa_ept_map_range(&pt, MIB2, 0, PAGE, RW, ELISA_EPT_PT));
	assert_refused(-EINVAL, elisa_ept_link_foreign(&pt, 0, 0, RW));
	assert_int_equal(elisa_ept_physical(&pt), arena.allocator.physical(&arena.allocator, pt.table));
	elisa_ept_destroy(&pt);
	assert_int_equal(arena.pages, 1);
}

static void unmapping(void **unused)
{
	u64 entry;

	(void)unused;
	assert_int_equal(map(GIB - PAGE, 0, 4 * PAGE), 0);
	assert_int_equal(map(4 * GIB, 4 * GIB, 3 * MIB2), 0);
	assert_int_equal(elisa_ept_unmap_range(&ept, GIB, PAGE), 0);
	assert_none(GIB);
	assert_leaf(GIB - PAGE, 1, 0, RW);
	assert_leaf(GIB + PAGE, 1, 2 * PAGE, RW);
	/* No large leaf is cut; and nothing of such a range is unmapped. */
	assert_refused(-EINVAL, elisa_ept_unmap_range(&ept, GIB, 3 * GIB + PAGE));
	assert_refused(-EINVAL, elisa_ept_unmap_range(&ept, 4 * GIB + MIB2 + PAGE, PAGE));
	/* Foreign links stay. */
	assert_int_equal(elisa_ept_link_foreign(&ept, 5 * GIB, 0x1234000, RW), 0);
	assert_int_equal(elisa_ept_unmap_range(&ept, 0, 512 * GIB), 0);
	assert_none(GIB + PAGE);
	assert_none(4 * GIB);
	assert_int_equal(end_of(5 * GIB, &entry), 3);
	assert_int_equal(entry, 0x1234000 | RW | ELISA_EPT_FOREIGN);
	/* Tables stay too: their entries are used again, with no larger leaf in their place. */
	assert_int_equal(arena.pages, 6);
	assert_int_equal(map(4 * GIB, 4 * GIB, GIB), 0);
	assert_leaf(4 * GIB, 2, 4 * GIB, RW);
	assert_int_equal(arena.pages, 6);
}

static void foreign(void **unused)
{
	struct elisa_ept child;

	(void)unused;
	assert_int_equal(elisa_ept_create(&child, &arena.allocator, ELISA_EPT_PD), 0);
	assert_int_equal(elisa_ept_map_range(&child, 0, 0, 2 * PAGE, RW, ELISA_EPT_PT), 0);
	assert_int_equal(elisa_ept_link_foreign(&ept, GIB, elisa_ept_physical(&child), ELISA_EPT_READ), 0);
	assert_int_equal(map(0, 0, PAGE), 0);
	assert_int_equal(arena.pages, 5);
	elisa_ept_destroy(&ept);
	assert_int_equal(arena.pages, 2);
	elisa_ept_destroy(&child);
}

/* Whichever allocation fails, it is as if the call had not been made. */
static void failing_allocations(void **unused)
{
	u32 n, failed = 0;
	int err;

	(void)unused;
	assert_int_equal(map(GIB - MIB2, 0, PAGE), 0);
	for (n = 1;; n++) {
		u64 before = arena_hash(&arena);
		u32 pages = arena.pages;

		arena.countdown = n;
		err = map(GIB - 4 * PAGE, 3 * PAGE, 2 * GIB);
		if (!arena.countdown) {
			assert_int_equal(err, -ENOMEM);
			assert_int_equal(arena.pages, pages);
			assert_none(GIB - PAGE);
			/* A page's place in the arena is no state, its content is poison again. */
			assert_int_equal(arena_hash(&arena), before);
			failed++;
			continue;
		}
		break;
	}
	arena.countdown = 0;
	assert_int_equal(err, 0);
	assert_int_equal(failed, arena.pages - 3);
	assert_leaf(GIB - 4 * PAGE, 1, 3 * PAGE, RW);
	assert_leaf(3 * GIB - 5 * PAGE, 1, 2 * GIB + 2 * PAGE, RW);
	arena.countdown = 1;
	elisa_ept_destroy(&ept);
	assert_int_equal(elisa_ept_create(&ept, &arena.allocator, ELISA_EPT_PT), -ENOMEM);
	assert_null(ept.table);
}

static void restricting(void **unused)
{
	u64 leaf = elisa_ept_leaf(0x5000, 1, ELISA_EPT_ALL), link = elisa_ept_link(0x5000, RW);

	(void)unused;
	assert_int_equal(leaf, 0x5000 | 7 | 1 << 10 | 6 << 3 | 1 << 6 | 1ULL << 63);
	assert_int_equal(elisa_ept_entry_restrict(leaf, ELISA_EPT_EXEC), leaf & ~3ULL);
	assert_int_equal(elisa_ept_entry_restrict(leaf, ELISA_EPT_READ), leaf & ~(6ULL | 1 << 10));
	assert_int_equal(elisa_ept_entry_restrict(link, ELISA_EPT_READ), 0x5001);
	assert_int_equal(elisa_ept_entry_restrict(link, ELISA_EPT_ALL), link);
	assert_int_equal(elisa_ept_entry_restrict(link, ELISA_EPT_EXEC), ELISA_EPT_NONE);
	assert_int_equal(elisa_ept_entry_restrict(link, 0), ELISA_EPT_NONE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, arena_setup, arena_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(small_leaves), TEST(large_leaves), TEST(largest_leaf),        TEST(misaligned),
		TEST(whole_span),   TEST(existing),     TEST(bad_arguments),       TEST(one_table),
		TEST(unmapping),    TEST(foreign),      TEST(failing_allocations), TEST(restricting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
