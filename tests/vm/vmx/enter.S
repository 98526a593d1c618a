/* SPDX-License-Identifier: GPL-2.0-only */
#include <linux/linkage.h>
#include <asm/ibt.h>
#include <asm/unwind_hints.h>

#define HOST_RSP $0x6c14

/*
 * int hv_enter(struct hv_registers *registers, bool resume)
 *
 * The offsets are those of struct hv_registers. Returns 1 if the entry failed.
 */
SYM_FUNC_START(hv_enter)
	push %rbp
	push %rbx
	push %r12
	push %r13
	push %r14
	push %r15
	push %rdi
	mov HOST_RSP, %rax
	vmwrite %rsp, %rax
	UNWIND_HINT_SAVE
	test %sil, %sil
	mov 0(%rdi), %rax
	mov 8(%rdi), %rbx
	mov 16(%rdi), %rcx
	mov 24(%rdi), %rdx
	mov 32(%rdi), %rsi
	mov 48(%rdi), %rbp
	mov 40(%rdi), %rdi
	jnz .Lresume
	vmlaunch
	jmp .Lfailed
.Lresume:
	vmresume
.Lfailed:
	pop %rdi
	mov $1, %eax
	jmp .Lout

/* The CPU comes here with the stack of above. */
SYM_INNER_LABEL(hv_exit, SYM_L_GLOBAL)
	UNWIND_HINT_RESTORE
	ENDBR
	xchg %rdi, (%rsp)
	mov %rax, 0(%rdi)
	mov %rbx, 8(%rdi)
	mov %rcx, 16(%rdi)
	mov %rdx, 24(%rdi)
	mov %rsi, 32(%rdi)
	mov %rbp, 48(%rdi)
	pop %rax
	mov %rax, 40(%rdi)
	xor %eax, %eax
.Lout:
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbx
	pop %rbp
	RET
SYM_FUNC_END(hv_enter)
