// SPDX-License-Identifier: MIT
/* A VM that makes objects, of a VMM that means harm: what the host keeps for it, and for how long. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <elisa/elisa.h>

#include "../../clock.h"
#include "attacks.h"

#define NAME "managed"
#define MIB 0x100000ul
#define LIMIT_MIB 8 /* copy_limit_mib of the test */
#define MUCH_MIB 15
#define WITHIN 7     /* objects of a MiB and some pages each that fit */
#define ASKS 64      /* of a call of `ask` */
#define MOST_TIMES 4 /* as long as for the first page */
#define SETTLE_MS 2000
#define SIGNALS_US 100

#define TEXT(number) #number
#define WORD(number) TEXT(number)

/* Asks the host ASKS times to take a lock from whoever does not hold it. RSI: its address. */
asm(".pushsection .rodata\n"
    "ask_code:\tmov %rsi, %rdi\n\t"
    "mov $" WORD(ASKS) ", %ecx\n"
		       "1:\tmov $" WORD(ELISA_LOCK_WAIT) ", %eax\n\t"
							 "vmcall\n\t"
							 "dec %ecx\n\t"
							 "jnz 1b\n\t"
							 "xor %eax, %eax\n\t"
							 "ret\n"
							 "ask_code_end:\n\t"
							 ".popsection");
extern const uint8_t ask_code[], ask_code_end[];

static struct machine one;
static char reason[ELISA_REASON_MAX]; /* of the last refusal */
static uint64_t code_us;              /* that the last request with code took */

static struct elisa_request *new_request(void)
{
	return machine_new_request(&one);
}

/* Of an answer, whose reason is kept, as what follows has others. */
static int noted(int error)
{
	if (error < 0)
		memcpy(reason, machine_request_page(&one)->reason, sizeof(reason));
	return error;
}

/* The answer must be this, for a reason that has the words. */
static void answered(const char *what, int error, int wanted, const char *words)
{
	char problem[2 * ELISA_REASON_MAX];
	bool right = error == wanted && (!words || strstr(reason, words));

	snprintf(problem, sizeof(problem), "%s: %s", strerror(-error), error < 0 ? reason : "");
	attempt_over(what, right ? NULL : problem);
}

static void must(const char *what, int error)
{
	if (error < 0)
		die("%s: %s: %.*s", what, strerror(-error), ELISA_REASON_MAX, machine_request_page(&one)->reason);
}

/* COUNT extents of the VM's list, as more of memory ID, or as another: 0. Its number, or an errno. */
static int name_memory(uint32_t id, uint32_t count)
{
	struct elisa_request *request = new_request();
	int error;

	request->memory.id = id;
	request->memory.extents = count;
	request->memory.gpa = EXTENTS;
	error = noted(machine_request(&one, ELISA_OP_MEMORY, 0));
	return error ? error : (int)request->memory.id;
}

static struct elisa_extent *extents(void)
{
	return (struct elisa_extent *)(one.memory + EXTENTS);
}

/* All of the buffer, so often. */
static int name_buffer(uint32_t times)
{
	for (uint32_t i = 0; i < times; i++)
		extents()[i] = (struct elisa_extent){ BUFFER_GPA, BUFFER_BYTES };
	return name_memory(0, times);
}

static int release_memory(int memory)
{
	new_request()->memory.id = (uint32_t)memory;
	return machine_request(&one, ELISA_OP_MEMORY_RELEASE, 0);
}

static int create_object(uint32_t flags)
{
	struct elisa_request *request = new_request();
	int error;

	request->create.flags = flags;
	error = noted(machine_request(&one, ELISA_OP_CREATE, 0));
	return error ? error : (int)request->id;
}

/* `ask`, with so much data that is each attachment's own. */
static int give_code(int object, uint64_t data_bytes)
{
	struct elisa_function_entry *entry = (struct elisa_function_entry *)one.buffer;
	struct elisa_request *request;
	int memory, error;

	strcpy(entry->name, "ask");
	entry->address = ELISA_BASE + ELISA_CODE_OFFSET;
	memcpy(entry + 1, ask_code, GUEST_DISTANCE(ask_code, ask_code_end));
	memory = name_buffer((uint32_t)(data_bytes / BUFFER_BYTES + 1));
	must("memory of the code", memory);
	request = new_request();
	request->memory.id = (uint32_t)memory;
	request->code.functions = 1;
	request->code.code_bytes = ELISA_PAGE;
	request->code.data_bytes = data_bytes;
	code_us = now_us();
	error = noted(machine_request(&one, ELISA_OP_OBJECT_CODE, (uint32_t)object));
	code_us = now_us() - code_us;
	if (!error)
		must("the code's memory is given back", release_memory(memory));
	else if (release_memory(memory))
		die("a refusal has cost the VM its memory");
	return error;
}

static int give_memory(int object, int memory)
{
	new_request()->memory.id = (uint32_t)memory;
	return machine_request(&one, ELISA_OP_OBJECT_MEMORY, (uint32_t)object);
}

static void publish(int object)
{
	struct elisa_request *request = new_request();

	request->grant.kind = ELISA_GRANT_ALL;
	request->grant.rights = ELISA_RIGHT_WRITE;
	must("grant", machine_request(&one, ELISA_OP_GRANT, (uint32_t)object));
	request = new_request();
	strcpy(request->publish.name, NAME);
	must("publish", machine_request(&one, ELISA_OP_PUBLISH, (uint32_t)object));
}

static int close_object(int object)
{
	new_request();
	return machine_request(&one, ELISA_OP_OBJECT_CLOSE, (uint32_t)object);
}

static int detach(const struct target *target)
{
	new_request();
	return machine_request(&one, ELISA_OP_DETACH, target->attachment);
}

/* --- copies of code and data */

static int object_of_a_mib(void)
{
	int object = create_object(0), error;

	must("create", object);
	error = give_code(object, MIB);
	if (!error)
		return object;
	close_object(object);
	return error;
}

static void fill(int *objects, int from)
{
	for (int i = from; i < WITHIN; i++) {
		objects[i] = object_of_a_mib();
		answered("code within the limit", objects[i] < 0 ? objects[i] : 0, 0, NULL);
	}
	answered("code beyond it", object_of_a_mib(), -ENOSPC, "copy_limit_mib");
}

/* It would cost the VM nothing to ask again and again. */
static void refused_early(void)
{
	uint64_t took[2] = { UINT64_MAX, UINT64_MAX };
	int object = create_object(0);

	must("create", object);
	for (unsigned int i = 0; i < 16; i++) {
		answered("code beyond it", give_code(object, i % 2 ? MUCH_MIB * MIB : MIB), -ENOSPC, "copy_limit_mib");
		took[i % 2] = code_us < took[i % 2] ? code_us : took[i % 2];
	}
	must("close", close_object(object));
	printf("# %d MiB of code are refused in %lu us, one in %lu us\n", MUCH_MIB, took[1], took[0]);
	attempt_over("much code beyond it",
		     took[1] < MOST_TIMES * took[0] ? NULL : "the host copies it, and refuses it");
}

static void copies_once(void)
{
	int objects[WITHIN];
	struct target own;

	fill(objects, 0);
	refused_early();
	publish(objects[0]);
	answered("an attachment's data beyond it", noted(machine_attach(&one, NAME, &own)), -ENOSPC, "copy_limit_mib");
	must("close", close_object(objects[WITHIN - 1]));
	answered("data that fits", noted(machine_attach(&one, NAME, &own)), 0, NULL);
	answered("code beside that", object_of_a_mib(), -ENOSPC, "copy_limit_mib");
	must("detach", detach(&own));
	fill(objects, WITHIN - 1);
	must("close", close_object(objects[WITHIN - 1]));
	answered("data that fits", noted(machine_attach(&one, NAME, &own)), 0, NULL);
	/* The client has not detached yet, but has nothing any more. */
	must("close what is attached", close_object(objects[0]));
	objects[0] = object_of_a_mib();
	answered("code after that", objects[0] < 0 ? objects[0] : 0, 0, NULL);
	fill(objects, WITHIN - 1);
	must("detach", detach(&own));
	for (int i = 0; i < WITHIN; i++)
		must("close", close_object(objects[i]));
}

void attack_copies(const char *object, unsigned long count)
{
	attempt_begin(&one, object, 1);
	for (unsigned long i = 0; i < count; i++)
		copies_once();
}

/* --- memory of which no two pages lie together for the host */

static int name_scattered(unsigned long pages)
{
	int memory = 0;

	for (unsigned int i = 0; i < ELISA_EXTENTS_MAX; i++)
		extents()[i] = (struct elisa_extent){ BUFFER_GPA + (8 + i % 2 * 2) * ELISA_PAGE, ELISA_PAGE };
	for (unsigned long named = 0; named < pages; named += ELISA_EXTENTS_MAX) {
		memory = name_memory((uint32_t)memory, ELISA_EXTENTS_MAX);
		must("memory in pieces", memory);
	}
	return memory;
}

/* Microseconds, the least of some. */
static uint64_t ask_about(const struct target *target, uint32_t function, uint64_t offset)
{
	struct cpu *cpu = one.cpu;
	uint64_t least = UINT64_MAX;

	for (unsigned int i = 0; i < 8; i++) {
		uint64_t from, took;
		int reason;

		cpu_prepare(cpu, target, function, ELISA_BASE + ELISA_MEMORY_OFFSET + offset, 1);
		cpu->control->wanted = 0;
		from = now_us();
		if (!cpu_wait(cpu, 10000000, &reason) || cpu->control->right != 1)
			die("asked for a lock: exit %d, last %ld", reason, (long)cpu->control->last);
		took = now_us() - from;
		least = took < least ? took : least;
	}
	return least;
}

/* While the host looks where a lock lies, all others who wait for one have to wait. */
void attack_scattered(const char *object, unsigned long pages)
{
	uint64_t near, far;
	struct target own;
	uint32_t ask;
	int managed;

	attempt_begin(&one, object, 1);
	pages -= pages % ELISA_EXTENTS_MAX;
	managed = create_object(0);
	must("create", managed);
	must("code", give_code(managed, 0));
	must("memory", give_memory(managed, name_scattered(pages)));
	publish(managed);
	must("attach", machine_attach(&one, NAME, &own));
	ask = machine_function(&one, &own, "ask");
	near = ask_about(&own, ask, 0);
	for (unsigned long page = 1; page < pages; page = page * 16 - 1) {
		far = ask_about(&own, ask, page * ELISA_PAGE);
		printf("# %d locks in page %lu: %lu us, in the first: %lu us\n", ASKS, page, far, near);
		attempt_over("a lock far behind",
			     far < MOST_TIMES * near ? NULL : "the host takes its time to find it");
	}
	far = ask_about(&own, ask, (pages - 1) * ELISA_PAGE);
	printf("# %d locks in the last page: %lu us, in the first: %lu us\n", ASKS, far, near);
	attempt_over("a lock in the last page", far < MOST_TIMES * near ? NULL : "the host takes its time to find it");
}

/* --- a VM whose VMM has died */

static struct elisa_ioc_stats stats(void)
{
	struct elisa_ioc_stats stats = { .size = sizeof(stats) };
	int device = open("/dev/elisa", O_RDWR | O_CLOEXEC);

	if (device < 0 || ioctl(device, ELISA_IOC_STATS, &stats))
		die("/dev/elisa: %s", strerror(errno));
	close(device);
	return stats;
}

/* A process of the host: the file of its object, or of its attachment to `nop`; with memory. */
static int use_host(bool as_client)
{
	const uint64_t address = (uintptr_t)one.buffer;
	struct elisa_ioc_memory memory = { .size = sizeof(memory), .address = address, .bytes = BUFFER_BYTES };
	struct elisa_ioc_share share = { .size = sizeof(share), .address = address, .bytes = BUFFER_BYTES };
	struct elisa_ioc_attach attach = { .size = sizeof(attach), .name = "nop", .scheme = ELISA_SCHEME_VMCALL };
	struct elisa_ioc_create create = { .size = sizeof(create) };
	int device = open("/dev/elisa", O_RDWR | O_CLOEXEC);

	if (device < 0)
		return -errno;
	if (as_client ? ioctl(device, ELISA_IOC_ATTACH, &attach) || ioctl(device, ELISA_IOC_SHARE, &share)
		      : ioctl(device, ELISA_IOC_CREATE, &create) || ioctl(device, ELISA_IOC_MEMORY, &memory))
		return -errno;
	return device;
}

/* What keeps the host's memory pinned: a buffer, memory that is only named, an object's; the same of a process of the
 * host. */
static void hold_memory(const char *object, unsigned int kind)
{
	struct target target;
	int managed;

	must("hello", machine_hello(&one));
	if (kind > 2) {
		must("a process of the host", use_host(kind == 4));
	} else if (kind == 0) {
		must("attach", machine_attach(&one, object, &target));
		must("share", machine_share(&one, &target, BUFFER_GPA, BUFFER_BYTES));
	} else if (kind == 1) {
		must("memory", name_buffer(1));
	} else {
		managed = create_object(0);
		must("create", managed);
		must("code", give_code(managed, 0));
		must("memory", give_memory(managed, name_buffer(1)));
		publish(managed);
	}
}

/* Makes a VM, leaves its descriptors to a child, which says so to READY and keeps them as long as KEEP is open. */
static void die_early(const char *object, unsigned int kind, const int *keep, int ready)
{
	struct elisa_ioc_stats before = stats(), now;
	char byte = 0;

	machine_create(&one, 1);
	hold_memory(object, kind);
	now = stats();
	if (now.pinned_pages < before.pinned_pages + BUFFER_BYTES / ELISA_PAGE || now.vms != before.vms + 1)
		die("nothing is pinned");
	if (!fork()) {
		close(keep[1]);
		if (!ioctl(one.cpu->fd, KVM_RUN, 0) || errno != EIO)
			byte = 1;
		if (write(ready, &byte, 1) != 1 || read(keep[0], &byte, 1))
			_exit(1);
		_exit(0);
	}
	_exit(0);
}

/* Until it is so, or for long. */
static bool settles(const struct elisa_ioc_stats *wanted, bool all)
{
	for (unsigned int i = 0; i < SETTLE_MS; i++) {
		struct elisa_ioc_stats now = stats();

		if (now.pinned_pages == wanted->pinned_pages && now.attachments == wanted->attachments &&
		    (!all || (now.objects == wanted->objects && now.vms == wanted->vms)))
			return true;
		usleep(1000);
	}
	return false;
}

static void orphan(const char *object, unsigned int kind)
{
	static const char *const names[] = { "a buffer of a VM whose VMM has died", "memory that it has named",
					     "an object of such a VM", "an object of a manager that has died",
					     "a buffer of a client that has died" };
	struct elisa_ioc_stats before = stats(), meanwhile = before;
	const char *problem = NULL;
	int keep[2], ready[2];
	char ran = 1;
	pid_t vmm;

	/* A client's is at an end, and is listed until its file is closed. */
	meanwhile.attachments += kind == 4;
	if (pipe(keep) || pipe(ready))
		die("pipe: %s", strerror(errno));
	vmm = fork();
	if (!vmm)
		die_early(object, kind, keep, ready[1]);
	close(keep[0]);
	close(ready[1]);
	waitpid(vmm, NULL, 0);
	if (read(ready[0], &ran, 1) != 1 || ran)
		problem = "another process could run its vCPU, or did not get it";
	else if (!settles(&meanwhile, false))
		problem = "what nobody is charged for stays pinned while somebody has the VM's descriptor";
	else if (stats().vms != before.vms + 1)
		problem = "the VM was gone already";
	close(keep[1]);
	close(ready[0]);
	if (!problem && !settles(&before, true))
		problem = "the VM stays";
	attempt_over(names[kind], problem);
}

void attack_orphans(const char *object, unsigned long count)
{
	for (unsigned long i = 0; i < count; i++)
		orphan(object, i % 5);
}

/* --- signals that come while the host begins to watch an address space */

static void nothing(int number)
{
	(void)number;
}

/* In a process of its own: its first memory. */
static void use_signalled(const char *object, unsigned int kind)
{
	struct itimerval often = { { 0, SIGNALS_US }, { 0, SIGNALS_US } }, never = {};
	struct target target;
	int error;

	if (kind == 2) {
		machine_create(&one, 1);
		must("hello", machine_hello(&one));
		must("attach", machine_attach(&one, object, &target));
	}
	signal(SIGALRM, nothing);
	setitimer(ITIMER_REAL, &often, NULL);
	error = kind == 2 ? noted(machine_share(&one, &target, BUFFER_GPA, BUFFER_BYTES)) : use_host(kind == 1);
	setitimer(ITIMER_REAL, &never, NULL);
	if (error < 0)
		printf("# %s: %s\n", strerror(-error), reason);
	fflush(stdout);
	_exit(error < 0 ? -error : 0);
}

void attack_signals(const char *object, unsigned long count)
{
	static const char *const names[] = { "an object's memory amid signals", "a client's buffer amid signals",
					     "a VM's buffer amid signals" };

	machine_create(&one, 1);
	for (unsigned long i = 0; i < count; i++) {
		int status;
		pid_t child;

		fflush(stdout);
		child = fork();
		if (!child)
			use_signalled(object, i % 3);
		if (waitpid(child, &status, 0) != child)
			die("fork: %s", strerror(errno));
		attempt_over(names[i % 3], !status             ? NULL
					   : WIFEXITED(status) ? strerror(WEXITSTATUS(status))
							       : "it was killed");
	}
}

/* --- what is refused, and with what reason */

static void too_many(void)
{
	static int objects[1025];
	int memory, count = 0;

	while (count < 1025 && (objects[count] = create_object(0)) > 0)
		count++;
	answered("an object too many", count < 1025 ? objects[count] : 0, -ENOSPC, "1024 objects");
	attempt_over("objects", count == 1024 ? NULL : "it has fewer or more than it may");
	while (count--)
		must("close", close_object(objects[count]));
	for (count = 0; (memory = name_buffer(1)) > 0;)
		count++;
	answered("memory too much", memory, -ENOSPC, "64 memories");
	attempt_over("memories", count == 64 ? NULL : "it has fewer or more than it may");
	for (memory = 1; memory <= 64; memory++)
		must("release", release_memory(memory));
}

/* The manager, itself, has not answered. */
static void unanswered(void)
{
	int object = create_object(ELISA_CREATE_ASK);
	struct target own;

	must("create", object);
	must("code", give_code(object, 0));
	publish(object);
	answered("asked", noted(machine_attach(&one, NAME, &own)), -EINPROGRESS, NULL);
	answered("a buffer before the answer", noted(machine_share(&one, &own, BUFFER_GPA, ELISA_PAGE)), -EINPROGRESS,
		 "answered");
	must("detach", detach(&own));
	must("close", close_object(object));
}

static void debugged(const char *object)
{
	struct kvm_guest_debug on = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP }, off = {};
	struct target target;

	if (ioctl(one.cpu->fd, KVM_SET_GUEST_DEBUG, &on))
		die("KVM_SET_GUEST_DEBUG: %s", strerror(errno));
	answered("attaching while it is debugged", noted(machine_attach(&one, object, &target)), -EOPNOTSUPP, "debugs");
	answered("hello while it is debugged", noted(machine_hello(&one)), -EOPNOTSUPP, "debugs");
	if (ioctl(one.cpu->fd, KVM_SET_GUEST_DEBUG, &off))
		die("KVM_SET_GUEST_DEBUG: %s", strerror(errno));
	answered("attaching afterwards", noted(machine_attach(&one, object, &target)), 0, NULL);
}

void attack_refusals(const char *object, unsigned long count)
{
	machine_create(&one, 1);
	must("hello", machine_hello(&one));
	for (unsigned long i = 0; i < count; i++) {
		too_many();
		unanswered();
	}
	debugged(object);
}
