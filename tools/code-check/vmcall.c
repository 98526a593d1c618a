// SPDX-License-Identifier: MIT
/* The VMCALLs of the kit: backwards along all ways to one, until each has come to where its request was put into a
 * register. */
#include <string.h>

#include <elisa/layout.h>

#include "sweep.h"

#define STATES_MAX 1024 /* of a way back that is longer nothing is said */

/* The register @number has to hold the request just before the instruction @at. */
struct state {
	size_t at;
	int number;
};

struct search {
	struct state states[STATES_MAX];
	size_t count;
	bool failed;
};

static int register_number(ZydisRegister reg)
{
	ZydisRegister whole = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);

	return whole >= ZYDIS_REGISTER_RAX && whole <= ZYDIS_REGISTER_R15 ? (int)(whole - ZYDIS_REGISTER_RAX) : -1;
}

static void add(struct search *search, size_t at, int number)
{
	for (size_t i = 0; i < search->count; i++) {
		if (search->states[i].at == at && search->states[i].number == number)
			return;
	}
	if (search->count == STATES_MAX)
		search->failed = true;
	else
		search->states[search->count++] = (struct state){ at, number };
}

/* RBX, RBP and R12 to R15 are the caller's of a function as well. */
static bool survives_call(int number)
{
	return number == 3 || number == 5 || number >= 12;
}

static bool writes(const struct instruction *instruction, int number)
{
	for (unsigned int i = 0; i < instruction->is.operand_count; i++) {
		const ZydisDecodedOperand *operand = &instruction->operands[i];

		if (operand->type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    operand->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE && register_number(operand->reg.value) == number)
			return true;
	}
	return instruction->is.meta.category == ZYDIS_CATEGORY_CALL && !survives_call(number);
}

/* On over instruction @at, of which the register has to hold the request after it. */
static void step_back(struct search *search, const struct sweep *sweep, size_t at, int number)
{
	const struct place *place = &sweep->places[at];
	struct instruction instruction;
	const ZydisDecodedOperand *from = &instruction.operands[1];
	int other;

	if (!place->decoded || !sweep_decode(sweep->code, place->offset, place->length, &instruction)) {
		search->failed = true;
		return;
	}
	if (!writes(&instruction, number)) {
		add(search, at, number);
		return;
	}
	if (instruction.is.mnemonic != ZYDIS_MNEMONIC_MOV || instruction.operands[0].size < 32) {
		search->failed = true;
		return;
	}
	if (from->type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
	    (from->imm.value.u == ELISA_LOCK_WAIT || from->imm.value.u == ELISA_NOTIFY))
		return;
	other = from->type == ZYDIS_OPERAND_TYPE_REGISTER ? register_number(from->reg.value) : -1;
	if (other < 0)
		search->failed = true;
	else
		add(search, at, other);
}

/* All ways to the instruction of @state. One without any is not understood, unless it fills a gap. */
static void step_back_all(struct search *search, const struct sweep *sweep, struct state state)
{
	const struct place *place = &sweep->places[state.at];
	bool reached = false;

	if (state.at && place[-1].falls_through) {
		step_back(search, sweep, state.at - 1, state.number);
		reached = true;
	}
	for (size_t i = 0; i < sweep->count; i++) {
		if (sweep->places[i].target == place->offset) {
			step_back(search, sweep, i, state.number);
			reached = true;
		}
	}
	if (place->entry || (!reached && !place->padding))
		search->failed = true;
}

bool vmcall_allowed(const struct sweep *sweep, size_t at)
{
	struct search search = { .states = { { at, 0 } }, .count = 1 };

	for (size_t i = 0; i < search.count && !search.failed; i++)
		step_back_all(&search, sweep, search.states[i]);
	return !search.failed;
}
