/* SPDX-License-Identifier: GPL-2.0-only */
/* The current VMCS, read and written raw: in a vCPU's thread, between kvm_entry and kvm_exit or with KVM's VMCS loaded.
 * KVM ends VMX operation under running vCPUs when the host reboots: all of these are #UD then, and do nothing.
 */
#ifndef HOST_VMCS_H
#define HOST_VMCS_H

#include <asm/asm.h>
#include <asm/vmx.h>
#include <linux/types.h>

#define ELISA_VM_FUNCTION_EPTP_SWITCHING 1ull

static inline u64 elisa_vmread(unsigned long field)
{
	unsigned long value = 0;

	asm volatile("1: vmread %1, %0\n2:\n" _ASM_EXTABLE(1b, 2b) : "+r"(value) : "r"(field) : "cc");
	return value;
}

static inline void elisa_vmwrite(unsigned long field, u64 value)
{
	asm volatile("1: vmwrite %0, %1\n2:\n" _ASM_EXTABLE(1b, 2b) : : "r"((unsigned long)value), "r"(field) : "cc");
}

/* SDM, "INVVPID", type 1: all linear and combined mappings of one VPID on this CPU, for every EPTP. */
static inline void elisa_invvpid(u16 vpid)
{
	struct {
		u64 vpid, linear;
	} operand = { vpid, 0 };

	asm volatile("1: invvpid %0, %1\n2:\n" _ASM_EXTABLE(1b, 2b) : : "m"(operand), "r"(1ul) : "cc", "memory");
}

/* SDM, "INVEPT", type 2: all guest-physical and combined mappings on this CPU, for every EPTP. #UD outside VMX
 * operation. */
static inline void elisa_invept_all(void)
{
	struct {
		u64 eptp, reserved;
	} operand = { 0, 0 };

	/* #UD on a CPU that is between setting CR4.VMXE and VMXON: see flush_this_cpu(). */
	asm volatile("1: invept %0, %1\n2:\n" _ASM_EXTABLE(1b, 2b) : : "m"(operand), "r"(2ul) : "cc", "memory");
}

#endif
