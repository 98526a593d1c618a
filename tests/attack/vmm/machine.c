// SPDX-License-Identifier: MIT
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "../../clock.h"
#include "machine.h"

#define PRESENT 1ul
#define WRITABLE 2ul
#define FOR_USER 4ul
#define FREE (PRESENT | WRITABLE | FOR_USER)
#define REQUEST_US 10000000
#define GATE_PD_INDEX (ELISA_GATE_OFFSET / ELISA_2M)

uint64_t seed = 1;
static int kvm = -1;
static __thread struct kvm_run *volatile running;

void die(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	_exit(1);
}

uint64_t randomly(void)
{
	static uint64_t state;

	if (!state)
		state = seed * 0x9e3779b97f4a7c15 | 1;
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state >> 3;
}

uint64_t below(uint64_t limit)
{
	return randomly() % limit;
}

static void must(const char *what, int result)
{
	if (result < 0)
		die("%s: %s", what, strerror(errno));
}

/* --- the guest's memory */

static uint64_t *table(struct machine *machine, unsigned int number)
{
	return (uint64_t *)(machine->memory + TABLES + number * ELISA_PAGE);
}

static uint64_t table_at(unsigned int number)
{
	return TABLES + number * ELISA_PAGE;
}

/* PML4, PDPT, PD and PT of the kernel; PD and PT of the user's alias; PDPT, PD and two PTs around the gate. */
static void fill_tables(struct machine *machine)
{
	enum { PML4, PDPT, PD, PT, USER_PD, USER_PT, GATE_PDPT, GATE_PD, STUB_PT, LANDING_PT };

	table(machine, PML4)[0] = table_at(PDPT) | FREE;
	table(machine, PDPT)[0] = table_at(PD) | FREE;
	table(machine, PDPT)[USER_ALIAS / ELISA_1G] = table_at(USER_PD) | FREE;
	table(machine, PD)[0] = table_at(PT) | FREE;
	table(machine, USER_PD)[0] = table_at(USER_PT) | FREE;
	for (unsigned int i = 0; i < 512; i++) {
		table(machine, PT)[i] = i * ELISA_PAGE | PRESENT | WRITABLE;
		table(machine, USER_PT)[i] = i * ELISA_PAGE | FREE;
	}
	table(machine, PML4)[ELISA_BASE >> 39 & 511] = table_at(GATE_PDPT) | FREE;
	table(machine, GATE_PDPT)[ELISA_BASE >> 30 & 511] = table_at(GATE_PD) | FREE;
	table(machine, GATE_PD)[GATE_PD_INDEX - 1] = table_at(STUB_PT) | FREE;
	table(machine, GATE_PD)[GATE_PD_INDEX] = table_at(LANDING_PT) | FREE;
	table(machine, STUB_PT)[511] = STUB_PAGE | PRESENT | FOR_USER;
	table(machine, LANDING_PT)[1] = LANDING_PAGE | PRESENT | FOR_USER;
}

static void fill_idt(struct machine *machine)
{
	uint64_t *idt = (uint64_t *)(machine->memory + IDT);

	for (unsigned int i = 0; i < 256; i++) {
		uint64_t address = KERNEL + i * VECTOR_BYTES, type = i == END_OF_CALLS || i == 3 ? 0xee : 0x8e;

		idt[2 * i] = (address & 0xffff) | KERNEL_CS << 16 | type << 40 | address >> 16 << 48;
	}
}

static uint64_t per_cpu(unsigned int cpu, unsigned int page)
{
	return PER_CPU + (4 * cpu + page) * ELISA_PAGE;
}

/* One GDT for all, with a task for each. */
static void fill_gdt(struct machine *machine)
{
	static const uint64_t descriptors[] = { 0, 0x00af9b000000ffff, 0x00cf93000000ffff,
						0, 0x00cff3000000ffff, 0x00affb000000ffff };
	uint64_t *gdt = (uint64_t *)(machine->memory + GDT);

	memcpy(gdt, descriptors, sizeof(descriptors));
	for (unsigned int i = 0; i < CPUS_MAX; i++) {
		uint64_t task = per_cpu(i, 3), stack = per_cpu(i, 2);

		gdt[TASK / 8 + 2 * i] = 0x67 | (task & 0xffffff) << 16 | 0x89ull << 40;
		memcpy(machine->memory + task + 4, &stack, sizeof(stack));
	}
}

static void copy(struct machine *machine, uint64_t gpa, const uint8_t *from, const uint8_t *to)
{
	memcpy(machine->memory + gpa, from, GUEST_DISTANCE(from, to));
}

static void fill_memory(struct machine *machine)
{
	static const uint8_t rsm[] = { 0x0f, 0xaa };

	memset(machine->memory, 0, MEMORY_BYTES);
	fill_tables(machine);
	fill_idt(machine);
	fill_gdt(machine);
	copy(machine, KERNEL, guest_kernel, guest_kernel_end);
	copy(machine, USER, guest_user, guest_user_end);
	memset(machine->memory + STUB_PAGE, 0xcc, 2 * ELISA_PAGE);
	copy(machine, STUB_PAGE + ELISA_PAGE - ELISA_STUB_BYTES, guest_stub, guest_stub_end);
	copy(machine, LANDING_PAGE, guest_landing, guest_landing_end);
	memcpy(machine->memory + SMBASE + 0x8000, rsm, sizeof(rsm));
}

static void *shared_memory(int *file, uint64_t bytes)
{
	void *memory;

	*file = memfd_create("guest", 0);
	must("memfd_create", *file);
	must("ftruncate", ftruncate(*file, bytes));
	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, *file, 0);
	if (memory == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	return memory;
}

int machine_slot(struct machine *machine, unsigned int number, uint64_t gpa, uint64_t bytes, void *address,
		 uint32_t flags)
{
	struct kvm_userspace_memory_region slot = { .slot = number,
						    .flags = flags,
						    .guest_phys_addr = gpa,
						    .memory_size = bytes,
						    .userspace_addr = (uintptr_t)address };

	return ioctl(machine->vm, KVM_SET_USER_MEMORY_REGION, &slot) ? -errno : 0;
}

/* --- vCPUs */

/* What KVM has to offer, without what does not go with calls. */
static void set_cpuid(struct cpu *cpu)
{
	static struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[128];
	} cpuid;

	cpuid.head.nent = 128;
	must("KVM_GET_SUPPORTED_CPUID", ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &cpuid));
	for (unsigned int i = 0; i < cpuid.head.nent; i++) {
		struct kvm_cpuid_entry2 *entry = cpuid.head.entries + i;

		if (entry->function == 1) {
			entry->ecx &= ~(1u << 17 | 1u << 5); /* PCID, VMX */
			entry->ebx = (entry->ebx & 0xffffff) | cpu->number << 24;
		} else if (entry->function == 7 && !entry->index) {
			entry->ebx &= ~(1u << 10); /* INVPCID */
		}
	}
	must("KVM_SET_CPUID2", ioctl(cpu->fd, KVM_SET_CPUID2, &cpuid));
}

static void segment(struct kvm_segment *segment, uint16_t selector, uint8_t type, uint8_t dpl, bool code)
{
	*segment = (struct kvm_segment){ .selector = selector,
					 .type = type,
					 .s = 1,
					 .dpl = dpl,
					 .present = 1,
					 .g = 1,
					 .l = code,
					 .db = !code,
					 .limit = ~0u };
}

/* In its kernel, in 64-bit mode, about to ask what to do. */
static void set_registers(struct cpu *cpu)
{
	struct kvm_mp_state runnable = { KVM_MP_STATE_RUNNABLE };
	struct kvm_lapic_state lapic;
	struct kvm_sregs sregs;
	struct kvm_regs regs = { .rip = KERNEL + GUEST_DISTANCE(guest_kernel, guest_kernel_idle), .rflags = 2 };
	uint64_t control = per_cpu(cpu->number, 0);

	must("KVM_GET_SREGS", ioctl(cpu->fd, KVM_GET_SREGS, &sregs));
	segment(&sregs.cs, KERNEL_CS, 11, 0, true);
	segment(&sregs.ss, KERNEL_SS, 3, 0, false);
	segment(&sregs.ds, USER_SS, 3, 3, false);
	sregs.es = sregs.fs = sregs.gs = sregs.ds;
	sregs.fs.base = USER_ALIAS + control;
	sregs.gs.base = control;
	sregs.tr = (struct kvm_segment){ .selector = TASK + 16 * cpu->number,
					 .type = 11,
					 .present = 1,
					 .base = per_cpu(cpu->number, 3),
					 .limit = 0x67 };
	sregs.gdt = (struct kvm_dtable){ .base = GDT, .limit = TASK + 16 * CPUS_MAX - 1 };
	sregs.idt = (struct kvm_dtable){ .base = IDT, .limit = 4095 };
	sregs.cr0 = 0x80050033;
	sregs.cr3 = TABLES;
	sregs.cr4 = 1 << 5 | 1 << 9 | 1 << 10 | 1 << 20 | 1 << 21; /* PAE, SSE, SMEP, SMAP */
	sregs.efer = 0xd01;                                        /* SCE, LME, LMA, NXE */
	sregs.apic_base |= 1 << 11 | 1 << 10;                      /* x2APIC */
	must("KVM_SET_SREGS", ioctl(cpu->fd, KVM_SET_SREGS, &sregs));
	must("KVM_SET_REGS", ioctl(cpu->fd, KVM_SET_REGS, &regs));
	must("KVM_SET_MP_STATE", ioctl(cpu->fd, KVM_SET_MP_STATE, &runnable));
	must("KVM_GET_LAPIC", ioctl(cpu->fd, KVM_GET_LAPIC, &lapic));
	memcpy(lapic.regs + 0xf0, &(uint32_t){ 0x1ff }, 4);
	must("KVM_SET_LAPIC", ioctl(cpu->fd, KVM_SET_LAPIC, &lapic));
}

static void create_cpu(struct machine *machine, unsigned int number)
{
	struct cpu *cpu = machine->cpu + number;
	int reason, bytes = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	struct control *control = (struct control *)(machine->memory + per_cpu(number, 0));

	*cpu = (struct cpu){ .machine = machine, .number = number, .control = control };
	cpu->fd = ioctl(machine->vm, KVM_CREATE_VCPU, number);
	must("KVM_CREATE_VCPU", cpu->fd);
	cpu->run = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, cpu->fd, 0);
	if (cpu->run == MAP_FAILED)
		die("mmap of a vCPU: %s", strerror(errno));
	control->kernel_stack = per_cpu(number, 2);
	control->user_stack = USER_ALIAS + per_cpu(number, 3);
	control->user_rip = USER_ALIAS + USER;
	control->rflags = 0x3202; /* IOPL 3 */
	control->not_secret = ~SECRET;
	set_cpuid(cpu);
	set_registers(cpu);
	if (!cpu_wait(cpu, 100000, &reason))
		die("vCPU %u does not run: exit %d", number, reason);
	cpu_keep(cpu);
}

int machine_kvm(void)
{
	if (kvm < 0)
		kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	must("/dev/kvm", kvm);
	return kvm;
}

void machine_create(struct machine *machine, unsigned int cpus)
{
	struct kvm_enable_cap split = { .cap = KVM_CAP_SPLIT_IRQCHIP, .args = { 24 } };
	/* KVM_GET_VCPU_EVENTS then tells what comes with an exception: CR2, DR6. */
	struct kvm_enable_cap payload = { .cap = KVM_CAP_EXCEPTION_PAYLOAD, .args = { 1 } };

	memset(machine, 0, sizeof(*machine));
	machine->vm = ioctl(machine_kvm(), KVM_CREATE_VM, 0);
	must("KVM_CREATE_VM", machine->vm);
	must("KVM_SET_TSS_ADDR", ioctl(machine->vm, KVM_SET_TSS_ADDR, 0xfffbd000));
	must("KVM_SET_IDENTITY_MAP_ADDR", ioctl(machine->vm, KVM_SET_IDENTITY_MAP_ADDR, &(uint64_t){ 0xfffbc000 }));
	must("KVM_CAP_EXCEPTION_PAYLOAD", ioctl(machine->vm, KVM_ENABLE_CAP, &payload));
	must("KVM_CAP_SPLIT_IRQCHIP", ioctl(machine->vm, KVM_ENABLE_CAP, &split));
	machine->memory = shared_memory(&machine->memory_file, MEMORY_BYTES);
	machine->buffer = shared_memory(&machine->buffer_file, BUFFER_BYTES);
	fill_memory(machine);
	if (machine_slot(machine, MEMORY_SLOT, 0, MEMORY_BYTES, machine->memory, 0) ||
	    machine_slot(machine, BUFFER_SLOT, BUFFER_GPA, BUFFER_BYTES, machine->buffer, 0) ||
	    machine_slot(machine, SMM_SLOT, 0, MEMORY_BYTES, machine->memory, 0))
		die("memory slots: %s", strerror(errno));
	machine->cpus = cpus;
	for (unsigned int i = 0; i < cpus; i++)
		create_cpu(machine, i);
}

void machine_destroy(struct machine *machine)
{
	int bytes = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);

	for (unsigned int i = 0; i < machine->cpus; i++) {
		munmap(machine->cpu[i].run, bytes);
		close(machine->cpu[i].fd);
	}
	close(machine->vm);
	munmap(machine->memory, MEMORY_BYTES);
	munmap(machine->buffer, BUFFER_BYTES);
	close(machine->memory_file);
	close(machine->buffer_file);
}

/* --- running */

static void interrupted(int signal)
{
	(void)signal;
	/* Also if KVM_RUN is yet to come. */
	if (running)
		running->immediate_exit = 1;
}

static timer_t thread_timer(void)
{
	static __thread timer_t timer;
	static __thread pid_t made; /* by this thread: a child has its parent's memory, but no timers */
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1 };
	struct sigaction action = { .sa_handler = interrupted };

	if (made != gettid()) {
		event._sigev_un._tid = gettid();
		sigaction(SIGUSR1, &action, NULL);
		must("timer_create", timer_create(CLOCK_MONOTONIC, &event, &timer));
		made = gettid();
	}
	return timer;
}

int cpu_run(struct cpu *cpu, unsigned int us)
{
	struct itimerspec after = { .it_value = { us / 1000000, us % 1000000 * 1000 } }, never = {};
	timer_t timer = thread_timer();
	int result;

	running = cpu->run;
	if (us)
		timer_settime(timer, 0, &after, NULL);
	result = ioctl(cpu->fd, KVM_RUN, 0) ? -errno : (int)cpu->run->exit_reason;
	if (us)
		timer_settime(timer, 0, &never, NULL);
	running = NULL;
	cpu->run->immediate_exit = 0;
	cpu->entry_failed |= result == KVM_EXIT_FAIL_ENTRY;
	return result;
}

void cpu_interrupt_other(pthread_t thread)
{
	pthread_kill(thread, SIGUSR1);
}

bool cpu_is_idle(const struct cpu *cpu, int reason)
{
	return reason == KVM_EXIT_IO && cpu->run->io.port == IDLE_PORT;
}

bool cpu_wait(struct cpu *cpu, unsigned int us, int *reason)
{
	*reason = cpu_run(cpu, us);
	return cpu_is_idle(cpu, *reason);
}

/* --- what its guest asks of the host */

struct elisa_request *machine_request_page(struct machine *machine)
{
	return (struct elisa_request *)(machine->memory + REQUEST);
}

int machine_request(struct machine *machine, uint32_t op, uint32_t id)
{
	struct elisa_request *request = machine_request_page(machine);
	struct cpu *cpu = machine->cpu;
	uint64_t until = now_us() + REQUEST_US;
	int reason;

	request->size = sizeof(*request);
	request->op = op;
	request->id = id;
	cpu->control->request = REQUEST;
	cpu->control->command = DO_REQUEST;
	while (!cpu_wait(cpu, REQUEST_US, &reason))
		if (reason != -EINTR || now_us() >= until)
			die("request %u: exit %d", op, reason);
	return cpu->control->result ? (int)cpu->control->result : request->error;
}

struct elisa_request *machine_new_request(struct machine *machine)
{
	return memset(machine_request_page(machine), 0, sizeof(struct elisa_request));
}

int machine_hello(struct machine *machine)
{
	struct elisa_request *request = machine_new_request(machine);
	int error;

	request->hello.version = ELISA_HYPERCALL_VERSION;
	request->hello.user_cs = USER_CS;
	request->hello.user_ss = USER_SS;
	error = machine_request(machine, ELISA_OP_HELLO, 0);
	machine->region = request->hello.base;
	return error;
}

int machine_attach(struct machine *machine, const char *object, struct target *target)
{
	struct elisa_request *request = machine_new_request(machine);
	int error;

	strncpy(request->attach.name, object, sizeof(request->attach.name) - 1);
	error = machine_request(machine, ELISA_OP_ATTACH, 0);
	target->slot = request->attach.slot;
	target->attachment = request->id;
	return error;
}

void machine_join(struct machine *machine, const char *object, struct target *target)
{
	int error = machine_hello(machine);

	if (!error)
		error = machine_attach(machine, object, target);
	if (error)
		die("attach %s: %s: %.127s", object, strerror(-error), machine_request_page(machine)->reason);
}

uint32_t machine_function(struct machine *machine, const struct target *target, const char *name)
{
	struct elisa_request *request = machine_new_request(machine);
	int error;

	strncpy(request->function.name, name, sizeof(request->function.name) - 1);
	error = machine_request(machine, ELISA_OP_FUNCTION, target->attachment);
	if (error)
		die("function %s: %s: %.127s", name, strerror(-error), request->reason);
	return request->function.index;
}

int machine_share(struct machine *machine, const struct target *target, uint64_t gpa, uint64_t bytes)
{
	struct elisa_extent *extents = (struct elisa_extent *)(machine->memory + EXTENTS);
	struct elisa_request *request = machine_new_request(machine);
	int error;
	uint32_t memory;

	extents[0] = (struct elisa_extent){ gpa, bytes };
	request->memory.extents = 1;
	request->memory.gpa = EXTENTS;
	error = machine_request(machine, ELISA_OP_MEMORY, 0);
	if (error)
		return error;
	memory = request->memory.id;
	request = machine_new_request(machine);
	request->memory.id = memory;
	request->share.bytes = bytes;
	error = machine_request(machine, ELISA_OP_SHARE, target->attachment);
	return error ? error : (int)request->share.buffer;
}

void cpu_prepare(struct cpu *cpu, const struct target *target, uint32_t function, uint64_t a0, uint64_t calls)
{
	struct control *control = cpu->control;

	memset(&control->calls, 0, sizeof(*control) - offsetof(struct control, calls));
	control->slot = ELISA_GATE_SLOT(target->slot);
	control->function = function;
	control->a0 = a0;
	control->a1 = control->a2 = 0;
	control->wanted = 1;
	control->stub = ELISA_STUB;
	control->any = 0;
	control->remaining = calls;
	control->command = DO_CALLS;
}
