// SPDX-License-Identifier: MIT
/* CR3 that the VMM changes between calls, to page tables that say the same: what was cached under the old one must not
 * serve the new. */
#include <string.h>
#include <sys/ioctl.h>

#include "attacks.h"

static const char *call_in(struct cpu *cpu, uint64_t cr3)
{
	struct kvm_sregs sregs;
	int reason;

	cpu_restore(cpu);
	if (ioctl(cpu->fd, KVM_GET_SREGS, &sregs))
		return "KVM_GET_SREGS";
	sregs.cr3 = cr3;
	if (ioctl(cpu->fd, KVM_SET_SREGS, &sregs))
		return "KVM_SET_SREGS";
	cpu_prepare(cpu, &victim, check_function, 0, 1);
	if (!cpu_wait(cpu, 100000, &reason) || cpu->control->right != 1 || cpu->control->spoiled)
		return "the call under another CR3 is not right";
	insides++;
	return NULL;
}

void attack_spaces(struct machine *machine, unsigned long count)
{
	memcpy(machine->buffer, machine->memory + TABLES, ELISA_PAGE);
	for (unsigned long i = 0; i < count; i++) {
		const char *problem = attempt_control(machine->cpu);

		if (!problem)
			problem = call_in(machine->cpu, BUFFER_GPA);
		attempt_over("CR3 between calls", problem);
	}
}
