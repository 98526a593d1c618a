// SPDX-License-Identifier: MIT
/* Control registers that the VMM changes between calls: CR3 to page tables that say the same, or how tables are read.
 * What was cached under the old ones must not serve the new. */
#include <string.h>
#include <sys/ioctl.h>

#include "attacks.h"

static const struct space {
	const char *name;
	uint64_t cr3, cr4, efer; /* changed */
} spaces[] = {
	{ "CR3 between calls", TABLES ^ BUFFER_GPA, 0, 0 },
	{ "CR4.PGE between calls", 0, 1 << 7, 0 },
	{ "EFER.NXE between calls", 0, 0, 1 << 11 },
};

#define SPACES (sizeof(spaces) / sizeof(spaces[0]))

static const char *call_in(struct cpu *cpu, const struct space *space)
{
	struct kvm_sregs sregs;
	int reason;

	cpu_restore(cpu);
	if (ioctl(cpu->fd, KVM_GET_SREGS, &sregs))
		return "KVM_GET_SREGS";
	sregs.cr3 ^= space->cr3;
	sregs.cr4 ^= space->cr4;
	sregs.efer ^= space->efer;
	if (ioctl(cpu->fd, KVM_SET_SREGS, &sregs))
		return "KVM_SET_SREGS";
	cpu_prepare(cpu, &victim, check_function, 0, 1);
	if (!cpu_wait(cpu, 100000, &reason) || cpu->control->right != 1 || cpu->control->spoiled)
		return "the call after it is not right";
	insides++;
	return NULL;
}

void attack_spaces(struct machine *machine, unsigned long count)
{
	memcpy(machine->buffer, machine->memory + TABLES, ELISA_PAGE);
	for (unsigned long i = 0; i < count; i++) {
		const struct space *space = spaces + i % SPACES;
		const char *problem = attempt_control(machine->cpu);

		if (!problem)
			problem = call_in(machine->cpu, space);
		attempt_over(space->name, problem);
	}
}
