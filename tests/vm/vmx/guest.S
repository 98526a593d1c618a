/* SPDX-License-Identifier: GPL-2.0-only */
/* The guests of tests.c: copied to HV_CODE or HV_HANDLER, so they must not care where they lie. */
#include <linux/linkage.h>

#define DATA 0xa000		/* HV_GPA(HV_DATA) */
#define SPARE 0xc000		/* HV_GPA(HV_SPARE) */
#define SPIN_TURNS 20000000	/* longer than a timer tick of the host, by far */
#define MARKER(region, what) prefetcht2 0xffffffffe1150000 + (region) * 256 + (what)

#define GUEST(name) SYM_CODE_START(guest_##name)
#define END(name) SYM_INNER_LABEL(guest_##name##_end, SYM_L_GLOBAL); SYM_CODE_END(guest_##name)

	.section .rodata

/* Leaves by itself, after a while. */
GUEST(spin)
	mov $SPIN_TURNS, %ecx
1:	dec %ecx
	jnz 1b
	vmcall
	jmp 1b
END(spin)

GUEST(call)
	vmcall
	jmp guest_call
END(call)

/* With interrupts on for a moment, then away. */
GUEST(window)
	sti
	nop
	nop
	cli
	vmcall
	jmp guest_window
END(window)

GUEST(undefined)
	mov $0x8000000000000000, %rax
	ud2
END(undefined)

/* Shows that it was reached. */
GUEST(handler)
	movq $0x600d, DATA
	vmcall
	jmp guest_handler
END(handler)

/* Reads the data page in the default context, in the other, and in the default again. */
GUEST(vmfunc)
	MARKER(20, 1)
	mov DATA, %rbx
	xor %eax, %eax
	mov $1, %ecx
	vmfunc
	mov DATA, %rsi
	xor %eax, %eax
	xor %ecx, %ecx
	vmfunc
	mov DATA, %rdi
	MARKER(20, 2)
	vmcall
	/* An entry of the list that is not valid; the test goes on behind it. */
	MARKER(21, 1)
	xor %eax, %eax
	mov $7, %ecx
	vmfunc
	MARKER(21, 2)
	vmcall
END(vmfunc)

/* 100 instructions, of which 5 exit. */
GUEST(counted)
	MARKER(22, 1)
	.rept 5
	.rept 19
	nop
	.endr
	vmcall
	.endr
	MARKER(22, 2)
	vmcall
	jmp .
END(counted)

/* Touches a page, which the host has to map first. */
GUEST(violation)
	MARKER(23, 1)
	mov SPARE, %rbx
	MARKER(23, 2)
	vmcall
	jmp .
END(violation)

/* A handler that faults at once, and behind it the one for that fault. */
GUEST(faulting_handler)
	mov (%rax), %rax	/* which is not canonical */
SYM_INNER_LABEL(guest_second_handler, SYM_L_GLOBAL)
	pop %rbx		/* error code */
	pop %rbx		/* RIP */
	mov %rbx, DATA
	vmcall
	jmp guest_second_handler
END(faulting_handler)
