// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults, breakpoints, single step and alignment checks while inside; the arena's IDT, GDT, TSS and stacks lie in
 * shared pages, at the address that they have inside.
 */
#include "attack.h"

#include <asm/processor-flags.h>
#include <asm/segment.h>
#include <linux/string.h>

#include "driver.h"

#define NOWHERE (ELISA_BASE + ELISA_SPAN) /* what the victim reads that is not there */

/* Trusted code that faults, with an IDT within its reach. */
int attack_faults(void)
{
	arena_begin();
	for (unsigned int i = 0; i < count; i++) {
		prepare(fault_index, i % 9);
		if (i & 1)
			frame->rflags |= X86_EFLAGS_AC;
		attempt("fault");
		must_fail("fault");
		if (frame->cr2 - NOWHERE < ELISA_PAGE)
			breach("fault", "CR2 tells where it was");
		control("fault");
	}
	arena_end();
	return 0;
}

static void set_breakpoint(u64 address, u64 control)
{
	asm volatile("mov %0, %%db0" : : "r"(address));
	asm volatile("mov %0, %%db1" : : "r"(address + 4));
	asm volatile("mov %0, %%db7" : : "r"(control));
}

int attack_breakpoints(void)
{
	static const u64 addresses[] = {
		ELISA_GATE,
		ELISA_GATE + 7,
		ELISA_GATE + ELISA_ENTER,
		ELISA_GATE + ELISA_ENTER + 7,
		ELISA_GATE + ELISA_RETURN,
		ELISA_BASE + ELISA_CODE_OFFSET,
		ELISA_BASE + ELISA_STACK_OFFSET + ELISA_STACK_SIZE - 8,
		ELISA_BASE + ELISA_LIST_OFFSET,
		ELISA_BASE + ELISA_MEMORY_OFFSET,
		ELISA_BASE + ELISA_INFO_OFFSET,
	};
	/* Execution, write, read or write; both breakpoints, global. */
	static const u64 controls[] = { 0x40a, 0x0dd040a, 0x0ff040a };

	arena_begin();
	for (unsigned int i = 0; i < count; i++) {
		u64 address = addresses[i % ARRAY_SIZE(addresses)];

		if (i >= ARRAY_SIZE(addresses) * ARRAY_SIZE(controls))
			address = ELISA_BASE + ELISA_CODE_OFFSET + (random() & 0x3ff);
		prepare(check_index, 0);
		/* From CPL 3 with single steps in every other round. */
		if (i & 1)
			frame->rflags |= X86_EFLAGS_TF;
		set_breakpoint(address, controls[i / ARRAY_SIZE(addresses) % ARRAY_SIZE(controls)]);
		attempt("breakpoint");
		set_breakpoint(0, 0x400);
		if (frame->vector != 1 && frame->vector != 3)
			breach("breakpoint", "it came back otherwise");
		if (frame->vector == 1 && frame->rip >= ELISA_GATE && frame->rip < ELISA_LANDING)
			breach("breakpoint", "a breakpoint inside was delivered");
		control("breakpoint");
	}
	arena_end();
	return 0;
}

/* The sub context must be locked, whatever has just cut a call short: open, it would be entered as the gate does it. */
static void try_sub_slot(const char *what)
{
	static const u8 vmfunc[] = { 0x0f, 0x01, 0xd4 };

	prepare(check_index, 0);
	memcpy(stub_pages[1] + ELISA_ENTER - sizeof(vmfunc), vmfunc, sizeof(vmfunc));
	frame->rip = ELISA_GATE + ELISA_ENTER - sizeof(vmfunc);
	frame->regs[REG_RCX] = slot;
	attempt(what);
	if (frame->vector != 6)
		breach(what, "the sub context was left open");
}

/*
 * Code at the end of page G-1 by which an exception waits for the instruction after the next, which is the first one
 * inside: a data breakpoint at MOV to SS; single step from POPF.
 */
static void prepare_delayed(unsigned int i)
{
	static const u8 mov_ss[] = { 0x8e, 0x14, 0x24, 0x0f, 0x01, 0xd4 }; /* mov (%rsp), %ss; vmfunc */
	static const u8 pop_flags[] = { 0x9d, 0x0f, 0x01, 0xd4 };          /* popf; vmfunc */
	static const u8 one_byte[] = { 0xf1, 0x0f, 0x01, 0xd4 };           /* int1; vmfunc */
	static const struct {
		const u8 *code;
		unsigned int bytes;
	} stubs[] = { { mov_ss, sizeof(mov_ss) }, { pop_flags, sizeof(pop_flags) }, { one_byte, sizeof(one_byte) } };
	u64 *stack = (u64 *)stub_pages[0]; /* the beginning of page G-1 */

	stack[0] = i % 3 ? X86_EFLAGS_TF | 2 : __USER_DS;
	memcpy(stub_pages[0] + ELISA_PAGE - stubs[i % 3].bytes, stubs[i % 3].code, stubs[i % 3].bytes);
	frame->rip = ELISA_GATE - stubs[i % 3].bytes;
	frame->rsp = ELISA_GATE - ELISA_PAGE;
	frame->regs[15] = frame->rsp + 8; /* where POPF takes it */
	/* Reading or writing the stack's word. */
	set_breakpoint(frame->rsp, i % 3 ? 0x400 : 0xf0402);
}

int attack_tables(void)
{
	arena_begin();
	for (unsigned int i = 0; i < count; i++) {
		bool delayed = i & 1;

		prepare(i & 2 ? fault_index : check_index, random() % 8);
		if (delayed)
			prepare_delayed(i / 4);
		else
			set_breakpoint(ELISA_GATE + i / 4 % ELISA_ENTER, 0x40a);
		if (i & 8)
			frame->rflags |= X86_EFLAGS_AC;
		if (i & 16)
			frame->rflags |= X86_EFLAGS_TF;
		attempt("tables");
		set_breakpoint(0, 0x400);
		if (frame->vector != 1 && frame->vector != 3)
			breach("tables", "it came back otherwise");
		if (i & 2 && result() >= 0)
			breach("tables", "code that faults has returned");
		try_sub_slot("tables");
	}
	control("tables");
	arena_end();
	return 0;
}
