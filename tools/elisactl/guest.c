// SPDX-License-Identifier: MIT
/* What a VM needs. */
#include <stdio.h>
#include <string.h>

#include "doctor.h"

static enum answer not(enum answer answer) { return answer == UNKNOWN ? UNKNOWN : (enum answer) !answer; }

static void check_machine(void)
{
	const char *signature = elisactl_hypervisor();
	enum answer intel = elisactl_cpu_has("vendor_id", "GenuineIntel");

	elisactl_note("VM of KVM", NEEDED, strcmp(signature, "KVMKVMKVM") ? NO : YES,
		      "run this in a VM of KVM; on a host: elisactl doctor host", "hypervisor: %s",
		      signature[0] ? signature : "none");
	elisactl_note("CPU of Intel's", NEEDED, intel, "a host with one: only Intel's CPUs have VMFUNC", "%s",
		      intel == YES ? "GenuineIntel" : "vendor_id in /proc/cpuinfo");
}

static void check_features(void)
{
	enum answer smep = elisactl_cpu_has("flags", "smep"), smap = elisactl_cpu_has("flags", "smap");
	enum answer pcid = elisactl_cpu_has("flags", "pcid"), la57 = elisactl_cpu_has("flags", "la57");
	bool shadow = elisactl_cpu_has("flags", "user_shstk") == YES || elisactl_cpu_has("flags", "ibt") == YES;
	bool fred = elisactl_cpu_has("flags", "fred") == YES, vmx = elisactl_exists("/sys/module/kvm_intel");

	elisactl_note("SMEP", NEEDED, smep, "a CPU model with smep (-cpu host,-pcid), and no nosmep", "%s",
		      smep == YES ? "on" : "off");
	elisactl_note("SMAP", NEEDED, smap, "a CPU model with smap (-cpu host,-pcid), and no nosmap", "%s",
		      smap == YES ? "on" : "off");
	elisactl_note("no PCID", NEEDED, not(pcid), "start the VM with -cpu ...,-pcid, or its kernel with nopcid",
		      "PCID is %s", pcid == YES ? "on" : "off");
	elisactl_note("no VMX in use", NEEDED, vmx ? NO : YES, "rmmod kvm_intel: a vCPU with CR4.VMXE set cannot call",
		      "kvm_intel is %sloaded", vmx ? "" : "not ");
	elisactl_note("no CET", NEEDED, shadow ? NO : YES, "start the VM with -cpu ...,-shstk,-ibt",
		      "shadow stacks and branch tracking are %s", shadow ? "on" : "off");
	elisactl_note("no FRED", NEEDED, fred ? NO : YES, "boot with fred=off", "FRED is %s", fred ? "on" : "off");
	elisactl_note("paging", NEEDED, la57 == UNKNOWN ? UNKNOWN : YES, "", "%s levels",
		      la57 == YES ? "five" : "four");
}

static void check_driver(void)
{
	bool loaded = elisactl_exists("/sys/module/elisa_guest");
	enum answer woken = elisactl_file_has("/proc/interrupts", "ELISA");
	enum answer open = elisactl_file_has("/sys/kernel/security/lockdown", "[none]");

	elisactl_doctor_module("elisa_guest");
	elisactl_note("host with elisa.ko", NEEDED, loaded ? YES : UNKNOWN, "", "%s",
		      loaded ? "it has answered the driver" : "the driver asks it when it is loaded");
	elisactl_doctor_device("elisa_guest");
	/* A kernel without lockdown has no such file; nor has one whose securityfs is not mounted. */
	if (open == UNKNOWN && elisactl_exists("/sys/kernel/security/lsm"))
		open = YES;
	elisactl_note("processes may mask interrupts", NEEDED, open,
		      "boot without lockdown (secure boot, lockdown=): it forbids IOPL 3", "%s",
		      open == YES  ? "the kernel is not locked down"
		      : open == NO ? "the kernel is locked down"
				   : "mount securityfs to know of lockdown");
	if (loaded)
		elisactl_note(
			"interrupt to be woken by", WANTED, woken,
			"a VM with an APIC (x2apic or not) and MSIs; without, clients cannot wait and have to poll",
			"%s", woken == YES ? "ELISA in /proc/interrupts" : "no ELISA in /proc/interrupts");
}

void elisactl_doctor_guest(void)
{
	check_machine();
	check_features();
	check_driver();
	elisactl_doctor_memory();
}
