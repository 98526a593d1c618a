// SPDX-License-Identifier: MIT
/* What the attacks are after: a secret in memory that no client reaches, and a canary that none may change. */
#include <elisa/object.h>

#define SECRET 0x5ec2e75ec2e75ec2
#define CANARY 0xca9a27ca9a27ca9a

static ELISA_SHARED volatile uint64_t secret = SECRET;
static ELISA_SHARED volatile uint64_t canary[64] = { [0 ... 63] = CANARY };
static ELISA_SHARED uint64_t total;

/* 1 if secret and canary are whole. */
ELISA_ENTRY(check)
{
	for (unsigned int i = 0; i < 64; i++)
		if (canary[i] != CANARY)
			return 0;
	return secret == SECRET;
}

ELISA_ENTRY(add, uint64_t n)
{
	return (long)__atomic_add_fetch(&total, n, __ATOMIC_RELAXED);
}

ELISA_ENTRY(read)
{
	return (long)__atomic_load_n(&total, __ATOMIC_RELAXED);
}

/* Takes its time, with the secret in registers. */
ELISA_ENTRY(spin, uint64_t rounds)
{
	uint64_t value = secret;

	for (uint64_t i = 0; i < rounds; i++)
		asm volatile("" : "+r"(value));
	return value == SECRET;
}

/* Faults with the secret in every register that it may use. */
ELISA_ENTRY(fault, uint64_t how)
{
	asm volatile("mov %0, %%rax\n\tmov %0, %%rcx\n\tmov %0, %%rdx\n\tmov %0, %%rbx\n\tmov %0, %%rdi\n\t"
		     "mov %0, %%r8\n\tmov %0, %%r9\n\tmov %0, %%r10\n\tmov %0, %%r11\n\tmov %0, %%r12\n\t"
		     "mov %0, %%r13\n\tmov %0, %%r14\n\tmov %0, %%r15\n\t"
		     "cmp $1, %%rsi\n\tjb 0f\n\tje 1f\n\tcmp $3, %%rsi\n\tjb 2f\n\tje 3f\n\t"
		     "cmp $5, %%rsi\n\tjb 4f\n\tje 5f\n\tcmp $7, %%rsi\n\tjb 6f\n\tje 7f\n\tud2\n"
		     "0: xor %%edx, %%edx\n\tdiv %%rdx\n"
		     "1: mov (%%rdx), %%rsi\n"
		     "2: ud2\n"
		     "3: int3\n"
		     "4: hlt\n"
		     "5: syscall\n"
		     "6: cpuid\n\tud2\n"
		     "7: vmcall\n\tud2\n"
		     :
		     : "m"(secret), "S"(how)
		     : "rax", "rcx", "rdx", "rbx", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
		       "memory", "cc");
	return 0;
}

/* Where the first buffer lies. */
ELISA_ENTRY(where)
{
	return (long)info->buffers[0].address;
}
