// SPDX-License-Identifier: MIT
#include "walker.h"

#define ADDRESS 0x000ffffffffff000ULL
#define PRESENT (1ULL << 0)
#define WRITABLE (1ULL << 1)
#define USER (1ULL << 2)
#define ACCESSED (1ULL << 5)
#define DIRTY (1ULL << 6)
#define LARGE (1ULL << 7)
#define NO_EXECUTE (1ULL << 63)
#define EPTP_DIRTY (1ULL << 6)

/* Bits from..to-1. */
static u64 bits(u32 from, u32 to)
{
	return (to < 64 ? 1ULL << to : 0) - (1ULL << from);
}

/* Bits of the address that an entry of this level leaves untranslated. */
static u32 shift(u32 level)
{
	return 12 + 9 * (level - 1);
}

static bool eptp_valid(const struct walker *walker, u64 eptp)
{
	u64 type = eptp & 7;

	return (type == 0 || type == 6) && (eptp >> 3 & 7) == 3 && !(eptp & bits(7, 12)) &&
	       !(eptp & bits(walker->maxphyaddr, 64));
}

static bool ept_leaf(u64 entry, u32 level)
{
	return level == 1 || (level <= 3 && entry & LARGE);
}

/* An entry with rights; see the SDM, "EPT Misconfigurations". */
static bool ept_entry_valid(const struct walker *walker, u64 entry, u32 level)
{
	u64 type = entry >> 3 & 7;

	if ((entry & (WALK_READ | WALK_WRITE)) == WALK_WRITE || entry & bits(walker->maxphyaddr, 52))
		return false;
	if (ept_leaf(entry, level))
		return type != 2 && type != 3 && type != 7 && !(entry & bits(12, shift(level)));
	return !(entry & bits(3, level == 4 ? 8 : 7));
}

enum walk_result walk_ept(const struct walker *walker, u64 eptp, gpa_t gpa, u64 access, struct walk_ept *walk)
{
	hpa_t table = eptp & ADDRESS;

	*walk = (struct walk_ept){ .rights = WALK_READ | WALK_WRITE | WALK_FETCH, .level = 4 };
	if (!eptp_valid(walker, eptp))
		return WALK_BAD_EPTP;
	if (gpa & bits(48, 64))
		return WALK_EPT_VIOLATION;
	for (;; walk->level--) {
		walk->entry = walker->read(walker->opaque, table + (gpa >> shift(walk->level) & 511) * 8);
		walk->rights &= walk->entry;
		if (!(walk->entry & (WALK_READ | WALK_WRITE | WALK_FETCH)))
			return WALK_EPT_VIOLATION;
		if (!ept_entry_valid(walker, walk->entry, walk->level))
			return WALK_EPT_MISCONFIGURATION;
		table = walk->entry & ADDRESS;
		if (ept_leaf(walk->entry, walk->level))
			break;
	}
	walk->hpa = table | (gpa & bits(0, shift(walk->level)));
	return access & ~walk->rights ? WALK_EPT_VIOLATION : WALK_OK;
}

/* Does a present entry of the guest's tables have reserved bits set? */
static bool guest_entry_reserved(const struct walker *walker, u64 entry, u32 level, bool leaf)
{
	if (entry & bits(walker->maxphyaddr, 52))
		return true;
	if (leaf)
		return level > 1 && entry & bits(13, shift(level));
	return level > 3 && entry & LARGE;
}

static bool permitted(u64 rights, bool no_execute, enum walk_access access, bool user)
{
	if (user != !!(rights & USER))
		return false; /* a supervisor page; or SMEP, SMAP */
	if (access == WALK_WRITE)
		return rights & WRITABLE;
	return access != WALK_FETCH || !no_execute;
}

enum walk_result walk_linear(const struct walker *walker, u64 eptp, u64 cr3, u64 gva, enum walk_access access,
			     bool user, hpa_t *hpa)
{
	u64 table_access = eptp & EPTP_DIRTY ? WALK_READ | WALK_WRITE : WALK_READ;
	u32 level = walker->la57 ? 5 : 4;
	u64 entry, rights = WRITABLE | USER, top = bits(shift(level) + 8, 64);
	bool no_execute = false, accessed = true, leaf;
	gpa_t table = cr3 & ADDRESS;
	enum walk_result result;
	struct walk_ept walk;

	if (gva & top && (gva & top) != top)
		return WALK_NOT_CANONICAL;
	if (cr3 & bits(walker->maxphyaddr, 64))
		return WALK_BAD_CR3;
	for (;; level--) {
		result = walk_ept(walker, eptp, table + (gva >> shift(level) & 511) * 8, table_access, &walk);
		if (result)
			return result;
		entry = walker->read(walker->opaque, walk.hpa);
		leaf = level == 1 || (level <= 3 && entry & LARGE);
		if (!(entry & PRESENT) || guest_entry_reserved(walker, entry, level, leaf))
			return WALK_PAGE_FAULT;
		rights &= entry;
		no_execute |= entry & NO_EXECUTE;
		accessed &= !!(entry & ACCESSED);
		table = entry & ADDRESS;
		if (leaf)
			break;
	}
	if (!permitted(rights, no_execute, access, user))
		return WALK_PAGE_FAULT;
	if (!accessed || (access == WALK_WRITE && !(entry & DIRTY)))
		return WALK_MUST_WRITE;
	result = walk_ept(walker, eptp, (table & ~bits(12, shift(level))) | (gva & bits(0, shift(level))), access,
			  &walk);
	*hpa = walk.hpa;
	return result;
}
