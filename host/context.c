// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include "context.h"

#define GUEST_PRESENT (1ULL << 0)
#define GUEST_WRITE (1ULL << 1)
#define GUEST_USER (1ULL << 2)
#define GUEST_ACCESSED (1ULL << 5)
#define GUEST_DIRTY (1ULL << 6)
#define GUEST_LARGE (1ULL << 7)
/* Everything is permitted, as the EPT decides; accessed and dirty, so that no walk has to write. Never global. */
#define GUEST_ENTRY (GUEST_PRESENT | GUEST_WRITE | GUEST_USER | GUEST_ACCESSED | GUEST_DIRTY)

#define ROOT_ENTRY_BYTES (512 * ELISA_1G) /* what an entry of an EPT root covers */
#define PML4_INDEX (ELISA_BASE / (512 * ELISA_1G) % 512)
#define PML5_INDEX (ELISA_BASE / (512 * ELISA_1G) / 512)

_Static_assert(ELISA_BASE % (512 * ELISA_1G) == 0 && ELISA_SPAN <= 512 * ELISA_1G, "the window has one PML4 entry");
_Static_assert(PML5_INDEX == 0, "addresses mean the same with four and five levels");
_Static_assert(ELISA_REGION_BYTES <= ELISA_REGION_ALIGN && ROOT_ENTRY_BYTES % ELISA_REGION_ALIGN == 0,
	       "R lies in one entry of an EPT root");
_Static_assert(ELISA_REGION_GATE >= ELISA_SPAN, "what gates see is apart from what sub contexts see");

static hpa_t table_physical(struct elisa_allocator *allocator, const u64 *table)
{
	return allocator->physical(allocator, table);
}

/* Makes count pages, or none. */
static int tables_alloc(struct elisa_allocator *allocator, u64 **tables[], u32 count)
{
	u32 i;

	for (i = 0; i < count; i++) {
		*tables[i] = allocator->alloc(allocator);
		if (!*tables[i])
			goto free_tables;
	}
	return 0;

free_tables:
	while (i--) {
		allocator->free(allocator, *tables[i]);
		*tables[i] = NULL;
	}
	return -ENOMEM;
}

static void table_free(struct elisa_allocator *allocator, u64 *table)
{
	if (table)
		allocator->free(allocator, table);
}

static u64 foreign(struct elisa_allocator *allocator, const u64 *table, u64 prot)
{
	return elisa_ept_link(table_physical(allocator, table), prot) | ELISA_EPT_FOREIGN;
}

static void apt_fill(struct elisa_allocator *allocator, struct elisa_apt *apt, const u64 *guest_root)
{
	elisa_ept_table_fill(apt->pt,
			     elisa_ept_leaf(table_physical(allocator, guest_root), ELISA_EPT_PT, ELISA_EPT_READ));
	elisa_ept_table_fill(apt->pd, elisa_ept_link(table_physical(allocator, apt->pt), ELISA_EPT_READ));
	elisa_ept_table_fill(apt->pdpt, elisa_ept_link(table_physical(allocator, apt->pd), ELISA_EPT_READ));
}

/* The window, by whole GiBs of R; a gate has the first only. */
static void guest_tables_fill(struct elisa_kind_tables *tables, enum elisa_kind kind, gpa_t base)
{
	gpa_t gpa = base + ELISA_REGION_TABLES(kind);
	gpa_t window = base + (kind == ELISA_KIND_GATE ? ELISA_REGION_GATE : ELISA_REGION_WINDOW);
	u64 bytes = kind == ELISA_KIND_GATE ? ELISA_1G : ELISA_SPAN;
	u64 i;

	for (i = 0; i < bytes / ELISA_1G; i++)
		tables->pdpt[i] = (window + i * ELISA_1G) | GUEST_ENTRY | GUEST_LARGE;
	tables->pml4[PML4_INDEX] = (gpa + ELISA_TABLES_PDPT) | GUEST_ENTRY;
	tables->root5[PML5_INDEX] = (gpa + ELISA_TABLES_PML4) | GUEST_ENTRY;
}

static int kind_create(struct elisa_inside *inside, enum elisa_kind kind)
{
	struct elisa_kind_tables *tables = &inside->kinds[kind];
	struct elisa_allocator *allocator = inside->allocator;
	u64 **pages[] = {
		&tables->pdpt,      &tables->pml4,      &tables->root5,       &tables->ept_pt,
		&tables->ept_pd,    &tables->apt[0].pt, &tables->apt[0].pd,   &tables->apt[0].pdpt,
		&tables->apt[1].pt, &tables->apt[1].pd, &tables->apt[1].pdpt,
	};
	int err;

	_Static_assert(sizeof(pages) / sizeof(pages[0]) * ELISA_KINDS == ELISA_INSIDE_PAGES, "as documented");
	err = tables_alloc(allocator, pages, sizeof(pages) / sizeof(pages[0]));
	if (err)
		return err;
	guest_tables_fill(tables, kind, inside->base);
	elisa_ept_table_fill(tables->ept_pt, ELISA_EPT_NONE);
	tables->ept_pt[ELISA_TABLES_PDPT / ELISA_PAGE] =
		elisa_ept_leaf(table_physical(allocator, tables->pdpt), ELISA_EPT_PT, ELISA_EPT_READ);
	tables->ept_pt[ELISA_TABLES_PML4 / ELISA_PAGE] =
		elisa_ept_leaf(table_physical(allocator, tables->pml4), ELISA_EPT_PT, ELISA_EPT_READ);
	elisa_ept_table_fill(tables->ept_pd, ELISA_EPT_NONE);
	tables->ept_pd[0] = elisa_ept_link(table_physical(allocator, tables->ept_pt), ELISA_EPT_READ);
	apt_fill(allocator, &tables->apt[0], tables->pml4);
	apt_fill(allocator, &tables->apt[1], tables->root5);
	return 0;
}

static void kind_destroy(struct elisa_inside *inside, enum elisa_kind kind)
{
	struct elisa_kind_tables *tables = &inside->kinds[kind];
	u32 i;

	for (i = 0; i < 2; i++) {
		table_free(inside->allocator, tables->apt[i].pdpt);
		table_free(inside->allocator, tables->apt[i].pd);
		table_free(inside->allocator, tables->apt[i].pt);
	}
	table_free(inside->allocator, tables->ept_pd);
	table_free(inside->allocator, tables->ept_pt);
	table_free(inside->allocator, tables->root5);
	table_free(inside->allocator, tables->pml4);
	table_free(inside->allocator, tables->pdpt);
}

int elisa_inside_create(struct elisa_inside *inside, struct elisa_allocator *allocator, u32 maxphyaddr, gpa_t base)
{
	u64 limit;
	int err;

	memset(inside, 0, sizeof(*inside));
	if (maxphyaddr < 39 || maxphyaddr > 52)
		return -EOPNOTSUPP;
	if (!base)
		base = 1ULL << (maxphyaddr - 1 < 46 ? maxphyaddr - 1 : 46);
	/* Below 2^47 it is within the 48 bits that an EPT of four levels translates, with room to spare. */
	limit = 1ULL << (maxphyaddr < 47 ? maxphyaddr : 47);
	if (base % ELISA_REGION_ALIGN || base >= limit || limit - base < ELISA_REGION_BYTES)
		return -EINVAL;
	inside->allocator = allocator;
	inside->base = base;
	err = kind_create(inside, ELISA_KIND_GATE);
	if (err)
		goto forget;
	err = kind_create(inside, ELISA_KIND_SUB);
	if (err)
		goto destroy_gate;
	return 0;

destroy_gate:
	kind_destroy(inside, ELISA_KIND_GATE);
forget:
	memset(inside, 0, sizeof(*inside));
	return err;
}

void elisa_inside_destroy(struct elisa_inside *inside)
{
	if (inside->allocator) {
		kind_destroy(inside, ELISA_KIND_SUB);
		kind_destroy(inside, ELISA_KIND_GATE);
	}
	memset(inside, 0, sizeof(*inside));
}

/* The entry for this offset in R. */
static u64 *region_entry(const struct elisa_context *context, u64 offset)
{
	return &context->pdpt[(context->inside->base + offset) / ELISA_1G % ELISA_EPT_ENTRIES];
}

int elisa_context_create(struct elisa_context *context, const struct elisa_inside *inside,
			 struct elisa_allocator *allocator, enum elisa_kind kind, bool la57)
{
	const struct elisa_kind_tables *tables = &inside->kinds[kind];
	const struct elisa_apt *apt = &tables->apt[la57];
	u64 **pages[] = { &context->root, &context->pdpt, &context->pd };
	u64 offset;
	int err;

	_Static_assert(sizeof(pages) / sizeof(pages[0]) == ELISA_CONTEXT_PAGES, "as documented");
	memset(context, 0, sizeof(*context));
	err = tables_alloc(allocator, pages, sizeof(pages) / sizeof(pages[0]));
	if (err)
		return err;
	context->inside = inside;
	context->allocator = allocator;
	context->kind = kind;

	elisa_ept_table_fill(context->pd, ELISA_EPT_NONE);
	elisa_ept_table_fill(context->pdpt, foreign(inside->allocator, apt->pd, ELISA_EPT_READ));
	for (offset = 0; offset < ELISA_REGION_BYTES; offset += ELISA_1G)
		*region_entry(context, offset) = ELISA_EPT_NONE;
	*region_entry(context, ELISA_REGION_TABLES(kind)) = foreign(inside->allocator, tables->ept_pd, ELISA_EPT_READ);
	*region_entry(context, kind == ELISA_KIND_GATE ? ELISA_REGION_GATE : ELISA_REGION_WINDOW) =
		elisa_ept_link(table_physical(allocator, context->pd), ELISA_EPT_ALL);
	elisa_ept_table_fill(context->root, foreign(inside->allocator, apt->pdpt, ELISA_EPT_READ));
	context->root[inside->base / ROOT_ENTRY_BYTES] =
		elisa_ept_link(table_physical(allocator, context->pdpt), ELISA_EPT_ALL);
	return 0;
}

void elisa_context_destroy(struct elisa_context *context)
{
	if (context->allocator) {
		table_free(context->allocator, context->root);
		table_free(context->allocator, context->pdpt);
		table_free(context->allocator, context->pd);
	}
	memset(context, 0, sizeof(*context));
}

u64 elisa_context_eptp(const struct elisa_context *context)
{
	return table_physical(context->allocator, context->root) | ELISA_EPTP_OPEN;
}

/* Are rights left, and such as CPUs accept? */
static bool linkable(u64 entry)
{
	return elisa_ept_entry_present(entry) && (entry & ELISA_EPT_READ || !(entry & ELISA_EPT_WRITE));
}

int elisa_context_link_first(struct elisa_context *context, u64 offset, hpa_t pt, u64 prot)
{
	u64 entry = elisa_ept_link(pt, prot & ELISA_EPT_ALL) | ELISA_EPT_FOREIGN;
	u64 *place;

	if (offset % ELISA_2M || offset >= ELISA_1G || pt & ~ELISA_EPT_ADDRESS || !linkable(entry))
		return -EINVAL;
	place = &context->pd[offset / ELISA_2M];
	if (elisa_ept_entry_present(*place))
		return -EEXIST;
	elisa_ept_entry_store(place, entry);
	return 0;
}

int elisa_context_unlink_first(struct elisa_context *context, u64 offset)
{
	if (offset % ELISA_2M || offset >= ELISA_1G)
		return -EINVAL;
	elisa_ept_entry_store(&context->pd[offset / ELISA_2M], ELISA_EPT_NONE);
	return 0;
}

/* A gate has no more of the window than its first GiB. */
static bool gib_valid(const struct elisa_context *context, u64 offset, u64 bytes)
{
	return context->kind == ELISA_KIND_SUB && !((offset | bytes) % ELISA_1G) && offset >= ELISA_1G && bytes &&
	       bytes <= ELISA_SPAN && offset <= ELISA_SPAN - bytes;
}

/* As it stands in a context: with fewer rights, and a table that stays its owner's. */
static u64 gib_entry(u64 entry, u64 prot)
{
	if (!elisa_ept_entry_leaf(entry, ELISA_EPT_PDPT))
		entry |= ELISA_EPT_FOREIGN;
	return elisa_ept_entry_restrict(entry, prot & ELISA_EPT_ALL);
}

static int gib_check(const struct elisa_context *context, u64 offset, u64 entry)
{
	u64 old = *region_entry(context, ELISA_REGION_WINDOW + offset);

	if (!linkable(entry))
		return -EINVAL;
	return elisa_ept_entry_present(old) && old != entry ? -EEXIST : 0;
}

int elisa_context_link_gib(struct elisa_context *context, u64 offset, u64 entry, u64 prot)
{
	int err;

	if (!gib_valid(context, offset, ELISA_1G))
		return -EINVAL;
	entry = gib_entry(entry, prot);
	err = gib_check(context, offset, entry);
	if (err)
		return err;
	elisa_ept_entry_store(region_entry(context, ELISA_REGION_WINDOW + offset), entry);
	return 0;
}

int elisa_context_unlink_gib(struct elisa_context *context, u64 offset)
{
	if (!gib_valid(context, offset, ELISA_1G))
		return -EINVAL;
	elisa_ept_entry_store(region_entry(context, ELISA_REGION_WINDOW + offset), ELISA_EPT_NONE);
	return 0;
}

int elisa_context_link_tree(struct elisa_context *context, u64 offset, u64 bytes, const struct elisa_ept *tree,
			    u64 prot)
{
	u64 i;
	int err;

	if (tree->level != ELISA_EPT_PDPT || !gib_valid(context, offset, bytes))
		return -EINVAL;
	for (i = 0; i < bytes / ELISA_1G; i++) {
		if (!elisa_ept_entry_present(tree->table[i]))
			continue;
		err = gib_check(context, offset + i * ELISA_1G, gib_entry(tree->table[i], prot));
		if (err)
			return err;
	}
	for (i = 0; i < bytes / ELISA_1G; i++)
		if (elisa_ept_entry_present(tree->table[i]))
			elisa_ept_entry_store(region_entry(context, ELISA_REGION_WINDOW + offset + i * ELISA_1G),
					      gib_entry(tree->table[i], prot));
	return 0;
}
