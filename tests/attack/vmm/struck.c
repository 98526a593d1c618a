// SPDX-License-Identifier: MIT
/*
 * VMMs that are killed while their vCPU stands before a certain instruction inside: one for each instruction. Another
 * VM, of this process, then calls the same function `add`, which may take the lock that was held. Needs
 * the emulator, and two CPUs.
 *
 * With DEAD that lock was left taken before, so that it is waited for and taken over. REFUSED: a function is called
 * that the object has not.
 */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attacks.h"
#include "schedule.h"

#define NO_FUNCTION 255
#define ARGUMENT 1 /* of `add`: to add, or which lock to take */
#define CALL_US 1000000
#define TICKS 300000 /* 3 ms: until a process that is killed is dead */
#define POLL_US 50

static struct machine one, two;
static struct target target; /* of `two` */
static uint32_t add_function, leave_function;
static long value;
static bool no_function;

static void move_to(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("no CPU %d", cpu);
}

static uint32_t attach(struct machine *machine, const char *object, struct target *to)
{
	machine_create(machine, 1);
	machine_join(machine, object, to);
	return machine_function(machine, to, "add");
}

/* One call: NULL, or what is wrong. */
static const char *call(struct machine *machine, const struct target *to, uint32_t function, long *result)
{
	struct control *control = machine->cpu->control;
	int reason;

	cpu_restore(machine->cpu);
	cpu_prepare(machine->cpu, to, function, ARGUMENT, 1);
	control->any = 1;
	if (!cpu_wait(machine->cpu, CALL_US, &reason))
		return "the call does not return";
	if ((function == NO_FUNCTION ? control->failed : control->right) != 1 || control->spoiled)
		return "the call is not right";
	*result = (long)control->last;
	return NULL;
}

/* The other VM's. */
static const char *next_call(void)
{
	long before = value;
	const char *problem = call(&two, &target, add_function, &value);

	return !problem && value <= before ? "what was done before is gone" : problem;
}

/* A VMM that makes one call when it is told to, on the CPU that is going to be held; its first one builds its tables.
 */
static _Noreturn void call_when_told(const char *object, int told, int ready)
{
	struct target to;
	uint32_t add;
	const char *problem;
	long result;
	char word = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	move_to(0);
	add = attach(&one, object, &to);
	problem = call(&one, &to, add, &result);
	if (problem || write(ready, &word, 1) != 1 || read(told, &word, 1) != 1)
		die("the VMM to kill: %s", problem ? problem : "not told");
	problem = call(&one, &to, no_function ? NO_FUNCTION : add, &result);
	_exit(problem ? 1 : 0);
}

/* TELL: what to write to for its call. */
static pid_t start(const char *object, int *tell)
{
	int to[2], from[2];
	char said;
	pid_t child;

	if (pipe(to) || pipe(from))
		die("no pipe");
	child = fork();
	if (!child)
		call_when_told(object, to[0], from[1]);
	close(to[0]);
	close(from[1]);
	if (child < 0 || read(from[0], &said, 1) != 1)
		die("no VMM to kill");
	close(from[0]);
	*tell = to[1];
	return child;
}

/* True: it was held, and has been killed. False: its call was over before. */
static bool strike(pid_t child)
{
	int status;

	while (!schedule_is_held()) {
		if (waitpid(child, &status, WNOHANG) == child) {
			if (status)
				die("a VMM that was not killed ended with %#x", status);
			return false;
		}
		usleep(POLL_US);
	}
	schedule_begin(TICKS);
	kill(child, SIGKILL);
	schedule_done();
	waitpid(child, &status, 0);
	return true;
}

void attack_struck(const char *object, unsigned long most, const char *how)
{
	bool dead = !strcmp(how, "dead");
	unsigned int event = SCHEDULE_HOLD | SCHEDULE_ANY_VCPU | (dead ? SCHEDULE_ONCE_EACH : 0);
	unsigned long instructions = 0;

	no_function = !strcmp(how, "refused");
	move_to(1);
	add_function = attach(&two, object, &target);
	if (dead)
		leave_function = machine_function(&two, &target, "leave");
	for (unsigned long number = 1; number <= most; number++) {
		int tell;
		pid_t child = start(object, &tell);
		const char *problem;
		long result;

		problem = dead ? call(&two, &target, leave_function, &result) : NULL;
		if (problem)
			die("leaving the lock: %s", problem);
		if (!schedule_arm(event, number))
			die("this machine holds no CPU");
		if (write(tell, "", 1) != 1)
			die("the VMM to kill is gone");
		close(tell);
		if (!strike(child))
			break;
		insides++;
		attempt_over("a death at an instruction", next_call());
	}
	schedule_end(&instructions);
	/* The one after the call is counted too. */
	printf("instructions %lu tried %lu ended %lu\n", instructions - 1, tried, contained);
}
