// SPDX-License-Identifier: MIT
#include "world.h"

#include <stdio.h>
#include <stdlib.h>

#define R ELISA_EPT_READ
#define RW (ELISA_EPT_READ | ELISA_EPT_WRITE)
#define X ELISA_EPT_EXEC

static void require(int err, const char *what)
{
	if (err) {
		fprintf(stderr, "world: %s: error %d\n", what, err);
		abort();
	}
}

/* Memory that is no table of ours holds what the guest, or trusted code, has put there. */
static u64 world_read(void *opaque, hpa_t hpa)
{
	struct world *world = opaque;
	u64 value;

	if (arena_read(&world->arena, hpa, &value))
		return value;
	return hpa / 8 % 512 == HOSTILE_INDEX ? world->hostile_target : world->hostile_other;
}

/* A new piece of memory, nowhere near the one before. */
static hpa_t place_add(struct world *world, const char *name, u64 offset, u64 bytes, u64 gate, u64 sub)
{
	hpa_t hpa = (world->count + 2) * 2 * ELISA_1G;

	if (bytes < ELISA_1G)
		hpa += bytes < ELISA_2M ? 0x3457000 : 4 * ELISA_2M;
	if (world->count == PLACES_MAX)
		abort();
	world->places[world->count++] = (struct place){ name, offset, bytes, hpa, { gate, sub } };
	return hpa;
}

static void first_map(struct elisa_ept *pt, u64 offset, hpa_t hpa, u64 bytes, u64 prot)
{
	require(elisa_ept_map_range(pt, offset % ELISA_2M, hpa, bytes, prot, ELISA_EPT_PT), "map");
}

static void first_link(struct world *world, enum elisa_kind kind, u64 offset, const struct elisa_ept *pt, u64 prot)
{
	u64 start = offset / ELISA_2M * ELISA_2M;

	require(elisa_context_link_first(&world->contexts[kind], start, elisa_ept_physical(pt), prot), "link_first");
}

/* Pages of the first GiB that lie in a PT of their own. */
static struct elisa_ept *first_add(struct world *world, const char *name, u64 offset, u64 bytes, u64 prot)
{
	struct elisa_ept *pt = &world->first[world->firsts++];

	if (world->firsts > FIRST_PTS)
		abort();
	require(elisa_ept_create(pt, &world->arena.allocator, ELISA_EPT_PT), name);
	first_map(pt, offset, place_add(world, name, offset, bytes, 0, prot), bytes, prot);
	first_link(world, ELISA_KIND_SUB, offset, pt, ELISA_EPT_ALL);
	return pt;
}

static void gate_fill(struct world *world, const struct variant *variant)
{
	hpa_t hpa = place_add(world, "gate", ELISA_GATE_OFFSET, ELISA_PAGE, X, 0);

	require(elisa_ept_create(&world->gate_pt, &world->arena.allocator, ELISA_EPT_PT), "gate");
	first_map(&world->gate_pt, ELISA_GATE_OFFSET, hpa, ELISA_PAGE, X);
	first_link(world, ELISA_KIND_GATE, ELISA_GATE_OFFSET, &world->gate_pt, ELISA_EPT_ALL);

	hpa = place_add(world, "list", ELISA_LIST_OFFSET, ELISA_PAGE, RW, variant->vetted ? RW : 0);
	require(elisa_ept_create(&world->list_pt, &world->arena.allocator, ELISA_EPT_PT), "list");
	first_map(&world->list_pt, ELISA_LIST_OFFSET, hpa, ELISA_PAGE, RW);
	first_link(world, ELISA_KIND_GATE, ELISA_LIST_OFFSET, &world->list_pt, RW);
	if (variant->vetted)
		first_link(world, ELISA_KIND_SUB, ELISA_LIST_OFFSET, &world->list_pt, RW);
}

static void tree_map(struct world *world, struct elisa_ept *tree, const char *name, u64 start, u64 offset, u64 bytes,
		     u64 seen)
{
	hpa_t hpa = place_add(world, name, start + offset, bytes, 0, seen);

	require(elisa_ept_map_range(tree, offset, hpa, bytes, RW, ELISA_EPT_PDPT), name);
}

static void sub_fill(struct world *world, const struct variant *variant)
{
	struct elisa_allocator *allocator = &world->arena.allocator;
	struct elisa_context *sub = &world->contexts[ELISA_KIND_SUB];
	u64 seen = variant->writable ? RW : R;
	struct elisa_ept *pt;

	pt = first_add(world, "entry", ELISA_GATE_OFFSET, ELISA_PAGE, X);
	first_map(pt, ELISA_INFO_OFFSET, place_add(world, "info", ELISA_INFO_OFFSET, ELISA_PAGE, 0, R), ELISA_PAGE, R);
	first_add(world, "stack", ELISA_STACK_OFFSET, ELISA_STACK_SIZE, RW);
	first_add(world, "code", ELISA_CODE_OFFSET, 5 * ELISA_PAGE, X);
	first_add(world, "last of code", ELISA_CODE_OFFSET + ELISA_CODE_MAX - ELISA_PAGE, ELISA_PAGE, X);
	first_add(world, "constants", ELISA_RODATA_OFFSET, ELISA_PAGE, R);
	first_add(world, "data", ELISA_DATA_OFFSET, 2 * ELISA_PAGE, RW);

	require(elisa_ept_create(&world->memory, allocator, ELISA_EPT_PDPT), "memory");
	tree_map(world, &world->memory, "memory", ELISA_MEMORY_OFFSET, 0, 3 * ELISA_PAGE, seen);
	tree_map(world, &world->memory, "memory, 2 MiB", ELISA_MEMORY_OFFSET, ELISA_2M, 2 * ELISA_2M, seen);
	tree_map(world, &world->memory, "memory, 1 GiB", ELISA_MEMORY_OFFSET, ELISA_1G, ELISA_1G, seen);
	tree_map(world, &world->memory, "last of memory", ELISA_MEMORY_OFFSET, ELISA_MEMORY_MAX - ELISA_PAGE,
		 ELISA_PAGE, seen);
	require(elisa_context_link_tree(sub, ELISA_MEMORY_OFFSET, ELISA_MEMORY_MAX, &world->memory, seen), "memory");

	require(elisa_ept_create(&world->extra, allocator, ELISA_EPT_PDPT), "extra");
	tree_map(world, &world->extra, "extra", ELISA_EXTRA_OFFSET, 0, ELISA_PAGE, RW);
	require(elisa_context_link_tree(sub, ELISA_EXTRA_OFFSET, ELISA_EXTRA_MAX, &world->extra, RW), "extra");

	require(elisa_ept_create(&world->buffers, allocator, ELISA_EPT_PDPT), "buffers");
	tree_map(world, &world->buffers, "buffer", ELISA_BUFFER_OFFSET, 0, 4 * ELISA_PAGE, RW);
	tree_map(world, &world->buffers, "last buffer", ELISA_BUFFER_OFFSET, ELISA_BUFFER_MAX - ELISA_1G, ELISA_2M, RW);
	require(elisa_context_link_tree(sub, ELISA_BUFFER_OFFSET, ELISA_BUFFER_MAX, &world->buffers, RW), "buffers");
	/* Shared later: it shows up in the PD that is linked already. */
	tree_map(world, &world->buffers, "later buffer", ELISA_BUFFER_OFFSET, 6 * ELISA_2M, 2 * ELISA_PAGE, RW);
}

void world_create(struct world *world, const struct variant *variant)
{
	int kind;

	memset(world, 0, sizeof(*world));
	arena_create(&world->arena, variant->maxphyaddr);
	world->walker = (struct walker){ variant->maxphyaddr, variant->la57, world_read, world };
	require(elisa_inside_create(&world->inside, &world->arena.allocator, variant->maxphyaddr, variant->base),
		"inside");
	for (kind = 0; kind < ELISA_KINDS; kind++)
		require(elisa_context_create(&world->contexts[kind], &world->inside, &world->arena.allocator, kind,
					     variant->la57),
			"context");
	gate_fill(world, variant);
	sub_fill(world, variant);
}

void world_destroy(struct world *world)
{
	int kind;

	for (kind = 0; kind < ELISA_KINDS; kind++)
		elisa_context_destroy(&world->contexts[kind]);
	while (world->firsts)
		elisa_ept_destroy(&world->first[--world->firsts]);
	elisa_ept_destroy(&world->buffers);
	elisa_ept_destroy(&world->extra);
	elisa_ept_destroy(&world->memory);
	elisa_ept_destroy(&world->list_pt);
	elisa_ept_destroy(&world->gate_pt);
	elisa_inside_destroy(&world->inside);
	require(world->arena.pages, "pages left");
	arena_destroy(&world->arena);
}

u64 world_eptp(const struct world *world, enum elisa_kind kind)
{
	return elisa_context_eptp(&world->contexts[kind]);
}

bool world_leaf_next(const struct world *world, enum elisa_kind kind, gpa_t *gpa, struct leaf *leaf)
{
	gpa_t end = world->inside.base + ELISA_REGION_BYTES;
	struct walk_ept walk;
	u64 bytes;

	while (*gpa < end) {
		enum walk_result result = walk_ept(&world->walker, world_eptp(world, kind), *gpa, 0, &walk);

		bytes = 1ULL << (12 + 9 * (walk.level - 1));
		*leaf = (struct leaf){ *gpa, bytes, walk.entry, walk.rights, walk.hpa };
		*gpa = (*gpa & ~(bytes - 1)) + bytes;
		if (result == WALK_OK)
			return true;
		if (result != WALK_EPT_VIOLATION)
			abort();
	}
	return false;
}
