// SPDX-License-Identifier: MIT
#include "check.h"

#include <string.h>

#include <elisa/layout.h>

#include "decode.h"

/* How far the way through the entry page is followed: it has no loops. */
#define STEPS_MAX 64

struct way {
	struct constants constants;
	unsigned int returns[4], depth; /* of the calls within the page */
	unsigned int steps, offset;
	bool called, locked, flags_clean; /* the function; the slot; by POPF */
	const char *why;
};

static bool is_direct(const struct step *step)
{
	return step->operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
}

static unsigned int target(const struct step *step)
{
	return step->offset + step->length + (unsigned int)step->operands[0].imm.value.u;
}

static void go_on(struct way *way, const struct step *step)
{
	way->offset = step->offset + step->length;
}

/*
 * Calls, and how the one to the function is made: a return address is overwritten with the function's address, so that
 * the RET after it goes to the function, and the function's own RET to where the entry page has been before.
 */
static void carry_out(struct way *way, const struct step *step)
{
	switch (step->instruction.mnemonic) {
	case ZYDIS_MNEMONIC_CALL:
		if (!is_direct(step) || way->depth == 4) {
			way->why = "calls without a retpoline";
			return;
		}
		way->returns[way->depth++] = step->offset + step->length;
		way->offset = target(step);
		return;
	case ZYDIS_MNEMONIC_RET:
		if (way->depth != 2 || way->called) {
			way->why = "returns where nothing was called";
			return;
		}
		way->called = true;
		way->depth = 0;
		way->offset = way->returns[0];
		way->constants = (struct constants){};
		return;
	case ZYDIS_MNEMONIC_JMP:
		if (!is_direct(step))
			way->why = "jumps indirectly";
		way->offset = target(step);
		return;
	case ZYDIS_MNEMONIC_POPFQ:
		way->flags_clean = true;
		go_on(way, step);
		return;
	default:
		go_on(way, step);
	}
	if (step->kind == STEP_LOCK)
		way->locked = true;
	else if (step->kind == STEP_END || step->kind == STEP_UNLOCK)
		way->why = "comes to an end that is none, or unlocks a slot";
	else
		constants_step(&way->constants, step);
}

/* The VMFUNC at the end of the way: to where, from where, with what in the registers that a guest could look at. */
static const char *check_end(const struct way *way, unsigned int slot, bool vetted)
{
	static const ZydisRegister scrubbed[] = { ZYDIS_REGISTER_RSI, ZYDIS_REGISTER_RDI, ZYDIS_REGISTER_R8,
						  ZYDIS_REGISTER_R9,  ZYDIS_REGISTER_R10, ZYDIS_REGISTER_R11 };

	if (!way->called || !way->flags_clean)
		return "leaves without a call, or without clean flags";
	if (way->locked != vetted)
		return vetted ? "leaves the slot unlocked" : "writes to a list that is not mapped";
	if (!constants_are(&way->constants, ZYDIS_REGISTER_EAX, 0) ||
	    !constants_are(&way->constants, ZYDIS_REGISTER_ECX, vetted ? 0 : ELISA_GATE_SLOT(slot)))
		return "leaves for elsewhere";
	if (way->offset != (vetted ? ELISA_PAGE : ELISA_RETURN))
		return "leaves at the wrong byte";
	for (unsigned int i = 0; i < sizeof(scrubbed) / sizeof(scrubbed[0]); i++) {
		if (!constants_are(&way->constants, scrubbed[i], 0))
			return "leaves something of the function's in a register";
	}
	return NULL;
}

unsigned int entry_check(const uint8_t *page, unsigned int slot, bool vetted, const char **why)
{
	struct way way = { .offset = ELISA_ENTER };
	struct step step;

	for (way.steps = 1; !way.why && way.steps < STEPS_MAX; way.steps++) {
		step_decode(page, slot, way.offset, &step);
		if (step.kind == STEP_VMFUNC) {
			go_on(&way, &step);
			*why = check_end(&way, slot, vetted);
			return *why ? 0 : way.steps;
		}
		carry_out(&way, &step);
	}
	*why = way.why ? way.why : "does not end";
	return 0;
}
