// SPDX-License-Identifier: MIT
#include "check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <elisa/layout.h>

#include "decode.h"

static const struct {
	const char *name, *text;
} rules[GATE_RULES] = {
	[GATE_STORE] = { "store", "writes memory other than the slot's own byte" },
	[GATE_READ] = { "read", "reads memory, where host physical addresses are" },
	[GATE_TRANSFER] = { "transfer",
			    "is unknown to the check, or transfers control in ways that it does not follow" },
	[GATE_OPEN] = { "open", "comes between unlock and VMFUNC, and is no constant for a register" },
	[GATE_TARGET] = { "target", "finds the slot unlocked without EAX = 0, ECX = slot" },
	[GATE_LANDING] = { "landing", "goes into the sub context elsewhere than at the entry" },
	[GATE_ENTER] = { "enter", "is no beginning of an unlock sequence" },
	[GATE_RETURN] = { "return", "is not lock, EAX = ECX = 0, VMFUNC at the very end of the page" },
	[GATE_CONSTANT] = { "constant", "is no part of the two sequences and not int3, or no small constant" },
	[GATE_PURE] = { "pure", "differs between two pages of the generator for the same slot" },
};

const char *gate_rule_name(enum gate_rule rule)
{
	return rules[rule].name;
}

const char *gate_rule_text(enum gate_rule rule)
{
	return rules[rule].text;
}

bool gate_report_has(const struct gate_report *report, enum gate_rule rule)
{
	for (size_t i = 0; i < report->count && i < sizeof(report->findings) / sizeof(report->findings[0]); i++) {
		if (report->findings[i].rule == rule)
			return true;
	}
	return false;
}

static void find(struct gate_report *report, enum gate_rule rule, const struct step *step)
{
	size_t max = sizeof(report->findings) / sizeof(report->findings[0]);

	if (report->count < max) {
		struct gate_finding *finding = &report->findings[report->count];

		finding->rule = rule;
		finding->offset = step->offset;
		step_print(step, finding->text, sizeof(finding->text));
	}
	report->count++;
}

/* Constants of the page are small: nothing of a host's address fits in. */
static bool small(const struct step *step)
{
	for (unsigned int i = 0; i < step->instruction.operand_count; i++) {
		const ZydisDecodedOperand *operand = &step->operands[i];

		if (operand->type == ZYDIS_OPERAND_TYPE_IMMEDIATE && operand->size > 8 && operand->imm.value.u > 0xff)
			return false;
		if (operand->type == ZYDIS_OPERAND_TYPE_MEMORY && (uint64_t)operand->mem.disp.value > 0xff)
			return false;
	}
	return true;
}

/*
 * Follow the page from @offset, where nothing is known of the registers, to the first VMFUNC. Only constants for
 * registers may come before it. False, with the step that is in the way, when it does not get there.
 *
 * VMFUNC fails unless EAX is 0, and the host ends the call and locks the slot. So where EAX is left alone, its being 0
 * can be taken for granted: what is built from it is a constant in every call that goes on. (The upper half of RAX need
 * not be 0; it has no influence on the lower halves of what is understood here: moves, sums, products.)
 */
static bool follow(const uint8_t *page, unsigned int slot, unsigned int offset, struct gate_report *report,
		   struct constants *constants, struct step *step)
{
	struct constants given = { .known[0] = true };
	bool left_alone = true;

	*constants = (struct constants){};
	for (;; offset += step->length) {
		step_decode(page, slot, offset, step);
		if (step->kind == STEP_VMFUNC)
			break;
		if (step->kind != STEP_PLAIN)
			return false;
		if (!small(step))
			find(report, GATE_CONSTANT, step);
		left_alone = left_alone && !step_writes(step, ZYDIS_REGISTER_RAX);
		constants_step(constants, step);
		constants_step(&given, step);
	}
	if (left_alone)
		*constants = given;
	return true;
}

/* VMFUNC goes to @target with what is known, or it fails. */
static bool goes_to(const struct constants *constants, unsigned int target)
{
	return constants_are(constants, ZYDIS_REGISTER_EAX, 0) && constants_are(constants, ZYDIS_REGISTER_ECX, target);
}

/*
 * The unlock at @unlock was carried out: the only moments with the slot unlocked. No jump is accepted, be it a harmless
 * one, so one straight line is all there is.
 */
static void check_unlocked(const uint8_t *page, unsigned int slot, const struct step *unlock,
			   struct gate_report *report)
{
	struct constants constants;
	struct step step;

	if (!follow(page, slot, unlock->offset + unlock->length, report, &constants, &step)) {
		find(report, GATE_OPEN, &step);
		return;
	}
	if (!goes_to(&constants, slot))
		find(report, GATE_TARGET, &step);
	if (step.offset + step.length != ELISA_ENTER)
		find(report, GATE_LANDING, &step);
}

/* Code that is not vetted comes here with the slot unlocked. Nothing that it brings along decides where it goes. */
static void check_return(const uint8_t *page, unsigned int slot, struct gate_report *report)
{
	struct constants constants;
	struct step step;

	step_decode(page, slot, ELISA_RETURN, &step);
	if (step.kind != STEP_LOCK) {
		find(report, GATE_RETURN, &step);
		return;
	}
	if (!follow(page, slot, step.offset + step.length, report, &constants, &step) || !goes_to(&constants, 0) ||
	    step.offset + step.length != ELISA_PAGE)
		find(report, GATE_RETURN, &step);
}

/* Each byte is a landing, and the target of every jump: with the slot locked, registers unknown. */
static void check_landings(const uint8_t *page, unsigned int slot, struct gate_report *report)
{
	struct step step;

	for (unsigned int offset = 0; offset < ELISA_PAGE; offset++) {
		step_decode(page, slot, offset, &step);
		switch (step.kind) {
		case STEP_WRITE:
			find(report, GATE_STORE, &step);
			break;
		case STEP_READ:
			find(report, GATE_READ, &step);
			break;
		case STEP_UNKNOWN:
			find(report, GATE_TRANSFER, &step);
			break;
		case STEP_UNLOCK:
			check_unlocked(page, slot, &step, report);
			break;
		case STEP_END:    /* aborted, with the slot locked */
		case STEP_PLAIN:  /* to the next byte, a landing itself */
		case STEP_JUMP:   /* to a landing, or to where nothing can be executed */
		case STEP_VMFUNC: /* to where a guest in the default context could go as well */
		case STEP_LOCK:
			break;
		}
	}
}

bool gate_check(const uint8_t *page, unsigned int slot, struct gate_report *report)
{
	struct step step;

	report->count = 0;
	step_decode(page, slot, 0, &step);
	if (step.kind != STEP_UNLOCK)
		find(report, GATE_ENTER, &step);
	check_landings(page, slot, report);
	check_return(page, slot, report);
	for (unsigned int offset = ELISA_ENTER; offset < ELISA_RETURN; offset++) {
		if (page[offset] != 0xcc) {
			step_decode(page, slot, offset, &step);
			find(report, GATE_CONSTANT, &step);
			break;
		}
	}
	return report->count == 0;
}

bool gate_check_generator(void (*fill)(uint8_t *page, unsigned int slot), unsigned int slot, struct gate_report *report)
{
	uint8_t page[ELISA_PAGE], again[ELISA_PAGE];

	memset(page, 0, sizeof(page));
	memset(again, 0xff, sizeof(again));
	fill(page, slot);
	fill(again, slot);
	gate_check(page, slot, report);
	for (unsigned int offset = 0; offset < ELISA_PAGE; offset++) {
		if (page[offset] != again[offset]) {
			struct step step;

			step_decode(page, slot, offset, &step);
			find(report, GATE_PURE, &step);
			break;
		}
	}
	return report->count == 0;
}
