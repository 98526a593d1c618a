/* SPDX-License-Identifier: MIT */
/* All instructions of the code, and what is asked about them. */
#ifndef CODE_CHECK_SWEEP_H
#define CODE_CHECK_SWEEP_H

#include <Zydis/Zydis.h>

#include "check.h"

#define NO_TARGET UINT64_MAX

struct place {
	uint64_t offset;
	uint64_t target;     /* of a direct branch or call; wraps if it is before the code */
	unsigned int length; /* of what is no instruction: up to the next function */
	bool decoded, falls_through, padding;
	bool entry; /* a function begins here */
};

struct sweep {
	const struct code *code;
	struct place *places; /* by offset */
	size_t count;
};

struct instruction {
	ZydisDecodedInstruction is;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
};

/* The instruction at @offset; false if there is none within @limit bytes. */
bool sweep_decode(const struct code *code, uint64_t offset, size_t limit, struct instruction *instruction);

/* The index of the instruction that begins at @offset, or -1. */
long sweep_find(const struct sweep *sweep, uint64_t offset);

/* What is wrong with an instruction by itself. */
enum code_rule instruction_rule(const struct instruction *instruction);

/* Is RAX ELISA_LOCK_WAIT or ELISA_NOTIFY at instruction @at, whichever way it is reached within its function? */
bool vmcall_allowed(const struct sweep *sweep, size_t at);

#endif
