/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Parts of an EPT, in the SDM's format ("EPT Translation Mechanism"): a table of any level with all below it. The owner
 * serializes calls on one tree; a CPU may walk it at any time, so an entry changes by one store of 64 bits, and a table
 * is filled before it is linked. No call here invalidates anything: after one that takes a mapping away, and before the
 * memory that was mapped or a table that was freed is used again, the caller does INVEPT where the tree is in use.
 */
#ifndef ELISA_HOST_EPT_H
#define ELISA_HOST_EPT_H

#include "allocator.h"

/* Rights; what a table's entry and all entries above it grant holds. */
#define ELISA_EPT_READ (1ULL << 0)
#define ELISA_EPT_WRITE (1ULL << 1) /* never without READ: a misconfiguration */
#define ELISA_EPT_EXEC (1ULL << 2)
#define ELISA_EPT_ALL (ELISA_EPT_READ | ELISA_EPT_WRITE | ELISA_EPT_EXEC)

/* The rest of an entry. */
#define ELISA_EPT_WRITE_BACK (6ULL << 3)
#define ELISA_EPT_IGNORE_PAT (1ULL << 6)
#define ELISA_EPT_LARGE (1ULL << 7)
#define ELISA_EPT_EXEC_USER (1ULL << 10) /* always as EXEC; counts with mode-based execute control only */
#define ELISA_EPT_ADDRESS 0x000ffffffffff000ULL
#define ELISA_EPT_FOREIGN (1ULL << 52) /* ours, ignored by CPUs: links a table that somebody else owns */
#define ELISA_EPT_SUPPRESS_VE (1ULL << 63)
#define ELISA_EPT_NONE ELISA_EPT_SUPPRESS_VE /* not present */

#define ELISA_EPT_ENTRIES 512

/* Levels of tables, and of the leaves that they hold: PT with 4 KiB leaves, PD with 2 MiB, PDPT with 1 GiB. */
#define ELISA_EPT_PT 1
#define ELISA_EPT_PD 2
#define ELISA_EPT_PDPT 3

struct elisa_ept {
	struct elisa_allocator *allocator;
	u64 *table; /* NULL when there is none, as after destroy */
	u32 level;
};

/* Bytes that one entry of a table of this level covers. */
static inline u64 elisa_ept_entry_bytes(u32 level)
{
	return 1ULL << (12 + 9 * (level - 1));
}

static inline bool elisa_ept_entry_present(u64 entry)
{
	return entry & ELISA_EPT_ALL;
}

/* Of a present entry at this level: is it a leaf? */
static inline bool elisa_ept_entry_leaf(u64 entry, u32 level)
{
	return level == ELISA_EPT_PT || entry & ELISA_EPT_LARGE;
}

/* Stores an entry that a CPU may be reading. */
static inline void elisa_ept_entry_store(u64 *entry, u64 value)
{
	*(volatile u64 *)entry = value;
}

/* A leaf, always write-back, ignore-PAT and suppress #VE; and a link to a table, without ELISA_EPT_FOREIGN. */
u64 elisa_ept_leaf(hpa_t hpa, u32 level, u64 prot);
u64 elisa_ept_link(hpa_t table, u64 prot);

/* The same entry with no more rights than prot. */
u64 elisa_ept_entry_restrict(u64 entry, u64 prot);

/* Fills a table with one value. */
void elisa_ept_table_fill(u64 *table, u64 entry);

/* A table of level 1 to 3 with nothing present. -EINVAL, -ENOMEM. */
int elisa_ept_create(struct elisa_ept *ept, struct elisa_allocator *allocator, u32 level);

/* Frees the table and all below it, but nothing foreign. Fine to call again, and on a zeroed structure. */
void elisa_ept_destroy(struct elisa_ept *ept);

hpa_t elisa_ept_physical(const struct elisa_ept *ept);

/*
 * Maps [offset, offset + bytes), relative to the start of what the table covers, to hpa on, with the largest leaves
 * that both alignments, the size, largest_leaf (a level; 1: only 4 KiB) and tables that already exist permit.
 * Everything is a multiple of 4 KiB.
 *
 * -EEXIST: something is mapped there, or a foreign table linked. -ENOMEM. -EINVAL: out of range, misaligned, or rights
 * that no CPU accepts. After an error the tree is as it was, also in between.
 */
int elisa_ept_map_range(struct elisa_ept *ept, u64 offset, hpa_t hpa, u64 bytes, u64 prot, u32 largest_leaf);

/*
 * Takes away all leaves in the range. Tables stay until the tree is destroyed, foreign links too; where nothing is
 * mapped there is nothing to do. -EINVAL: out of range, misaligned, or cuts a large leaf; then nothing has changed.
 */
int elisa_ept_unmap_range(struct elisa_ept *ept, u64 offset, u64 bytes);

/*
 * Links somebody else's table as the entry at offset, which is a multiple of what one entry of ept's table covers (not
 * of a PT). The child must outlive the link. -EEXIST, -EINVAL.
 */
int elisa_ept_link_foreign(struct elisa_ept *ept, u64 offset, hpa_t child, u64 prot);

#endif
