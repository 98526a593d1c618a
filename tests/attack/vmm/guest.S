/* SPDX-License-Identifier: MIT */
/*
 * What guest.h describes, position-independent: the VMM copies it to where it runs. GS is at the control page, and so is
 * FS, by the address that CPL 3 has for it.
 */
#include "guest.h"

	.section .rodata, "a"
	.balign 4096
	.globl guest_kernel, guest_kernel_idle, guest_kernel_end
guest_kernel:
	vector = 0
	.rept 256
	.balign VECTOR_BYTES
	/* Those with an error code have one already. */
	.if vector != 8 && (vector < 10 || vector > 14) && vector != 17 && vector != 21
	push $0
	.endif
	pushq $vector
	jmp event
	vector = vector + 1
	.endr

	.org guest_kernel + 4096
guest_kernel_idle:
	cld
	mov %gs:C_KERNEL_STACK, %rsp
	out %al, $IDLE_PORT
	mov %gs:C_COMMAND, %rax
	cmp $DO_REQUEST, %rax
	je request
	cmp $DO_CALLS, %rax
	je calls
	jmp guest_kernel_idle

request:
	mov %gs:C_REQUEST, %rbx
	mov $HYPERCALL, %eax
	vmcall
	mov %rax, %gs:C_RESULT
	jmp guest_kernel_idle

calls:
	push $USER_SS
	push %gs:C_USER_STACK
	push %gs:C_RFLAGS
	push $USER_CS
	push %gs:C_USER_RIP
	iretq

event:
	cmpq $END_OF_CALLS, (%rsp)
	je guest_kernel_idle
	cmpq $2, (%rsp)
	je nmi
	cmpq $32, (%rsp)
	jae interrupt
	offset = C_REGS
	.irp reg, rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
	mov %\reg, %gs:offset
	offset = offset + 8
	.endr
	pop %gs:C_VECTOR
	pop %gs:C_ERROR
	pop %gs:C_FRAME
	pop %gs:C_FRAME + 8
	pop %gs:C_FRAME + 16
	pop %gs:C_FRAME + 24
	pop %gs:C_FRAME + 32
	mov %cr2, %rax
	mov %rax, %gs:C_CR2
	incq %gs:C_FAULTS
	jmp guest_kernel_idle

nmi:
	add $16, %rsp
	incq %gs:C_NMIS
	iretq

interrupt:
	push %rax
	push %rcx
	push %rdx
	xor %eax, %eax
	xor %edx, %edx
	mov $0x80b, %ecx	/* EOI of the x2APIC */
	wrmsr
	pop %rdx
	pop %rcx
	pop %rax
	add $16, %rsp
	incq %gs:C_INTERRUPTS
	iretq
guest_kernel_end:

/* The caller's: values that must be there afterwards. */
#define MARK(n) $0x7a7a0000 + n

	.balign 4096
	.globl guest_user, guest_moved, guest_user_end
guest_user:
	mov %fs:C_A0, %rsi
	mov %fs:C_A1, %rdx
	mov %fs:C_A2, %r11
	xor %r8d, %r8d
	xor %r9d, %r9d
	mov %fs:C_FUNCTION, %r10d
	mov %fs:C_SLOT, %ecx
	mov MARK(1), %rbx
	mov MARK(2), %rbp
	mov MARK(3), %r12
	mov MARK(4), %r13
	mov MARK(5), %r14
	mov MARK(6), %r15
	mov %rsp, %fs:C_RSP
	incq %fs:C_CALLS
	call *%fs:C_STUB
	cmp %fs:C_RSP, %rsp
	jne spoiled
	cmp MARK(1), %rbx
	jne spoiled
	cmp MARK(2), %rbp
	jne spoiled
	cmp MARK(3), %r12
	jne spoiled
	cmp MARK(4), %r13
	jne spoiled
	cmp MARK(5), %r14
	jne spoiled
	cmp MARK(6), %r15
	jne spoiled
look:
	.irp reg, rdx, rcx, rsi, rdi, r8, r9, r10, r11
	not %\reg
	cmp %fs:C_NOT_SECRET, %\reg
	je leaked
	.endr
	mov %rax, %fs:C_LAST
	cmp $-4096, %rax
	ja failed
	cmpq $0, %fs:C_ANY
	jne right
	cmp %fs:C_WANTED, %rax
	je right
	incq %fs:C_WRONG
	jmp next
right:
	incq %fs:C_RIGHT
next:
	decq %fs:C_REMAINING
	jg guest_user
	int $END_OF_CALLS
	ud2
failed:
	incq %fs:C_FAILED
	neg %rax
	movzbl %al, %eax
	incl %fs:C_ERRORS(, %rax, 4)
	jmp next
spoiled:
	incq %fs:C_SPOILED
	mov %fs:C_RSP, %rsp
	jmp look
leaked:
	incq %fs:C_LEAKED
	jmp next
/* Where the VMM sends a vCPU that it has found inside. */
guest_moved:
	incq %fs:C_MOVED
	int $END_OF_CALLS
	ud2
guest_user_end:

	.globl guest_stub, guest_stub_end, guest_landing, guest_landing_end
guest_stub:
	cli
	xor %eax, %eax
	vmfunc
guest_stub_end:

guest_landing:
	mov %rdx, %rax
	sti
	ret
guest_landing_end:

	.section .note.GNU-stack, "", @progbits
