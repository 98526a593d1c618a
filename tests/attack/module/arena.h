/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A little machine of the attacker's own: page tables, an IDT, code to go to any address at any privilege level with
 * any registers, and back by whatever event comes. All of it lies in pages that are shared with the trusted code, at
 * the address that they have there, so that an event inside finds an IDT if anything lets it.
 */
#ifndef ARENA_H
#define ARENA_H

#define FRAME_RSP 4 /* index of the registers, in the CPU's order */

#define FRAME_IRET 128
#define FRAME_CR3 168
#define FRAME_OWN_CR3 176
#define FRAME_HOST_RSP 184
#define FRAME_VECTOR 192
#define FRAME_ERROR 200
#define FRAME_CR2 208

#ifndef __ASSEMBLER__
#include <linux/types.h>

struct frame {
	u64 regs[16];
	u64 rip, cs, rflags, rsp, ss; /* as IRET pops them */
	u64 cr3, own_cr3, host_rsp;
	u64 vector, error, cr2;
};

extern struct frame *frame; /* of the attempt: filled, then as it came back */
extern u64 arena_cr3;

int arena_create(void);
void arena_destroy(void);
/* Where the pages lie inside, once they are shared. */
void arena_place(u64 address);
extern void *arena_pages;
#define ARENA_PAGES 5 /* IDT, code (two), frame, a copy of the root */

/* In between interrupts are off, and the machine is the attacker's. */
void arena_begin(void);
void arena_end(void);
void arena_run(void);

/* The three pages around the gate in the default context; their contents may be changed at will. */
extern u8 *stub_pages[3];
void arena_set_user(bool user);
/* Maps @gpa at ARENA_PROBE, for the kernel. */
void arena_probe(u64 gpa);
#define ARENA_PROBE (ELISA_BASE + 100 * ELISA_1G)
#endif
#endif
