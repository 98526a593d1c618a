// SPDX-License-Identifier: GPL-2.0-only
/* elisa.ko: see docs/architecture.md. Here its parts are put together. */
#include <asm/cpufeature.h>
#include <asm/hypervisor.h>
#include <asm/msr.h>
#include <asm/vmx.h>
#include <linux/module.h>

#include "attachment.h"
#include "device.h"
#include "kvm.h"
#include "watchdog.h"

static unsigned long region;
module_param(region, ulong, 0444);
MODULE_PARM_DESC(region, "start of the guest-physical addresses used inside, a multiple of 256 GiB (0: chosen)");
static bool ignore_l1tf;
module_param(ignore_l1tf, bool, 0444);
MODULE_PARM_DESC(ignore_l1tf, "load although this CPU has L1TF, and VMFUNC does not flush the L1 data cache (N)");

static struct elisa_pages pages; /* of elisa_inside */

static int check_cpu(struct elisa_why *why)
{
	u32 low, high;
	u64 ept, functions;

	if (!boot_cpu_has(X86_FEATURE_VMX))
		return elisa_refuse(why, -EOPNOTSUPP, "this CPU has no VT-x, or the firmware has it off");
	rdmsr(MSR_IA32_VMX_PROCBASED_CTLS, low, high);
	if (high & CPU_BASED_ACTIVATE_SECONDARY_CONTROLS)
		rdmsr(MSR_IA32_VMX_PROCBASED_CTLS2, low, high);
	else
		high = 0;
	if (!(high & SECONDARY_EXEC_ENABLE_VMFUNC) || rdmsrl_safe(MSR_IA32_VMX_VMFUNC, &functions) || !(functions & 1))
		return elisa_refuse(why, -EOPNOTSUPP, "this CPU has no EPTP switching (VMFUNC)");
	rdmsrl(MSR_IA32_VMX_EPT_VPID_CAP, ept);
	if (!(ept & VMX_EPT_EXECUTE_ONLY_BIT))
		return elisa_refuse(why, -EOPNOTSUPP, "this CPU's EPT has no execute-only pages");
	if (!(ept & VMX_EPT_EXTENT_GLOBAL_BIT) || !(ept >> 32 & VMX_VPID_EXTENT_SINGLE_CONTEXT_BIT))
		return elisa_refuse(why, -EOPNOTSUPP, "this CPU lacks the INVEPT or INVVPID that is needed");
	if (!boot_cpu_has(X86_FEATURE_GBPAGES))
		return elisa_refuse(why, -EOPNOTSUPP, "this CPU has no pages of 1 GiB");
	/* KVM would keep its VMCSs in memory then, where VMREAD and VMWRITE do not find them. */
	if (hypervisor_is_type(X86_HYPER_MS_HYPERV))
		return elisa_refuse(why, -EOPNOTSUPP, "this host is a guest of Hyper-V, whose VMCS is another one");
	if (boot_cpu_has_bug(X86_BUG_L1TF) && !ignore_l1tf)
		return elisa_refuse(why, -EOPNOTSUPP,
				    "this CPU has L1TF, which VMFUNC does not guard against (ignore_l1tf=1 overrides)");
	return 0;
}

static int __init elisa_init(void)
{
	struct elisa_why why = {};
	int error = check_cpu(&why);

	if (error)
		goto refuse;
	elisa_pages_init(&pages);
	error = elisa_inside_create(&elisa_inside, &pages.allocator, boot_cpu_data.x86_phys_bits, region);
	if (error) {
		elisa_refuse(&why, error,
			     "no room for the addresses used inside: %u address bits, region %#lx (error %d)",
			     boot_cpu_data.x86_phys_bits, region, error);
		goto refuse;
	}
	error = elisa_work_init();
	if (error) {
		elisa_refuse(&why, error, "out of memory");
		goto destroy_inside;
	}
	error = elisa_kvm_init(&why);
	if (error)
		goto uninit_work;
	error = elisa_device_init();
	if (error) {
		elisa_refuse(&why, error, "cannot make /dev/elisa (error %d)", error);
		goto uninit_kvm;
	}
	pr_info("elisa: loaded; addresses used inside begin at %#llx\n", elisa_inside.base);
	return 0;

uninit_kvm:
	elisa_kvm_uninit();
	elisa_vm_forget_all();
	elisa_watchdog_stop();
uninit_work:
	elisa_work_uninit();
destroy_inside:
	elisa_inside_destroy(&elisa_inside);
refuse:
	pr_err("elisa: not loaded: %s\n", why.text);
	return error;
}

/* Only when nothing is attached, no file is open and no vCPU has VM functions on: each of them holds the module. */
static void __exit elisa_exit(void)
{
	elisa_device_uninit();
	elisa_kvm_uninit();
	elisa_vm_forget_all();
	elisa_watchdog_stop();
	elisa_work_uninit();
	elisa_inside_destroy(&elisa_inside);
	WARN_ON(elisa_pages_total() || elisa_memory_pinned());
}

module_init(elisa_init);
module_exit(elisa_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Exit-less, isolated, shared access for virtual machines");
