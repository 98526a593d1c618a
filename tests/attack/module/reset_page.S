/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where a vCPU begins after INIT and SIPI: stores what it finds in its registers, goes on to long mode, and calls again and again.
 * Copied to RESET_AT, a page below 1 MiB, and mapped there.
 */
#include "reset.h"

#define AT(label) (label - reset_image)

	.section .rodata, "a"
	.balign 4096
	.globl reset_image, reset_image_end
reset_image:
	.code16
	cli
	mov %eax, %cs:AT(found)
	mov %ecx, %cs:AT(found) + 8
	mov %edx, %cs:AT(found) + 16
	mov %ebx, %cs:AT(found) + 24
	mov %esp, %cs:AT(found) + 32
	mov %ebp, %cs:AT(found) + 40
	mov %esi, %cs:AT(found) + 48
	mov %edi, %cs:AT(found) + 56
	mov %cr2, %eax
	mov %eax, %cs:AT(found) + 128
	mov %dr0, %eax
	mov %eax, %cs:AT(found) + 136
	mov %dr6, %eax
	mov %eax, %cs:AT(found) + 144
	lgdtl %cs:AT(gdt_pointer)
	mov %cs:AT(set) + RESET_CR4, %eax
	mov %eax, %cr4
	mov %cs:AT(set) + RESET_CR3, %eax
	mov %eax, %cr3
	mov $0xc0000080, %ecx
	mov %cs:AT(set) + RESET_EFER, %eax
	xor %edx, %edx
	wrmsr
	mov %cs:AT(set) + RESET_CR0, %eax
	mov %eax, %cr0
	ljmpl $8, $RESET_AT + AT(long_mode)

	.code64
long_mode:
	mov %r8, found + 64(%rip)
	mov %r9, found + 72(%rip)
	mov %r10, found + 80(%rip)
	mov %r11, found + 88(%rip)
	mov %r12, found + 96(%rip)
	mov %r13, found + 104(%rip)
	mov %r14, found + 112(%rip)
	mov %r15, found + 120(%rip)
	/* The upper halves, which no 16-bit instruction clears. */
	mov %rbx, found + 24(%rip)
	mov %rbp, found + 40(%rip)
	mov %rsi, found + 48(%rip)
	mov %rdi, found + 56(%rip)
	lgdt set + RESET_GDT(%rip)
	lidt set + RESET_IDT(%rip)
	mov $0x18, %eax
	mov %eax, %ss
	mov %eax, %ds
	mov %eax, %es
	lea reset_image + 4096(%rip), %rsp
	/* The TSS may be busy since the last time. */
	mov set + RESET_TSS(%rip), %rax
	andb $~2, 5(%rax)
	mov $0x40, %eax
	ltr %ax
	incq set + RESET_STARTS(%rip)

again:	cld
	lea set + RESET_CALL(%rip), %rsi
	mov set + RESET_FRAME(%rip), %rdi
	mov $RESET_CALL_BYTES / 8, %ecx
	rep movsq
	call *set + RESET_ENTER(%rip)
	mov set + RESET_FRAME(%rip), %rdi
	cmpq $3, RESET_CALL_BYTES - 16(%rdi)
	jne 1f
	cmpq $1, 16(%rdi)
	je 2f
	incq set + RESET_FAILED(%rip)
	mov 16(%rdi), %rax
	mov %rax, set + RESET_LAST(%rip)
	jmp again
1:	incq set + RESET_OTHER(%rip)
	jmp again
2:	incq set + RESET_CALLS(%rip)
	jmp again

	.balign 8
gdt:	.quad 0, 0x00af9b000000ffff
gdt_pointer:
	.word 15
	.long RESET_AT + AT(gdt)
	.balign 8
	.org reset_image + RESET_FOUND
found:
	.org reset_image + RESET_SET
set:
	.org reset_image + 4096
reset_image_end:

	.section .note.GNU-stack, "", @progbits
