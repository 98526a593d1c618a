/* SPDX-License-Identifier: MIT */
/*
 * What a CPU may have kept of the translations that it has seen: SDM volume 3, "Caching Translation Information" of the
 * chapter on VMX support for address translation. The emulated CPU itself forgets everything at each VM entry, VM exit
 * and VMFUNC.
 */
#ifndef TESTBED_TRANSLATIONS_H
#define TESTBED_TRANSLATIONS_H

#include <stdint.h>
#include <map>
#include <unordered_map>
#include <vector>

enum { EPT_READ = 1, EPT_WRITE = 2, EPT_EXECUTE = 4, EPT_USER_EXECUTE = 0x400 };
static const unsigned LEVELS = 4; /* 0: entries that map 4 KiB */
static const uint64_t TABLE_ADDRESS = 0x000ffffffffff000;

/*
 * One entry of an EPT, with what all above it permit; or of a combined mapping, from a linear address. A table's entry
 * stands for what a paging-structure cache has of it.
 */
struct mapping {
	uint64_t target; /* host-physical, of what it maps or of the next table */
	uint64_t gpa;    /* combined: the guest-physical address between */
	uint64_t space;  /* combined: the linear addresses that it was made in, see space_of() */
	uint32_t rights;
	bool inside; /* the root was one of a gate or sub context, not one of KVM's */
	bool table, global, suspected, overdue, reported;
	uint64_t since; /* ticks */
};

/* By level and address, see key_of(). More than one for a key: all but one are no longer in the tables. */
typedef std::unordered_map<uint64_t, std::vector<mapping>> mappings;

/* Of one EPT, known by the address of its root ("EP4TA"). */
struct root {
	mappings physical;
	std::map<uint32_t, mappings> combined; /* by VPID and PCID */
};

/* A walk that was seen to be in order, not to look at it again. */
struct seen_walk {
	uint64_t root, page, epoch, entry[LEVELS];
	int level;
};
static const unsigned SEEN_WALKS = 4096;

/* What one CPU may have kept. */
struct kept {
	std::unordered_map<uint64_t, root> roots;
	uint64_t epoch; /* raised by all that makes seen walks worth another look */
	std::vector<seen_walk> seen;
	uint64_t left;     /* ticks when it last left a guest */
	uint64_t cr0, cr4; /* of the guest */
	uint64_t walk_gpa; /* of the last walk of an EPT: its address, what it permits, at what level it ended */
	uint32_t walk_rights;
	unsigned walk_level;
};

static inline uint64_t bytes_of(unsigned level)
{
	return 0x1000ull << 9 * level;
}

static inline uint64_t key_of(unsigned level, uint64_t address)
{
	return address >> (12 + 9 * level) << 3 | level;
}

static inline uint64_t address_of(uint64_t key)
{
	return key >> 3 << (12 + 9 * (key & 7));
}

static inline uint32_t tag_of(uint16_t vpid, uint16_t pcid)
{
	return (uint32_t)vpid << 12 | pcid;
}

/* invalidate.cc: what each operation ends. */
enum { ANY = -1 };
void forget_root(struct kept *kept, uint64_t root);
void forget_all(struct kept *kept);
/* Combined mappings of VPID and PCID (or ANY) for one linear address or all (NULL). GLOBAL: also global ones, which are
 * of all PCIDs. */
void forget_combined(struct kept *kept, int vpid, int pcid, const uint64_t *linear, bool global);
/* What an EPT violation and a page fault end, but for what would not have led to one. */
void forget_violating(struct kept *kept, uint64_t root, uint64_t gpa, const uint64_t *linear, uint32_t tag);
void forget_faulting(struct kept *kept, uint32_t tag, uint64_t linear);

#endif
