/* SPDX-License-Identifier: MIT */
/*
 * Looks at every instruction of trusted code for what does not belong there: what reaches a guest's or a process's
 * state, is open to branch target injection, or ends the call. It finds mistakes of the code's author and of the
 * compiler's flags; that code cannot do more than its EPT context allows is not its business.
 */
#ifndef CODE_CHECK_H
#define CODE_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum code_rule {
	CODE_NONE,
	CODE_DECODE,     /* bytes that are no instruction, or one that goes on in the next function */
	CODE_TARGET,     /* a branch to elsewhere than the beginning of an instruction of the code */
	CODE_INDIRECT,   /* a branch through a register or memory; a retpoline ends in RET instead */
	CODE_SEGMENT,    /* segment registers, their bases, and memory through FS or GS: the caller's */
	CODE_VECTOR,     /* x87, MMX, SSE, AVX and their control registers: the caller's */
	CODE_FLAGS,      /* flags beyond the arithmetic ones: direction, interrupts, alignment checks */
	CODE_STATE,      /* other state of the caller's: protection keys, XSAVE's, shadow stacks */
	CODE_PRIVILEGED, /* for kernels only, and ports */
	CODE_SYSTEM,     /* calls into a kernel, which is not there */
	CODE_VM,         /* VMFUNC, VMCALL and the rest of virtualization; but the kit's VMCALLs may be */
	CODE_UNKNOWN,    /* anything else that is not known to be harmless */
	CODE_RULES,
};

struct code_function {
	uint64_t offset; /* in the code */
	const char *name;
};

struct code {
	const uint8_t *bytes;
	size_t size;
	const struct code_function *functions; /* by offset */
	size_t count;
};

struct code_finding {
	enum code_rule rule;
	uint64_t offset;
	char text[96]; /* the instruction */
};

struct code_report {
	size_t instructions;
	size_t count; /* all, also those for which there was no room */
	struct code_finding findings[64];
};

const char *code_rule_name(enum code_rule rule);
const char *code_rule_text(enum code_rule rule);

/* The function that @offset lies in, or NULL before the first. */
const struct code_function *code_function_at(const struct code *code, uint64_t offset);

/* 0 with the report filled, be it of nothing; -ENOMEM. */
int code_check(const struct code *code, struct code_report *report);

#endif
