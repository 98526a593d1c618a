// SPDX-License-Identifier: MIT
#include "check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <elisa/layout.h>

#include "sweep.h"

static const struct {
	const char *name, *text;
} rules[CODE_RULES] = {
	[CODE_NONE] = { "none", "" },
	[CODE_DECODE] = { "decode", "is no instruction, or is cut off by the next function or the end" },
	[CODE_TARGET] = { "target", "goes out of the code, or into the middle of an instruction" },
	[CODE_INDIRECT] = { "indirect", "branches through a register or memory without a retpoline" },
	[CODE_SEGMENT] = { "segment", "uses segment registers, which are the caller's" },
	[CODE_VECTOR] = { "vector", "uses x87 or vector registers, which are the caller's" },
	[CODE_FLAGS] = { "flags", "changes flags that are the caller's" },
	[CODE_STATE] = { "state", "uses state of the CPU that is the caller's" },
	[CODE_PRIVILEGED] = { "privileged", "is for kernels only" },
	[CODE_SYSTEM] = { "system", "leaves for a kernel, and there is none inside" },
	[CODE_VM] = { "vm", "leaves the context; only a lock's or elisa_notify()'s VMCALL may" },
	[CODE_UNKNOWN] = { "unknown", "is not known to be harmless" },
};

const char *code_rule_name(enum code_rule rule)
{
	return rules[rule].name;
}

const char *code_rule_text(enum code_rule rule)
{
	return rules[rule].text;
}

const struct code_function *code_function_at(const struct code *code, uint64_t offset)
{
	const struct code_function *found = NULL;

	for (size_t i = 0; i < code->count && code->functions[i].offset <= offset; i++)
		found = &code->functions[i];
	return found;
}

bool sweep_decode(const struct code *code, uint64_t offset, size_t limit, struct instruction *instruction)
{
	ZydisDecoder decoder;

	return ZYAN_SUCCESS(ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)) &&
	       ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code->bytes + offset, limit, &instruction->is,
						   instruction->operands));
}

static int compare(const void *key, const void *element)
{
	uint64_t offset = *(const uint64_t *)key;
	const struct place *place = element;

	return offset < place->offset ? -1 : offset > place->offset;
}

long sweep_find(const struct sweep *sweep, uint64_t offset)
{
	const struct place *found = bsearch(&offset, sweep->places, sweep->count, sizeof(*found), compare);

	return found ? (long)(found - sweep->places) : -1;
}

static bool falls_through(const struct instruction *instruction)
{
	switch (instruction->is.mnemonic) {
	case ZYDIS_MNEMONIC_JMP:
	case ZYDIS_MNEMONIC_RET:
	case ZYDIS_MNEMONIC_UD2:
	case ZYDIS_MNEMONIC_INT3:
		return false;
	default:
		return true;
	}
}

static void fill(struct place *place, const struct instruction *instruction)
{
	const ZydisDecodedOperand *to = &instruction->operands[0];

	place->decoded = true;
	place->length = instruction->is.length;
	place->falls_through = falls_through(instruction);
	place->padding = instruction->is.mnemonic == ZYDIS_MNEMONIC_NOP;
	if (instruction->is.operand_count && to->type == ZYDIS_OPERAND_TYPE_IMMEDIATE && to->imm.is_relative)
		place->target = place->offset + place->length + to->imm.value.u;
}

/* From one function to the next, so that what lies between them, or is no code, does not hide a function's beginning.
 */
static int sweep_code(const struct code *code, struct sweep *sweep)
{
	struct instruction instruction;
	size_t next = 0;

	*sweep = (struct sweep){ .code = code, .places = calloc(code->size + 1, sizeof(*sweep->places)) };
	if (!sweep->places)
		return -ENOMEM;
	for (uint64_t offset = 0; offset < code->size; sweep->count++) {
		struct place *place = &sweep->places[sweep->count];
		uint64_t limit = code->size;

		*place = (struct place){ .offset = offset, .target = NO_TARGET };
		for (; next < code->count && code->functions[next].offset <= offset; next++)
			place->entry = true;
		if (next < code->count && code->functions[next].offset < limit)
			limit = code->functions[next].offset;
		/* After what is none, the next function is the first thing that is known to be one. */
		place->length = (unsigned int)(limit - offset);
		if (sweep_decode(code, offset, limit - offset, &instruction))
			fill(place, &instruction);
		offset += place->length;
	}
	return 0;
}

static void find(struct code_report *report, enum code_rule rule, const struct code *code, const struct place *place,
		 const struct instruction *instruction)
{
	size_t max = sizeof(report->findings) / sizeof(report->findings[0]);
	struct code_finding *finding;
	ZydisFormatter formatter;

	if (report->count++ >= max)
		return;
	finding = &report->findings[report->count - 1];
	*finding = (struct code_finding){ .rule = rule, .offset = place->offset };
	if (!place->decoded)
		snprintf(finding->text, sizeof(finding->text), "(byte %#x)", code->bytes[place->offset]);
	else if (!ZYAN_SUCCESS(ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_ATT)) ||
		 !ZYAN_SUCCESS(ZydisFormatterFormatInstruction(
			 &formatter, &instruction->is, instruction->operands, instruction->is.operand_count_visible,
			 finding->text, sizeof(finding->text), ELISA_BASE + ELISA_CODE_OFFSET + place->offset,
			 ZYAN_NULL)))
		snprintf(finding->text, sizeof(finding->text), "(no text)");
}

static enum code_rule place_rule(const struct sweep *sweep, size_t at, struct instruction *instruction)
{
	const struct place *place = &sweep->places[at];
	enum code_rule rule;

	if (!place->decoded || !sweep_decode(sweep->code, place->offset, place->length, instruction))
		return CODE_DECODE;
	rule = instruction_rule(instruction);
	if (rule == CODE_VM && instruction->is.mnemonic == ZYDIS_MNEMONIC_VMCALL && vmcall_allowed(sweep, at))
		rule = CODE_NONE;
	if (rule == CODE_NONE && place->target != NO_TARGET && sweep_find(sweep, place->target) < 0)
		rule = CODE_TARGET;
	return rule;
}

int code_check(const struct code *code, struct code_report *report)
{
	struct instruction instruction;
	struct sweep sweep;
	int error;

	memset(report, 0, sizeof(*report));
	error = sweep_code(code, &sweep);
	if (error)
		return error;
	report->instructions = sweep.count;
	for (size_t i = 0; i < sweep.count; i++) {
		enum code_rule rule = place_rule(&sweep, i, &instruction);

		if (rule != CODE_NONE)
			find(report, rule, code, &sweep.places[i], &instruction);
	}
	free(sweep.places);
	return 0;
}
