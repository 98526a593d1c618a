// SPDX-License-Identifier: GPL-2.0-only
/* VMFUNC from modes that no call is made in: compatibility mode, PAE and 32-bit paging, no paging. */
#include "attack.h"

#include <asm/desc.h>
#include <asm/io.h>
#include <asm/nospec-branch.h>
#include <asm/processor-flags.h>
#include <linux/gfp.h>
#include <linux/sched.h>
#include <linux/string.h>

#include "driver.h"
#include "modes.h"

#define LARGE 0x83 /* present, writable, large: at 0 */

static struct modes *modes;
static u64 *pae_table; /* a page directory, and the pointers to it and to what is not ours */
static u32 *table32;
static bool is_user;

static int create(void)
{
	u8 *page = phys_to_virt(MODES_AT);

	pae_table = (u64 *)__get_free_pages(GFP_KERNEL | __GFP_ZERO, 1);
	table32 = (u32 *)get_zeroed_page(GFP_KERNEL);
	if (!pae_table || !table32)
		return -ENOMEM;
	memcpy(page, modes_image, modes_image_end - modes_image);
	modes = (void *)page + MODES_SET;
	for (unsigned int i = 0; i < 32; i++) {
		u32 at = MODES_AT + (u32)((i == 6 ? modes_ud : modes_other) - modes_image);

		((u64 *)(page + MODES_IDT))[i] = (at & 0xffff) | 8 << 16 | 0x8e00ull << 32 | (u64)(at >> 16) << 48;
	}
	memcpy(page + MODES_GDT, arena_pages + ARENA_TABLES * ELISA_PAGE, GDT_SIZE);
	modes->new_gdt = (struct desc_ptr){ GDT_SIZE - 1, MODES_AT + MODES_GDT };
	modes->new_idt = (struct desc_ptr){ 32 * 8 - 1, MODES_AT + MODES_IDT };
	pae_table[0] = LARGE;
	table32[0] = LARGE;
	arena_map(MODES_AT, MODES_AT, false);
	return 0;
}

static void destroy(void)
{
	free_pages((unsigned long)pae_table, 1);
	free_page((unsigned long)table32);
}

/* PDPTEs at data: CR3 loads them at once, if they are memory's or not. */
static void point_at_data(void)
{
	static const u64 offsets[] = { 0,
				       ELISA_LIST_OFFSET,
				       ELISA_GATE_OFFSET,
				       ELISA_CODE_OFFSET,
				       ELISA_BUFFER_OFFSET,
				       128 * ELISA_1G + ELISA_GATE_OFFSET,
				       129 * ELISA_1G,
				       130 * ELISA_1G };
	u64 *pointers = pae_table + 512;

	pointers[0] = virt_to_phys(pae_table) | 1;
	pointers[1] = (region + offsets[random() % ARRAY_SIZE(offsets)]) | 1;
	pointers[2] = (virt_to_phys(arena_pages) + (random() % ARENA_PAGES) * ELISA_PAGE) | 1;
	pointers[3] = (region + ELISA_BUFFER_OFFSET + (random() % ARENA_PAGES) * ELISA_PAGE) | 1;
}

static void without_long_mode(unsigned int i)
{
	static const char *const names[] = { "no paging", "PAE paging", "32-bit paging" };
	const u32 slots[] = { ELISA_GATE_SLOT(slot), slot, 0, random() & 511 };
	u64 enter = MODES_AT;
	u32 cr4 = get_cr4();

	point_at_data();
	modes->cr0 = read_cr0() & ~(i % 3 ? 0 : X86_CR0_PG);
	modes->cr3 = virt_to_phys(i % 3 == 2 ? (void *)table32 : (void *)(pae_table + 512));
	modes->cr4 = i % 3 == 2 ? cr4 & ~X86_CR4_PAE : cr4;
	modes->eax = i & 8 ? (u32)random() | 1 : 0;
	modes->ecx = slots[i / 3 % 4];
	modes->outcome = 0;
	tried++;
	asm volatile(ANNOTATE_RETPOLINE_SAFE "call *%0"
		     : "+a"(enter)
		     :
		     : "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc");
	if (modes->outcome == OUTCOME_UD) {
		contained++;
		return;
	}
	pr_info("attack: outcome %u\n", modes->outcome);
	breach(names[i % 3], "VMFUNC has not failed");
}

static void set_user(u64 address, bool user)
{
	arena_map(address, virt_to_phys(stub_pages[0]), user);
	is_user = user;
}

/* In 32-bit code, whose next instruction is at some place below 4 GiB, at that of the gate cut to 32 bits, or wraps. */
static void compatibility(unsigned int i)
{
	static const u64 ends[] = { 0x70000000, (u32)ELISA_GATE, 0x100000000, MODES_AT + 2 * ELISA_PAGE };
	static const u8 vmfunc[] = { 0x0f, 0x01, 0xd4 };
	const u32 slots[] = { ELISA_GATE_SLOT(slot), slot, ELISA_GATE_SLOT(slot), random() & 511 };
	bool works = !(i & 16) && slots[i / 4 % 4] == ELISA_GATE_SLOT(slot);

	prepare(check_index, 0);
	frame->rip = ends[i % 4] - sizeof(vmfunc);
	frame->regs[REG_RAX] = i & 16 ? (u32)random() | 1 : 0;
	frame->regs[REG_RCX] = slots[i / 4 % 4];
	frame->cs = is_user ? __USER32_CS : __KERNEL32_CS;
	frame->ss = is_user ? __USER_DS : __KERNEL_DS;
	frame->rsp = 0x41410000;
	attempt("compatibility mode");
	if (works)
		must_fail("compatibility mode");
	else if (frame->regs[REG_RCX] && frame->vector != 6)
		breach("compatibility mode", "VMFUNC has not failed");
}

int attack_modes(void)
{
	int error = create();

	for (unsigned int i = 0; !error && i < count; i++) {
		if (!(i % 64)) {
			static const u64 pages[] = { 0x6ffff000, (u32)ELISA_GATE - ELISA_PAGE, 0xfffff000,
						     MODES_AT + ELISA_PAGE };

			for (unsigned int j = 0; j < ARRAY_SIZE(pages); j++)
				set_user(pages[j], !(i & 64));
		}
		arena_begin();
		without_long_mode(i);
		compatibility(i);
		control("modes");
		arena_end();
		cond_resched();
	}
	destroy();
	return error;
}
