// SPDX-License-Identifier: MIT
/* Good but for one instruction that is written by hand, in the function `bad`. */
#include <elisa/object.h>

ELISA_ENTRY(good, uint64_t n)
{
	return (long)n;
}

ELISA_ENTRY(bad, uint64_t n)
{
	asm volatile(INSTRUCTION : : : "rax", "rcx", "rdx", "memory", "cc");
	return (long)n;
}
