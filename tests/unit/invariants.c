// SPDX-License-Identifier: MIT
#include "world.h"

#include <stdio.h>

#define ACCESSES 3
#define SAMPLES_MAX (PLACES_MAX * 5)

static const enum walk_access accesses[ACCESSES] = { WALK_READ, WALK_WRITE, WALK_FETCH };

static const char *wrong(const char *format, const char *name, u64 value)
{
	static char text[200];

	snprintf(text, sizeof(text), format, name, (unsigned long long)value);
	return text;
}

static const char *kind_name(enum elisa_kind kind)
{
	return kind == ELISA_KIND_GATE ? "gate" : "sub";
}

/* Addresses worth a walk: the edges of every place, of the window, and others where nothing must be. */
static u32 samples(const struct world *world, u64 *gvas)
{
	static const u64 others[] = {
		0,
		0x1000,
		0xfffff000,
		1UL << 39,
		ELISA_BASE,
		ELISA_BASE - ELISA_PAGE,
		ELISA_BASE + ELISA_1G,
		ELISA_BASE + ELISA_SPAN - 1,
		ELISA_BASE + ELISA_SPAN,
		ELISA_BASE + 511 * ELISA_1G,
		ELISA_GATE - 1,
		ELISA_LANDING,
		0x7ffffffff000,
		0xffffffffff600000,
	};
	u32 i, count = 0;

	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		gvas[count++] = others[i];
	for (i = 0; i < world->count; i++) {
		const struct place *place = &world->places[i];

		gvas[count++] = ELISA_BASE + place->offset;
		gvas[count++] = ELISA_BASE + place->offset + place->bytes - 1;
		gvas[count++] = ELISA_BASE + place->offset - 1;
		gvas[count++] = ELISA_BASE + place->offset + place->bytes;
	}
	return count;
}

const char *invariant_any_cr3(struct world *world, const u64 *cr3s, u32 count)
{
	u64 gvas[SAMPLES_MAX];
	u32 i, n, a, kind, gva_count = samples(world, gvas);

	for (kind = 0; kind < ELISA_KINDS; kind++) {
		u64 eptp = world_eptp(world, kind);

		for (n = 0; n < gva_count * ACCESSES; n++) {
			hpa_t expected = 0, hpa = 0;
			enum walk_result first;

			a = accesses[n % ACCESSES];
			first = walk_linear(&world->walker, eptp, 0, gvas[n / ACCESSES], a, true, &expected);
			for (i = 0; i < count; i++) {
				enum walk_result result =
					walk_linear(&world->walker, eptp, cr3s[i], gvas[n / ACCESSES], a, true, &hpa);

				if (result != first || (!result && hpa != expected))
					return wrong("%s: CR3 %#llx makes a difference", kind_name(kind), cr3s[i]);
			}
		}
	}
	return NULL;
}

/* Is nothing at all present in [gpa, end)? */
static bool absent(const struct world *world, enum elisa_kind kind, gpa_t gpa, gpa_t end)
{
	struct walk_ept walk;
	u64 bytes;

	for (; gpa < end; gpa = (gpa & ~(bytes - 1)) + bytes) {
		if (walk_ept(&world->walker, world_eptp(world, kind), gpa, 0, &walk) != WALK_EPT_VIOLATION)
			return false;
		bytes = 1ULL << (12 + 9 * (walk.level - 1));
	}
	return true;
}

/* Is this an entry that leads to a table of the host's, for reading only? */
static bool leads_to(const struct world *world, u64 entry, const u64 *table, u64 flags)
{
	struct elisa_allocator *allocator = (struct elisa_allocator *)&world->arena.allocator;

	return entry == (allocator->physical(allocator, table) | ELISA_EPT_READ | flags);
}

/*
 * Does the APT, and nothing else, serve every GPA outside of R? By structure, so that it holds for all of them. Each
 * level alone keeps it, and the page tables in R, from being written.
 */
static const char *apt_outside(const struct world *world, enum elisa_kind kind)
{
	const u64 leaf = 6 << 3 | 1 << 6 | ELISA_EPT_SUPPRESS_VE;
	const struct elisa_context *context = &world->contexts[kind];
	const struct elisa_kind_tables *tables = &world->inside.kinds[kind];
	const struct elisa_apt *apt = &tables->apt[world->walker.la57];
	gpa_t base = world->inside.base;
	u32 i;

	for (i = 0; i < 512; i++) {
		gpa_t gpa = base / (512 * ELISA_1G) * (512 * ELISA_1G) + i * ELISA_1G;

		if (i != base >> 39 && !leads_to(world, context->root[i], apt->pdpt, ELISA_EPT_FOREIGN))
			return wrong("%s: root, entry %llu", kind_name(kind), i);
		if ((gpa < base || gpa >= base + ELISA_REGION_BYTES) &&
		    !leads_to(world, context->pdpt[i], apt->pd, ELISA_EPT_FOREIGN))
			return wrong("%s: PDPT, entry %llu", kind_name(kind), i);
		if (gpa == base + ELISA_REGION_TABLES(kind) &&
		    !leads_to(world, context->pdpt[i], tables->ept_pd, ELISA_EPT_FOREIGN))
			return wrong("%s: PDPT, entry %llu", kind_name(kind), i);
		if (!leads_to(world, apt->pdpt[i], apt->pd, 0) || !leads_to(world, apt->pd[i], apt->pt, 0) ||
		    !leads_to(world, apt->pt[i], world->walker.la57 ? tables->root5 : tables->pml4, leaf))
			return wrong("%s: APT, entry %llu", kind_name(kind), i);
	}
	if (!leads_to(world, tables->ept_pd[0], tables->ept_pt, 0) ||
	    !leads_to(world, tables->ept_pt[0], tables->pdpt, leaf) ||
	    !leads_to(world, tables->ept_pt[1], tables->pml4, leaf))
		return wrong("%s: page tables, entry %llu", kind_name(kind), 0);
	return NULL;
}

const char *invariant_apart(struct world *world)
{
	const char *error;
	struct leaf leaf;
	u32 kind;
	gpa_t gpa;

	for (kind = 0; kind < ELISA_KINDS; kind++) {
		error = apt_outside(world, kind);
		if (error)
			return error;
		for (gpa = world->inside.base; world_leaf_next(world, kind, &gpa, &leaf);)
			if (!absent(world, !kind, leaf.gpa, leaf.gpa + leaf.bytes))
				return wrong("GPA of the %s is present in both: %#llx", kind_name(kind), leaf.gpa);
	}
	return NULL;
}

#define LEAVES_MAX 200

/* All that one of the contexts maps in R; returns how many. */
static u32 leaves_all(const struct world *world, struct leaf *leaves)
{
	u32 kind, count = 0;
	gpa_t gpa;

	for (kind = 0; kind < ELISA_KINDS; kind++)
		for (gpa = world->inside.base;
		     count < LEAVES_MAX && world_leaf_next(world, kind, &gpa, &leaves[count]);)
			count++;
	return count;
}

/*
 * With this CR3, can a vCPU execute anything in this kind of context? Where the CR3 leads to memory that the guest may
 * have filled, it is a page table whose entries all lead to itself, but for the last, which leads to what is wanted.
 */
static bool executes(struct world *world, enum elisa_kind kind, u64 cr3, const struct leaf *leaves, u32 count)
{
	/* Its indices, level by level, are 5 (with five levels), 1, 2, 3 and HOSTILE_INDEX. */
	u64 hostile_gva =
		(world->walker.la57 ? 5UL << 48 : 0) | 1UL << 39 | 2UL << 30 | 3UL << 21 | HOSTILE_INDEX << 12;
	u64 eptp = world_eptp(world, kind);
	hpa_t hpa;
	u32 i;

	world->hostile_other = cr3 | 0x67;
	for (i = 0; i < count; i++) {
		world->hostile_target = leaves[i].gpa | 0x67;
		if (!walk_linear(&world->walker, eptp, cr3, ELISA_GATE, WALK_FETCH, true, &hpa) ||
		    !walk_linear(&world->walker, eptp, cr3, hostile_gva, WALK_FETCH, true, &hpa))
			return true;
	}
	return false;
}

const char *invariant_cr3_inside(struct world *world)
{
	struct leaf leaves[LEAVES_MAX];
	u32 i, count = leaves_all(world, leaves);
	gpa_t gpa;

	if (count == LEAVES_MAX)
		return "too much is mapped";
	if (!executes(world, ELISA_KIND_GATE, 0, leaves, count) || !executes(world, ELISA_KIND_SUB, 0, leaves, count))
		return "no CR3 enters";
	for (i = 0; i < 2 * count; i++) {
		/* The first page of each leaf, and the last. What the page holds may change between gate and sub. */
		gpa = leaves[i / 2].gpa + (i % 2 ? leaves[i / 2].bytes - ELISA_PAGE : 0);
		if (executes(world, ELISA_KIND_GATE, gpa, leaves, count) &&
		    executes(world, ELISA_KIND_SUB, gpa, leaves, count))
			return wrong("%s: CR3 at %#llx enters", "leaf", gpa);
	}
	for (i = 0; i < 2 * ELISA_REGION_BYTES / ELISA_1G; i++) {
		gpa = world->inside.base + i / 2 * ELISA_1G + (i % 2 ? ELISA_1G - ELISA_PAGE : 0);
		if (executes(world, ELISA_KIND_GATE, gpa, leaves, count) &&
		    executes(world, ELISA_KIND_SUB, gpa, leaves, count))
			return wrong("%s: CR3 at %#llx enters", "R", gpa);
	}
	return NULL;
}

static const char *place_check(const struct world *world, const struct place *place, enum elisa_kind kind, u64 offset)
{
	u64 gva = ELISA_BASE + place->offset + offset;
	u32 a, user;

	for (a = 0; a < ACCESSES; a++)
		for (user = 0; user < 2; user++) {
			bool expected = user && place->rights[kind] & accesses[a];
			hpa_t hpa = 0;
			bool is =
				!walk_linear(&world->walker, world_eptp(world, kind), 0, gva, accesses[a], user, &hpa);

			if (is != expected || (is && hpa != place->hpa + offset))
				return wrong("%s: rights or address at offset %#llx", place->name, offset);
		}
	return NULL;
}

/* Every place as it should be, several pages of each. */
static const char *places_check(const struct world *world, enum elisa_kind kind, u64 *bytes)
{
	const char *error;
	u64 offset;
	u32 i;

	for (i = 0; i < world->count; i++) {
		const struct place *place = &world->places[i];
		u64 step = place->bytes / 512 > ELISA_PAGE ? place->bytes / 512 : ELISA_PAGE;

		if (!place->rights[kind])
			continue;
		*bytes += place->bytes;
		for (offset = 0; offset < place->bytes; offset += step) {
			error = place_check(world, place, kind, offset + (offset * 7 & 0xff8));
			if (error)
				return error;
		}
	}
	return NULL;
}

const char *invariant_rights(struct world *world)
{
	const char *error;
	struct leaf leaf;
	u32 kind;
	gpa_t gpa;

	for (kind = 0; kind < ELISA_KINDS; kind++) {
		gpa_t window = world->inside.base + (kind == ELISA_KIND_GATE ? ELISA_REGION_GATE : 0);
		gpa_t tables = world->inside.base + ELISA_REGION_TABLES(kind);
		u64 mapped = 0, expected = 2 * ELISA_PAGE;

		error = places_check(world, kind, &expected);
		if (error)
			return error;
		/* All places were found; if no more than they is mapped, nothing else is. */
		for (gpa = world->inside.base; world_leaf_next(world, kind, &gpa, &leaf); mapped += leaf.bytes) {
			bool in_tables = leaf.gpa >= tables && leaf.gpa < tables + ELISA_1G;

			if (in_tables && leaf.rights != ELISA_EPT_READ)
				return wrong("%s: page table at %#llx is not read-only", kind_name(kind), leaf.gpa);
			if (!in_tables && (leaf.gpa < window || leaf.gpa >= window + ELISA_SPAN))
				return wrong("%s: %#llx is mapped", kind_name(kind), leaf.gpa);
		}
		if (mapped != expected)
			return wrong("%s: %#llx bytes are mapped", kind_name(kind), mapped);
	}
	return NULL;
}

/* Every entry of an EPT's table and of those below; the APT's tables once each. */
static const char *ept_check(const struct world *world, const struct elisa_apt *apt, const u64 *table, u32 level)
{
	struct elisa_allocator *allocator = (struct elisa_allocator *)&world->arena.allocator;
	bool uniform = table == apt->pdpt || table == apt->pd || table == apt->pt;
	const char *error = NULL;
	u32 i;

	for (i = 0; i < 512 && !error; i++) {
		u64 entry = table[i];

		if (uniform && entry != table[0])
			return wrong("%s: entry %llu", "APT", i);
		if (uniform && i)
			continue;
		if (!(entry & ELISA_EPT_ALL)) {
			if (entry != ELISA_EPT_NONE)
				return wrong("%s: not-present entry is %#llx", "EPT", entry);
		} else if (level == 1 || entry & ELISA_EPT_LARGE) {
			if ((entry >> 3 & 0xf) != 0xe || entry & 1 << 8 || entry & 1 << 9)
				return wrong("%s: leaf is %#llx", "EPT", entry);
			if (!(entry & ELISA_EPT_EXEC) != !(entry & ELISA_EPT_EXEC_USER))
				return wrong("%s: leaf for modes apart: %#llx", "EPT", entry);
		} else if (table != world->contexts[0].root && table != world->contexts[1].root) {
			error = ept_check(world, apt, allocator->virtual(allocator, entry & ELISA_EPT_ADDRESS),
					  level - 1);
		} else if (i < 2 || i == world->inside.base >> 39 || i == 511) {
			/* All others have been seen to be the same by invariant_apart(). */
			error = ept_check(world, apt, allocator->virtual(allocator, entry & ELISA_EPT_ADDRESS),
					  level - 1);
		}
	}
	return error;
}

/* Entries of guest page tables: user, writable, accessed, dirty; not global, nothing that NXE or a key changes. */
static const char *guest_table_check(const u64 *table, u32 present, bool leaves)
{
	u32 i, count = 0;

	for (i = 0; i < 512; i++) {
		if (!(table[i] & 1)) {
			if (table[i])
				return wrong("%s: not-present entry is %#llx", "guest", table[i]);
			continue;
		}
		count++;
		if ((table[i] & ~ELISA_EPT_ADDRESS) != (leaves ? 0xe7 : 0x67))
			return wrong("%s: entry is %#llx", "guest", table[i]);
	}
	return count == present ? NULL : wrong("%s: %llu entries are present", "guest", count);
}

const char *invariant_entries(struct world *world)
{
	const char *error = NULL;
	u32 kind;

	for (kind = 0; kind < ELISA_KINDS && !error; kind++) {
		const struct elisa_kind_tables *tables = &world->inside.kinds[kind];

		error = ept_check(world, &tables->apt[world->walker.la57], world->contexts[kind].root, 4);
		if (!error)
			error = guest_table_check(tables->pdpt, kind == ELISA_KIND_GATE ? 1 : 128, true);
		if (!error)
			error = guest_table_check(tables->pml4, 1, false);
		if (!error)
			error = guest_table_check(tables->root5, 1, false);
		if (!error && (tables->pml4[ELISA_BASE >> 39] & 1) == 0)
			return "the window is not where it should be";
	}
	return error;
}
