// SPDX-License-Identifier: GPL-2.0-only
/* VMFUNC from everywhere, to every slot. */
#include "attack.h"

#include <asm/io.h>
#include <asm/segment.h>
#include <linux/err.h>
#include <linux/sched.h>
#include <linux/string.h>

#include "driver.h"

#define CHUNK 64 /* attempts with interrupts off */

static const u8 vmfunc[] = { 0x0f, 0x01, 0xd4 };

static const u64 code_page = ELISA_BASE + ELISA_CODE_OFFSET;

/* The instruction after VMFUNC is at @offset of page G, or of one that is mapped likewise. */
static void place_vmfunc(unsigned int offset)
{
	for (unsigned int i = 0; i < sizeof(vmfunc); i++) {
		int at = (int)offset - (int)sizeof(vmfunc) + (int)i;

		if (at < 0)
			stub_pages[0][ELISA_PAGE + at] = vmfunc[i];
		else
			stub_pages[1][at] = vmfunc[i];
	}
	frame->rip = ELISA_GATE + offset - sizeof(vmfunc);
}

static u64 hostile_value(void)
{
	u64 value = random();

	switch (value % 6) {
	case 0:
		return ELISA_BASE + ELISA_LIST_OFFSET + 8 * (value >> 8 & 511);
	case 1:
		return (value & 0x3ffff000) | ELISA_EPTP_OPEN;
	case 2:
		return slot;
	case 3:
		return ELISA_BASE + ELISA_MEMORY_OFFSET;
	case 4:
		return ELISA_GATE + (value >> 8 & 4095);
	default:
		return value;
	}
}

static void hostile_registers(bool kernel)
{
	static const u64 hostile_flags[] = { 2, 0x402, 0x40002, 0x102, 0x10002 };

	for (unsigned int i = 0; i < 16; i++)
		if (i != REG_RAX && i != REG_RCX)
			frame->regs[i] = hostile_value();
	frame->regs[REG_RAX] = random() << 32;
	frame->regs[REG_RCX] = (random() << 32) | ELISA_GATE_SLOT(slot);
	frame->regs[REG_R10] = check_index;
	frame->rsp = ELISA_BASE + ELISA_LIST_OFFSET + 8 * (random() & 511) + (random() & 8);
	frame->rflags = hostile_flags[random() % ARRAY_SIZE(hostile_flags)];
	if (kernel) {
		frame->cs = __KERNEL_CS;
		frame->ss = __KERNEL_DS;
	}
}

static int landings(bool kernel)
{
	unsigned int offset = 0;

	while (offset < ELISA_PAGE) {
		arena_set_user(!kernel);
		arena_begin();
		for (unsigned int i = 0; i < CHUNK && offset < ELISA_PAGE; i++, offset++) {
			prepare(check_index, 0);
			memset(stub_pages[0] + ELISA_PAGE - sizeof(vmfunc), 0xcc, sizeof(vmfunc));
			place_vmfunc(offset);
			hostile_registers(kernel);
			attempt("landing");
		}
		arena_end();
		arena_set_user(true);
		arena_begin();
		control("landing");
		arena_end();
		cond_resched();
	}
	return 0;
}

static void map_before_code(bool user)
{
	arena_map(code_page - ELISA_PAGE, virt_to_phys(stub_pages[0]), user);
	arena_map(code_page, virt_to_phys(stub_pages[1]), user);
}

/*
 * To where entry page and trusted code lie, without the gate: to the sub context itself, to the gate, to every slot in
 * turn, with an EPTP in RAX or with 0. The gate's slot brings the vCPU in where the gate has nothing; all else is #UD.
 */
static void land_in_code(unsigned int offset, unsigned int i, bool kernel)
{
	const u32 slots[] = { slot, ELISA_GATE_SLOT(slot), tried & 511 };
	u32 index = slots[i % 3];
	bool forged = i & 4, entry = i & 8;

	prepare(check_index, 0);
	memset(stub_pages[0] + ELISA_PAGE - sizeof(vmfunc), 0xcc, sizeof(vmfunc));
	place_vmfunc(offset);
	hostile_registers(kernel);
	if (!entry)
		frame->rip += code_page - ELISA_GATE;
	frame->regs[REG_RCX] = index;
	if (forged)
		frame->regs[REG_RAX] = (random() & 0x3ffff000) | ELISA_EPTP_OPEN;
	attempt("landing in code");
	if (!forged && !index)
		return;
	if (!forged && index == ELISA_GATE_SLOT(slot) && !entry)
		must_fail("landing in code");
	else if ((forged || index != ELISA_GATE_SLOT(slot)) && frame->vector != 6 && result() >= 0)
		breach("landing in code", "VMFUNC has not failed");
}

int attack_landings_code(void)
{
	for (unsigned int i = 0; i < count; i++) {
		bool kernel = i >= count / 2;

		if (!(i % (count / 2)))
			map_before_code(!kernel);
		arena_set_user(!kernel);
		arena_begin();
		for (unsigned int j = 0; j < 16; j++)
			if (j % 4 != 3)
				/* All offsets in turn, whatever the count is. */
				land_in_code((i * (count < 2 * ELISA_PAGE ? 61 : 1)) % ELISA_PAGE, j, kernel);
		arena_end();
		if (i % CHUNK == CHUNK - 1) {
			arena_set_user(true);
			arena_begin();
			control("landing in code");
			arena_end();
			cond_resched();
		}
	}
	arena_set_user(true);
	return 0;
}

int attack_landings_user(void)
{
	return landings(false);
}

int attack_landings_kernel(void)
{
	return landings(true);
}

/* Every index of the list, and such as are beyond it. */
int attack_slots(void)
{
	static const unsigned int offsets[] = { 0, ELISA_ENTER, 0x12, ELISA_RETURN };

	for (unsigned int index = 0; index < 520; index++) {
		/* Slot 0 is the default context, where nothing is changed: that VMFUNC works. */
		arena_begin();
		for (unsigned int i = 0; i < ARRAY_SIZE(offsets); i++) {
			prepare(check_index, 0);
			memset(stub_pages[0] + ELISA_PAGE - sizeof(vmfunc), 0xcc, sizeof(vmfunc));
			place_vmfunc(offsets[i]);
			hostile_registers(false);
			frame->regs[REG_RCX] = index;
			attempt("slot");
			if (index && index != ELISA_GATE_SLOT(slot) && frame->vector != 6 &&
			    !(frame->vector == 3 && frame->rip == ELISA_LANDING + 1))
				breach("slot", "VMFUNC has not failed");
		}
		arena_end();
	}
	arena_begin();
	control("slots");
	arena_end();
	return 0;
}

/* Into the trusted code itself, without the gate. */
int attack_sub_slot(void)
{
	for (unsigned int i = 0; i < count; i++) {
		bool kernel = i & 1;

		arena_set_user(!kernel);
		arena_begin();
		prepare(check_index, 0);
		memset(stub_pages[0] + ELISA_PAGE - sizeof(vmfunc), 0xcc, sizeof(vmfunc));
		place_vmfunc(i < 64 ? i : random() & 4095);
		hostile_registers(kernel);
		frame->rflags = 2;
		frame->regs[REG_RCX] = slot;
		attempt("sub slot");
		/* #UD; at the stub's address, where the host answers, an error at the landing. */
		if (frame->vector != 6 &&
		    !(frame->vector == 3 && frame->rip == ELISA_LANDING + 1 && IS_ERR_VALUE(frame->regs[REG_RDX])))
			breach("sub slot", "VMFUNC to the locked slot has not failed");
		arena_end();
	}
	arena_set_user(true);
	arena_begin();
	control("sub slot");
	arena_end();
	return 0;
}
