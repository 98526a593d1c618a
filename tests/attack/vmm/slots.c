// SPDX-License-Identifier: MIT
/* Memory slots that change while a vCPU is inside in another thread: KVM changes its root, calls go on. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../clock.h"
#include "attacks.h"
#include "runner.h"

#define SPARE_BYTES 0x10000ul
#define ROUNDS 10000 /* of spin: some 0.3 ms */
#define CROWD 5000   /* slots at R */
#define CROWD_US 200 /* longer that an entry may take with them */

static void *spare(void)
{
	static void *memory;

	if (!memory)
		memory = mmap(NULL, SPARE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return memory;
}

static const char *add_and_remove(struct machine *machine, struct control *control)
{
	(void)control;
	if (machine_slot(machine, SPARE_SLOT, SPARE_GPA, SPARE_BYTES, spare(), 0))
		return "KVM takes no slot";
	usleep((unsigned int)below(300));
	return machine_slot(machine, SPARE_SLOT, SPARE_GPA, 0, spare(), 0) ? "KVM does not give it back" : NULL;
}

static const char *move(struct machine *machine, struct control *control)
{
	(void)control;
	machine_slot(machine, SPARE_SLOT, SPARE_GPA, SPARE_BYTES, spare(), 0);
	machine_slot(machine, SPARE_SLOT, SPARE_GPA + SPARE_BYTES, SPARE_BYTES, spare(), 0);
	return machine_slot(machine, SPARE_SLOT, SPARE_GPA, 0, spare(), 0) ? "KVM does not give it back" : NULL;
}

/* Of the memory that the guest runs in: its large pages are split, its writes fault. */
static const char *dirty_logging(struct machine *machine, struct control *control)
{
	static uint64_t bits[MEMORY_BYTES / ELISA_PAGE / 64];
	struct kvm_dirty_log log = { .slot = MEMORY_SLOT, .dirty_bitmap = bits };

	(void)control;
	if (machine_slot(machine, MEMORY_SLOT, 0, MEMORY_BYTES, machine->memory, KVM_MEM_LOG_DIRTY_PAGES))
		return "no dirty logging";
	usleep((unsigned int)below(300));
	if (ioctl(machine->vm, KVM_GET_DIRTY_LOG, &log))
		return "no dirty log";
	return machine_slot(machine, MEMORY_SLOT, 0, MEMORY_BYTES, machine->memory, 0) ? "it stays on" : NULL;
}

/* KVM drops what it has mapped of it; the file keeps the contents. */
static const char *drop(struct machine *machine, struct control *control)
{
	(void)control;
	return madvise(machine->memory, MEMORY_BYTES, MADV_DONTNEED) ? "madvise" : NULL;
}

static const char *remap(struct machine *machine, struct control *control)
{
	void *again;

	(void)control;
	again = mmap(machine->memory, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		     machine->memory_file, 0);
	return again == machine->memory ? NULL : "mmap";
}

/* Memory where the addresses used inside lie: no call while it is there. */
static const char *at_region(struct machine *machine, struct control *control)
{
	volatile uint32_t *refused = control->errors + EADDRINUSE;
	uint64_t gpa = machine->region + below(64) * ELISA_1G;
	const char *problem = NULL;
	uint32_t before = *refused;
	uint64_t right;

	if (machine_slot(machine, REGION_SLOT, gpa, SPARE_BYTES, spare(), 0))
		return "KVM takes no slot at R";
	for (unsigned int i = 0; i < 5000 && *refused == before; i++)
		usleep(100);
	if (*refused == before)
		problem = "calls are not refused";
	right = control->right;
	usleep(1000);
	if (control->right != right)
		problem = "a call has worked";
	if (machine_slot(machine, REGION_SLOT, gpa, 0, spare(), 0))
		return "KVM does not give it back";
	return problem;
}

static const struct {
	const char *name;
	const char *(*apply)(struct machine *machine, struct control *control);
	bool ends; /* calls may fail meanwhile */
} kinds[] = {
	{ "a slot added and removed", add_and_remove, false },
	{ "a slot moved", move, false },
	{ "dirty logging", dirty_logging, false },
	{ "memory dropped", drop, false },
	{ "memory mapped again", remap, false },
	{ "a slot at R", at_region, true },
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

void slots_change(struct machine *machine, struct control *control, unsigned int kind)
{
	uint64_t failed = control->failed;
	const char *problem = kinds[kind % KINDS].apply(machine, control);

	if (!problem && !runner_goes_on(&control->right))
		problem = "calls do not go on";
	if (!problem && (control->wrong || control->spoiled || control->leaked))
		problem = "a call has returned something wrong";
	if (!problem && !kinds[kind % KINDS].ends && control->failed != failed)
		problem = "a call has failed";
	attempt_over(kinds[kind % KINDS].name, problem);
}

void attack_slots(struct machine *machine, unsigned long count)
{
	struct cpu *cpu = machine->cpu + 1;
	struct runner runner;
	unsigned long before = tried;

	cpu_restore(cpu);
	cpu_prepare(cpu, &victim, spin_function, ROUNDS, 1ul << 60);
	runner_start(&runner, cpu);
	for (unsigned long i = 0; i < count; i++)
		slots_change(machine, cpu->control, (unsigned int)i);
	runner_stop(&runner);
	/* At the moment of a change it was inside as often as at any other. */
	insides += runner.samples ? (tried - before) * runner.inside / runner.samples : 0;
}

/* The shortest run of an idle vCPU, of some, after the slots have changed. */
static uint64_t run_us(struct machine *machine)
{
	uint64_t shortest = ~0ull;
	int reason;

	for (unsigned int i = 0; i < 10; i++) {
		uint64_t from, us;

		if (machine_slot(machine, SPARE_SLOT, SPARE_GPA, SPARE_BYTES, spare(), 0) ||
		    machine_slot(machine, SPARE_SLOT, SPARE_GPA, 0, spare(), 0))
			die("KVM takes no slot, or keeps it");
		machine->cpu->control->command = 0;
		from = now_us();
		if (!cpu_wait(machine->cpu, 0, &reason))
			die("the vCPU does not run: exit %d", reason);
		us = now_us() - from;
		if (us < shortest)
			shortest = us;
	}
	return shortest;
}

/* The host looks at slots in VM entries, interrupts off: so many take it no longer. */
void attack_crowd(struct machine *machine, unsigned long count)
{
	uint64_t alone = run_us(machine);

	for (unsigned int i = 0; i < CROWD; i++)
		if (machine_slot(machine, REGION_SLOT + 1 + i, machine->region + i * ELISA_PAGE, ELISA_PAGE, spare(),
				 0))
			die("KVM takes %u slots only", i);
	for (unsigned long i = 0; i < count; i++) {
		uint64_t now = run_us(machine);

		printf("a run of %lu us, of %lu without that many slots\n", now, alone);
		attempt_over("many slots at R", now > alone + CROWD_US ? "VM entries take longer" : NULL);
	}
}
