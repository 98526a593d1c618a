/* SPDX-License-Identifier: GPL-2.0-only */
/* A page below 1 MiB that a vCPU begins in: see reset_page.S. Linux keeps away from there once it is up. */
#ifndef RESET_H
#define RESET_H

#define RESET_AT 0x50000
#define RESET_FOUND 0x600
#define RESET_SET 0x700

/* Offsets in struct reset. */
#define RESET_CR0 0
#define RESET_CR3 8
#define RESET_CR4 16
#define RESET_EFER 24
#define RESET_GDT 32
#define RESET_IDT 48
#define RESET_TSS 64
#define RESET_FRAME 72
#define RESET_ENTER 80
#define RESET_STARTS 88
#define RESET_CALLS 96
#define RESET_FAILED 104
#define RESET_OTHER 112
#define RESET_LAST 120
#define RESET_CALL 128
#define RESET_CALL_BYTES 208

#ifndef __ASSEMBLER__
#include "arena.h"

#include <asm/desc_defs.h>

struct reset {
	u64 cr0, cr3, cr4, efer;
	struct desc_ptr gdt;
	u8 unused1[6];
	struct desc_ptr idt;
	u8 unused2[6];
	u64 tss;   /* address of its descriptor */
	u64 frame; /* inside */
	u64 enter;
	/* What it does: each time that it is started; calls that were right, that failed, whatever else. */
	u64 starts, calls, failed, other, last;
	u8 call[RESET_CALL_BYTES]; /* the frame of a call, up to the vector */
};

extern const u8 reset_image[], reset_image_end[];
#endif
#endif
