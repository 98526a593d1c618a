// SPDX-License-Identifier: GPL-2.0-only
/* A guest that is a hypervisor itself: with CR4.VMXE set, or VMX on, no call is made. */
#include "attack.h"

#include <asm/io.h>
#include <asm/msr.h>
#include <asm/processor-flags.h>
#include <linux/gfp.h>
#include <linux/string.h>

#include "driver.h"

static int vmxon(u64 gpa)
{
	u8 failed;

	asm volatile("vmxon %1\n\tsetna %0" : "=qm"(failed) : "m"(gpa) : "memory", "cc");
	return failed;
}

static void refused(const char *what)
{
	for (unsigned int i = 0; i < 4; i++) {
		prepare(i & 1 ? fault_index : check_index, random() % 8);
		attempt(what);
		if (result() != -EOPNOTSUPP)
			breach(what, "the call has not been refused");
	}
}

/* Nor does anybody attach meanwhile. */
static void attach_again(const char *what)
{
	int error;

	memset(request, 0, sizeof(*request));
	strscpy(request->attach.name, "victim", sizeof(request->attach.name));
	error = ask(ELISA_OP_ATTACH, 0);
	tried++;
	if (error == -EOPNOTSUPP)
		contained++;
	else
		breach(what, "attaching has not been refused");
	if (!error)
		ask(ELISA_OP_DETACH, request->id);
}

int attack_vmx(void)
{
	u32 *vmxon_region = (void *)get_zeroed_page(GFP_KERNEL);
	unsigned long cr4 = get_cr4();
	u64 basic;

	if (!vmxon_region)
		return -ENOMEM;
	if (!(cpuid_ecx(1) & 1 << 5)) {
		free_page((unsigned long)vmxon_region);
		return -EOPNOTSUPP;
	}
	rdmsrl(MSR_IA32_VMX_BASIC, basic);
	vmxon_region[0] = basic;
	for (unsigned int i = 0; i < count; i++) {
		arena_begin();
		set_cr4(cr4 | X86_CR4_VMXE);
		refused("VMXE");
		if (i & 1) {
			if (vmxon(virt_to_phys(vmxon_region)))
				breach("VMX on", "VMXON has failed");
			refused("VMX on");
			attach_again("VMX on");
			asm volatile("vmxoff" : : : "memory", "cc");
			refused("VMX off");
		} else {
			attach_again("VMXE");
		}
		set_cr4(cr4);
		control("vmx");
		arena_end();
	}
	free_page((unsigned long)vmxon_region);
	return 0;
}
