// SPDX-License-Identifier: MIT
/* Making, linking and destroying contexts: what is refused, how many pages it takes, and that none is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "arena.h"
#include "context.h"

#define R ELISA_EPT_READ
#define RW (ELISA_EPT_READ | ELISA_EPT_WRITE)
#define X ELISA_EPT_EXEC

static struct arena arena;
static struct elisa_inside inside;
static struct elisa_context gate, sub;
static struct elisa_allocator *const allocator = &arena.allocator;

static int empty_setup(void **unused)
{
	(void)unused;
	arena_create(&arena, 46);
	return 0;
}

static int empty_teardown(void **unused)
{
	(void)unused;
	assert_int_equal(arena.pages, 0);
	arena_destroy(&arena);
	return 0;
}

static int contexts_setup(void **unused)
{
	empty_setup(unused);
	assert_int_equal(elisa_inside_create(&inside, allocator, 46, 0), 0);
	assert_int_equal(elisa_context_create(&gate, &inside, allocator, ELISA_KIND_GATE, false), 0);
	assert_int_equal(elisa_context_create(&sub, &inside, allocator, ELISA_KIND_SUB, false), 0);
	return 0;
}

static int contexts_teardown(void **unused)
{
	elisa_context_destroy(&sub);
	elisa_context_destroy(&gate);
	elisa_inside_destroy(&inside);
	return empty_teardown(unused);
}

/* Fails with err, and leaves no trace. */
#define assert_refused(err, call)                              \
	do {                                                   \
		u64 before_ = arena_hash(&arena);              \
		assert_int_equal(call, err);                   \
		assert_int_equal(arena_hash(&arena), before_); \
	} while (0)

static u64 sub_entry(u64 offset)
{
	return sub.pdpt[(inside.base + offset) / ELISA_1G % 512];
}

static void default_base(void **unused)
{
	u32 bits;

	(void)unused;
	for (bits = 39; bits <= 52; bits++) {
		assert_int_equal(elisa_inside_create(&inside, allocator, bits, 0), 0);
		assert_int_equal(inside.base, 1ULL << (bits > 47 ? 46 : bits - 1));
		assert_int_equal(arena.pages, ELISA_INSIDE_PAGES);
		elisa_inside_destroy(&inside);
		elisa_inside_destroy(&inside);
		assert_int_equal(arena.pages, 0);
	}
}

static void base_refused(void **unused)
{
	const u64 step = ELISA_REGION_ALIGN;

	(void)unused;
	assert_refused(-EOPNOTSUPP, elisa_inside_create(&inside, allocator, 38, 0));
	assert_refused(-EOPNOTSUPP, elisa_inside_create(&inside, allocator, 36, step));
	assert_refused(-EOPNOTSUPP, elisa_inside_create(&inside, allocator, 53, 0));
	assert_refused(-EINVAL, elisa_inside_create(&inside, allocator, 46, step / 2));
	assert_refused(-EINVAL, elisa_inside_create(&inside, allocator, 46, step + 1));
	assert_refused(-EINVAL, elisa_inside_create(&inside, allocator, 39, 2 * step));
	assert_refused(-EINVAL, elisa_inside_create(&inside, allocator, 46, 1ULL << 46));
	assert_refused(-EINVAL, elisa_inside_create(&inside, allocator, 52, 1ULL << 47));
	assert_refused(-EINVAL, elisa_inside_create(&inside, allocator, 52, -step));
	assert_null(inside.allocator);
	/* The highest that fit. */
	assert_int_equal(elisa_inside_create(&inside, allocator, 46, (1ULL << 46) - step), 0);
	elisa_inside_destroy(&inside);
	assert_int_equal(elisa_inside_create(&inside, allocator, 52, (1ULL << 47) - step), 0);
	elisa_inside_destroy(&inside);
}

static void inside_failing(void **unused)
{
	u32 n;

	(void)unused;
	for (n = 1; n <= ELISA_INSIDE_PAGES; n++) {
		arena.countdown = n;
		assert_int_equal(elisa_inside_create(&inside, allocator, 46, 0), -ENOMEM);
		assert_int_equal(arena.countdown, 0);
		assert_int_equal(arena.pages, 0);
		elisa_inside_destroy(&inside);
	}
	arena.countdown = n;
	assert_int_equal(elisa_inside_create(&inside, allocator, 46, 0), 0);
	arena.countdown = 0;
	elisa_inside_destroy(&inside);
}

static void context_pages(void **unused)
{
	struct elisa_context context;
	u32 kind, la57, n;

	(void)unused;
	assert_int_equal(arena.pages, ELISA_INSIDE_PAGES + 2 * 3);
	for (kind = 0; kind < ELISA_KINDS; kind++)
		for (la57 = 0; la57 < 2; la57++) {
			u64 before = arena_hash(&arena);

			for (n = 1; n <= 3; n++) {
				arena.countdown = n;
				assert_int_equal(elisa_context_create(&context, &inside, allocator, kind, la57),
						 -ENOMEM);
				assert_int_equal(arena_hash(&arena), before);
				elisa_context_destroy(&context);
			}
			assert_int_equal(elisa_context_create(&context, &inside, allocator, kind, la57), 0);
			assert_int_equal(arena.pages, ELISA_INSIDE_PAGES + 3 * 3);
			elisa_context_destroy(&context);
			elisa_context_destroy(&context);
			assert_int_equal(arena_hash(&arena), before);
		}
}

/* Its pages may come from, and be charged to, somebody else. */
static void context_allocator(void **unused)
{
	struct elisa_context context;
	struct arena other;
	u32 pages = arena.pages;

	(void)unused;
	arena_create(&other, 40);
	assert_int_equal(elisa_context_create(&context, &inside, &other.allocator, ELISA_KIND_SUB, false), 0);
	assert_int_equal(other.pages, ELISA_CONTEXT_PAGES);
	assert_int_equal(arena.pages, pages);
	assert_int_equal(elisa_context_eptp(&context), other.allocator.physical(&other.allocator, context.root) | 0x1e);
	elisa_context_destroy(&context);
	assert_int_equal(other.pages, 0);
	arena_destroy(&other);
}

static void first(void **unused)
{
	(void)unused;
	assert_int_equal(elisa_context_link_first(&gate, ELISA_2M, 0x5000, X), 0);
	assert_int_equal(gate.pd[1], 0x5000 | X | ELISA_EPT_EXEC_USER | ELISA_EPT_FOREIGN);
	assert_refused(-EEXIST, elisa_context_link_first(&gate, ELISA_2M, 0x5000, X));
	assert_refused(-EINVAL, elisa_context_link_first(&gate, ELISA_2M + ELISA_PAGE, 0x5000, X));
	assert_refused(-EINVAL, elisa_context_link_first(&gate, ELISA_1G, 0x5000, X));
	assert_refused(-EINVAL, elisa_context_link_first(&gate, 0, 0x5008, X));
	assert_refused(-EINVAL, elisa_context_link_first(&gate, 0, 1ULL << 52, X));
	assert_refused(-EINVAL, elisa_context_link_first(&gate, 0, 0x5000, ELISA_EPT_WRITE));
	assert_refused(-EINVAL, elisa_context_link_first(&gate, 0, 0x5000, 0));
	assert_refused(-EINVAL, elisa_context_unlink_first(&gate, ELISA_PAGE));
	assert_refused(-EINVAL, elisa_context_unlink_first(&gate, ELISA_1G));
	assert_refused(0, elisa_context_unlink_first(&gate, 0));
	assert_int_equal(elisa_context_unlink_first(&gate, ELISA_2M), 0);
	assert_int_equal(gate.pd[1], ELISA_EPT_NONE);
	assert_int_equal(elisa_context_link_first(&sub, ELISA_1G - ELISA_2M, 0x5000, RW), 0);
	assert_int_equal(sub.pd[511], 0x5000 | RW | ELISA_EPT_FOREIGN);
}

static void gib(void **unused)
{
	u64 pd = elisa_ept_link(0x5000, ELISA_EPT_ALL), leaf = elisa_ept_leaf(4 * ELISA_1G, ELISA_EPT_PDPT, RW);

	(void)unused;
	assert_int_equal(elisa_context_link_gib(&sub, ELISA_1G, pd, RW), 0);
	assert_int_equal(sub_entry(ELISA_1G), 0x5000 | RW | ELISA_EPT_FOREIGN);
	assert_int_equal(elisa_context_link_gib(&sub, ELISA_SPAN - ELISA_1G, leaf, R), 0);
	assert_int_equal(sub_entry(ELISA_SPAN - ELISA_1G), elisa_ept_leaf(4 * ELISA_1G, ELISA_EPT_PDPT, R));
	assert_refused(0, elisa_context_link_gib(&sub, ELISA_1G, pd, RW));
	assert_refused(-EEXIST, elisa_context_link_gib(&sub, ELISA_1G, pd, R));
	assert_refused(-EEXIST, elisa_context_link_gib(&sub, ELISA_1G, leaf, RW));
	assert_refused(-EINVAL, elisa_context_link_gib(&sub, 0, pd, RW));
	assert_refused(-EINVAL, elisa_context_link_gib(&sub, 2 * ELISA_1G + ELISA_2M, pd, RW));
	assert_refused(-EINVAL, elisa_context_link_gib(&sub, ELISA_SPAN, pd, RW));
	assert_refused(-EINVAL, elisa_context_link_gib(&sub, ELISA_REGION_TABLES(ELISA_KIND_SUB), pd, RW));
	assert_refused(-EINVAL, elisa_context_link_gib(&sub, -ELISA_1G, pd, RW));
	assert_refused(-EINVAL, elisa_context_link_gib(&sub, 2 * ELISA_1G, leaf, X));
	assert_refused(-EINVAL, elisa_context_link_gib(&sub, 2 * ELISA_1G, ELISA_EPT_NONE, RW));
	/* A gate has the first GiB only. */
	assert_refused(-EINVAL, elisa_context_link_gib(&gate, ELISA_1G, pd, RW));
	assert_refused(-EINVAL, elisa_context_unlink_gib(&gate, ELISA_1G));
	assert_refused(-EINVAL, elisa_context_unlink_gib(&sub, 0));
	assert_refused(-EINVAL, elisa_context_unlink_gib(&sub, ELISA_SPAN));
	assert_refused(0, elisa_context_unlink_gib(&sub, 2 * ELISA_1G));
	assert_int_equal(elisa_context_unlink_gib(&sub, ELISA_1G), 0);
	assert_int_equal(sub_entry(ELISA_1G), ELISA_EPT_NONE);
}

/* A tree with a PD in its first GiB and a leaf in its fourth. */
static void tree_create(struct elisa_ept *tree)
{
	assert_int_equal(elisa_ept_create(tree, allocator, ELISA_EPT_PDPT), 0);
	assert_int_equal(elisa_ept_map_range(tree, 0, 0x5000, ELISA_PAGE, RW, ELISA_EPT_PDPT), 0);
	assert_int_equal(elisa_ept_map_range(tree, 3 * ELISA_1G, 8 * ELISA_1G, ELISA_1G, RW, ELISA_EPT_PDPT), 0);
}

static void tree_linked(void **unused)
{
	const u64 at = ELISA_MEMORY_OFFSET;
	struct elisa_ept tree;

	(void)unused;
	tree_create(&tree);
	assert_int_equal(elisa_context_link_tree(&sub, at, 4 * ELISA_1G, &tree, R), 0);
	assert_int_equal(sub_entry(at), (tree.table[0] & ELISA_EPT_ADDRESS) | R | ELISA_EPT_FOREIGN);
	assert_int_equal(sub_entry(at + ELISA_1G), ELISA_EPT_NONE);
	assert_int_equal(sub_entry(at + 3 * ELISA_1G), elisa_ept_leaf(8 * ELISA_1G, ELISA_EPT_PDPT, R));
	/* Once more for what has come in the meantime. */
	assert_int_equal(elisa_ept_map_range(&tree, ELISA_1G, 0x7000, ELISA_PAGE, RW, ELISA_EPT_PDPT), 0);
	assert_int_equal(elisa_context_link_tree(&sub, at, 4 * ELISA_1G, &tree, R), 0);
	assert_int_equal(sub_entry(at + ELISA_1G), (tree.table[1] & ELISA_EPT_ADDRESS) | R | ELISA_EPT_FOREIGN);
	assert_refused(0, elisa_context_link_tree(&sub, at, 4 * ELISA_1G, &tree, R));
	/* No more than the bytes asked for: what is there behind them is not in the way. */
	assert_int_equal(elisa_context_link_gib(&sub, ELISA_BUFFER_OFFSET + 3 * ELISA_1G, 0x5000 | RW, RW), 0);
	assert_int_equal(elisa_context_link_tree(&sub, ELISA_BUFFER_OFFSET, 3 * ELISA_1G, &tree, RW), 0);
	assert_int_equal(sub_entry(ELISA_BUFFER_OFFSET + 3 * ELISA_1G), 0x5000 | RW | ELISA_EPT_FOREIGN);
	/* The tree is left alone. */
	elisa_context_destroy(&sub);
	assert_int_equal(arena.pages, ELISA_INSIDE_PAGES + 3 + 5);
	assert_int_equal(tree.table[3], elisa_ept_leaf(8 * ELISA_1G, ELISA_EPT_PDPT, RW));
	elisa_ept_destroy(&tree);
}

static void tree_refused(void **unused)
{
	const u64 at = ELISA_MEMORY_OFFSET;
	struct elisa_ept tree, pd;

	(void)unused;
	tree_create(&tree);
	assert_int_equal(elisa_ept_create(&pd, allocator, ELISA_EPT_PD), 0);
	assert_refused(-EINVAL, elisa_context_link_tree(&sub, at, ELISA_1G, &pd, R));
	assert_refused(-EINVAL, elisa_context_link_tree(&gate, at, ELISA_1G, &tree, R));
	assert_refused(-EINVAL, elisa_context_link_tree(&sub, 0, ELISA_1G, &tree, R));
	assert_refused(-EINVAL, elisa_context_link_tree(&sub, at, 0, &tree, R));
	assert_refused(-EINVAL, elisa_context_link_tree(&sub, at, ELISA_2M, &tree, R));
	assert_refused(-EINVAL, elisa_context_link_tree(&sub, at, ELISA_SPAN, &tree, R));
	assert_refused(-EINVAL, elisa_context_link_tree(&sub, at, -ELISA_1G, &tree, R));
	assert_refused(-EINVAL, elisa_context_link_tree(&sub, at, 4 * ELISA_1G, &tree, X));
	/* Something is in the way of the last GiB: the first is not linked either. */
	assert_int_equal(elisa_context_link_gib(&sub, at + 3 * ELISA_1G, elisa_ept_link(0x5000, RW), RW), 0);
	assert_refused(-EEXIST, elisa_context_link_tree(&sub, at, 4 * ELISA_1G, &tree, R));
	elisa_ept_destroy(&pd);
	elisa_ept_destroy(&tree);
}

#define EMPTY(name) cmocka_unit_test_setup_teardown(name, empty_setup, empty_teardown)
#define CONTEXTS(name) cmocka_unit_test_setup_teardown(name, contexts_setup, contexts_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EMPTY(default_base),     EMPTY(base_refused),         EMPTY(inside_failing),
		CONTEXTS(context_pages), CONTEXTS(context_allocator), CONTEXTS(first),
		CONTEXTS(gib),           CONTEXTS(tree_linked),       CONTEXTS(tree_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
