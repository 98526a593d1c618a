/* SPDX-License-Identifier: GPL-2.0-only */
/* What arena.h describes, position-independent: copied into shared pages. Two pages of code; the third is the frame. */
#include "arena.h"

	.section .rodata, "a"
	.balign 4096
	.globl arena_image, arena_enter, arena_stubs
arena_image:
arena_stubs:
	vector = 0
	.rept 256
	.balign 16
	/* Those with an error code have one already. */
	.if vector != 8 && (vector < 10 || vector > 14) && vector != 17 && vector != 21
	push $0
	.endif
	pushq $vector
	.if vector == 2 || vector >= 32
	jmp counted
	.else
	jmp back
	.endif
	vector = vector + 1
	.endr

	.org arena_image + 4096
frame_at = arena_image + 8192
arena_enter:
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, frame_at + FRAME_HOST_RSP(%rip)
	lea frame_at(%rip), %rsp
	mov FRAME_CR3(%rsp), %rax
	mov %rax, %cr3
	pop %rax
	pop %rcx
	pop %rdx
	pop %rbx
	pop %rbp	/* the slot of RSP: IRET sets it */
	pop %rbp
	pop %rsi
	pop %rdi
	pop %r8
	pop %r9
	pop %r10
	pop %r11
	pop %r12
	pop %r13
	pop %r14
	pop %r15
	iretq

	/* NMIs and interrupts: counted, and what they have met goes on. */
counted:
	push %rax
	push %rcx
	push %rdx
	mov 24(%rsp), %rcx
	lea frame_at(%rip), %rdx
	lock incq FRAME_COUNTS(%rdx,%rcx,8)
	mov $1, %eax
	lock xadd %rax, FRAME_EVENTS(%rdx)
	and $RING_ENTRIES - 1, %eax
	shl $4, %eax
	mov %rcx, FRAME_RING(%rdx,%rax)
	cmp $32, %rcx
	mov 40(%rsp), %rcx
	mov %rcx, FRAME_RING + 8(%rdx,%rax)
	jb 2f
	cmpq $0, FRAME_EXITS(%rdx)
	je 1f
	push %rbx
	xor %eax, %eax
	cpuid
	pop %rbx
1:	/* End of interrupt. */
	mov $0x80b, %ecx
	xor %eax, %eax
	xor %edx, %edx
	wrmsr
2:	pop %rdx
	pop %rcx
	pop %rax
	add $16, %rsp
	iretq

back:
	cld
	mov %rax, frame_at(%rip)
	mov %rcx, frame_at + 8(%rip)
	mov %rdx, frame_at + 16(%rip)
	mov %rbx, frame_at + 24(%rip)
	mov %rbp, frame_at + 40(%rip)
	mov %rsi, frame_at + 48(%rip)
	mov %rdi, frame_at + 56(%rip)
	mov %r8, frame_at + 64(%rip)
	mov %r9, frame_at + 72(%rip)
	mov %r10, frame_at + 80(%rip)
	mov %r11, frame_at + 88(%rip)
	mov %r12, frame_at + 96(%rip)
	mov %r13, frame_at + 104(%rip)
	mov %r14, frame_at + 112(%rip)
	mov %r15, frame_at + 120(%rip)
	pop frame_at + FRAME_VECTOR(%rip)
	pop frame_at + FRAME_ERROR(%rip)
	pop frame_at + FRAME_IRET(%rip)
	pop frame_at + FRAME_IRET + 8(%rip)
	pop frame_at + FRAME_IRET + 16(%rip)
	pop frame_at + FRAME_IRET + 24(%rip)
	pop frame_at + FRAME_IRET + 32(%rip)
	mov %cr2, %rax
	mov %rax, frame_at + FRAME_CR2(%rip)
	mov frame_at + FRAME_OWN_CR3(%rip), %rax
	mov %rax, %cr3
	mov frame_at + FRAME_HOST_RSP(%rip), %rsp
	mov $0x18, %eax
	mov %eax, %ss
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret
	int3
	.org arena_image + 8192

	.section .note.GNU-stack, "", @progbits
