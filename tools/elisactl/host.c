// SPDX-License-Identifier: MIT
/* What a host needs. */
#include <stdio.h>
#include <string.h>

#include "doctor.h"

#define OLD_CPU "a CPU with it: Intel's Haswell or later"

/* SDM, volume 3, appendix "VMX Capability Reporting Facility". */
#define MSR_PROCBASED_CTLS 0x482
#define MSR_PROCBASED_CTLS2 0x48b
#define MSR_EPT_VPID_CAP 0x48c
#define MSR_VMFUNC 0x491

/* A capability: a bit of an MSR, or a word in cpuinfo if MSRs cannot be read. */
struct capability {
	const char *name;
	const char *word; /* among the "vmx flags"; NULL: Linux does not show it there */
	uint32_t msr;
	unsigned int bit;
};

/* Whether secondary controls are there at all decides whether the MSRs that tell of them are. */
static enum answer ask_msr(const struct capability *capability)
{
	uint64_t value;

	if (!elisactl_msr(MSR_PROCBASED_CTLS, &value))
		return UNKNOWN;
	if (!(value >> 63))
		return NO;
	return elisactl_msr(capability->msr, &value) ? (enum answer)(value >> capability->bit & 1)
	       : capability->msr == MSR_VMFUNC       ? NO
						     : UNKNOWN;
}

static void note_capability(const struct capability *capability)
{
	enum answer answer = ask_msr(capability);
	const char *source = "says the CPU (VMX MSRs)";

	if (answer == UNKNOWN && capability->word) {
		answer = elisactl_cpu_has("vmx flags", capability->word);
		source = "says /proc/cpuinfo";
	}
	if (answer == UNKNOWN && elisactl_exists("/sys/module/elisa")) {
		answer = YES;
		source = "elisa.ko has loaded, which needs it";
	}
	if (answer == UNKNOWN)
		source = "ask again as root, after modprobe msr";
	elisactl_note(capability->name, NEEDED, answer, OLD_CPU, "%s", source);
}

static void check_cpu(void)
{
	static const struct capability capabilities[] = {
		{ "EPT", "ept", MSR_PROCBASED_CTLS2, 32 + 1 },
		{ "VMFUNC", NULL, MSR_PROCBASED_CTLS2, 32 + 13 },
		{ "EPTP switching", NULL, MSR_VMFUNC, 0 },
		{ "execute-only EPT", "ept_x_only", MSR_EPT_VPID_CAP, 0 },
		{ "INVEPT of all contexts", NULL, MSR_EPT_VPID_CAP, 26 },
		{ "INVVPID of one context", "invvpid", MSR_EPT_VPID_CAP, 32 + 9 },
	};
	enum answer intel = elisactl_cpu_has("vendor_id", "GenuineIntel"), vmx = elisactl_cpu_has("flags", "vmx");

	elisactl_note("CPU of Intel's", NEEDED, intel, "another machine: only Intel's CPUs have VMFUNC", "%s",
		      intel == YES ? "GenuineIntel" : "vendor_id in /proc/cpuinfo");
	elisactl_note(
		"VT-x", NEEDED, vmx,
		"switch it on in the firmware's set-up (VT-x, Intel Virtualization Technology); in a VM: nested VMX",
		"%s", vmx == YES ? "on" : "no vmx in the flags of /proc/cpuinfo");
	for (unsigned int i = 0; vmx == YES && i < sizeof(capabilities) / sizeof(capabilities[0]); i++)
		note_capability(&capabilities[i]);
	elisactl_note("pages of 1 GiB", NEEDED, elisactl_cpu_has("flags", "pdpe1gb"), OLD_CPU,
		      "pdpe1gb in /proc/cpuinfo");
}

static void check_l1tf(void)
{
	const char *state = elisactl_line("/sys/devices/system/cpu/vulnerabilities/l1tf");
	bool ignored = elisactl_file_has("/sys/module/elisa/parameters/ignore_l1tf", "Y") == YES;
	static char said[256];

	if (!state) {
		elisactl_note("no L1TF", NEEDED, UNKNOWN, "", "the kernel does not say");
		return;
	}
	/* The line is that of the next file then. */
	snprintf(said, sizeof(said), "%s", state);
	if (!strcmp(said, "Not affected"))
		elisactl_note("no L1TF", NEEDED, YES, "", "%s", said);
	else if (ignored)
		elisactl_note("no L1TF", NEEDED, YES, "", "it has, but elisa.ko was told ignore_l1tf=1");
	else
		elisactl_note(
			"no L1TF", NEEDED, NO,
			"a CPU without it: VMFUNC does not flush the L1 cache (elisa.ko's ignore_l1tf=1 overrides)",
			"%s", said);
}

static void check_kvm(void)
{
	bool loaded = elisactl_exists("/sys/module/kvm_intel");
	bool module = elisactl_exists("/sys/module/kvm_intel/initstate");
	enum answer ept = elisactl_file_has("/sys/module/kvm_intel/parameters/ept", "Y");

	elisactl_note("kvm_intel", NEEDED, loaded && module ? YES : NO,
		      loaded ? "a kernel that has it as a module: its functions are led through elisa.ko"
			     : "modprobe kvm_intel",
		      "%s",
		      !loaded  ? "not loaded"
		      : module ? "loaded"
			       : "built into the kernel");
	if (loaded)
		elisactl_note("kvm_intel with EPT", NEEDED, ept, "load kvm_intel with ept=1", "parameter ept is %s",
			      ept == YES  ? "Y"
			      : ept == NO ? "N"
					  : "unreadable");
}

/* All that host/kvm.c looks up; a unit test compares. */
static const char *const symbols[] = {
	"kallsyms_lookup_name",
	"vmx_handle_exit",
	"__tracepoint_kvm_entry",
	"__tracepoint_kvm_exit",
	"__kvm_set_memory_region",
	"kvm_vcpu_kick",
	"kvm_put_kvm",
	"kvm_vcpu_yield_to",
	"kvm_set_msi",
	"__module_address",
	"__SCK__kvm_x86_handle_exit",
	"__SCT__kvm_x86_handle_exit",
	"__SCK__kvm_x86_vm_destroy",
	"__SCT__kvm_x86_vm_destroy",
	"tdp_enabled",
};
#define SYMBOLS (sizeof(symbols) / sizeof(symbols[0]))

static void check_symbols(void)
{
	FILE *file = elisactl_file("/proc/kallsyms");
	bool there[SYMBOLS] = { 0 }, kprobes = false, any = false;
	unsigned int found = 0;
	char line[512], missing[256] = "";

	while (file && fgets(line, sizeof(line), file)) {
		char *name = strchr(line, ' ');

		name = name ? strchr(name + 1, ' ') : NULL;
		if (!name)
			continue;
		name++;
		name[strcspn(name, "\t\n")] = 0;
		any = true;
		kprobes |= !strcmp(name, "register_kprobe");
		for (unsigned int i = 0; i < SYMBOLS; i++)
			if (name[2] == symbols[i][2] && !strcmp(name, symbols[i]) && !there[i]) {
				there[i] = true;
				found++;
			}
	}
	if (file)
		fclose(file);
	for (unsigned int i = 0; i < SYMBOLS; i++)
		if (!there[i])
			snprintf(missing + strlen(missing), sizeof(missing) - strlen(missing), "%s%s",
				 missing[0] ? ", " : "", symbols[i]);
	elisactl_note("kprobes", NEEDED, any ? (enum answer)kprobes : UNKNOWN, "a kernel with CONFIG_KPROBES", "%s",
		      any ? "register_kprobe in /proc/kallsyms" : "/proc/kallsyms cannot be read");
	if (!any || !elisactl_exists("/sys/module/kvm_intel"))
		elisactl_note("KVM's functions", NEEDED, UNKNOWN, "", "%s",
			      any ? "load kvm_intel first" : "/proc/kallsyms cannot be read");
	else if (found == SYMBOLS)
		elisactl_note("KVM's functions", NEEDED, YES, "", "all %zu that elisa.ko looks up", SYMBOLS);
	else
		elisactl_note("KVM's functions", NEEDED, NO, "a kernel that is supported: Debian 12's or 13's",
			      "missing: %s", missing);
}

void elisactl_doctor_host(void)
{
	check_cpu();
	check_l1tf();
	check_kvm();
	check_symbols();
	elisactl_doctor_module("elisa");
	elisactl_doctor_device("elisa");
	elisactl_doctor_memory();
}
