// SPDX-License-Identifier: GPL-2.0-only
/*
 * A CR3 that points at data: page tables of our own in a shared page, at its address here and at all that it might have
 * inside. Code, IDT and stacks are global, so they go on where the CR3 leads nowhere.
 */
#include "attack.h"

#include <asm/io.h>
#include <linux/string.h>

#include "driver.h"

#define LINK 0x67
/* An address whose four tables may be one page: it has another index at each level; no TLB entry in common with ours.
 */
#define ELSEWHERE (65ull << 39 | 1ull << 30 | 2ull << 21 | 0x155ull << 12)

static const u64 offsets[] = {
	ELISA_BUFFER_OFFSET + ARENA_ROOT * ELISA_PAGE,
	129 * ELISA_1G + ELISA_PAGE,
	ELISA_CODE_OFFSET,
	130 * ELISA_1G + ELISA_PAGE,
	ELISA_BUFFER_OFFSET + ARENA_FREE *ELISA_PAGE,
	129 * ELISA_1G,
	129 * ELISA_1G + 2 * ELISA_PAGE,
	130 * ELISA_1G,
	130 * ELISA_1G + 2 * ELISA_PAGE,
	128 * ELISA_1G + ELISA_GATE_OFFSET,
	128 * ELISA_1G + ELISA_LIST_OFFSET,
	ELISA_GATE_OFFSET,
	ELISA_LIST_OFFSET,
	ELISA_INFO_OFFSET,
	ELISA_STACK_OFFSET,
	ELISA_DATA_OFFSET,
	ELISA_MEMORY_OFFSET,
	ELISA_BUFFER_OFFSET,
	ELISA_BUFFER_OFFSET + 1 * ELISA_PAGE,
	ELISA_BUFFER_OFFSET + 2 * ELISA_PAGE,
	ELISA_BUFFER_OFFSET + 3 * ELISA_PAGE,
	ELISA_BUFFER_OFFSET + ARENA_TABLES *ELISA_PAGE,
	ELISA_BUFFER_OFFSET + ARENA_STACKS *ELISA_PAGE,
	0,
	128 * ELISA_1G,
	131 * ELISA_1G,
};

/* Whole page tables, as they must be inside: ELSEWHERE leads to the gate's page there. */
static void fill_tables(void)
{
	u64 *table = arena_pages + ARENA_FREE * ELISA_PAGE, *root = arena_pages + ARENA_ROOT * ELISA_PAGE;
	u64 self = region + ELISA_BUFFER_OFFSET + ARENA_FREE * ELISA_PAGE;

	root[65] = table[65] = table[1] = table[2] = self | LINK;
	table[0x155] = (region + 128 * ELISA_1G + ELISA_GATE_OFFSET) | LINK;
}

/* VMFUNC at the end of the page before ELSEWHERE, or of page G-1. Its translation is cached, as its CR3 has none. */
static void prepare_warm(bool elsewhere)
{
	u64 next = elsewhere ? ELSEWHERE : ELISA_GATE;

	prepare(check_index, 0);
	frame->rip = next - ELISA_PAGE;
	arena_run();
	prepare(check_index, 0);
	frame->rip = next - 3;
}

int attack_cr3(void)
{
	u64 offset = offsets[seed / 2 % ARRAY_SIZE(offsets)];
	bool elsewhere = seed & 1;

	arena_map(ELSEWHERE - ELISA_PAGE, virt_to_phys(stub_pages[0]), true);
	/* In a page that the trusted code has too: the call is as any other. */
	arena_begin();
	for (unsigned int i = 0; i < 64; i++) {
		prepare(check_index, 0);
		frame->cr3 = virt_to_phys(arena_pages) + ARENA_ROOT * ELISA_PAGE;
		attempt("cr3 in memory");
		if (result() != 1)
			breach("cr3 in memory", "the call has not worked");
	}
	arena_end();
	if (!count)
		return 0;
	/*
	 * In R. The VM has no way back if the CPU drops global translations when it changes contexts, as the emulated
	 * one does.
	 */
	pr_warn("attack: cr3 goes to R + %#llx, then %s\n", offset, elsewhere ? "elsewhere" : "page G");
	fill_tables();
	arena_begin();
	prepare_warm(elsewhere);
	frame->cr3 = region + offset;
	attempt("cr3 in R");
	must_fail("cr3 in R");
	arena_end();
	return 0;
}
