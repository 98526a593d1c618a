// SPDX-License-Identifier: MIT
/* VMMs that end or close what they have in odd ways, each in a process of its own, with a call inside. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attacks.h"
#include "runner.h"

#define ROUNDS 60000
#define SCRIBBLES 40

static struct machine one, two;
static struct state now;

static void wrong(const char *what)
{
	printf("BREACH in a VMM of its own: %s\n", what);
	fflush(stdout);
	_exit(1);
}

static void expect_right(struct cpu *cpu)
{
	const char *problem = attempt_control(cpu);

	if (problem)
		wrong(problem);
}

/* A call that is inside now, or as good as. */
static void go_inside(struct cpu *cpu)
{
	const char *problem;

	cpu_restore(cpu);
	attempt_interrupt(cpu, &now, &problem);
	if (problem)
		wrong(problem);
}

static void expect_goes_on(struct cpu *cpu)
{
	int reason;

	if (!cpu_wait(cpu, 100000, &reason) || cpu->control->right != 1)
		wrong("a call inside does not go on");
}

static void vm_first(const char *object)
{
	(void)object;
	go_inside(one.cpu);
	close(one.vm);
	expect_goes_on(one.cpu);
	expect_right(one.cpu);
	go_inside(one.cpu);
	close(one.cpu->fd);
}

/* Another process may have the descriptors, and outlive this one; run a vCPU it may not. */
static void other_process(const char *object)
{
	(void)object;
	go_inside(one.cpu);
	if (!fork()) {
		bool ran = !ioctl(one.cpu->fd, KVM_RUN, 0) || errno != EIO;

		usleep(2000 + (unsigned int)below(10000));
		close(one.vm);
		_exit(ran);
	}
	if (below(2)) {
		int status;

		expect_goes_on(one.cpu);
		wait(&status);
		if (status)
			wrong("another process could run the vCPU");
	}
}

static void by_duplicate(const char *object)
{
	int copy;

	(void)object;
	go_inside(one.cpu);
	copy = dup(one.cpu->fd);
	close(one.cpu->fd);
	one.cpu->fd = copy;
	expect_goes_on(one.cpu);
	go_inside(one.cpu);
}

static void without_a_word(const char *object)
{
	(void)object;
	go_inside(one.cpu);
	kill(getpid(), SIGKILL);
}

static void in_a_thread(const char *object)
{
	struct runner runner;

	(void)object;
	cpu_restore(one.cpu + 1);
	cpu_prepare(one.cpu + 1, &victim, spin_function, ROUNDS, 1ul << 60);
	runner_start(&runner, one.cpu + 1);
	usleep(1000 + (unsigned int)below(3000));
	if (below(2)) {
		close(one.vm);
		close(one.cpu[1].fd);
		usleep(1000);
	}
	if (below(2))
		kill(getpid(), SIGKILL);
}

static void unmapped(const char *object)
{
	(void)object;
	go_inside(one.cpu);
	munmap(one.cpu->run, ELISA_PAGE);
	munmap(one.memory, MEMORY_BYTES);
	munmap(one.buffer, BUFFER_BYTES);
}

/* Its memory goes with the old program, its VM a little later. */
static void another_program(const char *object)
{
	(void)object;
	go_inside(one.cpu);
	execl("/proc/self/exe", "vmm", "none", "none", "0", NULL);
	wrong("exec");
}

static void two_machines(const char *object)
{
	struct target first = victim;

	attempt_begin(&two, object, 1);
	go_inside(two.cpu);
	victim = first;
	go_inside(one.cpu);
	if (below(2)) {
		machine_destroy(&one);
		expect_goes_on(two.cpu);
	} else {
		machine_destroy(&two);
		expect_goes_on(one.cpu);
		expect_right(one.cpu);
	}
}

/* The other vCPU's kernel takes away what this one is in: its call ends, and another comes. */
static void farewell_inside(const char *object)
{
	static const uint32_t ops[] = { ELISA_OP_BYE, ELISA_OP_HELLO, ELISA_OP_DETACH };
	uint32_t op = ops[below(3)];
	int error;

	go_inside(one.cpu + 1);
	cpu_restore(one.cpu);
	error = op == ELISA_OP_HELLO ? machine_hello(&one) : machine_request(&one, op, victim.attachment);
	if (error)
		wrong("the farewell");
	for (int reason = -EINTR, i = 0; reason == -EINTR && i < 100; i++)
		cpu_wait(one.cpu + 1, 2000, &reason);
	if (one.cpu[1].control->right || one.cpu[1].control->failed != 1)
		wrong("a call has gone on after the farewell");
	if (machine_hello(&one) || machine_attach(&one, object, &victim))
		wrong("no attaching after the farewell");
	expect_right(one.cpu);
	expect_right(one.cpu + 1);
}

static void many_cpus(const char *object)
{
	int fds[64];

	(void)object;
	go_inside(one.cpu);
	for (int i = 0; i < 64; i++)
		fds[i] = ioctl(one.vm, KVM_CREATE_VCPU, i + 2);
	expect_goes_on(one.cpu);
	expect_right(one.cpu + 1);
	for (int i = 0; i < 64; i++)
		close(fds[i]);
	expect_right(one.cpu);
}

/* Another process, whose memory it is as well, changes every request while it is made. */
static void scribbled(const char *object)
{
	struct elisa_request *request = machine_request_page(&one);
	pid_t child = fork();

	if (!child) {
		nice(5);
		for (;;) {
			uint32_t *word = (uint32_t *)request + below(sizeof(*request) / 4);

			*(volatile uint32_t *)word = (uint32_t)(below(2) ? below(20) : randomly());
			if (!below(64))
				sched_yield();
		}
	}
	for (unsigned int i = 0; i < SCRIBBLES; i++) {
		machine_request(&one, (uint32_t)below(20), (uint32_t)below(4));
		machine_hello(&one);
		machine_attach(&one, object, &victim);
		machine_share(&one, &victim, BUFFER_GPA, ELISA_PAGE);
	}
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	if (machine_hello(&one) || machine_attach(&one, object, &victim))
		wrong("no attaching after that");
	expect_right(one.cpu);
}

/* Memory where the addresses used inside lie, from before the host knew the VM: it attaches when that is gone. */
static void region_first(const char *object)
{
	uint64_t gpa = one.region + below(64) * ELISA_1G;

	machine_create(&two, 1);
	if (machine_slot(&two, REGION_SLOT, gpa, BUFFER_BYTES, two.buffer, 0))
		wrong("KVM takes no slot at R");
	if (machine_hello(&two) || machine_attach(&two, object, &victim) != -EADDRINUSE)
		wrong("a VM with memory at R was not refused for that");
	if (machine_slot(&two, REGION_SLOT, gpa, 0, two.buffer, 0))
		wrong("KVM does not give it back");
	if (machine_attach(&two, object, &victim))
		wrong("no attaching after that");
	expect_right(two.cpu);
}

/* What its guest may not write is not the VM's to share, though the VMM has it writable. */
static void read_only(const char *object)
{
	(void)object;
	for (unsigned int i = 0; i < 4; i++) {
		machine_slot(&one, SPARE_SLOT, SPARE_GPA, 0, one.buffer, 0);
		if (machine_slot(&one, SPARE_SLOT, SPARE_GPA, BUFFER_BYTES, one.buffer, i % 2 ? 0 : KVM_MEM_READONLY))
			wrong("KVM takes no slot");
		if (i % 2 ? machine_share(&one, &victim, SPARE_GPA, ELISA_PAGE) < 0
			  : machine_share(&one, &victim, SPARE_GPA, ELISA_PAGE) != -EFAULT)
			wrong(i % 2 ? "memory of its own is not taken" : "read-only memory is not refused");
	}
	expect_right(one.cpu);
}

static const struct {
	const char *name;
	void (*live)(const char *object);
} kinds[] = {
	{ "the VM's descriptor closed first", vm_first },
	{ "descriptors in another process", other_process },
	{ "a vCPU's descriptor duplicated", by_duplicate },
	{ "a death inside", without_a_word },
	{ "a death while another thread is inside", in_a_thread },
	{ "the VM's memory unmapped", unmapped },
	{ "another program executed", another_program },
	{ "two VMs of one process", two_machines },
	{ "a farewell while inside", farewell_inside },
	{ "many vCPUs", many_cpus },
	{ "requests that another process changes", scribbled },
	{ "a slot at R before attaching", region_first },
	{ "read-only memory shared", read_only },
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static void live(const char *object, unsigned int kind)
{
	attempt_begin(&one, object, 2);
	kinds[kind].live(object);
	_exit(0);
}

void attack_lives(const char *object, unsigned long count)
{
	for (unsigned long i = 0; i < count; i++) {
		unsigned int kind = i % KINDS;
		int status;
		pid_t child;

		fflush(stdout);
		randomly(); /* each begins with other numbers */
		child = fork();
		if (!child)
			live(object, kind);
		waitpid(child, &status, 0);
		insides++;
		attempt_over(kinds[kind].name, (WIFEXITED(status) && !WEXITSTATUS(status)) ||
							       (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
						       ? NULL
						       : "it ended otherwise");
	}
}
