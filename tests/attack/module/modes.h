/* SPDX-License-Identifier: GPL-2.0-only */
/* A page at the same linear and physical address, from which any mode with or without paging can be entered. */
#ifndef MODES_H
#define MODES_H

#define MODES_AT 0x51000
#define MODES_SET 0x800
#define MODES_IDT 0xa00
#define MODES_GDT 0xb00
#define MODES_STACK 0xff0

/* Offsets in struct modes. */
#define MODES_CR0 0
#define MODES_CR3 4
#define MODES_CR4 8
#define MODES_EAX 12
#define MODES_ECX 16
#define MODES_OUTCOME 20
#define MODES_EFER 24
#define MODES_OLD_CR0 28
#define MODES_OLD_CR3 32
#define MODES_OLD_CR4 36
#define MODES_OLD_RSP 40
#define MODES_OLD_GDT 48
#define MODES_OLD_IDT 64
#define MODES_NEW_GDT 80
#define MODES_NEW_IDT 96

#define OUTCOME_WORKED 1
#define OUTCOME_UD 2
#define OUTCOME_OTHER 3

#ifndef __ASSEMBLER__
#include <asm/desc_defs.h>
#include <linux/types.h>

struct modes {
	u32 cr0, cr3, cr4, eax, ecx; /* what VMFUNC is executed with */
	u32 outcome;
	u32 efer, old_cr0, old_cr3, old_cr4;
	u64 old_rsp;
	struct desc_ptr old_gdt __aligned(16), old_idt __aligned(16), new_gdt __aligned(16), new_idt __aligned(16);
};

extern const u8 modes_image[], modes_image_end[], modes_ud[], modes_other[];
#endif
#endif
