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

/* Home, with the caller's stack, by a VMFUNC that is not the one which returns. Interrupted before, it makes an exit.
 */
ELISA_ENTRY(desert, uint64_t turns)
{
	for (volatile uint64_t i = 0; i < turns; i++)
		;
	asm volatile(
		"mov %0, %%rsp\n\txor %%eax, %%eax\n\txor %%edx, %%edx\n\tvmfunc\n\tud2"
		:
		: "r"(*(volatile uint64_t *)(ELISA_BASE + ELISA_STACK_OFFSET + ELISA_STACK_SIZE - ELISA_FRAME_RSP)),
		  "c"(0)
		: "rax", "rdx", "memory");
	return 0;
}

/* VMFUNC at each offset of a page: no two instructions overlap, so it takes three pages. */
asm(".pushsection .text.slides, \"ax\"\n\t"
    ".balign 4096\n"
    "slides:\n\t"
    ".irp before, 0, 1, 2\n\t"
    ".fill \\before, 1, 0xcc\n\t"
    ".rept (4096 - \\before) / 3\n\tvmfunc\n\t.endr\n\t"
    ".balign 4096, 0xcc\n\t"
    ".endr\n\t"
    ".popsection");
extern const char slides[];

ELISA_ENTRY(slide, uint64_t place, uint64_t slot)
{
	asm volatile("xor %%eax, %%eax\n\tjmp *%0"
		     :
		     : "r"(slides + place % (3 * ELISA_PAGE)), "c"(slot)
		     : "rax", "memory");
	return 0;
}

/* Into the middle of the entry page, with a function's number that there is not. */
ELISA_ENTRY(jump, uint64_t offset, uint64_t slot)
{
	asm volatile("mov $255, %%r10d\n\txor %%eax, %%eax\n\tjmp *%0"
		     :
		     : "r"(ELISA_GATE + offset), "c"(slot)
		     : "rax", "r10", "memory");
	return 0;
}

/* A return to anywhere inside. */
ELISA_ENTRY(forged, uint64_t offset)
{
	asm volatile("push %0\n\tret" : : "r"(ELISA_BASE + offset) : "memory");
	return 0;
}

/* With a stack that is not there. */
ELISA_ENTRY(stackless, uint64_t stack)
{
	asm volatile("mov %0, %%rsp\n\tpush %%rax\n\tret" : : "r"(stack) : "memory");
	return 0;
}

#define FRAME(offset) ((volatile uint64_t *)(ELISA_BASE + ELISA_STACK_OFFSET + ELISA_STACK_SIZE - (offset)))

/* Its own frame, which the host reads: the caller's registers, and its stack pointer. Then it faults in some way. */
ELISA_ENTRY(frame, uint64_t value, uint64_t how)
{
	for (unsigned int offset = ELISA_FRAME_RSP; offset <= ELISA_FRAME_R15; offset += 8)
		*FRAME(offset) = value;
	if (how == 0)
		asm volatile("ud2");
	else if (how == 1)
		asm volatile("xor %%edx, %%edx\n\tdiv %%rdx" : : : "rax", "rdx");
	else if (how == 2)
		asm volatile("mov (%0), %0" : : "r"(1ul << 62));
	else if (how == 3)
		asm volatile("hlt");
	return 0;
}

ELISA_ENTRY(forever)
{
	for (;;)
		asm volatile("");
	return 0;
}

/* For ever, too, with a count of calls that says that each is a new one: counted up, anything, or by the way in. */
ELISA_ENTRY(evade, uint64_t how, uint64_t index)
{
	uint64_t value = 1;

	while (how == 0)
		++*FRAME(ELISA_FRAME_CALLS);
	while (how == 1)
		*FRAME(ELISA_FRAME_CALLS) = value = value * 6364136223846793005 + 1;
	asm volatile("mov %0, %%r10\n\tmov (%1), %%rsp\n\tjmp *%2"
		     :
		     : "r"(index), "r"(FRAME(ELISA_FRAME_RSP)), "r"(ELISA_GATE + ELISA_ENTER), "S"(how), "d"(index)
		     : "r10", "memory");
	return 0;
}

static ELISA_SHARED volatile uint64_t hopped;

/*
 * For ever, too, but on in another object of the same code whenever the host has looked, which takes its time: it finds
 * another pair each time. Both slots are open, and nothing here needs a stack.
 */
ELISA_ENTRY(hop, uint64_t here, uint64_t there)
{
	asm volatile("rdtsc\n\t"
		     "mov %%eax, %%r8d\n"
		     "1:\tmov %%r8d, %%r9d\n\t"
		     "rdtsc\n\t"
		     "mov %%eax, %%r8d\n\t"
		     "sub %%r9d, %%eax\n\t"
		     "cmp $400, %%eax\n\t"
		     "jb 1b\n\t"
		     "xchg %0, %1\n\t"
		     "mov %0, %%rcx\n\t"
		     "xor %%eax, %%eax\n\t"
		     "vmfunc\n\t"
		     "incq %2\n\t"
		     "jmp 1b"
		     : "+S"(here), "+D"(there), "+m"(hopped)
		     :
		     : "rax", "rcx", "rdx", "r8", "r9", "memory");
	return 0;
}

ELISA_ENTRY(hops)
{
	return (long)hopped;
}

static ELISA_SHARED volatile uint64_t word;

static void ask(uint64_t address)
{
	asm volatile("vmcall" : : "a"(ELISA_LOCK_WAIT), "D"(address) : "memory");
}

/* This vCPU's number as holder of locks. */
ELISA_ENTRY(holder)
{
	return *(const volatile uint32_t *)(ELISA_BASE + ELISA_LOCK_OWNER_OFFSET);
}

/* A lock's word that names somebody's call: the host is asked to take it from there. */
ELISA_ENTRY(forge, uint64_t number, uint64_t call)
{
	for (unsigned int i = 0; i < 3; i++) {
		word = number << 32 | call;
		ask((uint64_t)&word);
	}
	return (long)word;
}

/* The same of a word that lies anywhere. */
ELISA_ENTRY(ask_about, uint64_t address)
{
	for (unsigned int i = 0; i < 3; i++)
		ask(address);
	return 0;
}
