// SPDX-License-Identifier: MIT
/*
 * open-calls NAME CALLS TURNS: as `vault`, but with interrupts on: it jumps over the stub's CLI, and must not mask
 * them, or the entry's clean flags would. So the landing's STI is a fault, which ends each call here. Calls that meet
 * an interrupt are aborted. Prints how many were carried out, and how many aborted.
 */
#include <setjmp.h>
#include <signal.h>
#include <ucontext.h>

#include "../../../include/uapi/elisa/layout.h"
#include "program.h"

long call_open(uint64_t slot, uint64_t index, uint64_t a0);

/* VMFUNC are the last three bytes before the gate. */
asm(".text\n"
    "call_open:\n"
    "	mov	%rdi, %rcx\n"
    "	mov	%rsi, %r10\n"
    "	mov	%rdx, %rsi\n"
    "	xor	%eax, %eax\n"
    "	movabs	$0x200034000000 - 3, %r11\n"
    "	push	%r11\n"
    "	ret\n");
_Static_assert(ELISA_GATE == 0x200034000000, "the assembly says so");

static sigjmp_buf back;
static volatile long result;

static void at_landing(int signal, siginfo_t *info, void *context)
{
	const ucontext_t *at = context;

	(void)signal;
	(void)info;
	if ((uint64_t)at->uc_mcontext.gregs[REG_RIP] - ELISA_LANDING >= ELISA_PAGE)
		die("a fault at %#llx", (unsigned long long)at->uc_mcontext.gregs[REG_RIP]);
	result = at->uc_mcontext.gregs[REG_RDX];
	siglongjmp(back, 1);
}

int main(int count, char **arguments)
{
	struct sigaction action = { .sa_sigaction = at_landing, .sa_flags = SA_SIGINFO };
	volatile unsigned long done = 0, aborted = 0;
	struct elisa_attachment *attachment;
	struct elisa_function add;
	unsigned long calls, turns;

	if (count != 4)
		die("open-calls NAME CALLS TURNS");
	calls = number(arguments[2]);
	turns = number(arguments[3]);
	attachment = attach(arguments[1], "gate");
	add = find(attachment, "add");
	sigaction(SIGSEGV, &action, NULL);
	while (done + aborted < calls) {
		if (!sigsetjmp(back, 1))
			call_open(add.slot, add.index, turns);
		if (result == -EINTR || result == -EFAULT)
			aborted++;
		else if (result > 0)
			done++;
		else
			die("call %lu: %ld", done + aborted, result);
	}
	printf("done %lu aborted %lu\n", done, aborted);
	elisa_detach(attachment);
	return 0;
}
