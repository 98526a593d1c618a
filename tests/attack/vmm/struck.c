// SPDX-License-Identifier: MIT
/*
 * VMMs that are killed while their vCPU stands before a certain instruction inside: one for each instruction. Another
 * VM, of this process, then calls the same function `add`, which may take the lock that was held. Needs
 * the emulator, and two CPUs.
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

#define ARGUMENT 1 /* of `add`: to add, or which lock to take */
#define CALL_US 1000000
#define TICKS 300000 /* 3 ms: until a process that is killed is dead */
#define POLL_US 50
#define POLLS 4000 /* within which the next call comes */

static struct machine one, two;
static struct target target;
static uint32_t add_function;
static long value;

static void move_to(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("no CPU %d", cpu);
}

/* One call: NULL, or what is wrong. */
static const char *call_once(void)
{
	struct control *control = two.cpu->control;
	int reason;

	cpu_restore(two.cpu);
	cpu_prepare(two.cpu, &target, add_function, ARGUMENT, 1);
	control->any = 1;
	if (!cpu_wait(two.cpu, CALL_US, &reason))
		return "the call of the other VM does not return";
	if (control->right != 1 || control->spoiled)
		return "the call of the other VM is not right";
	if ((long)control->last <= value)
		return "what was done before is gone";
	value = (long)control->last;
	return NULL;
}

/* A VMM that calls all the time, on the CPU that is going to be held. */
static pid_t start(const char *object)
{
	int ends[2];
	char said;
	pid_t child;

	if (pipe(ends))
		die("no pipe");
	child = fork();
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(ends[1], 1);
		move_to(0);
		machine_create(&one, 1);
		attack_steady(&one, object, ARGUMENT);
	}
	close(ends[1]);
	if (child < 0 || read(ends[0], &said, 1) != 1)
		die("no VMM to kill");
	close(ends[0]);
	return child;
}

static bool wait_held(void)
{
	for (unsigned int i = 0; i < POLLS; i++) {
		if (schedule_is_held())
			return true;
		usleep(POLL_US);
	}
	return false;
}

void attack_struck(const char *object, unsigned long most)
{
	unsigned long instructions = 0;
	int error;

	move_to(1);
	machine_create(&two, 1);
	error = machine_hello(&two);
	if (!error)
		error = machine_attach(&two, object, &target);
	if (error)
		die("attach %s: %s", object, strerror(-error));
	add_function = machine_function(&two, &target, "add");
	for (unsigned long number = 1; number <= most && !instructions; number++) {
		pid_t child = start(object);
		bool held;

		if (!schedule_arm(SCHEDULE_HOLD | SCHEDULE_ANY_VCPU, number))
			die("this machine holds no CPU");
		held = wait_held();
		if (held)
			schedule_begin(TICKS);
		kill(child, SIGKILL);
		schedule_done();
		waitpid(child, NULL, 0);
		if (!schedule_end(&instructions) || !held)
			break;
		instructions = 0;
		insides++;
		attempt_over("a death at an instruction", call_once());
	}
	/* The one after the call is counted too. */
	printf("instructions %lu tried %lu ended %lu\n", instructions - 1, tried, contained);
}
