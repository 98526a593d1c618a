// SPDX-License-Identifier: MIT
/* What each instruction is. What is not named as harmless, or by a category that is, is not let through. */
#include "sweep.h"

static bool names_register(const struct instruction *instruction, bool (*is)(ZydisRegisterClass))
{
	for (unsigned int i = 0; i < instruction->is.operand_count; i++) {
		const ZydisDecodedOperand *operand = &instruction->operands[i];

		if (operand->type == ZYDIS_OPERAND_TYPE_REGISTER && is(ZydisRegisterGetClass(operand->reg.value)))
			return true;
	}
	return false;
}

static bool is_vector(ZydisRegisterClass class)
{
	switch (class) {
	case ZYDIS_REGCLASS_X87:
	case ZYDIS_REGCLASS_MMX:
	case ZYDIS_REGCLASS_XMM:
	case ZYDIS_REGCLASS_YMM:
	case ZYDIS_REGCLASS_ZMM:
	case ZYDIS_REGCLASS_TMM:
	case ZYDIS_REGCLASS_MASK:
		return true;
	default:
		return false;
	}
}

static bool is_segment(ZydisRegisterClass class)
{
	return class == ZYDIS_REGCLASS_SEGMENT;
}

static bool is_control(ZydisRegisterClass class)
{
	return class == ZYDIS_REGCLASS_CONTROL || class == ZYDIS_REGCLASS_DEBUG || class == ZYDIS_REGCLASS_TEST;
}

static bool is_branch(ZydisInstructionCategory category)
{
	return category == ZYDIS_CATEGORY_CALL || category == ZYDIS_CATEGORY_COND_BR ||
	       category == ZYDIS_CATEGORY_UNCOND_BR || category == ZYDIS_CATEGORY_RET;
}

static enum code_rule branch_rule(const struct instruction *instruction)
{
	switch (instruction->is.mnemonic) {
	case ZYDIS_MNEMONIC_XBEGIN:
	case ZYDIS_MNEMONIC_XEND:
	case ZYDIS_MNEMONIC_XABORT:
		return CODE_UNKNOWN;
	default:
		break;
	}
	if (instruction->is.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
		return CODE_SEGMENT;
	if (instruction->is.meta.category == ZYDIS_CATEGORY_RET)
		return instruction->is.mnemonic == ZYDIS_MNEMONIC_RET ? CODE_NONE : CODE_PRIVILEGED;
	return instruction->operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE ? CODE_NONE : CODE_INDIRECT;
}

/* By name, where the category holds both good and bad. */
static enum code_rule named_rule(ZydisMnemonic mnemonic, bool *named)
{
	*named = true;
	switch (mnemonic) {
	case ZYDIS_MNEMONIC_STD:
	case ZYDIS_MNEMONIC_CLI:
	case ZYDIS_MNEMONIC_STI:
	case ZYDIS_MNEMONIC_POPF:
	case ZYDIS_MNEMONIC_POPFD:
	case ZYDIS_MNEMONIC_POPFQ:
	case ZYDIS_MNEMONIC_CLAC:
	case ZYDIS_MNEMONIC_STAC:
		return CODE_FLAGS;
	case ZYDIS_MNEMONIC_EMMS:
	case ZYDIS_MNEMONIC_FWAIT:
	case ZYDIS_MNEMONIC_LDMXCSR:
	case ZYDIS_MNEMONIC_STMXCSR:
	case ZYDIS_MNEMONIC_VLDMXCSR:
	case ZYDIS_MNEMONIC_VSTMXCSR:
	case ZYDIS_MNEMONIC_VZEROALL:
	case ZYDIS_MNEMONIC_VZEROUPPER:
		return CODE_VECTOR;
	case ZYDIS_MNEMONIC_CPUID:
	case ZYDIS_MNEMONIC_INT:
	case ZYDIS_MNEMONIC_INT1:
	case ZYDIS_MNEMONIC_INTO:
		return CODE_SYSTEM;
	case ZYDIS_MNEMONIC_VMFUNC:
		return CODE_VM;
	case ZYDIS_MNEMONIC_RDPKRU:
	case ZYDIS_MNEMONIC_WRPKRU:
	case ZYDIS_MNEMONIC_XGETBV:
		return CODE_STATE;
	/* These end the call, and are meant to: __builtin_trap(), and padding. */
	case ZYDIS_MNEMONIC_INT3:
	case ZYDIS_MNEMONIC_UD2:
	case ZYDIS_MNEMONIC_ENDBR64:
	case ZYDIS_MNEMONIC_ENTER:
	case ZYDIS_MNEMONIC_LEA:
	case ZYDIS_MNEMONIC_LEAVE:
	case ZYDIS_MNEMONIC_LFENCE:
	case ZYDIS_MNEMONIC_MFENCE:
	case ZYDIS_MNEMONIC_SFENCE:
	case ZYDIS_MNEMONIC_PAUSE:
	case ZYDIS_MNEMONIC_XLAT:
	case ZYDIS_MNEMONIC_RDTSC:
	case ZYDIS_MNEMONIC_RDTSCP:
	case ZYDIS_MNEMONIC_CRC32:
	case ZYDIS_MNEMONIC_POPCNT:
	case ZYDIS_MNEMONIC_MOVNTI:
		return CODE_NONE;
	default:
		*named = false;
		return CODE_UNKNOWN;
	}
}

static enum code_rule category_rule(ZydisInstructionCategory category)
{
	switch (category) {
	case ZYDIS_CATEGORY_ADOX_ADCX:
	case ZYDIS_CATEGORY_BINARY:
	case ZYDIS_CATEGORY_BITBYTE:
	case ZYDIS_CATEGORY_BMI1:
	case ZYDIS_CATEGORY_BMI2:
	case ZYDIS_CATEGORY_CMOV:
	case ZYDIS_CATEGORY_CONVERT:
	case ZYDIS_CATEGORY_DATAXFER:
	case ZYDIS_CATEGORY_FLAGOP:
	case ZYDIS_CATEGORY_LOGICAL:
	case ZYDIS_CATEGORY_LZCNT:
	case ZYDIS_CATEGORY_NOP:
	case ZYDIS_CATEGORY_POP:
	case ZYDIS_CATEGORY_PREFETCH:
	case ZYDIS_CATEGORY_PREFETCHWT1:
	case ZYDIS_CATEGORY_PUSH:
	case ZYDIS_CATEGORY_RDRAND:
	case ZYDIS_CATEGORY_RDSEED:
	case ZYDIS_CATEGORY_ROTATE:
	case ZYDIS_CATEGORY_SEMAPHORE:
	case ZYDIS_CATEGORY_SETCC:
	case ZYDIS_CATEGORY_SHIFT:
	case ZYDIS_CATEGORY_STRINGOP:
	case ZYDIS_CATEGORY_WIDENOP:
		return CODE_NONE;
	case ZYDIS_CATEGORY_X87_ALU:
	case ZYDIS_CATEGORY_FCMOV:
	case ZYDIS_CATEGORY_MMX:
	case ZYDIS_CATEGORY_SSE:
	case ZYDIS_CATEGORY_LOGICAL_FP:
		return CODE_VECTOR;
	case ZYDIS_CATEGORY_RDWRFSGS:
	case ZYDIS_CATEGORY_SEGOP:
		return CODE_SEGMENT;
	case ZYDIS_CATEGORY_CET:
	case ZYDIS_CATEGORY_PKU:
	case ZYDIS_CATEGORY_XSAVE:
	case ZYDIS_CATEGORY_XSAVEOPT:
		return CODE_STATE;
	case ZYDIS_CATEGORY_IO:
	case ZYDIS_CATEGORY_IOSTRINGOP:
	case ZYDIS_CATEGORY_SYSTEM:
		return CODE_PRIVILEGED;
	case ZYDIS_CATEGORY_INTERRUPT:
	case ZYDIS_CATEGORY_SYSCALL:
	case ZYDIS_CATEGORY_SYSRET:
		return CODE_SYSTEM;
	case ZYDIS_CATEGORY_VTX:
		return CODE_VM;
	default:
		return CODE_UNKNOWN;
	}
}

enum code_rule instruction_rule(const struct instruction *instruction)
{
	ZydisInstructionCategory category = instruction->is.meta.category;
	enum code_rule rule;
	bool named;

	rule = named_rule(instruction->is.mnemonic, &named);
	if (named && rule != CODE_NONE)
		return rule;
	/* An addressing of memory through FS or GS, be it of one that is only prefetched. */
	if (instruction->is.attributes & (ZYDIS_ATTRIB_HAS_SEGMENT_FS | ZYDIS_ATTRIB_HAS_SEGMENT_GS))
		return CODE_SEGMENT;
	if (named)
		return CODE_NONE;
	if (is_branch(category))
		return branch_rule(instruction);
	rule = category_rule(category);
	if (rule == CODE_VM || rule == CODE_SYSTEM)
		return rule;
	if (instruction->is.attributes & ZYDIS_ATTRIB_IS_PRIVILEGED || names_register(instruction, is_control))
		return CODE_PRIVILEGED;
	if (rule == CODE_STATE || rule == CODE_SEGMENT || rule == CODE_PRIVILEGED)
		return rule;
	if (names_register(instruction, is_vector))
		return CODE_VECTOR;
	return names_register(instruction, is_segment) ? CODE_SEGMENT : rule;
}
