/* SPDX-License-Identifier: MIT */
/*
 * What a CPU does to translate an address in VMX non-root operation with an EPT of four levels, in software. After the
 * SDM, "4-level Paging and 5-level Paging" and "EPT Translation Mechanism"; on its own, so that a mistake in the code
 * under test is not repeated here.
 */
#ifndef ELISA_TESTS_WALKER_H
#define ELISA_TESTS_WALKER_H

#include "types.h"

enum walk_result {
	WALK_OK,
	WALK_NOT_CANONICAL,
	WALK_BAD_CR3, /* the load of CR3 would have raised #GP */
	WALK_PAGE_FAULT,
	WALK_MUST_WRITE, /* the CPU would set an accessed or dirty flag */
	WALK_EPT_VIOLATION,
	WALK_EPT_MISCONFIGURATION,
	WALK_BAD_EPTP, /* VMFUNC would have failed */
};

enum walk_access {
	WALK_READ = 1 << 0, /* as the rights in an EPT entry */
	WALK_WRITE = 1 << 1,
	WALK_FETCH = 1 << 2,
};

struct walker {
	u32 maxphyaddr;
	bool la57;
	u64 (*read)(void *opaque, hpa_t hpa); /* physical memory, 64 bits of it */
	void *opaque;
};

/* How a walk of an EPT ended: at an entry of this level (1: PT), which was last read. */
struct walk_ept {
	hpa_t hpa;
	u64 entry;
	u32 level;
	u64 rights; /* of a walk that got to a leaf: WALK_READ and so on, of all levels together */
};

/* access: what is wanted, or 0 to ask for what is there, whatever its rights. */
enum walk_result walk_ept(const struct walker *walker, u64 eptp, gpa_t gpa, u64 access, struct walk_ept *walk);

/*
 * With CR4.SMEP and CR4.SMAP set, EFER.NXE set, RFLAGS.AC clear; a read or write by the supervisor is thus also what
 * the CPU does to deliver an event.
 */
enum walk_result walk_linear(const struct walker *walker, u64 eptp, u64 cr3, u64 gva, enum walk_access access,
			     bool user, hpa_t *hpa);

#endif
