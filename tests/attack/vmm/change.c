// SPDX-License-Identifier: MIT
/* Everything but general registers of a vCPU that was interrupted inside. */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "change.h"

#define CODE (ELISA_BASE + ELISA_CODE_OFFSET)
#define EXTERNAL_VECTOR 0x40

static int set_sregs(struct cpu *cpu, struct kvm_sregs *sregs)
{
	return ioctl(cpu->fd, KVM_SET_SREGS, sregs);
}

/* --- CR3 */

/* Page tables that say the same, in the shared buffer: the call must not go on under another CR3 than it had. */
static int cr3_to_buffer(struct cpu *cpu, const struct state *now)
{
	struct kvm_sregs sregs = now->sregs;

	memcpy(cpu->machine->buffer, cpu->machine->memory + TABLES, ELISA_PAGE);
	sregs.cr3 = BUFFER_GPA;
	return set_sregs(cpu, &sregs);
}

static int cr3_into_region(struct cpu *cpu, const struct state *now)
{
	struct kvm_sregs sregs = now->sregs;

	sregs.cr3 = cpu->machine->region + (below(2) ? below(64) : below(1 << 25)) * ELISA_PAGE;
	return set_sregs(cpu, &sregs);
}

static int cr3_there_and_back(struct cpu *cpu, const struct state *now)
{
	struct kvm_sregs sregs = now->sregs;

	return cr3_to_buffer(cpu, now) || set_sregs(cpu, &sregs);
}

/* --- other control registers */

static int control(struct cpu *cpu, const struct state *now, uint64_t cr0, uint64_t cr4, uint64_t efer)
{
	struct kvm_sregs sregs = now->sregs;

	sregs.cr0 ^= cr0;
	sregs.cr4 ^= cr4;
	sregs.efer ^= efer;
	return set_sregs(cpu, &sregs);
}

static int no_smep(struct cpu *cpu, const struct state *now)
{
	return control(cpu, now, 0, 1 << 20, 0);
}

static int no_smap(struct cpu *cpu, const struct state *now)
{
	return control(cpu, now, 0, 1 << 21, 0);
}

static int pcid(struct cpu *cpu, const struct state *now)
{
	return control(cpu, now, 0, 1 << 17, 0);
}

/* Those that KVM accepts end the call. Not MCE, which is the host's, and UMIP, which KVM emulates where there is none.
 */
static int any_cr4(struct cpu *cpu, const struct state *now)
{
	uint64_t bit = below(24);

	return control(cpu, now, 0, 1ul << (bit == 6 || bit == 11 ? 0 : bit), 0);
}

static int any_cr0(struct cpu *cpu, const struct state *now)
{
	static const uint8_t bits[] = { 1, 2, 3, 16, 18 };

	return control(cpu, now, 1ul << bits[below(sizeof(bits))], 0, 0);
}

/* NE, NW, CD: KVM shows them to the guest, and keeps them from the CPU. */
static int shown_cr0(struct cpu *cpu, const struct state *now)
{
	static const uint32_t bits[] = { 1u << 5, 1u << 30, 3u << 29 };

	return control(cpu, now, bits[below(3)], 0, 0);
}

static int paging_off(struct cpu *cpu, const struct state *now)
{
	return control(cpu, now, 1ul << 31, 0, 1 << 10);
}

static int any_efer(struct cpu *cpu, const struct state *now)
{
	static const uint8_t bits[] = { 0, 11 };

	return control(cpu, now, 0, 0, 1ul << bits[below(sizeof(bits))]);
}

/* --- segments */

static int compatibility_mode(struct cpu *cpu, const struct state *now)
{
	struct kvm_sregs sregs = now->sregs;

	sregs.cs.l = 0;
	sregs.cs.db = 1;
	return set_sregs(cpu, &sregs);
}

static int privileged(struct cpu *cpu, const struct state *now)
{
	struct kvm_sregs sregs = now->sregs;

	sregs.cs = cpu->kept.sregs.cs;
	sregs.ss = cpu->kept.sregs.ss;
	return set_sregs(cpu, &sregs);
}

/* With one of these the CPU refuses to enter the guest at all, after the call's state was put back. */
static int invalid_segment(struct cpu *cpu, const struct state *now)
{
	struct kvm_sregs sregs = now->sregs;

	switch (below(5)) {
	case 0:
		sregs.cs.db = 1;
		break;
	case 1:
		sregs.tr.type = 3;
		break;
	case 2:
		sregs.tr.present = 0;
		break;
	case 3:
		sregs.fs.base = 1ull << 63;
		break;
	default:
		sregs.gdt.base = 1ull << 63;
	}
	return set_sregs(cpu, &sregs);
}

static int tables_inside(struct cpu *cpu, const struct state *now)
{
	struct kvm_sregs sregs = now->sregs;

	sregs.idt.base = ELISA_BASE + ELISA_BUFFER_OFFSET;
	sregs.gdt.base = ELISA_BASE + ELISA_STACK_OFFSET;
	sregs.tr.base = ELISA_BASE + ELISA_LIST_OFFSET;
	return set_sregs(cpu, &sregs);
}

/* --- events */

static int event(struct cpu *cpu, const struct state *now, void (*fill)(struct kvm_vcpu_events *events))
{
	struct kvm_vcpu_events events = now->events;

	events.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM;
	fill(&events);
	return ioctl(cpu->fd, KVM_SET_VCPU_EVENTS, &events);
}

static void fill_exception(struct kvm_vcpu_events *events)
{
	static const uint8_t vectors[] = { 0, 1, 3, 4, 6, 13, 14, 17 };
	uint8_t vector = vectors[below(sizeof(vectors))];

	events->exception.injected = 1;
	events->exception.nr = vector;
	events->exception.has_error_code = vector == 13 || vector == 14 || vector == 17;
}

static int exception(struct cpu *cpu, const struct state *now)
{
	return event(cpu, now, fill_exception);
}

static void fill_nmi_pending(struct kvm_vcpu_events *events)
{
	events->nmi.pending = 1;
}

static int nmi_pending(struct cpu *cpu, const struct state *now)
{
	return event(cpu, now, fill_nmi_pending);
}

static void fill_nmi_injected(struct kvm_vcpu_events *events)
{
	events->nmi.injected = 1;
}

static int nmi_injected(struct cpu *cpu, const struct state *now)
{
	return event(cpu, now, fill_nmi_injected);
}

static void fill_nmi_masked(struct kvm_vcpu_events *events)
{
	events->nmi.masked = 1;
	events->nmi.pending = 1;
}

static int nmi_masked(struct cpu *cpu, const struct state *now)
{
	return event(cpu, now, fill_nmi_masked);
}

static void fill_interrupt(struct kvm_vcpu_events *events)
{
	events->interrupt.injected = 1;
	events->interrupt.nr = EXTERNAL_VECTOR;
}

/* With interrupts masked, as calls run: the CPU refuses to enter. */
static int masked_interrupt(struct cpu *cpu, const struct state *now)
{
	return event(cpu, now, fill_interrupt);
}

static int interrupt(struct cpu *cpu, const struct state *now)
{
	struct kvm_regs regs = now->regs;

	regs.rflags |= 1 << 9;
	return ioctl(cpu->fd, KVM_SET_REGS, &regs) || event(cpu, now, fill_interrupt);
}

static void fill_shadow(struct kvm_vcpu_events *events)
{
	events->interrupt.shadow = (uint8_t)(1 + below(3));
}

static int shadow(struct cpu *cpu, const struct state *now)
{
	return event(cpu, now, fill_shadow);
}

static void fill_smi(struct kvm_vcpu_events *events)
{
	events->smi.pending = 1;
}

static int smi_pending(struct cpu *cpu, const struct state *now)
{
	return event(cpu, now, fill_smi);
}

static void fill_smm(struct kvm_vcpu_events *events)
{
	events->smi.smm = 1;
}

static int smm(struct cpu *cpu, const struct state *now)
{
	return event(cpu, now, fill_smm);
}

static int smi(struct cpu *cpu, const struct state *now)
{
	(void)now;
	return ioctl(cpu->fd, KVM_SMI);
}

static int nmi(struct cpu *cpu, const struct state *now)
{
	(void)now;
	return ioctl(cpu->fd, KVM_NMI);
}

static int message(struct cpu *cpu, uint32_t data)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000 | cpu->number << 12, .data = data };

	return ioctl(cpu->machine->vm, KVM_SIGNAL_MSI, &msi) < 0;
}

static int message_interrupt(struct cpu *cpu, const struct state *now)
{
	(void)now;
	return message(cpu, EXTERNAL_VECTOR);
}

static int message_smi(struct cpu *cpu, const struct state *now)
{
	(void)now;
	return message(cpu, 0x200);
}

static int message_nmi(struct cpu *cpu, const struct state *now)
{
	(void)now;
	return message(cpu, 0x400);
}

static int message_init(struct cpu *cpu, const struct state *now)
{
	(void)now;
	return message(cpu, 0x500);
}

/* --- the local APIC */

static int lapic_interrupts(struct cpu *cpu, const struct state *now)
{
	struct kvm_lapic_state lapic = now->lapic;

	/* Three vectors, of two words of IRR. */
	lapic.regs[0x220] |= 3;
	lapic.regs[0x230] |= 1;
	return ioctl(cpu->fd, KVM_SET_LAPIC, &lapic);
}

static int lapic_junk(struct cpu *cpu, const struct state *now)
{
	struct kvm_lapic_state lapic = now->lapic;

	for (unsigned int i = 0; i < 8; i++)
		lapic.regs[0x80 + below(0x300)] ^= (char)(1 << below(8));
	return ioctl(cpu->fd, KVM_SET_LAPIC, &lapic);
}

static int lapic_off(struct cpu *cpu, const struct state *now)
{
	struct kvm_sregs sregs = now->sregs;

	sregs.apic_base &= ~(3ull << 10);
	return set_sregs(cpu, &sregs);
}

/* --- the rest */

static int debug(struct cpu *cpu, uint32_t control, uint64_t address)
{
	struct kvm_guest_debug debug = { .control = KVM_GUESTDBG_ENABLE | control };

	debug.arch.debugreg[0] = address;
	debug.arch.debugreg[7] = 0x402;
	return ioctl(cpu->fd, KVM_SET_GUEST_DEBUG, &debug);
}

static int debug_step(struct cpu *cpu, const struct state *now)
{
	(void)now;
	return debug(cpu, KVM_GUESTDBG_SINGLESTEP, 0);
}

static int debug_breakpoint(struct cpu *cpu, const struct state *now)
{
	(void)now;
	return debug(cpu, KVM_GUESTDBG_USE_HW_BP, CODE + below(0x100));
}

static int debug_software(struct cpu *cpu, const struct state *now)
{
	(void)now;
	return debug(cpu, KVM_GUESTDBG_USE_SW_BP, 0);
}

/* The guest's own, all over the function that it calls. */
static int breakpoints(struct cpu *cpu, const struct state *now)
{
	struct kvm_debugregs debugregs = now->debugregs;
	uint64_t from = CODE + below(0x100);

	for (unsigned int i = 0; i < 4; i++)
		debugregs.db[i] = from + i;
	debugregs.dr7 = 0x4ff;
	return ioctl(cpu->fd, KVM_SET_DEBUGREGS, &debugregs);
}

static int mp_state(struct cpu *cpu, const struct state *now)
{
	static const uint32_t states[] = { KVM_MP_STATE_HALTED, KVM_MP_STATE_UNINITIALIZED, KVM_MP_STATE_INIT_RECEIVED,
					   KVM_MP_STATE_SIPI_RECEIVED };
	struct kvm_mp_state state = { states[below(4)] };

	(void)now;
	return ioctl(cpu->fd, KVM_SET_MP_STATE, &state);
}

/* Another CPU than it has run as: without what calls need. */
static int cpuid(struct cpu *cpu, const struct state *now)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entry;
	} none = { .head.nent = 1, .entry.function = 1 };

	(void)now;
	return ioctl(cpu->fd, KVM_SET_CPUID2, &none);
}

/* PAT, DEBUGCTL, DS_AREA, PEBS_ENABLE, RTIT_CTL and its output, TSC_AUX, STAR, KERNEL_GS_BASE, SMBASE, EFER, SPEC_CTRL.
 */
static int msr(struct cpu *cpu, const struct state *now)
{
	static const uint32_t indices[] = { 0x277,      0x1d9,      0x600,      0x3f1, 0x570,      0x560,
					    0xc0000103, 0xc0000081, 0xc0000102, 0x9e,  0xc0000080, 0x48 };
	static const uint64_t values[] = { 0, 1, 0x0101010101010101, CODE, ~0ull };
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} one = { .head.nmsrs = 1 };

	(void)now;
	one.entry.index = indices[below(sizeof(indices) / sizeof(indices[0]))];
	one.entry.data = values[below(sizeof(values) / sizeof(values[0]))];
	return ioctl(cpu->fd, KVM_SET_MSRS, &one) != 1;
}

static int vectors(struct cpu *cpu, const struct state *now)
{
	struct kvm_xsave xsave = now->xsave;

	for (unsigned int i = 40; i < 104; i++) /* the SSE registers */
		xsave.region[i] = (uint32_t)randomly();
	xsave.region[128] |= 3;
	return ioctl(cpu->fd, KVM_SET_XSAVE, &xsave);
}

static int nested(struct cpu *cpu, const struct state *now)
{
	struct {
		struct kvm_nested_state head;
		uint8_t rest[8192];
	} state = { .head = { .flags = KVM_STATE_NESTED_GUEST_MODE, .size = sizeof(state) } };

	(void)now;
	state.head.hdr.vmx.vmxon_pa = 0x1000;
	state.head.hdr.vmx.vmcs12_pa = 0x2000;
	return ioctl(cpu->fd, KVM_SET_NESTED_STATE, &state);
}

static int translate(struct cpu *cpu, const struct state *now)
{
	struct kvm_translation at = { .linear_address = CODE };

	(void)now;
	return ioctl(cpu->fd, KVM_TRANSLATE, &at) || (at.valid && at.physical_address);
}

static int immediate(struct cpu *cpu, const struct state *now)
{
	(void)now;
	for (unsigned int i = 0; i < 3; i++) {
		cpu->run->immediate_exit = 1;
		cpu_run(cpu, 0);
	}
	return 0;
}

static int window(struct cpu *cpu, const struct state *now)
{
	(void)now;
	cpu->run->request_interrupt_window = 1;
	return 0;
}

static void *run_here(void *argument)
{
	cpu_run(argument, 100);
	return NULL;
}

static int other_thread(struct cpu *cpu, const struct state *now)
{
	pthread_t thread;

	(void)now;
	return pthread_create(&thread, NULL, run_here, cpu) || pthread_join(thread, NULL);
}

const struct change state_changes[] = {
	{ "CR3 to a shared buffer", cr3_to_buffer, .outcome = ENDS },
	{ "CR3 into R", cr3_into_region, .outcome = ENDS },
	{ "CR3 there and back", cr3_there_and_back, .outcome = GOES_ON },
	{ "CR4.SMEP off", no_smep, .outcome = ENDS },
	{ "CR4.SMAP off", no_smap, .outcome = ENDS },
	{ "CR4.PCIDE", pcid, .outcome = ENDS },
	{ "a bit of CR4", any_cr4, .outcome = ENDS },
	{ "a bit of CR0", any_cr0, .outcome = ENDS },
	{ "a bit of CR0 that is shown only", shown_cr0, .outcome = ANY },
	{ "paging off", paging_off, .outcome = ENDS },
	{ "a bit of EFER", any_efer, .outcome = ENDS },
	{ "compatibility mode", compatibility_mode, .outcome = ENDS, .lies = true },
	{ "CPL 0", privileged, .outcome = ENDS },
	{ "an invalid segment", invalid_segment, .outcome = ANY },
	{ "IDT, GDT, TSS inside", tables_inside, .outcome = ANY },
	{ "an exception", exception, .outcome = ENDS, .faults = 1 },
	{ "an NMI pending", nmi_pending, .outcome = GOES_ON, .nmis = 1 },
	{ "an NMI injected", nmi_injected, .outcome = GOES_ON, .nmis = 1 },
	{ "an NMI masked", nmi_masked, .outcome = GOES_ON },
	{ "an interrupt injected", interrupt, .outcome = ENDS, .interrupts = 1 },
	{ "the same while masked", masked_interrupt, .outcome = ENDS },
	{ "an interrupt shadow", shadow, .outcome = ANY },
	{ "an SMI pending", smi_pending, .outcome = ENDS },
	{ "SMM", smm, .outcome = ENDS },
	{ "KVM_SMI", smi, .outcome = ENDS },
	{ "KVM_NMI", nmi, .outcome = GOES_ON, .nmis = 1 },
	{ "a message: interrupt", message_interrupt, .outcome = GOES_ON, .interrupts = 1 },
	{ "a message: SMI", message_smi, .outcome = ENDS },
	{ "a message: NMI", message_nmi, .outcome = GOES_ON, .nmis = 1 },
	{ "a message: INIT", message_init, .outcome = ANY },
	{ "interrupts in the APIC", lapic_interrupts, .outcome = GOES_ON, .interrupts = 3 },
	{ "junk in the APIC", lapic_junk, .outcome = ANY },
	{ "the APIC off", lapic_off, .outcome = ANY },
	{ "single step", debug_step, .outcome = ENDS },
	{ "a breakpoint of the VMM's", debug_breakpoint, .outcome = ENDS },
	{ "software breakpoints", debug_software, .outcome = ENDS },
	{ "breakpoints of the guest's", breakpoints, .outcome = ANY },
	{ "another MP state", mp_state, .outcome = ANY },
	{ "another CPUID", cpuid, .outcome = ENDS },
	{ "an MSR", msr, .outcome = ANY },
	{ "vector registers", vectors, .outcome = GOES_ON },
	{ "nested state", nested, .outcome = ENDS },
	{ "KVM_TRANSLATE", translate, .outcome = GOES_ON },
	{ "immediate_exit", immediate, .outcome = GOES_ON },
	{ "an interrupt window", window, .outcome = GOES_ON },
	{ "another thread", other_thread, .outcome = GOES_ON },
	{},
};
