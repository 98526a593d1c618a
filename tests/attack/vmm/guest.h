/* SPDX-License-Identifier: MIT */
/*
 * The guest of the hostile VMM: a kernel of two pages that does what its VMM asks for (a request to the host, or calls
 * of an object's function from CPL 3) and says what came of it in a page that it has in common with the VMM.
 */
#ifndef GUEST_H
#define GUEST_H

/* Selectors. */
#define KERNEL_CS 0x08
#define KERNEL_SS 0x10
#define USER_SS 0x23
#define USER_CS 0x2b
#define TASK 0x30

#define HYPERCALL 0x454c4953 /* ELISA_HYPERCALL */
#define IDLE_PORT 0x10       /* a byte to it: the guest asks what to do */
#define END_OF_CALLS 0x80
#define VECTOR_BYTES 16 /* of code for each vector, at the start of the kernel */

#define DO_REQUEST 1
#define DO_CALLS 2

/* Offsets in struct control. */
#define C_COMMAND 0x00
#define C_REQUEST 0x08
#define C_RESULT 0x10
#define C_SLOT 0x18
#define C_FUNCTION 0x20
#define C_A0 0x28
#define C_A1 0x30
#define C_A2 0x38
#define C_WANTED 0x40
#define C_ANY 0x48
#define C_STUB 0x50
#define C_REMAINING 0x58
#define C_NOT_SECRET 0x60
#define C_KERNEL_STACK 0x68
#define C_USER_STACK 0x70
#define C_USER_RIP 0x78
#define C_RFLAGS 0x80
#define C_RSP 0x88
#define C_CALLS 0x90
#define C_RIGHT 0x98
#define C_FAILED 0xa0
#define C_WRONG 0xa8
#define C_SPOILED 0xb0
#define C_LEAKED 0xb8
#define C_MOVED 0xc0
#define C_LAST 0xc8
#define C_NMIS 0xd0
#define C_INTERRUPTS 0xd8
#define C_FAULTS 0xe0
#define C_VECTOR 0xe8
#define C_ERROR 0xf0
#define C_FRAME 0xf8
#define C_CR2 0x120
#define C_REGS 0x128
#define C_ERRORS 0x400 /* counters of 32 bits, by errno */
#define ERRORS 256

#ifndef __ASSEMBLER__
#include <elisa/hypercall.h>
#include <stddef.h>
#include <stdint.h>

_Static_assert(HYPERCALL == ELISA_HYPERCALL, "what the guest asks by");

struct control {
	/* the VMM's */
	uint64_t command;
	uint64_t request; /* guest-physical address */
	uint64_t result;  /* RAX of the hypercall */
	uint64_t slot, function, a0, a1, a2;
	uint64_t wanted; /* the right result; any that is not negative, if `any` */
	uint64_t any;
	uint64_t stub;
	uint64_t remaining; /* calls to make */
	uint64_t not_secret;
	uint64_t kernel_stack, user_stack, user_rip, rflags, rsp;
	/* the guest's */
	uint64_t calls, right, failed, wrong;
	uint64_t spoiled; /* what the caller keeps was not as before */
	uint64_t leaked;  /* the secret was in a register at the landing */
	uint64_t moved;   /* the VMM has sent it to guest_moved */
	uint64_t last;
	uint64_t nmis, interrupts;
	uint64_t faults, vector, error;
	struct {
		uint64_t rip, cs, rflags, rsp, ss;
	} frame;
	uint64_t cr2;
	uint64_t regs[15]; /* RAX, RCX, RDX, RBX, RBP, RSI, RDI, R8 to R15 at the last fault */
	uint64_t unused[76];
	uint32_t errors[ERRORS];
};

#define AT(field, offset) _Static_assert(offsetof(struct control, field) == (offset), #field)
AT(slot, C_SLOT);
AT(wanted, C_WANTED);
AT(remaining, C_REMAINING);
AT(rsp, C_RSP);
AT(calls, C_CALLS);
AT(last, C_LAST);
AT(frame, C_FRAME);
AT(regs, C_REGS);
AT(errors, C_ERRORS);
#undef AT

/* guest.S */
extern const uint8_t guest_kernel[], guest_kernel_idle[], guest_kernel_end[];
extern const uint8_t guest_user[], guest_moved[], guest_user_end[];
extern const uint8_t guest_stub[], guest_stub_end[], guest_landing[], guest_landing_end[];

/* Between two places of it. */
#define GUEST_DISTANCE(from, to) ((uintptr_t)(to) - (uintptr_t)(from))
#endif
#endif
