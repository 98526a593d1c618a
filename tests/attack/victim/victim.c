// SPDX-License-Identifier: MIT
/* What the attacks are after: a secret in memory that no client reaches, and a canary that none may change. */
#include <elisa/object.h>
#include <stdbool.h>

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

#define NOWHERE (ELISA_BASE + ELISA_SPAN) /* a page that is not there: which of its words is a secret, too */

/* Faults with the secret in every register that it may use. */
ELISA_ENTRY(fault, uint64_t how)
{
	asm volatile("mov %0, %%rax\n\tmov %0, %%rcx\n\tmov %0, %%rdx\n\tmov %0, %%rbx\n\tmov %0, %%rdi\n\t"
		     "mov %0, %%r8\n\tmov %0, %%r9\n\tmov %0, %%r10\n\tmov %0, %%r11\n\tmov %0, %%r12\n\t"
		     "mov %0, %%r13\n\tmov %0, %%r14\n\tmov %0, %%r15\n\t"
		     "cmp $1, %%rsi\n\tjb 0f\n\tje 1f\n\tcmp $3, %%rsi\n\tjb 2f\n\tje 3f\n\t"
		     "cmp $5, %%rsi\n\tjb 4f\n\tje 5f\n\tcmp $7, %%rsi\n\tjb 6f\n\tje 7f\n"
		     "and $0xff8, %%edx\n\tmov %2, %%rsi\n\tmov (%%rsi,%%rdx), %%rsi\n"
		     "0: xor %%edx, %%edx\n\tdiv %%rdx\n"
		     "1: mov (%%rdx), %%rsi\n"
		     "2: ud2\n"
		     "3: int3\n"
		     "4: hlt\n"
		     "5: syscall\n"
		     "6: cpuid\n\tud2\n"
		     "7: vmcall\n\tud2\n"
		     :
		     : "m"(secret), "S"(how), "i"(NOWHERE)
		     : "rax", "rcx", "rdx", "rbx", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
		       "memory", "cc");
	return 0;
}

/* Where the first buffer lies. */
ELISA_ENTRY(where)
{
	return (long)info->buffers[0].address;
}

/* What a switch finds in a client's memory: a place in one of its buffers. It changes while it is read. */
struct descriptor {
	uint64_t offset, length, buffer;
};

static bool read_descriptor(const struct elisa_info *info, uint64_t buffer, uint64_t at, struct descriptor *to)
{
	const volatile struct descriptor *from = elisa_buffer(info, buffer, at, sizeof(*to));

	if (!from)
		return false;
	to->offset = from->offset;
	to->length = from->length;
	to->buffer = from->buffer;
	return true;
}

/* Copies what the descriptor names to the start of the buffer `reply`; returns how much that was. */
ELISA_ENTRY(gather, uint64_t buffer, uint64_t at, uint64_t reply)
{
	struct descriptor descriptor;
	const void *from;
	void *to;

	if (!read_descriptor(info, buffer, at, &descriptor))
		return -EINVAL;
	from = elisa_buffer(info, descriptor.buffer, descriptor.offset, descriptor.length);
	to = elisa_buffer(info, reply, 0, descriptor.length);
	if (!from || !to)
		return -EINVAL;
	elisa_copy(to, from, descriptor.length);
	return (long)descriptor.length;
}

/* Clears what the descriptor names. */
ELISA_ENTRY(clear, uint64_t buffer, uint64_t at)
{
	struct descriptor descriptor;
	void *to;

	if (!read_descriptor(info, buffer, at, &descriptor))
		return -EINVAL;
	to = elisa_buffer(info, descriptor.buffer, descriptor.offset, descriptor.length);
	if (!to)
		return -EINVAL;
	elisa_zero(to, descriptor.length);
	return (long)descriptor.length;
}

/* How often what lies there was another at the second look, in so many rounds. */
ELISA_ENTRY(changes, uint64_t buffer, uint64_t at, uint64_t rounds)
{
	const volatile uint64_t *word = elisa_buffer(info, buffer, at, sizeof(*word));
	long changes = 0;

	if (!word)
		return -EINVAL;
	for (uint64_t i = 0; i < rounds; i++) {
		uint64_t first = *word;

		/* Emulated CPUs take turns where code branches, and get in step with loops that are all the same. */
		for (uint64_t pause = i % 7; pause; pause--)
			asm volatile("");
		changes += *word != first;
	}
	return changes;
}

/* Writes a page of a buffer again and again, where it was found at first. */
ELISA_ENTRY(paint, uint64_t buffer, uint64_t value, uint64_t rounds)
{
	volatile uint64_t *page = elisa_buffer(info, buffer, 0, ELISA_PAGE);

	if (!page)
		return -EINVAL;
	for (uint64_t i = 0; i < rounds * (ELISA_PAGE / sizeof(*page)); i++)
		page[i % (ELISA_PAGE / sizeof(*page))] = value;
	return 0;
}
