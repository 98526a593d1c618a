/* SPDX-License-Identifier: MIT */
/* What the check needs to know of one instruction. */
#ifndef GATE_CHECK_DECODE_H
#define GATE_CHECK_DECODE_H

#include <stdbool.h>
#include <stdint.h>

#include <Zydis/Zydis.h>

enum step_kind {
	STEP_END,   /* goes nowhere: undefined, cut off by the end of the page, a fault in user mode, or an exit */
	STEP_PLAIN, /* changes registers or flags only */
	STEP_JUMP,  /* near, to where the instruction or a register says */
	STEP_VMFUNC,
	STEP_UNLOCK, /* the store that makes the slot valid */
	STEP_LOCK,   /* the store that makes it invalid */
	STEP_WRITE,  /* writes memory, and whatever else */
	STEP_READ,   /* reads memory, be it only for an address to go to */
	STEP_UNKNOWN,
};

struct step {
	enum step_kind kind;
	unsigned int offset, length;
	ZydisDecodedInstruction instruction; /* not for undecodable bytes */
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
};

/* Decode the instruction at @offset of @page, the page G of a context, for @slot. */
void step_decode(const uint8_t *page, unsigned int slot, unsigned int offset, struct step *step);

/* As text, for messages. */
void step_print(const struct step *step, char *text, unsigned int bytes);

/* Does it change @reg, a 64-bit register, or a part of it? */
bool step_writes(const struct step *step, ZydisRegister reg);

/* Values of the general registers, as far as they are constants of the page. */
struct constants {
	bool known[16];
	uint64_t value[16];
};

/* Carry out a STEP_PLAIN. What is not understood is not known afterwards. */
void constants_step(struct constants *constants, const struct step *step);

bool constants_are(const struct constants *constants, ZydisRegister reg, uint32_t value);

#endif
