// SPDX-License-Identifier: MIT
/* All that a VMM can read and set of a vCPU. */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "machine.h"

#define SMM_SAVED 0xf000 /* the page from SMBASE on that the save area is in */
#define TSC 0x10
#define TSC_ADJUST 0x3b
#define TSC_DEADLINE 0x6e0

static struct {
	struct kvm_msr_list head;
	uint32_t indices[MSRS_MAX];
} known = { .head.nmsrs = MSRS_MAX };

static void must(struct cpu *cpu, const char *name, unsigned long request, void *argument)
{
	if (ioctl(cpu->fd, request, argument) < 0)
		die("vCPU %u: %s: %s", cpu->number, name, strerror(errno));
}

#define MUST(cpu, request, argument) must(cpu, #request, request, argument)

static bool can_read(struct cpu *cpu, uint32_t index)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} one = { .head.nmsrs = 1, .entry.index = index };

	return ioctl(cpu->fd, KVM_GET_MSRS, &one) == 1;
}

/* Those that this vCPU has; not time, which is to go on. */
static void find_msrs(struct cpu *cpu)
{
	uint32_t count = 0;

	if (ioctl(machine_kvm(), KVM_GET_MSR_INDEX_LIST, &known))
		die("KVM_GET_MSR_INDEX_LIST: %s", strerror(errno));
	for (uint32_t i = 0; i < known.head.nmsrs; i++) {
		uint32_t index = known.indices[i];

		if (index != TSC && index != TSC_ADJUST && index != TSC_DEADLINE && can_read(cpu, index))
			known.indices[count++] = index;
	}
	known.head.nmsrs = count;
}

void cpu_read(struct cpu *cpu, struct state *state)
{
	static bool found;

	if (!found)
		find_msrs(cpu);
	found = true;
	MUST(cpu, KVM_GET_REGS, &state->regs);
	MUST(cpu, KVM_GET_SREGS, &state->sregs);
	MUST(cpu, KVM_GET_DEBUGREGS, &state->debugregs);
	MUST(cpu, KVM_GET_VCPU_EVENTS, &state->events);
	MUST(cpu, KVM_GET_LAPIC, &state->lapic);
	MUST(cpu, KVM_GET_XSAVE, &state->xsave);
	MUST(cpu, KVM_GET_XCRS, &state->xcrs);
	MUST(cpu, KVM_GET_MP_STATE, &state->mp_state);
	state->msrs.head.nmsrs = known.head.nmsrs;
	for (uint32_t i = 0; i < known.head.nmsrs; i++)
		state->msrs.entries[i].index = known.indices[i];
	if (ioctl(cpu->fd, KVM_GET_MSRS, &state->msrs) != (int)known.head.nmsrs)
		die("KVM_GET_MSRS: not all");
}

/* An exit to the VMM, of which KVM has yet to complete what the guest sees. */
static void complete(struct cpu *cpu)
{
	for (unsigned int i = 0; i < 4; i++) {
		cpu->run->immediate_exit = 1;
		if (cpu_run(cpu, 0) == -EINTR)
			break;
	}
}

void cpu_keep(struct cpu *cpu)
{
	complete(cpu);
	cpu_read(cpu, &cpu->kept);
}

static void restore(struct cpu *cpu)
{
	struct kvm_guest_debug no_debug = {};
	struct kvm_vcpu_events pending;
	struct state *kept = &cpu->kept;

	cpu->run->kvm_dirty_regs = cpu->run->kvm_valid_regs = 0;
	cpu->run->request_interrupt_window = 0;
	complete(cpu);
	MUST(cpu, KVM_SET_GUEST_DEBUG, &no_debug);
	/* Makes of requests what is pending, which is then taken back. */
	MUST(cpu, KVM_GET_VCPU_EVENTS, &pending);
	kept->events.flags |= KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SIPI_VECTOR |
			      KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM;
	MUST(cpu, KVM_SET_VCPU_EVENTS, &kept->events);
	MUST(cpu, KVM_SET_MP_STATE, &kept->mp_state);
	MUST(cpu, KVM_SET_SREGS, &kept->sregs);
	MUST(cpu, KVM_SET_REGS, &kept->regs);
	MUST(cpu, KVM_SET_DEBUGREGS, &kept->debugregs);
	MUST(cpu, KVM_SET_XCRS, &kept->xcrs);
	MUST(cpu, KVM_SET_XSAVE, &kept->xsave);
	MUST(cpu, KVM_SET_LAPIC, &kept->lapic);
	MUST(cpu, KVM_SET_VCPU_EVENTS, &kept->events);
	if (ioctl(cpu->fd, KVM_SET_MSRS, &kept->msrs) != (int)kept->msrs.head.nmsrs)
		die("KVM_SET_MSRS: not all");
}

/*
 * An event that was to be injected at an entry that failed stays in the VMCS, whatever KVM is told then, until another
 * is injected: an NMI, which the guest counts and returns from.
 */
static void replace_event(struct cpu *cpu)
{
	struct kvm_vcpu_events events = cpu->kept.events;
	int reason;

	events.nmi.injected = 1;
	MUST(cpu, KVM_SET_VCPU_EVENTS, &events);
	cpu->control->command = 0;
	if (!cpu_wait(cpu, 100000, &reason))
		die("vCPU %u does not run after a failed entry: exit %d", cpu->number, reason);
}

void cpu_restore(struct cpu *cpu)
{
	restore(cpu);
	if (!cpu->entry_failed)
		return;
	replace_event(cpu);
	restore(cpu);
	cpu->entry_failed = false;
}

/* The secret or a half of it, at any offset. */
bool holds_secret(const void *data, size_t bytes)
{
	const uint8_t *at = data;
	const uint32_t low = (uint32_t)SECRET, high = SECRET >> 32;

	for (size_t i = 0; i + 4 <= bytes; i++) {
		uint32_t word;

		memcpy(&word, at + i, 4);
		if (word == low || word == high)
			return true;
	}
	return false;
}

static bool in_window(uint64_t rip)
{
	return rip >= ELISA_BASE && rip < ELISA_BASE + ELISA_SPAN;
}

/* Where a caller stands: in the page before the gate, or at the landing. */
static bool is_callers(uint64_t rip)
{
	return (rip >= ELISA_GATE - ELISA_PAGE && rip < ELISA_GATE) ||
	       (rip >= ELISA_LANDING && rip < ELISA_LANDING + ELISA_PAGE);
}

const char *cpu_look(struct cpu *cpu, struct state *state, bool addresses)
{
	cpu_read(cpu, state);
	if (holds_secret(state, sizeof(*state)))
		return "the secret is in what KVM tells of the vCPU";
	if (holds_secret(cpu->run, ELISA_PAGE))
		return "the secret is in struct kvm_run";
	if (holds_secret(cpu->machine->memory + SMBASE + SMM_SAVED, ELISA_PAGE))
		return "the secret is where the vCPU saves its state at an SMI";
	if (holds_secret(cpu->control, sizeof(*cpu->control)) || cpu->control->leaked)
		return "the secret came to the guest";
	if (!addresses)
		return NULL;
	if (in_window(state->regs.rip) && !is_callers(state->regs.rip))
		return "RIP is inside";
	if (state->events.exception_has_payload && in_window(state->events.exception_payload))
		return "an exception's address is inside";
	if (in_window(state->sregs.cr2) && !is_callers(state->sregs.cr2))
		return "CR2 is inside";
	return NULL;
}

bool cpu_is_inside(const struct state *state)
{
	return state->regs.rip == ELISA_LANDING && (int64_t)state->regs.rdx == -EINTR;
}
