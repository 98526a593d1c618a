/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The EPT contexts in which a vCPU is inside, and the guest page tables that it walks there; docs/architecture.md has
 * the picture.
 */
#ifndef ELISA_HOST_CONTEXT_H
#define ELISA_HOST_CONTEXT_H

#include <elisa/layout.h>

#include "ept.h"

enum elisa_kind {
	ELISA_KIND_GATE,
	ELISA_KIND_SUB,
	ELISA_KINDS,
};

/* The reserved region R of guest-physical addresses. Offsets from elisa_inside.base. */
#define ELISA_REGION_ALIGN (256 * ELISA_1G)
#define ELISA_REGION_WINDOW 0UL                                    /* sub contexts: the window */
#define ELISA_REGION_GATE (128 * ELISA_1G)                         /* gates: the window's first GiB */
#define ELISA_REGION_TABLES(kind) ((129 + (u64)(kind)) * ELISA_1G) /* page tables below the root */
#define ELISA_REGION_BYTES (131 * ELISA_1G)

/* In a tables' GiB. */
#define ELISA_TABLES_PDPT 0UL
#define ELISA_TABLES_PML4 ELISA_PAGE

/* Three tables, each filled with one value: every guest-physical address leads to the same page. */
struct elisa_apt {
	u64 *pt, *pd, *pdpt;
};

struct elisa_kind_tables {
	u64 *pdpt, *pml4, *root5; /* guest page tables; root5 is the root of guests with five levels, else pml4 is */
	u64 *ept_pt, *ept_pd;     /* of the tables' GiB */
	struct elisa_apt apt[2];  /* by la57 */
};

/* Made once for the host; read-only from then on, so contexts of all vCPUs use it without a lock. */
struct elisa_inside {
	struct elisa_allocator *allocator;
	gpa_t base; /* of R */
	struct elisa_kind_tables kinds[ELISA_KINDS];
};

#define ELISA_INSIDE_PAGES 22

/*
 * maxphyaddr is the host CPU's (CPUID 0x80000008, which the CPU holds guests to as well), which must know guest pages
 * of 1 GiB. base 0 takes the default place of R: half of the physical address space, at most 2^46.
 *
 * -EOPNOTSUPP: maxphyaddr below 39, or no such number. -EINVAL: base is not a multiple of 256 GiB, or R does not fit
 * under 2^47 and 2^maxphyaddr. -ENOMEM. After an error the structure is zeroed.
 */
int elisa_inside_create(struct elisa_inside *inside, struct elisa_allocator *allocator, u32 maxphyaddr, gpa_t base);

/* No context may be left. Fine to call again, and on a zeroed structure. */
void elisa_inside_destroy(struct elisa_inside *inside);

/* A vCPU's gate or sub context. The owner serializes calls; CPUs may be walking it during each of them. */
struct elisa_context {
	const struct elisa_inside *inside;
	struct elisa_allocator *allocator;
	enum elisa_kind kind;
	u64 *root, *pdpt, *pd; /* its own: the EPT root, R's PDPT and the PD of the window's first GiB */
};

#define ELISA_CONTEXT_PAGES 3

/*
 * A context in which any CR3 leads to the tables of its kind, and nothing else is present. la57: for a vCPU with
 * CR4.LA57 set. Its pages come from allocator, which may be another one than the inside's, and lives as long as the
 * context. -ENOMEM; then the structure is zeroed.
 */
int elisa_context_create(struct elisa_context *context, const struct elisa_inside *inside,
			 struct elisa_allocator *allocator, enum elisa_kind kind, bool la57);

/*
 * Frees its own pages, and nothing that was linked. Before: the EPTP is in no list any more, no vCPU can be in it, and
 * INVEPT is done. Fine to call again, and on a zeroed structure.
 */
void elisa_context_destroy(struct elisa_context *context);

/* The valid EPTP; in a list its lowest byte is ELISA_EPTP_LOCKED where the slot is locked. */
u64 elisa_context_eptp(const struct elisa_context *context);

/*
 * Links a PT for the 2 MiB at offset (from ELISA_BASE, in the window's first GiB; a multiple of 2 MiB) with no more
 * rights than prot. The PT must outlive the context, or be unlinked and INVEPT done. -EEXIST, -EINVAL.
 */
int elisa_context_link_first(struct elisa_context *context, u64 offset, hpa_t pt, u64 prot);

/*
 * Sub contexts: links one GiB of the window at offset (from ELISA_BASE, a multiple of 1 GiB, not the first) by an entry
 * of elisa_ept_link(), a PD that stays somebody else's, or elisa_ept_leaf() of level 3, with no more rights than prot.
 * Fine if the very same is there already. -EEXIST, -EINVAL.
 */
int elisa_context_link_gib(struct elisa_context *context, u64 offset, u64 entry, u64 prot);

/*
 * Sub contexts: links the first bytes (a multiple of 1 GiB) of a tree of level 3 at offset, GiB by GiB, with no more
 * rights than prot. The tree's PDs are shared, so what is later mapped or unmapped under them shows up here; its 1 GiB
 * leaves, and PDs that it gets later, do not: call again, which is fine, for new ones, elisa_context_unlink_gib() for
 * leaves taken away. Nothing has changed after an error. -EEXIST, -EINVAL.
 */
int elisa_context_link_tree(struct elisa_context *context, u64 offset, u64 bytes, const struct elisa_ept *tree,
			    u64 prot);

/* Undo link_first and link_gib; fine where nothing is linked. The caller does INVEPT. -EINVAL: no such place. */
int elisa_context_unlink_first(struct elisa_context *context, u64 offset);
int elisa_context_unlink_gib(struct elisa_context *context, u64 offset);

#endif
