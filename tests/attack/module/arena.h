/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A little machine of the attacker's own: page tables, IDT, GDT, TSS, stacks, code to go to any address at any
 * privilege level with any registers, and back by whatever event comes. All of it lies in pages that are shared with
 * the trusted code, at the address that they have there, so that an event inside finds tables if anything lets it.
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
#define FRAME_EVENTS 216
#define FRAME_EXITS 224
#define FRAME_COUNTS 512
#define FRAME_RING 2560
#define RING_ENTRIES 64

#ifndef __ASSEMBLER__
#include <linux/types.h>

struct frame {
	u64 regs[16];
	u64 rip, cs, rflags, rsp, ss; /* as IRET pops them */
	u64 cr3, own_cr3, host_rsp;
	u64 vector, error, cr2;
	/* NMIs and interrupts are counted, and what they meet goes on. */
	u64 events; /* how many in all */
	u64 exits;  /* an interrupt's handler makes a VM exit before it ends the interrupt */
	u64 unused[35];
	u64 counts[256]; /* by vector */
	struct {
		u64 vector, rip;
	} ring[RING_ENTRIES];
};

extern struct frame *frame; /* of the attempt: filled, then as it came back */
extern u64 arena_cr3;

int arena_create(void);
void arena_destroy(void);
/* Where the pages lie inside, once they are shared. */
void arena_place(u64 address);
extern void *arena_pages;
#define ARENA_PAGES 8 /* IDT, code (two), frame, a copy of the root, GDT and TSS, stacks, one for any use */
#define ARENA_ROOT 4
#define ARENA_TABLES 5
#define ARENA_STACKS 6
#define ARENA_FREE 7

/* In between interrupts are off, and the machine is the attacker's. */
void arena_begin(void);
void arena_end(void);
void arena_run(void);

/* Did an event that came between arena_begin() and now use a stack, or was it handled, with RIP inside? */
bool arena_met_inside(u64 start, u64 *rip);

/* The three pages around the gate in the default context; their contents may be changed at will. */
extern u8 *stub_pages[3];
void arena_set_user(bool user);
/* One more page in the default context; what was cached of the address is gone when the arena begins. */
void arena_map(u64 address, u64 gpa, bool user);
/* Maps @gpa at ARENA_PROBE, for the kernel. */
void arena_probe(u64 gpa);
#define ARENA_PROBE (ELISA_BASE + 100 * ELISA_1G)
/* The IDT, again, at an address that is not mapped inside; and back to the shared one. */
void arena_use_idt(u64 address);
#define ARENA_HOLE (ELISA_BASE + 0x10000000)
/* Vectors that are the attacks' own. */
#define ARENA_VECTOR 0x41
#define ARENA_VECTORS 15
/* Addresses of the shared pages, whose first is the IDT, and of the code that arena_run() calls. */
u64 arena_idt(void);
u64 arena_enter_at(void);
#endif
#endif
