// SPDX-License-Identifier: GPL-2.0-only OR MIT
#include "gate.h"

#include <elisa/layout.h>

#include "entry.h"

#define INT3 0xcc

/* movb $imm8, disp32(%rip) */
#define STORE_BYTES 7

/*
 * In both sequences ECX is built from EAX by one LEA: VMFUNC fails unless EAX is 0, so wherever it does not fail, ECX
 * is a constant. Clearing the registers with XOR would cost more, and its middles decode as stores through a guest's
 * registers.
 */
#define LEA_ECX_3_TIMES_RAX 0x8d, 0x0c, 0x40
#define MOV_CL 0xb1
#define VMFUNC 0x0f, 0x01, 0xd4

static const u8 enter_rest[] = { LEA_ECX_3_TIMES_RAX, MOV_CL, 0, VMFUNC };
#define ENTER_SLOT 4

static const u8 return_rest[] = { LEA_ECX_3_TIMES_RAX, VMFUNC };

_Static_assert(STORE_BYTES + sizeof(enter_rest) == ELISA_ENTER, "the gate goes on in the entry page at ELISA_ENTER");
_Static_assert(ELISA_RETURN + STORE_BYTES + sizeof(return_rest) == ELISA_PAGE,
	       "the gate returns from the end of the page");

/*
 * The slots whose page passes: the number is part of the code, and of the distance to the list. Printed by
 * `gate-check --table`, and compared in the build.
 */
static const u32 usable[8] = {
	0xf0c0c0f0, 0xf0c0c0f0, 0x0000c3ff, 0xfbcf00f7, 0xcbcfc004, 0xfbcf0300, 0x024040f0, 0x3b0fc2ff,
};

/* x86 allows any alignment; memcpy() is for the compiler. */
static void put32(u8 *to, u32 value)
{
	memcpy(to, &value, sizeof(value));
}

/* movb $value, the lowest byte of the slot in the list. */
static void put_store(u8 *page, unsigned int offset, unsigned int slot, u8 value)
{
	page[offset] = 0xc6;
	page[offset + 1] = 0x05;
	put32(page + offset + 2, (u32)(ELISA_LIST_OFFSET + 8 * slot - (ELISA_GATE_OFFSET + offset + STORE_BYTES)));
	page[offset + 6] = value;
}

void elisa_gate_fill(u8 *page, unsigned int slot)
{
	memset(page, INT3, ELISA_PAGE);
	put_store(page, 0, slot, ELISA_EPTP_OPEN);
	memcpy(page + STORE_BYTES, enter_rest, sizeof(enter_rest));
	page[STORE_BYTES + ENTER_SLOT] = slot;
	put_store(page, ELISA_RETURN, slot, ELISA_EPTP_LOCKED);
	memcpy(page + ELISA_RETURN + STORE_BYTES, return_rest, sizeof(return_rest));
}

bool elisa_slot_usable(unsigned int slot)
{
	return slot < 32 * sizeof(usable) / sizeof(usable[0]) && usable[slot / 32] & 1u << slot % 32;
}

unsigned int elisa_slot_next(unsigned int slot)
{
	for (slot++; slot < 32 * sizeof(usable) / sizeof(usable[0]); slot++) {
		if (elisa_slot_usable(slot))
			return slot;
	}
	return 0;
}

/* From entry.S. */
struct template
{
	u32 slot; /* the four bytes that depend on the slot: of the lock's distance, or the gate's slot */
	u32 live; /* from here on the caller's RSP is its own again */
};

extern const u8 elisa_entry_templates[2][2][ELISA_PAGE]; /* by vetted, by verw */
extern const struct template elisa_entry_offsets[2][2];
extern const u32 elisa_entry_rsp_saved, elisa_entry_saved, elisa_entry_refused;

_Static_assert(offsetof(struct elisa_info, unused) == 72, "the entry reads a null selector there");

void elisa_entry_fill(u8 *page, unsigned int slot, bool vetted, bool verw)
{
	u8 *depends = page + elisa_entry_offsets[vetted][verw].slot;
	u32 value;

	memcpy(page, elisa_entry_templates[vetted][verw], ELISA_PAGE);
	memcpy(&value, depends, sizeof(value));
	put32(depends, value + (vetted ? 8 : 1) * slot);
}

u64 elisa_entry_refuse(void)
{
	return ELISA_GATE + elisa_entry_refused;
}

enum elisa_entry_state elisa_entry_state(bool vetted, unsigned int offset)
{
	/* The way out ends with the same bytes, with VERW or without. */
	if (offset >= elisa_entry_offsets[vetted][false].live || offset == ELISA_ENTER)
		return ELISA_ENTRY_LIVE;
	if (offset >= elisa_entry_rsp_saved && offset < elisa_entry_saved)
		return ELISA_ENTRY_RSP_SAVED;
	return ELISA_ENTRY_SAVED;
}
