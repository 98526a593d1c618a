// SPDX-License-Identifier: MIT
/* Gate and sub contexts as the CPU sees them: see world.h. SEED=N chooses other random addresses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "world.h"

#define CR3S_RANDOM 100
#define CR3S_MAX (CR3S_RANDOM + 200)

static u64 seed, state;

static u64 random64(void)
{
	u64 x = state += 0x9e3779b97f4a7c15ULL;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

static void holds(const char *error, const struct variant *variant)
{
	if (error)
		fail_msg("MAXPHYADDR %u, R at %#llx, la57 %d, vetted %d, writable %d, SEED=%llu: %s",
			 variant->maxphyaddr, (unsigned long long)variant->base, variant->la57, variant->vetted,
			 variant->writable, (unsigned long long)seed, error);
}

static void cr3_add(const struct world *world, u64 *cr3s, u32 *count, u64 cr3)
{
	u32 bits = world->walker.maxphyaddr < 48 ? world->walker.maxphyaddr : 48;
	u64 gpa = cr3 & ELISA_EPT_ADDRESS;

	if (cr3 >= 1ULL << bits || (gpa >= world->inside.base && gpa < world->inside.base + ELISA_REGION_BYTES))
		return;
	assert_true(*count < CR3S_MAX);
	cr3s[(*count)++] = cr3;
}

static u32 cr3s_outside(const struct world *world, u64 *cr3s)
{
	u64 base = world->inside.base, end = base + ELISA_REGION_BYTES;
	const u64 edges[] = {
		base - ELISA_PAGE,     base - ELISA_1G,       end,
		end + ELISA_PAGE,      base - 512 * ELISA_1G, base + 512 * ELISA_1G,
		base ^ 256 * ELISA_1G, world->arena.base,     (1ULL << world->walker.maxphyaddr) - ELISA_PAGE
	};
	u32 i, count = 0;

	for (i = 3; i < 48; i++) {
		cr3_add(world, cr3s, &count, 1ULL << i);
		cr3_add(world, cr3s, &count, (1ULL << i) - ELISA_PAGE);
	}
	for (i = 0; i < sizeof(edges) / sizeof(edges[0]); i++)
		cr3_add(world, cr3s, &count, edges[i]);
	for (i = 0; i < CR3S_RANDOM; i++)
		cr3_add(world, cr3s, &count, random64() >> (16 + random64() % 24));
	return count;
}

/* Runs check for every MAXPHYADDR and depth, and at other places of R, with other rights. */
static void every_variant(void (*check)(struct world *world, const struct variant *variant))
{
	struct variant variant;
	struct world world;
	u32 bits, k;

	for (bits = 39; bits <= 52; bits++)
		for (k = 0; k < 4; k++) {
			variant = (struct variant){
				.maxphyaddr = bits, .la57 = k & 1, .vetted = (bits + k) & 2, .writable = bits & 1
			};
			if (k & 2)
				variant.base = bits == 39 ? 256 * ELISA_1G : 3 * 256 * ELISA_1G;
			world_create(&world, &variant);
			check(&world, &variant);
			world_destroy(&world);
		}
}

static void check_any_cr3(struct world *world, const struct variant *variant)
{
	u64 cr3s[CR3S_MAX];
	u32 count = cr3s_outside(world, cr3s);

	assert_true(count > 60);
	holds(invariant_any_cr3(world, cr3s, count), variant);
}

static void any_cr3(void **unused)
{
	(void)unused;
	every_variant(check_any_cr3);
}

/* Beyond the 48 bits that an EPT of four levels translates nothing is mapped, in neither context. */
static void check_cr3_beyond(struct world *world, const struct variant *variant)
{
	hpa_t hpa;
	u32 bit;

	for (bit = 48; bit < variant->maxphyaddr; bit++) {
		assert_int_not_equal(walk_linear(&world->walker, world_eptp(world, ELISA_KIND_GATE), 1ULL << bit,
						 ELISA_GATE, WALK_FETCH, true, &hpa),
				     WALK_OK);
		assert_int_not_equal(walk_linear(&world->walker, world_eptp(world, ELISA_KIND_SUB), 1ULL << bit,
						 ELISA_GATE, WALK_FETCH, true, &hpa),
				     WALK_OK);
	}
}

static void cr3_beyond(void **unused)
{
	(void)unused;
	every_variant(check_cr3_beyond);
}

static void check_apart(struct world *world, const struct variant *variant)
{
	holds(invariant_apart(world), variant);
}

static void apart(void **unused)
{
	(void)unused;
	every_variant(check_apart);
}

static void check_cr3_inside(struct world *world, const struct variant *variant)
{
	holds(invariant_cr3_inside(world), variant);
}

static void cr3_inside(void **unused)
{
	(void)unused;
	every_variant(check_cr3_inside);
}

static void check_rights(struct world *world, const struct variant *variant)
{
	holds(invariant_rights(world), variant);
}

static void least_rights(void **unused)
{
	(void)unused;
	every_variant(check_rights);
}

static void check_entries(struct world *world, const struct variant *variant)
{
	holds(invariant_entries(world), variant);
}

static void every_entry(void **unused)
{
	(void)unused;
	every_variant(check_entries);
}

/* Each invariant broken on purpose, in the one way given, by a store into the tables. */
enum break_what {
	BREAK_APT_HOLE,
	BREAK_APT_OTHER,
	BREAK_SHARED_GPA,
	BREAK_APT_INSIDE,
	BREAK_LIST_READ_ONLY,
	BREAK_CODE_WRITABLE,
	BREAK_TABLES_WRITABLE,
	BREAK_PAT,
	BREAK_VE,
	BREAK_GLOBAL,
	BREAK_SUPERVISOR,
	BREAK_ACCESSED,
	BREAK_COUNT,
};

static void break_world(struct world *world, enum break_what what)
{
	struct elisa_context *gate = &world->contexts[ELISA_KIND_GATE], *sub = &world->contexts[ELISA_KIND_SUB];
	u32 r = world->inside.base >> 30 & 511, root = world->inside.base >> 39;

	switch (what) {
	case BREAK_APT_HOLE:
		sub->root[root + 1] = ELISA_EPT_NONE;
		break;
	case BREAK_APT_OTHER:
		world->inside.kinds[ELISA_KIND_GATE].apt[0].pt[77] += ELISA_PAGE;
		break;
	case BREAK_SHARED_GPA:
		/* The guest's buffers, present in the gate too. */
		gate->pdpt[r + 96] = sub->pdpt[r + 96];
		break;
	case BREAK_APT_INSIDE:
		/* The APT over the buffers in the gate: CR3 at a buffer then passes the gate. */
		gate->pdpt[r + 96] = gate->pdpt[(r + 300) & 511];
		break;
	case BREAK_LIST_READ_ONLY:
		gate->pd[ELISA_LIST_OFFSET / ELISA_2M] &= ~ELISA_EPT_WRITE;
		break;
	case BREAK_CODE_WRITABLE:
		world->first[2].table[0] |= ELISA_EPT_READ | ELISA_EPT_WRITE;
		break;
	case BREAK_TABLES_WRITABLE:
		sub->pdpt[r + 130] |= ELISA_EPT_WRITE;
		world->inside.kinds[ELISA_KIND_SUB].ept_pd[0] |= ELISA_EPT_WRITE;
		world->inside.kinds[ELISA_KIND_SUB].ept_pt[0] |= ELISA_EPT_WRITE;
		break;
	case BREAK_PAT:
		world->list_pt.table[ELISA_LIST_OFFSET % ELISA_2M / ELISA_PAGE] &= ~ELISA_EPT_IGNORE_PAT;
		break;
	case BREAK_VE:
		sub->pd[1] = 0;
		break;
	case BREAK_GLOBAL:
		world->inside.kinds[ELISA_KIND_SUB].pdpt[5] |= 1 << 8;
		break;
	case BREAK_SUPERVISOR:
		world->inside.kinds[ELISA_KIND_SUB].pml4[ELISA_BASE >> 39] &= ~4ULL;
		break;
	case BREAK_ACCESSED:
		/* The CPU would set it, and may not. */
		world->inside.kinds[ELISA_KIND_GATE].pdpt[0] &= ~(1ULL << 5);
		break;
	case BREAK_COUNT:
		break;
	}
}

/* Which invariants each break must make fail. */
#define ANY_CR3 1
#define APART 2
#define CR3_INSIDE 4
#define RIGHTS 8
#define ENTRIES 16

static const u32 broken_by[BREAK_COUNT] = {
	[BREAK_APT_HOLE] = ANY_CR3 | APART,
	[BREAK_APT_OTHER] = ANY_CR3 | APART | ENTRIES,
	[BREAK_SHARED_GPA] = APART | CR3_INSIDE | RIGHTS,
	[BREAK_APT_INSIDE] = APART | CR3_INSIDE | RIGHTS,
	[BREAK_LIST_READ_ONLY] = RIGHTS,
	[BREAK_CODE_WRITABLE] = RIGHTS,
	[BREAK_TABLES_WRITABLE] = APART | RIGHTS,
	[BREAK_PAT] = ENTRIES,
	[BREAK_VE] = ENTRIES,
	[BREAK_GLOBAL] = ENTRIES,
	[BREAK_SUPERVISOR] = RIGHTS | ENTRIES,
	[BREAK_ACCESSED] = RIGHTS | ENTRIES,
};

static u32 broken_now(struct world *world)
{
	const u64 cr3s[] = { ELISA_1G, (world->inside.base / (512 * ELISA_1G) + 1) * 512 * ELISA_1G, 77 * ELISA_PAGE };
	u32 found = 0;

	found |= invariant_any_cr3(world, cr3s, 3) ? ANY_CR3 : 0;
	found |= invariant_apart(world) ? APART : 0;
	found |= invariant_cr3_inside(world) ? CR3_INSIDE : 0;
	found |= invariant_rights(world) ? RIGHTS : 0;
	found |= invariant_entries(world) ? ENTRIES : 0;
	return found;
}

static void broken_on_purpose(void **unused)
{
	const struct variant variant = { .maxphyaddr = 46, .writable = true };
	struct world world;
	u32 what, found;

	(void)unused;
	for (what = 0; what <= BREAK_COUNT; what++) {
		world_create(&world, &variant);
		break_world(&world, what);
		found = broken_now(&world);
		if (what == BREAK_COUNT)
			assert_int_equal(found, 0);
		else if ((found & broken_by[what]) != broken_by[what])
			fail_msg("break %u: found by %#x, not %#x", what, found, broken_by[what]);
		world_destroy(&world);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_cr3),           cmocka_unit_test(cr3_beyond),   cmocka_unit_test(apart),
		cmocka_unit_test(cr3_inside),        cmocka_unit_test(least_rights), cmocka_unit_test(every_entry),
		cmocka_unit_test(broken_on_purpose),
	};
	const char *text = getenv("SEED");

	seed = text ? strtoull(text, NULL, 0) : 1;
	state = seed;
	print_message("SEED=%llu\n", (unsigned long long)seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
