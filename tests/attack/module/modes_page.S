/* SPDX-License-Identifier: GPL-2.0-only */
/* VMFUNC without long mode: see modes.h. Called in 64-bit mode at MODES_AT, returns there whatever comes of it. */
#include "modes.h"

#define LINEAR(label) (MODES_AT + (label) - modes_image)
#define SET(field) (MODES_AT + MODES_SET + (field))
#define PAGING 0x80000000
#define MSR_EFER 0xc0000080
#define LONG_MODE 0x100

	.section .rodata, "a"
	.balign 4096
	.globl modes_image, modes_image_end, modes_ud, modes_other
modes_image:
	.code64
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, SET(MODES_OLD_RSP)
	sgdt SET(MODES_OLD_GDT)
	sidt SET(MODES_OLD_IDT)
	mov %cr0, %rax
	mov %eax, SET(MODES_OLD_CR0)
	mov %cr3, %rax
	mov %eax, SET(MODES_OLD_CR3)
	mov %cr4, %rax
	mov %eax, SET(MODES_OLD_CR4)
	lgdt SET(MODES_NEW_GDT)
	lidt SET(MODES_NEW_IDT)
	push $8
	push $LINEAR(compatibility)
	lretq

	.code32
compatibility:
	mov $0x18, %eax
	mov %eax, %ss
	mov %eax, %ds
	mov %eax, %es
	mov $(MODES_AT + MODES_STACK), %esp
	mov %cr0, %eax
	and $~PAGING, %eax
	mov %eax, %cr0
	mov $MSR_EFER, %ecx
	rdmsr
	mov %eax, SET(MODES_EFER)
	and $~LONG_MODE, %eax
	wrmsr
	mov SET(MODES_CR4), %eax
	mov %eax, %cr4
	mov SET(MODES_CR3), %eax
	mov %eax, %cr3
	mov SET(MODES_CR0), %eax
	mov %eax, %cr0
	jmp 1f
1:	mov SET(MODES_EAX), %eax
	mov SET(MODES_ECX), %ecx
	vmfunc
	movl $OUTCOME_WORKED, SET(MODES_OUTCOME)
	jmp home
modes_ud:
	movl $OUTCOME_UD, SET(MODES_OUTCOME)
	jmp home
modes_other:
	movl $OUTCOME_OTHER, SET(MODES_OUTCOME)
home:
	mov %cr0, %eax
	and $~PAGING, %eax
	mov %eax, %cr0
	mov SET(MODES_OLD_CR4), %eax
	mov %eax, %cr4
	mov SET(MODES_OLD_CR3), %eax
	mov %eax, %cr3
	mov $MSR_EFER, %ecx
	mov SET(MODES_EFER), %eax
	xor %edx, %edx
	wrmsr
	mov SET(MODES_OLD_CR0), %eax
	mov %eax, %cr0
	ljmp $0x10, $LINEAR(long_mode)

	.code64
long_mode:
	lgdt SET(MODES_OLD_GDT)
	lidt SET(MODES_OLD_IDT)
	mov SET(MODES_OLD_RSP), %rsp
	xor %eax, %eax
	mov %eax, %ds
	mov %eax, %es
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret
	int3
	.org modes_image + MODES_SET
	.org modes_image + 4096
modes_image_end:

	.section .note.GNU-stack, "", @progbits
