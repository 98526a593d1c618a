// SPDX-License-Identifier: GPL-2.0-only
#include "arena.h"

#include <asm/apic.h>
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
#define TABLES 24
#define TSS_OFFSET 0x800
#define STACK_BYTES 512

extern const u8 arena_image[], arena_enter[];

/* By what comes: the way back, other exceptions, #DB, NMIs, interrupts. A frame on the wrong one tells of an event. */
enum { STACK_BACK, STACK_FAULT, STACK_DEBUG, STACK_NMI, STACK_INTERRUPT, STACKS };

static u64 *tables[TABLES];
static unsigned int used_tables;

struct frame *frame;
u64 arena_cr3;
void *arena_pages;
u8 *stub_pages[3];
static u64 arena_address, idt_address, mapped[16];
static unsigned int mapped_count;
static u64 seen_events;
static unsigned long flags, linux_cr3, gs, kernel_gs;
static struct desc_ptr linux_idt, linux_gdt;

static u64 entry(const void *page, u64 bits)
{
	return virt_to_phys((void *)page) | bits;
}

static void *page(unsigned int index)
{
	return arena_pages + index * ELISA_PAGE;
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
	memcpy(page(1), arena_image, 2 * ELISA_PAGE);
	frame = page(3);
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

static u64 *table_below(u64 *link)
{
	if (!*link) {
		BUG_ON(used_tables == TABLES);
		*link = entry(tables[used_tables++], LINK);
	}
	return phys_to_virt(*link & PAGE_MASK);
}

static void map(u64 address, u64 gpa, u64 bits)
{
	u64 *table = tables[0];

	for (int shift = 39; shift > 12; shift -= 9)
		table = table_below(&table[address >> shift & 511]);
	table[address >> 12 & 511] = gpa | bits;
}

void arena_map(u64 address, u64 gpa, bool user)
{
	unsigned int i = 0;

	map(address, gpa, user ? LEAF : LEAF & ~USER);
	while (i < mapped_count && mapped[i] != address)
		i++;
	BUG_ON(i == ARRAY_SIZE(mapped));
	mapped[i] = address;
	mapped_count = max(mapped_count, i + 1);
	memcpy(page(ARENA_ROOT), tables[0], ELISA_PAGE);
}

void arena_set_user(bool user)
{
	arena_map(ELISA_GATE - ELISA_PAGE, virt_to_phys(stub_pages[0]), user);
	arena_map(ELISA_GATE, virt_to_phys(stub_pages[1]), user);
	/* An aborted call lands with CPL 3. */
	arena_map(ELISA_LANDING, virt_to_phys(stub_pages[2]), true);
}

void arena_probe(u64 gpa)
{
	arena_map(ARENA_PROBE, gpa, false);
}

static unsigned int stack_of(unsigned int vector)
{
	switch (vector) {
	case 1:
		return STACK_DEBUG;
	case 2:
		return STACK_NMI;
	case 3:
	case 6:
		return STACK_BACK;
	default:
		return vector < 32 ? STACK_FAULT : STACK_INTERRUPT;
	}
}

static void fill_idt(void)
{
	gate_desc *idt = page(0);

	for (unsigned int i = 0; i < 256; i++) {
		u64 at = arena_address + ELISA_PAGE + 16 * i;

		idt[i] = (gate_desc){
			.offset_low = at,
			.segment = __KERNEL_CS,
			.bits = { .ist = 1 + stack_of(i), .type = GATE_INTERRUPT, .dpl = 3, .p = 1 },
			.offset_middle = at >> 16,
			.offset_high = at >> 32,
		};
	}
}

/* Linux's segments, and a TSS with stacks in the shared pages. */
static void fill_gdt(void)
{
	struct x86_hw_tss *tss = page(ARENA_TABLES) + TSS_OFFSET;
	tss_desc *descriptor = page(ARENA_TABLES) + 8 * GDT_ENTRY_TSS;
	struct desc_ptr gdt;

	native_store_gdt(&gdt);
	memcpy(page(ARENA_TABLES), (void *)gdt.address, GDT_SIZE);
	set_tssldt_descriptor(descriptor, arena_address + ARENA_TABLES * ELISA_PAGE + TSS_OFFSET, DESC_TSS,
			      sizeof(*tss) - 1);
	for (unsigned int i = 0; i < STACKS; i++)
		tss->ist[i] = arena_address + ARENA_STACKS * ELISA_PAGE + (i + 1) * STACK_BYTES;
	tss->sp0 = tss->ist[STACK_FAULT];
	tss->io_bitmap_base = sizeof(*tss);
}

void arena_place(u64 address)
{
	arena_address = idt_address = address;
	memcpy(tables[0], phys_to_virt(__read_cr3() & PAGE_MASK), ELISA_PAGE);
	/* User addresses are all ours. */
	memset(tables[0], 0, ELISA_PAGE / 2);
	used_tables = 1;
	for (unsigned int i = 0; i < ARENA_PAGES; i++)
		map(address + i * ELISA_PAGE, virt_to_phys(page(i)), LEAF & ~USER);
	map(ARENA_HOLE, virt_to_phys(page(0)), LEAF & ~USER);
	arena_cr3 = virt_to_phys(tables[0]);
	arena_set_user(true);
	fill_idt();
	fill_gdt();
}

u64 arena_idt(void)
{
	return arena_address;
}

static void use_idt(u64 address)
{
	struct desc_ptr idt = { .size = 256 * sizeof(gate_desc) - 1, .address = address };

	load_idt(&idt);
}

void arena_use_idt(u64 address)
{
	idt_address = address;
	use_idt(address);
}

static void load_tables(void)
{
	struct desc_ptr gdt = { .size = GDT_SIZE - 1, .address = arena_address + ARENA_TABLES * ELISA_PAGE };
	tss_desc *descriptor = page(ARENA_TABLES) + 8 * GDT_ENTRY_TSS;

	/* A task that runs is busy, and cannot be loaded. */
	descriptor->type = DESC_TSS;
	native_load_gdt(&gdt);
	asm volatile("ltr %w0" : : "q"(GDT_ENTRY_TSS * 8));
	use_idt(idt_address);
}

/* The GDT that Linux uses is read-only; the same one can be written elsewhere. */
static void load_linux_tables(void)
{
	struct desc_struct *gdt = get_cpu_gdt_rw(raw_smp_processor_id());
	struct desc_ptr writable = { .size = GDT_SIZE - 1, .address = (unsigned long)gdt };

	((tss_desc *)&gdt[GDT_ENTRY_TSS])->type = DESC_TSS;
	load_idt(&linux_idt);
	native_load_gdt(&writable);
	asm volatile("ltr %w0" : : "q"(GDT_ENTRY_TSS * 8));
	native_load_gdt(&linux_gdt);
}

void arena_begin(void)
{
	local_irq_save(flags);
	store_idt(&linux_idt);
	native_store_gdt(&linux_gdt);
	rdmsrl(MSR_GS_BASE, gs);
	rdmsrl(MSR_KERNEL_GS_BASE, kernel_gs);
	linux_cr3 = __read_cr3();
	frame->own_cr3 = arena_cr3;
	asm volatile("mov %0, %%cr3" : : "r"(arena_cr3) : "memory");
	/* Leaves are global: what is cached of a former mapping goes too. */
	for (unsigned int i = 0; i < mapped_count; i++)
		asm volatile("invlpg (%0)" : : "r"(mapped[i]) : "memory");
	idt_address = arena_address;
	load_tables();
}

/* Interrupts that were Linux's come again, now that it gets them. */
static void replay_interrupts(void)
{
	static u64 replayed[256];

	for (unsigned int i = 0x20; i < 256; i++) {
		if (frame->counts[i] == replayed[i])
			continue;
		replayed[i] = frame->counts[i];
		if (i >= 0x30 && (i < ARENA_VECTOR || i >= ARENA_VECTOR + ARENA_VECTORS))
			wrmsrl(APIC_BASE_MSR + (APIC_SELF_IPI >> 4), i);
	}
}

void arena_end(void)
{
	load_linux_tables();
	for (unsigned int i = 0; i < ARENA_PAGES; i++)
		asm volatile("invlpg (%0)" : : "r"(arena_address + i * ELISA_PAGE) : "memory");
	asm volatile("mov %0, %%cr3" : : "r"(linux_cr3) : "memory");
	replay_interrupts();
	local_irq_restore(flags);
}

u64 arena_enter_at(void)
{
	return arena_address + ELISA_PAGE + ((unsigned long)arena_enter - (unsigned long)arena_image);
}

void arena_run(void)
{
	u64 enter = arena_enter_at();

	/* Only what comes from now on. */
	memset(page(ARENA_STACKS), 0, (STACK_DEBUG + 1) * STACK_BYTES);
	asm volatile(ANNOTATE_RETPOLINE_SAFE "call *%0"
		     : "+a"(enter)
		     :
		     : "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc");
	if (__rdmsr(MSR_GS_BASE) != gs)
		native_wrmsrl(MSR_GS_BASE, gs);
}

/* Where the attacker's own code runs in the default context, when @start is where the attempt began. */
static bool outside(u64 rip, u64 start)
{
	return !rip || rip == start || rip < 1ull << 32 || rip >> 63 ||
	       (rip >= arena_address && rip < arena_address + ARENA_PAGES * ELISA_PAGE) ||
	       (rip >= ELISA_GATE - ELISA_PAGE && rip < ELISA_GATE) ||
	       (rip >= ELISA_LANDING && rip < ELISA_LANDING + ELISA_PAGE);
}

bool arena_met_inside(u64 start, u64 *rip)
{
	u64 events = READ_ONCE(frame->events);

	if (events - seen_events > RING_ENTRIES)
		seen_events = events - RING_ENTRIES;
	for (; seen_events != events; seen_events++) {
		*rip = READ_ONCE(frame->ring[seen_events % RING_ENTRIES].rip);
		if (!outside(*rip, start))
			return true;
	}
	for (unsigned int i = 0; i < STACKS; i++) {
		/* An event pushes SS, RSP, RFLAGS, CS, RIP. */
		u64 *top = page(ARENA_STACKS) + (i + 1) * STACK_BYTES;

		*rip = READ_ONCE(top[-5]);
		/* That by which the attempt came back is looked at by whoever made it. */
		if (!outside(*rip, start) && *rip != frame->rip)
			return true;
	}
	return false;
}
