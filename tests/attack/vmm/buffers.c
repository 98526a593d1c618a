// SPDX-License-Identifier: MIT
/* Memory under a buffer that is shared with trusted code, and that changes while that reads it. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../clock.h"
#include "attacks.h"
#include "runner.h"

#define PAGES 4
#define BYTES (PAGES * ELISA_PAGE)
#define LOOKS 200
#define BETWEEN_LOOKS_US 10000
/* A hole that takes a while: of the file's pages before the buffer's, too, by a thread that seldom has a CPU. */
#define BEFORE_PAGES 2048
#define BEFORE (BEFORE_PAGES * ELISA_PAGE)
#define STAYS_US 1000000
/* Memory that takes several of the timer's ticks to drop: the CPU is given to others between two of its 2 MiB alone. */
#define DROPPED (32 * ELISA_2M)
#define TRIES 20
#define LATEST_US 3000000
#define MEETS_US 200000 /* that it lasts on when it has been seen */

unsigned long revoked, to_revoke;

static struct target nop;
static uint32_t sum_function;

struct buffer {
	uint8_t *memory, *other;
	int file;  /* its pages lie there at BEFORE */
	bool gone; /* nothing is mapped at .memory any more, or something else is */
};

static const char *slot_deleted(struct machine *machine, struct buffer *buffer)
{
	return machine_slot(machine, SPARE_SLOT, SPARE_GPA, 0, buffer->memory, 0) ? "slot" : NULL;
}

static const char *slot_elsewhere(struct machine *machine, struct buffer *buffer)
{
	machine_slot(machine, SPARE_SLOT, SPARE_GPA, 0, buffer->memory, 0);
	return machine_slot(machine, SPARE_SLOT, SPARE_GPA, BYTES, buffer->other, 0) ? "slot" : NULL;
}

static const char *slot_read_only(struct machine *machine, struct buffer *buffer)
{
	machine_slot(machine, SPARE_SLOT, SPARE_GPA, 0, buffer->memory, 0);
	return machine_slot(machine, SPARE_SLOT, SPARE_GPA, BYTES, buffer->memory, KVM_MEM_READONLY) ? "slot" : NULL;
}

static const char *slot_moved(struct machine *machine, struct buffer *buffer)
{
	return machine_slot(machine, SPARE_SLOT, SPARE_GPA + ELISA_2M, BYTES, buffer->memory, 0) ? "slot" : NULL;
}

static const char *dirty_logging(struct machine *machine, struct buffer *buffer)
{
	uint64_t bits = 0;
	struct kvm_dirty_log log = { .slot = SPARE_SLOT, .dirty_bitmap = &bits };

	if (machine_slot(machine, SPARE_SLOT, SPARE_GPA, BYTES, buffer->memory, KVM_MEM_LOG_DIRTY_PAGES))
		return "slot";
	return ioctl(machine->vm, KVM_GET_DIRTY_LOG, &log) ? "KVM_GET_DIRTY_LOG" : NULL;
}

static const char *dropped(struct machine *machine, struct buffer *buffer)
{
	(void)machine;
	return madvise(buffer->memory, BYTES, MADV_DONTNEED) ? "madvise" : NULL;
}

static const char *page_dropped(struct machine *machine, struct buffer *buffer)
{
	(void)machine;
	return madvise(buffer->memory + below(PAGES) * ELISA_PAGE, ELISA_PAGE, MADV_DONTNEED) ? "madvise" : NULL;
}

static const char *unmapped(struct machine *machine, struct buffer *buffer)
{
	(void)machine;
	buffer->gone = true;
	return munmap(buffer->memory, BYTES) ? "munmap" : NULL;
}

static const char *mapped_over(struct machine *machine, struct buffer *buffer)
{
	(void)machine;
	return mmap(buffer->memory, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
			       buffer->memory
		       ? NULL
		       : "mmap";
}

static const char *moved(struct machine *machine, struct buffer *buffer)
{
	(void)machine;
	buffer->gone = true;
	return mremap(buffer->memory, BYTES, BYTES, MREMAP_MAYMOVE | MREMAP_FIXED, buffer->other) == buffer->other
		       ? NULL
		       : "mremap";
}

static const char *punched(struct machine *machine, struct buffer *buffer)
{
	(void)machine;
	return fallocate(buffer->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, BEFORE, BYTES) ? "fallocate" : NULL;
}

static void seldom(bool idle)
{
	struct sched_param none = { 0 };
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(1, &set);
	if (sched_setaffinity(0, sizeof(set), &set) || (idle && sched_setscheduler(0, SCHED_IDLE, &none)))
		die("scheduling: %s", strerror(errno));
}

static void *spin(void *until_us)
{
	seldom(false);
	while (now_us() < __atomic_load_n((uint64_t *)until_us, __ATOMIC_RELAXED))
		;
	return NULL;
}

static void *punch(void *argument)
{
	const struct buffer *buffer = argument;

	seldom(true);
	return fallocate(buffer->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, BEFORE + BYTES) ? argument : NULL;
}

/* Is it the file's still? It need not be mapped. */
static bool is_cached(void *page)
{
	unsigned char found = 0;

	return !mincore(page, ELISA_PAGE, &found) && found & 1;
}

/* All is unmapped at once, and the pages taken one after another: the buffer's last, long after anybody was told. */
static const char *punched_slowly(struct machine *machine, struct buffer *buffer)
{
	void *first = mmap(NULL, ELISA_PAGE, PROT_READ, MAP_SHARED, buffer->file, 0), *failed;
	uint64_t until = UINT64_MAX;
	pthread_t spinner, puncher;
	bool waited;

	(void)machine;
	if (first == MAP_FAILED || fallocate(buffer->file, 0, 0, BEFORE))
		return "fallocate";
	if (pthread_create(&spinner, NULL, spin, &until))
		return "no thread";
	usleep(10000);
	if (pthread_create(&puncher, NULL, punch, buffer))
		return "no thread";
	for (unsigned int i = 0; i < 10000 && is_cached(first); i++)
		usleep(500);
	waited = !is_cached(first);
	usleep(STAYS_US);
	waited &= is_cached(buffer->memory);
	__atomic_store_n(&until, 0, __ATOMIC_RELAXED);
	pthread_join(spinner, NULL);
	pthread_join(puncher, &failed);
	munmap(first, ELISA_PAGE);
	if (failed)
		return "fallocate";
	return waited ? NULL : "the hole was made too soon, or too late";
}

static const char *truncated(struct machine *machine, struct buffer *buffer)
{
	(void)machine;
	return ftruncate(buffer->file, 0) ? "ftruncate" : NULL;
}

static const char *protected(struct machine *machine, struct buffer *buffer)
{
	(void)machine;
	return mprotect(buffer->memory, BYTES, below(2) ? PROT_READ : PROT_NONE) ? "mprotect" : NULL;
}

/* The pages are pinned: they stay the parent's, whoever writes first. */
static const char *forked(struct machine *machine, struct buffer *buffer)
{
	pid_t child = fork();

	(void)machine;
	if (!child) {
		buffer->memory[0] ^= 1;
		_exit(0);
	}
	return waitpid(child, NULL, 0) == child ? NULL : "fork";
}

static const char *advised(struct machine *machine, struct buffer *buffer)
{
	static const int advice[] = {
		MADV_COLD, MADV_PAGEOUT, MADV_FREE, MADV_MERGEABLE, MADV_HUGEPAGE, MADV_WILLNEED
	};

	(void)machine;
	madvise(buffer->memory, BYTES, advice[below(sizeof(advice) / sizeof(advice[0]))]);
	return NULL;
}

static const struct kind {
	const char *name;
	const char *(*apply)(struct machine *machine, struct buffer *buffer);
	bool of_file;
	bool revokes; /* the memory is the VM's no more */
} kinds[] = {
	{ "the slot deleted", slot_deleted, false, true },
	{ "the slot elsewhere", slot_elsewhere, false, true },
	{ "the slot read-only", slot_read_only, false, true },
	{ "the slot moved", slot_moved, false, true },
	{ "dirty logging", dirty_logging, false, true },
	{ "memory dropped", dropped, false, true },
	{ "a page dropped", page_dropped, false, true },
	{ "memory unmapped", unmapped, false, true },
	{ "memory mapped over", mapped_over, false, true },
	{ "memory moved", moved, false, true },
	{ "a hole in the file", punched, true, true },
	{ "the file truncated", truncated, true, true },
	{ "memory protected", protected, false, false },
	{ "a fork", forked, false, false },
	{ "advice", advised, false, false },
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static const struct kind slow_hole = { "a hole in the file that takes a while", punched_slowly, true, true };

static void *map(int file)
{
	void *memory = file < 0 ? mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
				: mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, BEFORE);

	if (memory == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	return memory;
}

static void create(struct machine *machine, struct buffer *buffer, bool of_file)
{
	buffer->gone = false;
	buffer->file = of_file ? memfd_create("buffer", 0) : -1;
	if (of_file && ftruncate(buffer->file, BEFORE + BYTES))
		die("ftruncate");
	buffer->memory = map(buffer->file);
	buffer->other = map(-1);
	memset(buffer->memory, 1, BYTES);
	memset(buffer->other, 3, BYTES);
	if (machine_slot(machine, SPARE_SLOT, SPARE_GPA, BYTES, buffer->memory, 0))
		die("no slot for a buffer");
}

static void destroy(struct machine *machine, struct buffer *buffer)
{
	machine_slot(machine, SPARE_SLOT, SPARE_GPA, 0, buffer->memory, 0);
	if (!buffer->gone)
		munmap(buffer->memory, BYTES);
	munmap(buffer->other, BYTES);
	if (buffer->file >= 0)
		close(buffer->file);
}

static int take_back(struct machine *machine, int buffer)
{
	struct elisa_request *request = machine_request_page(machine);

	memset(request, 0, sizeof(*request));
	request->unshare.buffer = (uint32_t)buffer;
	return machine_request(machine, ELISA_OP_UNSHARE, nop.attachment);
}

static void prepare(struct cpu *cpu, int number, uint64_t calls)
{
	cpu_restore(cpu);
	cpu_prepare(cpu, &nop, sum_function, (uint64_t)number, calls);
	cpu->control->a2 = BYTES;
	cpu->control->wanted = BYTES;
}

/* Calls that begin after the change. The buffer is revoked a little later, and is as it was until then. */
static const char *judge(struct cpu *cpu, int number, const struct kind *kind)
{
	bool gone = false;
	int reason;

	for (unsigned int i = 0; i < LOOKS && !gone; i++) {
		prepare(cpu, number, 1);
		if (!cpu_wait(cpu, 1000000, &reason))
			return "a call does not end";
		if (cpu->control->wrong || cpu->control->leaked)
			return "trusted code has seen other memory in the buffer's place";
		gone = cpu->control->failed == 1;
		if (!kind->revokes)
			return NULL;
		usleep(BETWEEN_LOOKS_US);
	}
	to_revoke++;
	revoked += gone;
	return NULL;
}

static const char *try(struct machine *machine, const struct kind *kind)
{
	struct cpu *cpu = machine->cpu + 1;
	struct buffer buffer;
	struct runner runner;
	const char *problem, *other;
	int number;

	create(machine, &buffer, kind->of_file);
	number = machine_share(machine, &nop, SPARE_GPA, BYTES);
	if (number < 0)
		die("share: %s: %.127s", strerror(-number), machine_request_page(machine)->reason);
	prepare(cpu, number, 1ul << 60);
	runner_start(&runner, cpu);
	problem = runner_goes_on(&cpu->control->right) ? NULL : "calls do not go on";
	other = kind->apply(machine, &buffer);
	if (other)
		die("%s: %s: %s", kind->name, other, strerror(errno));
	usleep((unsigned int)below(3000));
	if (cpu->control->wrong || cpu->control->spoiled || cpu->control->leaked)
		problem = "a call has returned something wrong";
	runner_stop(&runner);
	insides += runner.samples && runner.inside * 2 >= runner.samples;
	other = judge(cpu, number, kind);
	take_back(machine, number);
	destroy(machine, &buffer);
	return problem ? problem : other;
}

static void join(struct machine *machine)
{
	int error = machine_attach(machine, "nop", &nop);

	if (error)
		die("attach nop: %s: %.127s", strerror(-error), machine_request_page(machine)->reason);
	sum_function = machine_function(machine, &nop, "sum");
}

void attack_buffers(struct machine *machine, unsigned long count)
{
	join(machine);
	for (unsigned long i = 0; i < count; i++)
		attempt_over(kinds[i % KINDS].name, try(machine, kinds + i % KINDS));
}

void attack_hole(struct machine *machine, unsigned long count)
{
	join(machine);
	for (unsigned long i = 0; i < count; i++)
		attempt_over(slow_hole.name, try(machine, &slow_hole));
}

/* A file that is mapped as one, and its buffer at DROPPED. */
struct mapping {
	int file;
	uint8_t *all;
};

static bool is_mapped(const uint8_t *page)
{
	static int pagemap = -1;
	uint64_t entry;

	if (pagemap < 0)
		pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (pread(pagemap, &entry, sizeof(entry), (uintptr_t)page / ELISA_PAGE * sizeof(entry)) != sizeof(entry))
		die("pagemap: %s", strerror(errno));
	return entry >> 63;
}

static void *drop_all(void *argument)
{
	const struct mapping *mapping = argument;

	seldom(true);
	return fallocate(mapping->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, DROPPED + BYTES) ? argument
													: NULL;
}

/*
 * The VM shares its memory when the VMM has begun to unmap all of the file, of which everybody is told once, before;
 * and before the buffer's turn comes. -EAGAIN: it had come.
 */
static int share_dropped(struct machine *machine, struct mapping *mapping)
{
	uint8_t *all = mapping->all;
	uint64_t until = now_us() + LATEST_US;
	pthread_t spinner, dropper;
	int number = -EAGAIN;
	void *failed;

	memset(all, 1, DROPPED + BYTES);
	if (pthread_create(&spinner, NULL, spin, &until))
		die("no thread");
	usleep(10000);
	if (pthread_create(&dropper, NULL, drop_all, mapping))
		die("no thread");
	while (is_mapped(all) && now_us() < until)
		usleep(500);
	__atomic_store_n(&until, now_us() + MEETS_US, __ATOMIC_RELAXED);
	if (!is_mapped(all) && is_mapped(all + DROPPED))
		number = machine_share(machine, &nop, SPARE_GPA, BYTES);
	pthread_join(spinner, NULL);
	pthread_join(dropper, &failed);
	if (failed)
		die("fallocate: %s", strerror(errno));
	return number;
}

/* What the VM's memory is then, or nothing, is what trusted code finds in the buffer. */
static const char *drop_early(struct machine *machine, struct mapping *mapping)
{
	struct cpu *cpu = machine->cpu + 1;
	int number = -EAGAIN, reason;
	const char *problem = NULL;

	for (unsigned int i = 0; i < TRIES && number == -EAGAIN; i++)
		number = share_dropped(machine, mapping);
	if (number == -EAGAIN)
		return "the memory was dropped too soon, or too late";
	if (number < 0)
		die("share: %s: %.127s", strerror(-number), machine_request_page(machine)->reason);
	memset(mapping->all + DROPPED, 5, BYTES);
	usleep(BETWEEN_LOOKS_US);
	prepare(cpu, number, 1);
	cpu->control->wanted = 5 * BYTES;
	if (!cpu_wait(cpu, 1000000, &reason))
		problem = "a call does not end";
	else if (cpu->control->wrong || cpu->control->leaked)
		problem = "trusted code has seen other memory in the buffer's place";
	take_back(machine, number);
	return problem;
}

void attack_early(struct machine *machine, unsigned long count)
{
	struct mapping mapping = { .file = memfd_create("dropped", 0) };

	if (mapping.file < 0 || ftruncate(mapping.file, DROPPED + BYTES))
		die("a file: %s", strerror(errno));
	mapping.all = mmap(NULL, DROPPED + BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, mapping.file, 0);
	if (mapping.all == MAP_FAILED || machine_slot(machine, SPARE_SLOT, SPARE_GPA, BYTES, mapping.all + DROPPED, 0))
		die("memory for a buffer: %s", strerror(errno));
	join(machine);
	/* The first of an address space waits for all that changes in it. */
	mapping.all[DROPPED] = 1;
	take_back(machine, machine_share(machine, &nop, SPARE_GPA, BYTES));
	for (unsigned long i = 0; i < count; i++)
		attempt_over("memory that is about to be dropped", drop_early(machine, &mapping));
}
