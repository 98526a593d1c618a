/* SPDX-License-Identifier: MIT */
/*
 * The hot path: five instructions from a client's call to the first of the gate's stub.
 *
 * Where to go depends on the attachment's scheme and on the thread (may it mask interrupts already?), so a function holds
 * the distance from the thread pointer to the thread's word for its scheme. That word is elisa_call_first until the
 * thread's first call through a gate; nothing has to be tested here.
 */
#include "call.h"

	.text

	.globl elisa_call, elisa_call0, elisa_call1, elisa_call2, elisa_call3, elisa_call4
	.type elisa_call, @function
	.balign 64
elisa_call:
elisa_call0:
elisa_call1:
elisa_call2:
elisa_call3:
elisa_call4:
	mov %rcx, %r11
	mov CALL_SLOT(%rdi), %ecx
	mov CALL_INDEX(%rdi), %r10d
	mov CALL_ENTER(%rdi), %rax
	jmp *%fs:(%rax)
	.size elisa_call, . - elisa_call

/* The thread's first call through a gate. All that is in registers is the call's, but for rax. */
	.globl elisa_call_first
	.hidden elisa_call_first
	.type elisa_call_first, @function
elisa_call_first:
	.cfi_startproc
	push %rdi
	push %rsi
	push %rdx
	push %r11
	push %r8
	push %r9
	sub $8, %rsp
	.cfi_adjust_cfa_offset 56
	call elisa_thread_prepare
	add $8, %rsp
	pop %r9
	pop %r8
	pop %rcx
	pop %rdx
	pop %rsi
	pop %rdi
	.cfi_adjust_cfa_offset -56
	test %rax, %rax
	jz elisa_call
	ret
	.cfi_endproc
	.size elisa_call_first, . - elisa_call_first

	.globl elisa_call_vmcall
	.hidden elisa_call_vmcall
	.type elisa_call_vmcall, @function
elisa_call_vmcall:
	mov $CALL_HYPERCALL, %eax
	vmcall
	ret
	.size elisa_call_vmcall, . - elisa_call_vmcall

/* The host's kernel executes the function for a process of its own. */
	.globl elisa_call_ioctl
	.hidden elisa_call_ioctl
	.type elisa_call_ioctl, @function
elisa_call_ioctl:
	mov %r11, %rcx
	jmp elisa_call_by_ioctl
	.size elisa_call_ioctl, . - elisa_call_ioctl

/* The code is mapped into this process, and so is its info page: a jump with C's order of arguments. */
	.globl elisa_call_direct
	.hidden elisa_call_direct
	.type elisa_call_direct, @function
elisa_call_direct:
	movabs $(ELISA_BASE + ELISA_INFO_OFFSET), %rdi
	mov %r11, %rcx
	jmp *ELISA_INFO_FUNCTIONS(%rdi, %r10, 8)
	.size elisa_call_direct, . - elisa_call_direct

	.section .note.GNU-stack, "", @progbits
