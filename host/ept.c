// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include "ept.h"

static u64 rights(u64 prot)
{
	return prot & ELISA_EPT_EXEC ? prot | ELISA_EPT_EXEC_USER : prot;
}

static bool rights_valid(u64 prot)
{
	return prot && !(prot & ~ELISA_EPT_ALL) && (prot & ELISA_EPT_READ || !(prot & ELISA_EPT_WRITE));
}

u64 elisa_ept_leaf(hpa_t hpa, u32 level, u64 prot)
{
	u64 entry = hpa | rights(prot) | ELISA_EPT_WRITE_BACK | ELISA_EPT_IGNORE_PAT | ELISA_EPT_SUPPRESS_VE;

	return level == ELISA_EPT_PT ? entry : entry | ELISA_EPT_LARGE;
}

u64 elisa_ept_link(hpa_t table, u64 prot)
{
	return table | rights(prot);
}

u64 elisa_ept_entry_restrict(u64 entry, u64 prot)
{
	u64 result = entry & (~(ELISA_EPT_ALL | ELISA_EPT_EXEC_USER) | rights(prot));

	return elisa_ept_entry_present(result) ? result : ELISA_EPT_NONE;
}

/* By stores that the compiler keeps before the one that links the table; the CPU does anyway. */
void elisa_ept_table_fill(u64 *table, u64 entry)
{
	u32 i;

	for (i = 0; i < ELISA_EPT_ENTRIES; i++)
		elisa_ept_entry_store(&table[i], entry);
}

static u32 entry_index(u64 offset, u32 level)
{
	return offset / elisa_ept_entry_bytes(level) % ELISA_EPT_ENTRIES;
}

/* Where the entry that covers offset ends, or the range if that is earlier. */
static u64 entry_end(u64 offset, u32 level, u64 end)
{
	u64 bytes = elisa_ept_entry_bytes(level);
	u64 next = (offset & ~(bytes - 1)) + bytes;

	return next < end ? next : end;
}

static u64 *child_table(const struct elisa_ept *ept, u64 entry)
{
	return ept->allocator->virtual(ept->allocator, entry & ELISA_EPT_ADDRESS);
}

static bool range_valid(const struct elisa_ept *ept, u64 offset, u64 bytes)
{
	u64 span = ELISA_EPT_ENTRIES * elisa_ept_entry_bytes(ept->level);

	return bytes && !((offset | bytes) % elisa_ept_entry_bytes(ELISA_EPT_PT)) && bytes <= span &&
	       offset <= span - bytes;
}

int elisa_ept_create(struct elisa_ept *ept, struct elisa_allocator *allocator, u32 level)
{
	memset(ept, 0, sizeof(*ept));
	if (level < ELISA_EPT_PT || level > ELISA_EPT_PDPT)
		return -EINVAL;
	ept->table = allocator->alloc(allocator);
	if (!ept->table)
		return -ENOMEM;
	elisa_ept_table_fill(ept->table, ELISA_EPT_NONE);
	ept->allocator = allocator;
	ept->level = level;
	return 0;
}

static void table_destroy(const struct elisa_ept *ept, u64 *table, u32 level)
{
	u32 i;

	for (i = 0; level > ELISA_EPT_PT && i < ELISA_EPT_ENTRIES; i++) {
		u64 entry = table[i];

		if (elisa_ept_entry_present(entry) && !elisa_ept_entry_leaf(entry, level) &&
		    !(entry & ELISA_EPT_FOREIGN))
			table_destroy(ept, child_table(ept, entry), level - 1);
	}
	ept->allocator->free(ept->allocator, table);
}

void elisa_ept_destroy(struct elisa_ept *ept)
{
	if (ept->table)
		table_destroy(ept, ept->table, ept->level);
	memset(ept, 0, sizeof(*ept));
}

hpa_t elisa_ept_physical(const struct elisa_ept *ept)
{
	return ept->allocator->physical(ept->allocator, ept->table);
}

/* One call of map_range: first survey() sees that nothing is in the way, then all tables are made, then commit(). */
struct mapping {
	const struct elisa_ept *ept;
	u64 delta; /* host-physical address minus offset, may wrap */
	u64 prot;
	u32 largest_leaf;
	u64 tables;  /* needed */
	void *spare; /* tables made; each begins with the address of the next */
};

/* Is the part from offset to end, which lies in one entry of this level, a leaf of it? */
static bool leaf_fits(const struct mapping *map, u32 level, u64 offset, u64 end)
{
	u64 bytes = elisa_ept_entry_bytes(level);

	return level == ELISA_EPT_PT ||
	       (level <= map->largest_leaf && end - offset == bytes && !((offset | (offset + map->delta)) % bytes));
}

/* table is NULL for one that does not exist yet. */
static int survey(struct mapping *map, const u64 *table, u32 level, u64 offset, u64 end)
{
	u64 next;
	int err;

	if (!table && level == ELISA_EPT_PT)
		return 0;
	for (; offset < end; offset = next) {
		u64 entry = table ? table[entry_index(offset, level)] : ELISA_EPT_NONE;
		const u64 *child = NULL;

		next = entry_end(offset, level, end);
		if (elisa_ept_entry_present(entry)) {
			if (elisa_ept_entry_leaf(entry, level) || entry & ELISA_EPT_FOREIGN)
				return -EEXIST;
			child = child_table(map->ept, entry);
		} else {
			if (leaf_fits(map, level, offset, next))
				continue;
			map->tables++;
		}
		err = survey(map, child, level - 1, offset, next);
		if (err)
			return err;
	}
	return 0;
}

static void *spare_take(struct mapping *map)
{
	void *table = map->spare;

	if (table)
		map->spare = *(void **)table;
	return table;
}

static int spare_fill(struct mapping *map)
{
	struct elisa_allocator *allocator = map->ept->allocator;
	u64 i;

	for (i = 0; i < map->tables; i++) {
		void **table = allocator->alloc(allocator);

		if (!table)
			goto free_spare;
		*table = map->spare;
		map->spare = table;
	}
	return 0;

free_spare:
	while (map->spare)
		allocator->free(allocator, spare_take(map));
	return -ENOMEM;
}

static void commit(struct mapping *map, u64 *table, u32 level, u64 offset, u64 end)
{
	struct elisa_allocator *allocator = map->ept->allocator;
	u64 next;

	for (; offset < end; offset = next) {
		u64 *entry = &table[entry_index(offset, level)];
		u64 *child;

		next = entry_end(offset, level, end);
		if (elisa_ept_entry_present(*entry)) {
			commit(map, child_table(map->ept, *entry), level - 1, offset, next);
		} else if (leaf_fits(map, level, offset, next)) {
			elisa_ept_entry_store(entry, elisa_ept_leaf(offset + map->delta, level, map->prot));
		} else {
			child = spare_take(map);
			elisa_ept_table_fill(child, ELISA_EPT_NONE);
			commit(map, child, level - 1, offset, next);
			elisa_ept_entry_store(entry,
					      elisa_ept_link(allocator->physical(allocator, child), ELISA_EPT_ALL));
		}
	}
}

int elisa_ept_map_range(struct elisa_ept *ept, u64 offset, hpa_t hpa, u64 bytes, u64 prot, u32 largest_leaf)
{
	struct mapping map = { .ept = ept, .delta = hpa - offset, .prot = prot, .largest_leaf = largest_leaf };
	u64 end = offset + bytes;
	int err;

	if (!range_valid(ept, offset, bytes) || !rights_valid(prot) || largest_leaf < ELISA_EPT_PT ||
	    largest_leaf > ELISA_EPT_PDPT)
		return -EINVAL;
	if (hpa & ~ELISA_EPT_ADDRESS || bytes - 1 > (ELISA_EPT_ADDRESS | 0xfff) - hpa)
		return -EINVAL;
	err = survey(&map, ept->table, ept->level, offset, end);
	if (err)
		return err;
	err = spare_fill(&map);
	if (err)
		return err;
	commit(&map, ept->table, ept->level, offset, end);
	return 0;
}

/* Clears the leaves of a range, or with dry only looks whether it cuts none. */
static int unmap(const struct elisa_ept *ept, u64 *table, u32 level, u64 offset, u64 end, bool dry)
{
	u64 next;
	int err;

	for (; offset < end; offset = next) {
		u64 *entry = &table[entry_index(offset, level)];

		next = entry_end(offset, level, end);
		if (!elisa_ept_entry_present(*entry) || *entry & ELISA_EPT_FOREIGN)
			continue;
		if (elisa_ept_entry_leaf(*entry, level)) {
			if (next - offset != elisa_ept_entry_bytes(level))
				return -EINVAL;
			if (!dry)
				elisa_ept_entry_store(entry, ELISA_EPT_NONE);
			continue;
		}
		err = unmap(ept, child_table(ept, *entry), level - 1, offset, next, dry);
		if (err)
			return err;
	}
	return 0;
}

int elisa_ept_unmap_range(struct elisa_ept *ept, u64 offset, u64 bytes)
{
	int err;

	if (!range_valid(ept, offset, bytes))
		return -EINVAL;
	err = unmap(ept, ept->table, ept->level, offset, offset + bytes, true);
	if (err)
		return err;
	return unmap(ept, ept->table, ept->level, offset, offset + bytes, false);
}

int elisa_ept_link_foreign(struct elisa_ept *ept, u64 offset, hpa_t child, u64 prot)
{
	u64 bytes = elisa_ept_entry_bytes(ept->level);
	u64 *entry;

	if (ept->level == ELISA_EPT_PT || offset % bytes || offset / bytes >= ELISA_EPT_ENTRIES)
		return -EINVAL;
	if (child & ~ELISA_EPT_ADDRESS || !rights_valid(prot))
		return -EINVAL;
	entry = &ept->table[entry_index(offset, ept->level)];
	if (elisa_ept_entry_present(*entry))
		return -EEXIST;
	elisa_ept_entry_store(entry, elisa_ept_link(child, prot) | ELISA_EPT_FOREIGN);
	return 0;
}
