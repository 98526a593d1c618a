// SPDX-License-Identifier: MIT
#include "decode.h"

#include <stdio.h>

#include <elisa/layout.h>

/* Instructions without memory operands that do nothing but compute in registers. All others have to be known by name.
 */
static bool computes(ZydisInstructionCategory category)
{
	switch (category) {
	case ZYDIS_CATEGORY_BINARY:
	case ZYDIS_CATEGORY_BITBYTE:
	case ZYDIS_CATEGORY_CMOV:
	case ZYDIS_CATEGORY_CONVERT:
	case ZYDIS_CATEGORY_DATAXFER:
	case ZYDIS_CATEGORY_FCMOV:
	case ZYDIS_CATEGORY_FLAGOP:
	case ZYDIS_CATEGORY_LOGICAL:
	case ZYDIS_CATEGORY_NOP:
	case ZYDIS_CATEGORY_ROTATE:
	case ZYDIS_CATEGORY_SEMAPHORE:
	case ZYDIS_CATEGORY_SETCC:
	case ZYDIS_CATEGORY_SHIFT:
	case ZYDIS_CATEGORY_WIDENOP:
	case ZYDIS_CATEGORY_X87_ALU:
		return true;
	default:
		return false;
	}
}

/*
 * Ends in a fault or an exit. An interrupt, SYSCALL and the like find no handler inside that could run: an exception
 * there is a triple fault. Ports exit, and so do the others named here.
 */
static bool ends(const ZydisDecodedInstruction *instruction)
{
	if (instruction->attributes & ZYDIS_ATTRIB_IS_PRIVILEGED)
		return true;
	switch (instruction->mnemonic) {
	case ZYDIS_MNEMONIC_CPUID:
	case ZYDIS_MNEMONIC_HLT:
	case ZYDIS_MNEMONIC_IN:
	case ZYDIS_MNEMONIC_INT:
	case ZYDIS_MNEMONIC_INT1:
	case ZYDIS_MNEMONIC_INT3:
	case ZYDIS_MNEMONIC_OUT:
	case ZYDIS_MNEMONIC_SYSCALL:
	case ZYDIS_MNEMONIC_SYSENTER:
	case ZYDIS_MNEMONIC_UD0:
	case ZYDIS_MNEMONIC_UD1:
	case ZYDIS_MNEMONIC_UD2:
	case ZYDIS_MNEMONIC_VMCALL:
		return true;
	default:
		return false;
	}
}

/* The one form of a store that is allowed: movb $imm8, disp32(%rip), without any prefix, to the lowest byte of the
 * slot. */
static enum step_kind store_kind(const struct step *step, unsigned int slot)
{
	const ZydisDecodedInstruction *instruction = &step->instruction;
	const ZydisDecodedOperand *to = &step->operands[0], *from = &step->operands[1];
	ZyanU64 address;

	if (instruction->mnemonic != ZYDIS_MNEMONIC_MOV || instruction->length != 7 || instruction->opcode != 0xc6 ||
	    instruction->raw.prefix_count != 0 || to->type != ZYDIS_OPERAND_TYPE_MEMORY ||
	    to->mem.base != ZYDIS_REGISTER_RIP || to->size != 8 || from->type != ZYDIS_OPERAND_TYPE_IMMEDIATE)
		return STEP_WRITE;
	if (!ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(instruction, to, ELISA_GATE + step->offset, &address)) ||
	    address != ELISA_BASE + ELISA_LIST_OFFSET + 8 * slot)
		return STEP_WRITE;
	switch (from->imm.value.u & 0xff) {
	case ELISA_EPTP_OPEN:
		return STEP_UNLOCK;
	case ELISA_EPTP_LOCKED:
		return STEP_LOCK;
	default:
		return STEP_WRITE;
	}
}

static enum step_kind memory_kind(const struct step *step, unsigned int slot)
{
	enum step_kind kind = STEP_PLAIN;

	for (unsigned int i = 0; i < step->instruction.operand_count; i++) {
		const ZydisDecodedOperand *operand = &step->operands[i];

		if (operand->type != ZYDIS_OPERAND_TYPE_MEMORY || operand->mem.type == ZYDIS_MEMOP_TYPE_AGEN)
			continue;
		if (operand->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
			return store_kind(step, slot);
		kind = STEP_READ;
	}
	return kind;
}

static bool is_near(const ZydisDecodedInstruction *instruction)
{
	return instruction->meta.branch_type == ZYDIS_BRANCH_TYPE_SHORT ||
	       instruction->meta.branch_type == ZYDIS_BRANCH_TYPE_NEAR;
}

static enum step_kind step_kind(const struct step *step, unsigned int slot)
{
	const ZydisDecodedInstruction *instruction = &step->instruction;
	enum step_kind memory;

	if (ends(instruction))
		return STEP_END;
	memory = memory_kind(step, slot);
	if (memory != STEP_PLAIN)
		return memory;
	switch (instruction->meta.category) {
	case ZYDIS_CATEGORY_COND_BR:
	case ZYDIS_CATEGORY_UNCOND_BR:
		return is_near(instruction) && instruction->mnemonic != ZYDIS_MNEMONIC_XBEGIN ? STEP_JUMP
											      : STEP_UNKNOWN;
	default:
		break;
	}
	switch (instruction->mnemonic) {
	case ZYDIS_MNEMONIC_VMFUNC:
		return STEP_VMFUNC;
	case ZYDIS_MNEMONIC_LEA:
	case ZYDIS_MNEMONIC_PAUSE:
		return STEP_PLAIN;
	default:
		return computes(instruction->meta.category) ? STEP_PLAIN : STEP_UNKNOWN;
	}
}

void step_decode(const uint8_t *page, unsigned int slot, unsigned int offset, struct step *step)
{
	ZydisDecoder decoder;

	*step = (struct step){ .kind = STEP_END, .offset = offset };
	if (offset >= ELISA_PAGE ||
	    !ZYAN_SUCCESS(ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)))
		return;
	/* An instruction that the end of the page cuts off cannot be fetched. */
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, page + offset, ELISA_PAGE - offset, &step->instruction,
						 step->operands)))
		return;
	step->length = step->instruction.length;
	step->kind = step_kind(step, slot);
}

void step_print(const struct step *step, char *text, unsigned int bytes)
{
	ZydisFormatter formatter;

	if (step->length == 0 || !ZYAN_SUCCESS(ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_ATT)) ||
	    !ZYAN_SUCCESS(ZydisFormatterFormatInstruction(&formatter, &step->instruction, step->operands,
							  step->instruction.operand_count_visible, text, bytes,
							  ELISA_GATE + step->offset, ZYAN_NULL)))
		snprintf(text, bytes, "(no instruction)");
}

/* The 64-bit register's number that @reg is a part of, or -1. */
static int register_number(ZydisRegister reg)
{
	ZydisRegister whole = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);

	return whole >= ZYDIS_REGISTER_RAX && whole <= ZYDIS_REGISTER_R15 ? (int)(whole - ZYDIS_REGISTER_RAX) : -1;
}

bool step_writes(const struct step *step, ZydisRegister reg)
{
	for (unsigned int i = 0; i < step->instruction.operand_count; i++) {
		const ZydisDecodedOperand *operand = &step->operands[i];

		if (operand->type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    operand->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE &&
		    register_number(operand->reg.value) == register_number(reg))
			return true;
	}
	return false;
}

/* An operand's value, as far as it is a constant; wide parts of registers and AH to DH are not looked at. */
static bool operand_value(const struct constants *constants, const ZydisDecodedOperand *operand, uint64_t *value)
{
	int number;

	if (operand->type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
		*value = operand->imm.value.u;
		return true;
	}
	if (operand->type == ZYDIS_OPERAND_TYPE_MEMORY) { /* of LEA */
		int base = register_number(operand->mem.base), index = register_number(operand->mem.index);

		if ((operand->mem.base != ZYDIS_REGISTER_NONE && (base < 0 || !constants->known[base])) ||
		    (operand->mem.index != ZYDIS_REGISTER_NONE && (index < 0 || !constants->known[index])))
			return false;
		*value = (base < 0 ? 0 : constants->value[base]) +
			 (index < 0 ? 0 : constants->value[index]) * operand->mem.scale +
			 (uint64_t)operand->mem.disp.value;
		return true;
	}
	if (operand->type != ZYDIS_OPERAND_TYPE_REGISTER || operand->size < 32)
		return false;
	number = register_number(operand->reg.value);
	if (number < 0 || !constants->known[number])
		return false;
	*value = constants->value[number];
	return true;
}

static void set(struct constants *constants, const ZydisDecodedOperand *to, uint64_t value)
{
	int number = register_number(to->reg.value);

	if (to->size == 32 || to->size == 64) {
		constants->known[number] = true;
		constants->value[number] = to->size == 32 ? (uint32_t)value : value;
	} else if (constants->known[number] && to->size == 8 && to->reg.value <= ZYDIS_REGISTER_BL) {
		constants->value[number] = (constants->value[number] & ~0xffull) | (value & 0xff);
	} else {
		constants->known[number] = false;
	}
}

void constants_step(struct constants *constants, const struct step *step)
{
	const ZydisDecodedOperand *operands = step->operands;
	bool zeroes, moves;
	uint64_t value = 0;

	zeroes = (step->instruction.mnemonic == ZYDIS_MNEMONIC_XOR ||
		  step->instruction.mnemonic == ZYDIS_MNEMONIC_SUB) &&
		 operands[0].type == ZYDIS_OPERAND_TYPE_REGISTER && operands[1].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		 operands[0].reg.value == operands[1].reg.value;
	moves = (step->instruction.mnemonic == ZYDIS_MNEMONIC_MOV ||
		 step->instruction.mnemonic == ZYDIS_MNEMONIC_LEA) &&
		operands[0].type == ZYDIS_OPERAND_TYPE_REGISTER && register_number(operands[0].reg.value) >= 0 &&
		operand_value(constants, &operands[1], &value);
	if (zeroes || moves) {
		set(constants, &operands[0], value);
		return;
	}
	for (unsigned int i = 0; i < 16; i++) {
		if (step_writes(step, ZYDIS_REGISTER_RAX + i))
			constants->known[i] = false;
	}
}

bool constants_are(const struct constants *constants, ZydisRegister reg, uint32_t value)
{
	int number = register_number(reg);

	return constants->known[number] && (uint32_t)constants->value[number] == value;
}
