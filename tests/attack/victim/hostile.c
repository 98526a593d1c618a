// SPDX-License-Identifier: MIT
/* Trusted code that nobody should trust, and that is not vetted: it may harm who calls it, nobody else. */
#include <elisa/object.h>

ELISA_ENTRY(nop)
{
	return 0;
}

/* Anything in the window, the list among it. */
ELISA_ENTRY(peek, uint64_t offset)
{
	return (long)*(volatile uint64_t *)(ELISA_BASE + offset);
}

ELISA_ENTRY(poke, uint64_t offset, uint64_t value)
{
	*(volatile uint64_t *)(ELISA_BASE + offset) = value;
	return 0;
}

/* To any context, from here. */
ELISA_ENTRY(leave, uint64_t slot)
{
	asm volatile("xor %%eax, %%eax\n\tvmfunc\n\tud2" : : "c"(slot) : "rax", "memory");
	return 0;
}

/* Into the middle of the entry page. */
ELISA_ENTRY(jump, uint64_t offset)
{
	asm volatile("jmp *%0" : : "r"(ELISA_GATE + offset) : "memory");
	return 0;
}

/* With a stack that is not there. */
ELISA_ENTRY(stackless, uint64_t stack)
{
	asm volatile("mov %0, %%rsp\n\tpush %%rax\n\tret" : : "r"(stack) : "memory");
	return 0;
}

/* Its own frame, which the host reads, and the caller's stack pointer in it. */
ELISA_ENTRY(frame, uint64_t value)
{
	for (unsigned int i = 1; i <= 8; i++)
		*(volatile uint64_t *)(ELISA_BASE + ELISA_STACK_OFFSET + ELISA_STACK_SIZE - 8 * i) = value;
	asm volatile("ud2");
	return 0;
}

ELISA_ENTRY(forever)
{
	for (;;)
		asm volatile("");
	return 0;
}
