/* SPDX-License-Identifier: GPL-2.0-only */
/* A hostile manager VM: what its kernel can ask of the host, without the guest driver's manners. */
#ifndef MANAGER_H
#define MANAGER_H

#include <elisa/hypercall.h>
#include <linux/kernel.h>

#define PLAY_PAGES 8

/* A thread's own pages, so that several can ask at once. */
struct asker {
	struct elisa_request *request;
	struct elisa_extent *extents;
	void *play; /* memory that is its to give */
	u64 state;
};

extern u64 tried, contained, region;
extern ulong count, ram_bytes;
extern uint threads;

struct asker *asker_create(u64 seed);
void asker_destroy(struct asker *asker);

u64 asker_random(struct asker *asker);
/* The request's own fields stay as they are; the answer's errno. */
int ask(struct asker *asker, u32 op, u32 id);
/* Those that are about nothing else. */
int ask_plain(struct asker *asker, u32 op, u32 id);
/* Names the first @count extents of its list; the number, or an errno. */
int name_extents(struct asker *asker, unsigned int count);
/* Names @pages of what is its own; the number, or an errno. */
int name_pages(struct asker *asker, void *at, unsigned int pages);
int create_object(struct asker *asker, u32 flags);
/* Code with the functions `nop`, `check` (returns 1) and `spin` (some milliseconds), from so many pages of the two. */
int give_code_of(struct asker *asker, u32 object, unsigned int pages);
int give_code(struct asker *asker, u32 object);
int publish(struct asker *asker, u32 object, const char *name);
int grant(struct asker *asker, u32 object, u32 kind, u32 id, u32 rights);

/* Counts; @right is what should be. */
void judge(bool right, const char *what, u64 a, u64 b, int error);
void expect(const char *what, int error, int wanted);

int attack_rights(struct asker *asker);
void ask_as_client(struct asker *asker);
int attack_memory(struct asker *asker);
int attack_churn(struct asker *asker);
int attack_storm(struct asker *asker);

#endif
