/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The entry page of sub contexts, as four templates: data for the host, code only inside, in user mode.
 * elisa_entry_fill() copies one and writes the slot into it.
 *
 * On the way in: r10 function's index, rsi, rdx, r11, r8, r9 arguments. On the way out: rdx result; rsp, rbx, rbp, r12
 * to r15 as they came; all else that the function may have used is zero. The function keeps rbx, rbp and r12 to r15
 * itself: they are in the frame for the host, which needs them to abort a call. Interrupts stay as they are: masked.
 */
#include <elisa/layout.h>

#define NO_SUCH_FUNCTION -38 /* -ENOSYS */
#define FLAGS_CLEAN 2

#define STACK_END (ELISA_STACK_OFFSET + ELISA_STACK_SIZE)
/* What lies in the window at @offset, for a page that lies there at the gate. */
#define AT(page, offset) (page + (offset) - ELISA_GATE_OFFSET)(%rip)

/*
 * VERW clears the CPU's buffers whatever the selector is. It must be the null selector: any other is looked up in the
 * guest's descriptor table, which faults inside. The first unused bytes of struct elisa_info are one.
 */
#define NULL_SELECTOR (ELISA_INFO_OFFSET + 72)

#if ELISA_FRAME_RBX != ELISA_FRAME_CALLS + 8 || ELISA_FRAME_RBP != ELISA_FRAME_RBX + 8 || \
	ELISA_FRAME_R12 != ELISA_FRAME_RBP + 8 || ELISA_FRAME_R13 != ELISA_FRAME_R12 + 8 || \
	ELISA_FRAME_R14 != ELISA_FRAME_R13 + 8 || ELISA_FRAME_R15 != ELISA_FRAME_R14 + 8
#error "the pushes make another frame"
#endif
#if ELISA_FRAME_R15 % 16
#error "functions are called with an aligned stack"
#endif

/* Length of the way out, but for the lock and ECX. */
#define OUT_BYTES 36
#define VERW_BYTES 7

.macro entry_page name, vetted, verw
	.balign 64
\name:
	.fill ELISA_ENTER, 1, 0xcc
	mov	%rsp, AT(\name, STACK_END - ELISA_FRAME_RSP)
\name\()_rsp_saved:
	lea	AT(\name, STACK_END - ELISA_FRAME_CALLS), %rsp
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
\name\()_saved:
	push	$FLAGS_CLEAN
	popfq
	incq	AT(\name, STACK_END - ELISA_FRAME_CALLS)
	/* Eight bits, and a table of as many: there is nothing beyond to speculate on. */
	movzbl	%r10b, %r10d
	mov	%r11, %rcx
	lea	AT(\name, ELISA_INFO_OFFSET), %rdi
	mov	ELISA_INFO_FUNCTIONS(%rdi,%r10,8), %rax
	jmp	\name\()_call
	int3

	/* A call of *%rax that is never predicted from what a guest has trained. */
\name\()_thunk:
	call	1f
2:	pause
	lfence
	jmp	2b
1:	mov	%rax, (%rsp)
	ret
	int3

\name\()_refuse:
	mov	$NO_SUCH_FUNCTION, %rax
	ret
	int3

	/* The way out has to end where it does: tools/gate-check follows it. */
	.if \vetted
	.org	\name + ELISA_PAGE - (OUT_BYTES + 9 + VERW_BYTES * \verw), 0xcc
	.else
	.org	\name + ELISA_RETURN - (OUT_BYTES + 5 + VERW_BYTES * \verw), 0xcc
	.endif
\name\()_call:
	call	\name\()_thunk
	.if \vetted
	movb	$ELISA_EPTP_LOCKED, AT(\name, ELISA_LIST_OFFSET)
\name\()_lock:
	.endif
	mov	%rax, %rdx
	xor	%esi, %esi
	xor	%edi, %edi
	xor	%r8d, %r8d
	xor	%r9d, %r9d
	xor	%r10d, %r10d
	xor	%r11d, %r11d
	.if \verw
	verw	AT(\name, NULL_SELECTOR)
	.endif
	mov	AT(\name, STACK_END - ELISA_FRAME_RSP), %rsp
\name\()_live:
	xor	%eax, %eax
	.if \vetted
	xor	%ecx, %ecx
	.else
	mov	$ELISA_GATE_SLOT(0), %ecx
\name\()_home:
	.endif
	vmfunc
	.org	\name + ELISA_PAGE, 0xcc
.endm

	.section .rodata, "a"
	.globl	elisa_entry_templates
elisa_entry_templates:
entry_page other, 0, 0
entry_page other_verw, 0, 1
entry_page vetted, 1, 0
entry_page vetted_verw, 1, 1

	/* struct template of gate.c, one each; and the offsets that all have in common. */
	.balign 4
	.globl	elisa_entry_offsets
elisa_entry_offsets:
	.long	other_home - 4 - other, other_live - other
	.long	other_verw_home - 4 - other_verw, other_verw_live - other_verw
	.long	vetted_lock - 5 - vetted, vetted_live - vetted
	.long	vetted_verw_lock - 5 - vetted_verw, vetted_verw_live - vetted_verw
	.globl	elisa_entry_rsp_saved, elisa_entry_saved, elisa_entry_refused
elisa_entry_rsp_saved:
	.long	vetted_rsp_saved - vetted
elisa_entry_saved:
	.long	vetted_saved - vetted
elisa_entry_refused:
	.long	vetted_refuse - vetted

	.section .note.GNU-stack, "", @progbits
