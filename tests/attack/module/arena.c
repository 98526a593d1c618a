// SPDX-License-Identifier: GPL-2.0-only
#include "arena.h"

#include <asm/desc.h>
#include <asm/io.h>
#include <asm/msr.h>
#include <asm/nospec-branch.h>
#include <elisa/layout.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/string.h>

/* Present, writable, user, accessed, dirty; leaves are global, so that the code goes on under any CR3. */
#define LINK 0x67
#define LEAF 0x167
#define USER 4
#define ARENA_ORDER 3

extern const u8 arena_image[], arena_enter[];

enum { ROOT, PDPT, PD_GATE, PT_BEFORE, PT_GATE, PD_ARENA, PT_ARENA, PD_PROBE, PT_PROBE, TABLES };
static u64 *tables[TABLES];

struct frame *frame;
u64 arena_cr3;
void *arena_pages;
u8 *stub_pages[3];
static u64 arena_address;
static unsigned long flags, linux_cr3, gs, kernel_gs;
static struct desc_ptr linux_idt;

static u64 entry(const void *page, u64 bits)
{
	return virt_to_phys((void *)page) | bits;
}

static u64 *leaf(u64 *table, u64 address)
{
	return table + address / ELISA_PAGE % 512;
}

int arena_create(void)
{
	arena_pages = (void *)__get_free_pages(GFP_KERNEL | __GFP_ZERO, ARENA_ORDER);
	for (int i = 0; i < TABLES; i++)
		tables[i] = (u64 *)get_zeroed_page(GFP_KERNEL);
	for (int i = 0; i < 3; i++)
		stub_pages[i] = (u8 *)get_zeroed_page(GFP_KERNEL);
	for (int i = 0; i < TABLES; i++)
		if (!tables[i])
			goto destroy;
	if (!arena_pages || !stub_pages[0] || !stub_pages[1] || !stub_pages[2])
		goto destroy;
	memcpy(arena_pages + ELISA_PAGE, arena_image, 2 * ELISA_PAGE);
	frame = arena_pages + 3 * ELISA_PAGE;
	memset(stub_pages[2], 0xcc, ELISA_PAGE);
	return 0;

destroy:
	arena_destroy();
	return -ENOMEM;
}

void arena_destroy(void)
{
	free_pages((unsigned long)arena_pages, ARENA_ORDER);
	for (int i = 0; i < TABLES; i++)
		free_page((unsigned long)tables[i]);
	for (int i = 0; i < 3; i++)
		free_page((unsigned long)stub_pages[i]);
}

void arena_set_user(bool user)
{
	u64 bits = user ? LEAF : LEAF & ~USER;

	*leaf(tables[PT_BEFORE], ELISA_GATE - ELISA_PAGE) = entry(stub_pages[0], bits);
	*leaf(tables[PT_GATE], ELISA_GATE) = entry(stub_pages[1], bits);
	/* An aborted call lands with CPL 3. */
	*leaf(tables[PT_GATE], ELISA_LANDING) = entry(stub_pages[2], LEAF);
}

void arena_probe(u64 gpa)
{
	tables[PT_PROBE][0] = gpa | (LEAF & ~USER & ~0x100);
}

static void fill_idt(void)
{
	gate_desc *idt = arena_pages;

	for (unsigned int i = 0; i < 256; i++) {
		u64 at = arena_address + ELISA_PAGE + 16 * i;

		idt[i] = (gate_desc){
			.offset_low = at,
			.segment = __KERNEL_CS,
			/* Linux's stack for double faults: always there, and global. */
			.bits = { .ist = 1, .type = GATE_INTERRUPT, .dpl = 3, .p = 1 },
			.offset_middle = at >> 16,
			.offset_high = at >> 32,
		};
	}
}

void arena_place(u64 address)
{
	u64 *window = tables[PDPT];

	arena_address = address;
	memcpy(tables[ROOT], phys_to_virt(__read_cr3() & PAGE_MASK), ELISA_PAGE);
	tables[ROOT][ELISA_BASE >> 39] = entry(window, LINK);
	window[0] = entry(tables[PD_GATE], LINK);
	tables[PD_GATE][(ELISA_GATE_OFFSET - ELISA_PAGE) / ELISA_2M] = entry(tables[PT_BEFORE], LINK);
	tables[PD_GATE][ELISA_GATE_OFFSET / ELISA_2M] = entry(tables[PT_GATE], LINK);
	window[address / ELISA_1G % 512] = entry(tables[PD_ARENA], LINK);
	tables[PD_ARENA][address / ELISA_2M % 512] = entry(tables[PT_ARENA], LINK);
	for (unsigned int i = 0; i < ARENA_PAGES; i++)
		*leaf(tables[PT_ARENA], address + i * ELISA_PAGE) = entry(arena_pages + i * ELISA_PAGE, LEAF & ~USER);
	window[ARENA_PROBE / ELISA_1G % 512] = entry(tables[PD_PROBE], LINK);
	tables[PD_PROBE][0] = entry(tables[PT_PROBE], LINK);
	arena_cr3 = virt_to_phys(tables[ROOT]);
	arena_set_user(true);
	fill_idt();
	memcpy(arena_pages + 4 * ELISA_PAGE, tables[ROOT], ELISA_PAGE);
}

void arena_begin(void)
{
	struct desc_ptr idt = { .size = 256 * sizeof(gate_desc) - 1, .address = arena_address };

	local_irq_save(flags);
	store_idt(&linux_idt);
	rdmsrl(MSR_GS_BASE, gs);
	rdmsrl(MSR_KERNEL_GS_BASE, kernel_gs);
	linux_cr3 = __read_cr3();
	frame->own_cr3 = arena_cr3;
	asm volatile("mov %0, %%cr3" : : "r"(arena_cr3) : "memory");
	load_idt(&idt);
	/* Leaves are global: what is cached of a former mapping goes too. */
	for (int i = -1; i < 2; i++)
		asm volatile("invlpg (%0)" : : "r"(ELISA_GATE + i * ELISA_PAGE) : "memory");
	asm volatile("invlpg (%0)" : : "r"(ARENA_PROBE) : "memory");
}

void arena_end(void)
{
	load_idt(&linux_idt);
	for (unsigned int i = 0; i < ARENA_PAGES; i++)
		asm volatile("invlpg (%0)" : : "r"(arena_address + i * ELISA_PAGE) : "memory");
	asm volatile("mov %0, %%cr3" : : "r"(linux_cr3) : "memory");
	local_irq_restore(flags);
}

void arena_run(void)
{
	u64 enter = arena_address + ELISA_PAGE + ((unsigned long)arena_enter - (unsigned long)arena_image);

	asm volatile(ANNOTATE_RETPOLINE_SAFE "call *%0"
		     : "+a"(enter)
		     :
		     : "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc");
	if (__rdmsr(MSR_GS_BASE) != gs)
		native_wrmsrl(MSR_GS_BASE, gs);
}
