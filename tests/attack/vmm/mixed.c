// SPDX-License-Identifier: MIT
/* Everything at once: changes of a vCPU that is inside, several at a time, and of memory slots, while another vCPU
 * calls. */
#include <errno.h>
#include <stdio.h>

#include "attacks.h"
#include "runner.h"

#define ROUNDS 3000
#define SLOT_KINDS 5 /* of slots.c, those that harm no call */

static unsigned int count_of(const struct change *changes)
{
	unsigned int kinds = 0;

	while (changes[kinds].name)
		kinds++;
	return kinds;
}

static const struct change *any(void)
{
	const struct change *changes = below(2) ? register_changes : state_changes;

	return changes + below(count_of(changes));
}

/* Of several changes nobody knows the outcome, but that it tells nothing and that the next call is right. */
static void several(struct cpu *cpu)
{
	static struct state now;
	const char *problem, *other;
	int reason = -EINTR;

	attempt_interrupt(cpu, &now, &problem);
	for (uint64_t changes = 2 + below(3); changes; changes--) {
		refused += any()->apply(cpu, &now) != 0;
		if (!below(3))
			cpu_run(cpu, 20 + (unsigned int)below(200));
		cpu_read(cpu, &now);
	}
	for (unsigned int i = 0; i < 3 && reason == -EINTR; i++) {
		cpu_wait(cpu, 1000, &reason);
		cpu->run->request_interrupt_window = 0;
	}
	other = cpu_look(cpu, &now, false);
	if (!problem)
		problem = other;
	other = attempt_control(cpu);
	attempt_over("several changes", problem ? problem : other);
}

void attack_mixed(struct machine *machine, unsigned long count)
{
	struct cpu *cpu = machine->cpu, *bystander = machine->cpu + 1;
	struct runner runner;

	cpu_restore(bystander);
	cpu_prepare(bystander, &victim, spin_function, ROUNDS, 1ul << 60);
	runner_start(&runner, bystander);
	for (unsigned long i = 0; i < count; i++) {
		uint64_t failed = bystander->control->failed;

		switch (below(4)) {
		case 0:
			slots_change(machine, bystander->control, (unsigned int)below(SLOT_KINDS));
			break;
		case 1:
			attempt(cpu, any());
			break;
		default:
			several(cpu);
		}
		if (bystander->control->failed != failed || bystander->control->wrong)
			attempt_over("the vCPU beside", "a call of it has failed");
	}
	if (!runner_goes_on(&bystander->control->right))
		attempt_over("the vCPU beside", "its calls do not go on");
	runner_stop(&runner);
}

void attack_steady(struct machine *machine, const char *object, uint64_t a0)
{
	struct cpu *cpu = machine->cpu;
	struct target target;
	uint32_t function;
	int reason;

	machine_join(machine, object, &target);
	function = machine_function(machine, &target, "add");
	cpu_restore(cpu);
	cpu_prepare(cpu, &target, function, a0, 1ul << 60);
	cpu->control->any = 1;
	puts("attached");
	fflush(stdout);
	do
		cpu_wait(cpu, 0, &reason);
	while (reason == -EINTR);
	die("calls have ended: exit %d", reason);
}
