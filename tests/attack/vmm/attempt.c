// SPDX-License-Identifier: MIT
#include "attempt.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define ROUNDS 60000 /* of spin: about 2 ms */
#define CONTROL_US 100000

struct target victim;
uint32_t check_function, spin_function, fault_function;
unsigned long tried, contained, insides, refused;

void attempt_begin(struct machine *machine, const char *object, unsigned int cpus)
{
	machine_create(machine, cpus);
	machine_join(machine, object, &victim);
	check_function = machine_function(machine, &victim, "check");
	spin_function = machine_function(machine, &victim, "spin");
	fault_function = machine_function(machine, &victim, "fault");
}

void attempt_over(const char *what, const char *problem)
{
	tried++;
	contained += !problem;
	if (problem)
		printf("BREACH %s: %s (attempt %lu)\n", what, problem, tried);
	fflush(stdout);
}

/* For whoever has to find out. */
static void describe(struct cpu *cpu, int reason)
{
	static struct state now;
	const struct control *control = cpu->control;

	cpu_read(cpu, &now);
	printf("# exit %d rip %#llx rflags %#llx cr4 %#llx efer %#llx; right %lu failed %lu wrong %lu spoiled %lu last %ld "
	       "moved %lu; fault %lu: vector %lu at %#lx; nmis %lu interrupts %lu\n",
	       reason, now.regs.rip, now.regs.rflags, now.sregs.cr4, now.sregs.efer, control->right, control->failed,
	       control->wrong, control->spoiled, (long)control->last, control->moved, control->faults, control->vector,
	       control->frame.rip, control->nmis, control->interrupts);
}

const char *attempt_control(struct cpu *cpu)
{
	int reason;

	cpu_restore(cpu);
	cpu_prepare(cpu, &victim, check_function, 0, 1);
	if (cpu_wait(cpu, CONTROL_US, &reason) && cpu->control->right == 1 && !cpu->control->spoiled)
		return NULL;
	describe(cpu, reason);
	return "the call after it is not right";
}

bool attempt_interrupt(struct cpu *cpu, struct state *now, const char **problem)
{
	bool inside;
	int reason;

	cpu_prepare(cpu, &victim, spin_function, ROUNDS, 1);
	reason = cpu_run(cpu, 200 + (unsigned int)below(1200));
	*problem = cpu_look(cpu, now, true);
	inside = reason == -EINTR && cpu_is_inside(now);
	insides += inside;
	return inside;
}

void attempt_fault(struct cpu *cpu, uint64_t how)
{
	static struct state now;
	const char *problem = NULL, *other;
	int reason;

	cpu_prepare(cpu, &victim, fault_function, how, 1);
	for (unsigned int i = 0; i < 50; i++) {
		bool idle = cpu_wait(cpu, 10 + (unsigned int)below(100), &reason);

		other = cpu_look(cpu, &now, true);
		problem = problem ? problem : other;
		if (idle || reason != -EINTR)
			break;
	}
	if (!problem && (cpu->control->failed != 1 || cpu->control->spoiled))
		problem = "a call that faults has not failed";
	insides += cpu->control->failed == 1;
	other = attempt_control(cpu);
	attempt_over("a fault inside", problem ? problem : other);
}

/* What must have come of a call that was interrupted inside. */
static const char *judge(const struct cpu *cpu, const struct change *change)
{
	const struct control *control = cpu->control;

	if (change->outcome != GOES_ON && change->outcome != ANY && control->right)
		return "the call has gone on";
	if (change->outcome == GOES_ON && control->right != 1)
		return "the call has not gone on";
	if (change->outcome == MOVES && control->moved != 1)
		return "the guest is not where it was set";
	if (change->error && (int64_t)control->last != change->error)
		return "the next call has not returned what it should";
	if (!change->lies && (control->wrong || control->spoiled))
		return "the call has returned something wrong";
	if (change->faults && control->faults != change->faults)
		return "an exception was lost";
	if ((change->outcome == GOES_ON || change->interrupts) &&
	    (control->nmis != change->nmis || control->interrupts != change->interrupts))
		return "events were lost, or came twice";
	return NULL;
}

void attempt(struct cpu *cpu, const struct change *change)
{
	static struct state now;
	const char *problem, *other;
	bool inside = attempt_interrupt(cpu, &now, &problem), accepted;
	int reason = -EINTR;

	accepted = !change->apply(cpu, &now);
	refused += !accepted;
	for (unsigned int i = 0; i < 4 && (reason == -EINTR || reason == KVM_EXIT_IRQ_WINDOW_OPEN); i++) {
		cpu_wait(cpu, 2000, &reason);
		cpu->run->request_interrupt_window = 0;
	}
	other = cpu_look(cpu, &now, false);
	if (!problem)
		problem = other;
	if (!problem && inside && accepted)
		problem = judge(cpu, change);
	if (problem)
		describe(cpu, reason);
	other = attempt_control(cpu);
	attempt_over(change->name, problem ? problem : other);
}

/* Held back for a call that a change then ends. */
bool attempt_late_nmi(struct cpu *cpu)
{
	static struct state now;
	const char *problem, *other;
	bool waits;

	attempt_interrupt(cpu, &now, &problem);
	if (ioctl(cpu->fd, KVM_NMI))
		die("KVM_NMI: %s", strerror(errno));
	cpu_run(cpu, 100);
	other = cpu_look(cpu, &now, true);
	if (!problem)
		problem = other;
	waits = cpu_is_inside(&now) && !now.events.nmi.pending && !now.events.nmi.injected && !cpu->control->nmis;
	other = attempt_control(cpu);
	if (!other && waits && cpu->control->nmis != 1)
		other = "an NMI has not come by the next exit";
	attempt_over("an NMI held back", problem ? problem : other);
	return waits;
}
