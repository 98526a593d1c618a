// SPDX-License-Identifier: GPL-2.0-only
/* Control registers, descriptor tables, debug registers, memory types: what a guest's kernel may set. */
#include "attack.h"

#include <asm/cpufeature.h>
#include <asm/io.h>
#include <asm/msr.h>
#include <asm/processor-flags.h>
#include <asm/segment.h>
#include <linux/string.h>

#include "driver.h"

unsigned long get_cr4(void)
{
	unsigned long value;

	asm volatile("mov %%cr4, %0" : "=r"(value));
	return value;
}

void set_cr4(unsigned long value)
{
	asm volatile("mov %0, %%cr4" : : "r"(value) : "memory");
}

/* Calls with bits of CR4 the other way round. */
static int change_cr4(const unsigned long *changed, unsigned int changes)
{
	unsigned long cr4;

	arena_begin();
	cr4 = get_cr4();
	for (unsigned int i = 0; i < count; i++) {
		set_cr4(cr4 ^ changed[i % changes]);
		prepare(i & 4 ? fault_index : check_index, random() % 8);
		attempt("control register");
		set_cr4(cr4);
		if (result() != -EOPNOTSUPP)
			breach("control register", "the call has not been refused");
		control("control register");
	}
	arena_end();
	return 0;
}

int attack_control_registers(void)
{
	static const unsigned long cleared[] = { X86_CR4_SMAP, X86_CR4_SMEP, X86_CR4_SMEP | X86_CR4_SMAP };

	return change_cr4(cleared, ARRAY_SIZE(cleared));
}

/* In a kernel that was told not to use it, and so could attach. */
int attack_pcid(void)
{
	static const unsigned long set = X86_CR4_PCIDE;

	return cpuid_ecx(1) & 1 << 17 ? change_cr4(&set, 1) : -EOPNOTSUPP;
}

int attack_flags(void)
{
	static const u64 list[] = { X86_EFLAGS_DF, X86_EFLAGS_AC,   X86_EFLAGS_DF | X86_EFLAGS_AC,
				    X86_EFLAGS_NT, X86_EFLAGS_IOPL, X86_EFLAGS_ID,
				    0xcd5 };

	arena_begin();
	for (unsigned int i = 0; i < count; i++) {
		prepare(check_index, 0);
		frame->rflags |= list[i % ARRAY_SIZE(list)];
		attempt("flags");
		if (result() != 1)
			breach("flags", "the call has not worked");
	}
	control("flags");
	arena_end();
	return 0;
}

int attack_pkru(void)
{
	u32 old, ignored;

	if (!(get_cr4() & X86_CR4_PKE))
		return -EOPNOTSUPP;
	arena_begin();
	asm volatile(".byte 0x0f, 0x01, 0xee" : "=a"(old), "=d"(ignored) : "c"(0));
	for (unsigned int i = 0; i < count; i++) {
		prepare(check_index, 0);
		asm volatile(".byte 0x0f, 0x01, 0xef" : : "a"(i & 1 ? ~0u : (u32)random()), "d"(0), "c"(0));
		attempt("pkru");
		asm volatile(".byte 0x0f, 0x01, 0xef" : : "a"(old), "d"(0), "c"(0));
		if (result() != 1 && result() >= 0)
			breach("pkru", "a wrong result");
		control("pkru");
	}
	arena_end();
	return 0;
}

/* Reads and writes of R itself, in the default context. */
int attack_region(void)
{
	static const u8 read[] = { 0x48, 0x8b, 0x06, 0xcc }, write[] = { 0x48, 0x89, 0x3e, 0xcc };

	for (unsigned int i = 0; i < count; i++) {
		u64 offset = (i % 132) * ELISA_1G;

		if (i >= 132)
			offset = random() % (131 * ELISA_1G) & ~0xfffull;
		if (i % 4 == 3)
			offset = 128 * ELISA_1G + ELISA_LIST_OFFSET;
		arena_probe(region + offset);
		arena_set_user(false);
		arena_begin();
		prepare(0, ARENA_PROBE);
		memcpy(stub_pages[0], i & 1 ? write : read, sizeof(read));
		frame->rip = ELISA_GATE - ELISA_PAGE;
		frame->cs = __KERNEL_CS;
		frame->ss = __KERNEL_DS;
		frame->regs[REG_RDI] = random();
		attempt("region");
		if (frame->vector == 3 && !(i & 1) && frame->regs[REG_RAX] && ~frame->regs[REG_RAX])
			breach("region", "there is something to read");
		arena_end();
	}
	arena_set_user(true);
	arena_begin();
	control("region");
	arena_end();
	return 0;
}

int attack_pat(void)
{
	static const u64 types[] = { 0, 0x0101010101010101, 0x0404040404040404, 0x0505050505050505 };
	u64 pat;

	arena_begin();
	rdmsrl(MSR_IA32_CR_PAT, pat);
	for (unsigned int i = 0; i < count; i++) {
		wrmsrl(MSR_IA32_CR_PAT, types[i % ARRAY_SIZE(types)]);
		prepare(check_index, 0);
		attempt("pat");
		wrmsrl(MSR_IA32_CR_PAT, pat);
		if (result() != 1)
			breach("pat", "the call has not worked");
	}
	arena_end();
	return 0;
}
