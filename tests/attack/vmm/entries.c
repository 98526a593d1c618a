// SPDX-License-Identifier: MIT
/*
 * Entries that fail before they begin, with no exit after them: KVM sets the threshold of the TPR when it looks for
 * interrupts, and takes the TPR from memory of the VM's after each exit (KVM_SET_VAPIC_ADDR). With the threshold above
 * the TPR the CPU refuses the VMCS, unless it delivers virtual interrupts by itself.
 */
#include <errno.h>
#include <sys/ioctl.h>

#include "attacks.h"

#define TPR 0x80
#define ISR 0x100
#define IRR 0x200
#define RUNS 40
#define RUN_US 100

static void set_vector(struct kvm_lapic_state *lapic, unsigned int field, uint8_t vector)
{
	lapic->regs[field + vector / 32 * 16 + vector % 32 / 8] |= (char)(1 << vector % 8);
}

/* An interrupt waits for the TPR to fall, and for the one in service. */
static void raise_threshold(struct cpu *cpu)
{
	struct kvm_lapic_state lapic = cpu->kept.lapic;

	lapic.regs[TPR] = 0x70;
	set_vector(&lapic, ISR, 0x60);
	set_vector(&lapic, IRR, 0x50);
	if (ioctl(cpu->fd, KVM_SET_LAPIC, &lapic))
		die("KVM_SET_LAPIC");
}

static void take_tpr_from(struct cpu *cpu, uint64_t gpa)
{
	if (ioctl(cpu->fd, KVM_SET_VAPIC_ADDR, &(struct kvm_vapic_addr){ gpa }))
		die("KVM_SET_VAPIC_ADDR");
}

static bool fail_entry(struct cpu *cpu)
{
	volatile uint8_t *tpr = cpu->machine->memory + VAPIC;
	int reason = -EINTR;

	raise_threshold(cpu);
	cpu_run(cpu, RUN_US);
	take_tpr_from(cpu, VAPIC);
	for (unsigned int i = 0; i < RUNS && reason == -EINTR; i++) {
		*tpr = 0;
		reason = cpu_run(cpu, RUN_US);
	}
	take_tpr_from(cpu, 0);
	return reason == KVM_EXIT_FAIL_ENTRY;
}

void attack_entries(struct machine *machine, unsigned long count)
{
	static struct state now;
	struct cpu *cpu = machine->cpu;

	for (unsigned long i = 0; i < count; i++) {
		const char *problem, *other;
		unsigned long before = insides;
		bool inside = attempt_interrupt(cpu, &now, &problem);
		bool failed = fail_entry(cpu);

		insides = before + (inside && failed);
		other = cpu_look(cpu, &now, true);
		problem = problem ? problem : other;
		if (!problem)
			problem = attempt_control(cpu);
		attempt_over("an entry that fails", problem);
		/* What it has come to cannot be restored. */
		if (problem)
			break;
	}
}
