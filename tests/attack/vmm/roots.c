// SPDX-License-Identifier: MIT
/*
 * A page that was KVM's root becomes one of a gate or sub context: what the CPU has cached under its address must not
 * serve there. KVM gives a root back when a memory slot goes; who asks for a page next gets the one that was freed
 * last, and a first call asks for some ten, two of them for roots. Pages that the VMM gives back between, another
 * number each time, make it each of these in turn.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "attacks.h"

#define BETWEEN_MOST 16
#define GRACE_US 30000 /* in which the kernel frees what a CPU might still have read */

/* Pages of the kernel's kind, where a pipe's data lies. */
static void take_pages(int ends[2], unsigned long pages)
{
	static const uint8_t page[ELISA_PAGE];

	if (pipe(ends))
		die("no pipe");
	for (unsigned long i = 0; i < pages; i++)
		if (write(ends[1], page, sizeof(page)) != sizeof(page))
			die("the pipe takes no page");
}

static const char *change_root(struct machine *machine)
{
	static void *spare;
	int reason;

	if (!spare)
		spare = mmap(NULL, ELISA_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (machine_slot(machine, SPARE_SLOT, SPARE_GPA, ELISA_PAGE, spare, 0) ||
	    machine_slot(machine, SPARE_SLOT, SPARE_GPA, 0, spare, 0))
		return "KVM takes no slot, or keeps it";
	machine->cpu->control->command = 0;
	return cpu_wait(machine->cpu, 100000, &reason) ? NULL : "the vCPU does not run with a new root";
}

static const char *call_first(struct cpu *cpu)
{
	int reason;

	cpu_prepare(cpu, &victim, check_function, 0, 1);
	if (!cpu_wait(cpu, 100000, &reason) || cpu->control->right != 1 || cpu->control->spoiled)
		return "the first call is not right";
	insides++;
	return NULL;
}

/* The next call is a first one again. */
static void attach_again(struct machine *machine, const char *object)
{
	int error = machine_request(machine, ELISA_OP_DETACH, victim.attachment);

	if (!error)
		error = machine_attach(machine, object, &victim);
	if (error)
		die("attach %s again: %s: %.127s", object, strerror(-error), machine_request_page(machine)->reason);
}

void attack_roots(const char *object, unsigned long count)
{
	static struct machine machine;

	attempt_begin(&machine, object, 1);
	for (unsigned long i = 0; i < count; i++) {
		const char *problem;
		int ends[2];

		take_pages(ends, i % BETWEEN_MOST);
		problem = change_root(&machine);
		usleep(GRACE_US);
		close(ends[0]);
		close(ends[1]);
		if (!problem)
			problem = call_first(machine.cpu);
		attach_again(&machine, object);
		attempt_over("a root of KVM's becomes another", problem);
	}
}
