/* SPDX-License-Identifier: MIT */
/* What main.c can be told to do. Each tries so often, and counts by attempt_over(). */
#ifndef ATTACKS_H
#define ATTACKS_H

#include "attempt.h"

/* slots.c */
void attack_slots(struct machine *machine, unsigned long count);
void attack_crowd(struct machine *machine, unsigned long count);
/* One of them, while calls are made in `control`. */
void slots_change(struct machine *machine, struct control *control, unsigned int kind);
/* buffers.c */
extern unsigned long revoked, to_revoke; /* buffers that calls cannot reach any more, of those that they must not */
void attack_buffers(struct machine *machine, unsigned long count);
void attack_hole(struct machine *machine, unsigned long count);
void attack_early(struct machine *machine, unsigned long count);
/* entries.c */
void attack_entries(struct machine *machine, unsigned long count);
/* spaces.c */
void attack_spaces(struct machine *machine, unsigned long count);
/* roots.c */
void attack_roots(const char *object, unsigned long count);
/* lives.c */
void attack_lives(const char *object, unsigned long count);
/* managing.c */
void attack_copies(const char *object, unsigned long count);
void attack_scattered(const char *object, unsigned long pages);
void attack_orphans(const char *object, unsigned long count);
void attack_refusals(const char *object, unsigned long count);
void attack_signals(const char *object, unsigned long count);
/* mixed.c */
void attack_mixed(struct machine *machine, unsigned long count);
/* struck.c: at each instruction of `add`, MOST at most. HOW: dead: its lock was left taken; refused: of no function. */
void attack_struck(const char *object, unsigned long most, const char *how);
/* For ever, for those who kill it. */
void attack_steady(struct machine *machine, const char *object, uint64_t a0);

#endif
