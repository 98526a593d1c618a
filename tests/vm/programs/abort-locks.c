// SPDX-License-Identifier: MIT
/*
 * abort-locks NAME: with the right to read, lets the object `counter` be aborted as it writes. Its sub context must be
 * closed after that, VMFUNC to it fails; and the flags tell nothing of what it has reckoned. In a VM with one vCPU.
 */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../../include/uapi/elisa/layout.h"
#include "program.h"

long call_flags(uint64_t slot, uint64_t index, uint64_t a0);

/* A call by the stub, six bytes before the gate; returns the flags as they are at the landing. */
asm(".text\n"
    "call_flags:\n"
    "	mov	%rdi, %rcx\n"
    "	mov	%rsi, %r10\n"
    "	mov	%rdx, %rsi\n"
    "	call	1f\n"
    "	pushfq\n"
    "	pop	%rax\n"
    "	ret\n"
    "1:	movabs	$0x200034000000 - 6, %r11\n"
    "	push	%r11\n"
    "	ret\n");
_Static_assert(ELISA_STUB == 0x200034000000 - 6, "the assembly says so");

#define FLAGS_IF 0x200
#define FLAGS_IOPL 0x3000

static int enter(uint32_t slot)
{
	int status = 0;
	pid_t child = fork();

	if (!child) {
		asm volatile("xor %%eax, %%eax\n\tvmfunc" : : "c"(slot) : "rax", "rdx", "memory");
		_exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		die("no child: %s", strerror(errno));
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

int main(int count, char **arguments)
{
	struct elisa_attachment *attachment;
	struct elisa_function add, read;

	if (count != 2)
		die("abort-locks NAME");
	attachment = attach(arguments[1], "gate");
	add = find(attachment, "add");
	read = find(attachment, "read");
	for (unsigned int i = 0; i < 16; i++) {
		expect("read", elisa_call0(&read), 0);
		expect("after a call, VMFUNC ends with", enter(add.slot - ELISA_GATE_SLOT(0)), SIGILL);
		expect("add, with the right to read", elisa_call1(&add, 1), -EFAULT);
		expect("after an abort, VMFUNC ends with", enter(add.slot - ELISA_GATE_SLOT(0)), SIGILL);
		expect("flags after an abort", call_flags(add.slot, add.index, i) & ~(FLAGS_IF | FLAGS_IOPL), 2);
	}
	elisa_detach(attachment);
	puts("locked");
	return 0;
}
