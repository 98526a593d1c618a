/* SPDX-License-Identifier: MIT */
/*
 * One vCPU with the gate and sub contexts of one attachment, built as the host module does, in made-up memory; and the
 * invariants of docs/threat-model.md, proven by walking what a CPU would walk.
 */
#ifndef ELISA_TESTS_WORLD_H
#define ELISA_TESTS_WORLD_H

#include "arena.h"
#include "context.h"
#include "walker.h"

struct variant {
	u32 maxphyaddr;
	gpa_t base; /* 0: the default place */
	bool la57, vetted, writable;
};

/* What lies inside at an offset from ELISA_BASE. */
struct place {
	const char *name;
	u64 offset, bytes;
	hpa_t hpa;
	u64 rights[ELISA_KINDS]; /* 0: not there */
};

#define PLACES_MAX 32
#define FIRST_PTS 8
#define HOSTILE_INDEX 4

struct world {
	struct arena arena;
	struct walker walker;
	struct elisa_inside inside;
	struct elisa_context contexts[ELISA_KINDS];
	struct elisa_ept gate_pt, list_pt, first[FIRST_PTS], memory, extra, buffers;
	u32 firsts;
	struct place places[PLACES_MAX];
	u32 count;
	/* What a walk reads from memory that the guest may have filled: entry HOSTILE_INDEX, and all others. */
	u64 hostile_target, hostile_other;
};

/* Aborts the program where something fails. */
void world_create(struct world *world, const struct variant *variant);
void world_destroy(struct world *world);

u64 world_eptp(const struct world *world, enum elisa_kind kind);

/* Something that the EPT of a context maps in R. */
struct leaf {
	gpa_t gpa;
	u64 bytes, entry, rights;
	hpa_t hpa;
};

/* The next one at or after *gpa, which then is its end; false: there is none. */
bool world_leaf_next(const struct world *world, enum elisa_kind kind, gpa_t *gpa, struct leaf *leaf);

/* Each returns NULL if it holds, else what is wrong. */
const char *invariant_any_cr3(struct world *world, const u64 *cr3s, u32 count);
const char *invariant_apart(struct world *world);
const char *invariant_cr3_inside(struct world *world);
const char *invariant_rights(struct world *world);
const char *invariant_entries(struct world *world);

#endif
