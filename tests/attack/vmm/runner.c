// SPDX-License-Identifier: MIT
#include "runner.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/ioctl.h>

#define GOES_ON_US 1000000
#define POLL_US 200
#define LONGEST_US 2000

static void look(struct runner *runner)
{
	struct kvm_regs regs;

	if (ioctl(runner->cpu->fd, KVM_GET_REGS, &regs)) {
		if (errno == EBADF) /* closed by another thread since it ran */
			return;
		die("KVM_GET_REGS of a running vCPU");
	}
	runner->samples++;
	runner->inside += regs.rip == ELISA_LANDING && (int64_t)regs.rdx == -EINTR;
}

static void *run(void *argument)
{
	struct runner *runner = argument;
	unsigned int turn = runner->cpu->number;

	do {
		runner->reason = cpu_run(runner->cpu, 300 + (unsigned int)rand_r(&turn) % LONGEST_US);
		if (runner->reason == -EINTR)
			look(runner);
	} while (runner->reason == -EINTR && !__atomic_load_n(&runner->stop, __ATOMIC_RELAXED));
	return NULL;
}

void runner_start(struct runner *runner, struct cpu *cpu)
{
	*runner = (struct runner){ .cpu = cpu };
	if (pthread_create(&runner->thread, NULL, run, runner))
		die("no thread");
}

void runner_stop(struct runner *runner)
{
	__atomic_store_n(&runner->stop, true, __ATOMIC_RELAXED);
	pthread_join(runner->thread, NULL);
	cpu_restore(runner->cpu);
}

bool runner_goes_on(const volatile uint64_t *counter)
{
	uint64_t before = *counter;

	for (unsigned int waited = 0; waited < GOES_ON_US; waited += POLL_US) {
		if (*counter >= before + 2)
			return true;
		usleep(POLL_US);
	}
	return false;
}
