// SPDX-License-Identifier: MIT
/*
 * sweep OBJECT CALL EVENT [ERROR [EACH]]: calls the object, with the event before the first instruction inside; again
 * with it before the second; and so on until it does not come any more. After each call its result, registers, and what
 * the next call finds must be right. ERROR: the errno that an ended call returns; 0: none may be ended. With EACH, each
 * address counts once.
 *
 * CALL: counter, lock: add of the object `counter`, or `locks`; dead: of `locks` whose lock a call has left taken;
 * refused: a function that `counter` has not.
 * EVENT: interrupt, nmi, smi, init; hold: what is done on the host meanwhile; detach, client: the attachment is closed,
 * or the process that calls is killed, by another vCPU.
 *
 * Prints how many instructions there were, before how many an event came, and how many calls were ended. The first one
 * after the call is not counted, and gets the event too, but for init.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../../include/uapi/elisa/layout.h"
#include "program.h"
#include "schedule.h"

#define FLAGS_ALWAYS 0x202   /* bit 1, IF */
#define FLAGS_NEVER 0x244500 /* TF, DF, NT, AC, ID */
#define TICKS 300000         /* 3 ms: until a process that is killed is dead */
#define POINTS_MAX 20000     /* the event has to miss one day */
#define NO_FUNCTION 255      /* of the 256 that an object could have */
#define ATTACH_S 5
#define DEATH_US 5000 /* until a manager that is killed is dead */

enum { RBX, RBP, R12, R13, R14, R15, KEPT, RSP = KEPT, RFLAGS, RCX, RSI, RDI, R8, R9, R10, R11, REGISTERS };

static const char *const register_names[] = { "rbx", "rbp", "r12", "r13", "r14", "r15", "rsp", "rflags",
					      "rcx", "rsi", "rdi", "r8",  "r9",  "r10", "r11" };
/* As they were before the call and after it. */
uint64_t sweep_before[KEPT + 1] = { 0xb0b0b0b0b0b0b0b0, 0xb1b1b1b1b1b1b1b1, 0x1212121212121212,
				    0x1313131313131313, 0x1414141414141414, 0x1515151515151515 };
uint64_t sweep_after[REGISTERS];
long sweep_call(uint64_t slot, uint64_t index, uint64_t a0);

asm(".text\n"
    "sweep_call:\n"
    "	push	%rbx\n	push	%rbp\n	push	%r12\n	push	%r13\n	push	%r14\n	push	%r15\n"
    "	mov	%rdi, %rcx\n"
    "	mov	%rsi, %r10\n"
    "	mov	%rdx, %rsi\n"
    "	mov	sweep_before+0(%rip), %rbx\n"
    "	mov	sweep_before+8(%rip), %rbp\n"
    "	mov	sweep_before+16(%rip), %r12\n"
    "	mov	sweep_before+24(%rip), %r13\n"
    "	mov	sweep_before+32(%rip), %r14\n"
    "	mov	sweep_before+40(%rip), %r15\n"
    "	mov	%rsp, sweep_before+48(%rip)\n"
    "	call	1f\n"
    "	mov	%rbx, sweep_after+0(%rip)\n"
    "	mov	%rbp, sweep_after+8(%rip)\n"
    "	mov	%r12, sweep_after+16(%rip)\n"
    "	mov	%r13, sweep_after+24(%rip)\n"
    "	mov	%r14, sweep_after+32(%rip)\n"
    "	mov	%r15, sweep_after+40(%rip)\n"
    "	mov	%rsp, sweep_after+48(%rip)\n"
    "	mov	sweep_before+48(%rip), %rsp\n"
    "	pushfq\n"
    "	pop	sweep_after+56(%rip)\n"
    "	mov	%rcx, sweep_after+64(%rip)\n"
    "	mov	%rsi, sweep_after+72(%rip)\n"
    "	mov	%rdi, sweep_after+80(%rip)\n"
    "	mov	%r8, sweep_after+88(%rip)\n"
    "	mov	%r9, sweep_after+96(%rip)\n"
    "	mov	%r10, sweep_after+104(%rip)\n"
    "	mov	%r11, sweep_after+112(%rip)\n"
    "	pop	%r15\n	pop	%r14\n	pop	%r13\n	pop	%r12\n	pop	%rbp\n	pop	%rbx\n"
    "	ret\n"
    "1:	movabs	$0x200034000000 - 6, %r11\n"
    "	push	%r11\n"
    "	ret\n");
_Static_assert(ELISA_STUB == 0x200034000000 - 6, "the assembly says so");

static const char *object;
static uint64_t argument;       /* of add */
static bool dead;               /* the lock is left taken before each call */
static bool refused;            /* no function is called */
static bool closes;             /* the event is this program's */
static bool fresh;              /* an object whose manager has died is another one then */
static long error;              /* of calls that are ended */
static unsigned int armed_with; /* a schedule_event */
static struct elisa_attachment *attachment;
static struct elisa_function add, leave;
static unsigned long point, instructions, ended;
static volatile bool over;

static void move_to(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("no vCPU %d: %s", cpu, strerror(errno));
}

static void attach_again(void)
{
	int result = -ENOENT;

	for (unsigned int i = 0; result && i < ATTACH_S * 1000; i++) {
		result = elisa_attach(&attachment, object, ELISA_BY_GATE);
		if (result)
			usleep(1000);
	}
	if (result)
		die("point %lu: attach: %s", point, elisa_reason());
	add = find(attachment, "add");
	if (dead)
		leave = find(attachment, "leave");
}

/* The object's value, after one call that is not disturbed. */
static long quiet_add(void)
{
	long value = elisa_call1(&add, argument);

	if (value <= 0)
		die("point %lu: the call after it: %ld", point, value);
	return value;
}

static void check_registers(void)
{
	for (unsigned int i = 0; i <= KEPT; i++)
		if (sweep_after[i] != sweep_before[i])
			die("point %lu (%#lx): %s is %#lx after the call", point, schedule_where(), register_names[i],
			    sweep_after[i]);
	if ((sweep_after[RFLAGS] & (FLAGS_ALWAYS | FLAGS_NEVER)) != FLAGS_ALWAYS)
		die("point %lu (%#lx): rflags are %#lx after the call", point, schedule_where(), sweep_after[RFLAGS]);
	for (unsigned int i = RCX; i < REGISTERS; i++)
		if (sweep_after[i])
			die("point %lu (%#lx): %s is %#lx after the call", point, schedule_where(), register_names[i],
			    sweep_after[i]);
}

/* True if it was ended, false if it returned WANTED. */
static bool check_result(long result, long wanted)
{
	if (result == wanted)
		return false;
	if (!error || result != -error)
		die("point %lu (%#lx): the call returned %ld, expected %ld or %ld", point, schedule_where(), result,
		    wanted, -error);
	return true;
}

static long call(void)
{
	return sweep_call(add.slot, refused ? NO_FUNCTION : add.index, argument);
}

/* Disturbed once, at `point`. False: there is no such instruction. */
static bool one_call(void)
{
	long value = quiet_add(), wanted, result, next;
	unsigned long count;
	bool was_ended;

	if (dead) {
		expect("leaving the lock", elisa_call1(&leave, 0), 0);
		value++;
	}
	wanted = refused ? -ENOSYS : value + 1;
	if (!schedule_arm(armed_with, point))
		die("this machine arms nothing");
	result = call();
	if (!schedule_end(&count)) {
		if (!count)
			die("the emulator has seen no instruction inside");
		instructions = count - 1;
		expect("the call that nothing came in", result, wanted);
		return false;
	}
	was_ended = check_result(result, wanted);
	check_registers();
	ended += was_ended;
	if (closes || fresh) {
		elisa_detach(attachment);
		usleep(fresh ? DEATH_US : 0);
		attach_again();
	}
	next = quiet_add();
	if (fresh)
		expect("a new object", next, 1);
	else if (next != value + 2 - refused && !(was_ended && next == value + 1))
		die("point %lu (%#lx): %ld, the call returned %ld, then %ld", point, schedule_where(), value, result,
		    next);
	return true;
}

/* On the other vCPU: closes the attachment of the call that is held. */
static void *close_when_held(void *unused)
{
	(void)unused;
	move_to(1);
	while (!over) {
		if (!schedule_is_held()) {
			sched_yield();
			continue;
		}
		schedule_begin(TICKS);
		close(elisa_attachment_fd(attachment));
		schedule_done();
	}
	return NULL;
}

static void sweep(void)
{
	struct elisa_attachment *keeps_stub = NULL; /* which a call that is ended returns to */
	pthread_t other;

	attach_again();
	/* Of the same object it would keep the attachment, which is the VM's. */
	keeps_stub = attach(closes ? "stub" : object, "gate");
	if (closes)
		expect("pthread_create", pthread_create(&other, NULL, close_when_held, NULL), 0);
	move_to(0);
	quiet_add();
	for (point = 1; point < POINTS_MAX && one_call(); point++)
		;
	over = true;
	if (closes)
		pthread_join(other, NULL);
	elisa_detach(keeps_stub);
}

/* A child that calls, and is killed. True: it was held, and is dead. */
static bool kill_one(unsigned long *counted)
{
	pid_t child = fork();
	int status;

	if (!child) {
		move_to(0);
		attach_again();
		quiet_add();
		if (dead)
			expect("leaving the lock", elisa_call1(&leave, 0), 0);
		schedule_arm(armed_with, point);
		call();
		schedule_end(counted);
		_exit(0);
	}
	for (;;) {
		if (waitpid(child, &status, WNOHANG) == child) {
			expect("a child that was not killed", status, 0);
			return false;
		}
		if (schedule_is_held())
			break;
		sched_yield();
	}
	schedule_begin(TICKS);
	kill(child, SIGKILL);
	schedule_done();
	if (waitpid(child, &status, 0) != child || !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		die("point %lu: the child ended with %#x", point, status);
	return true;
}

static void sweep_clients(void)
{
	unsigned long *counted = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	long value;

	if (counted == MAP_FAILED)
		die("no memory");
	move_to(1);
	attach_again();
	value = quiet_add();
	for (point = 1; point < POINTS_MAX && kill_one(counted); point++) {
		long next = quiet_add();

		/* One call of the child's was not disturbed. */
		if (next < value + 2 + dead || next > value + 3 - refused + dead)
			die("point %lu: %ld, after the child %ld", point, value, next);
		value = next;
		ended++;
	}
	instructions = *counted - 1;
}

static const struct {
	const char *name;
	unsigned int event;
} events[] = {
	{ "interrupt", SCHEDULE_INTERRUPT }, { "nmi", SCHEDULE_NMI },   { "smi", SCHEDULE_SMI },
	{ "init", SCHEDULE_INIT },           { "hold", SCHEDULE_HOLD }, { "detach", SCHEDULE_HOLD },
	{ "client", SCHEDULE_HOLD },
};

int main(int count, char **arguments)
{
	unsigned int i;

	if (count < 4)
		die("sweep OBJECT CALL EVENT [ERROR [EACH]]");
	object = arguments[1];
	dead = !strcmp(arguments[2], "dead");
	for (i = 0; i < sizeof(events) / sizeof(events[0]) && strcmp(arguments[3], events[i].name); i++)
		;
	if (i == sizeof(events) / sizeof(events[0]))
		die("no event %s", arguments[3]);
	armed_with = events[i].event;
	refused = !strcmp(arguments[2], "refused");
	argument = !strcmp(arguments[2], "counter") || refused;
	closes = !strcmp(arguments[3], "detach");
	error = count > 4 ? (long)number(arguments[4]) : 0;
	fresh = error == ESHUTDOWN;
	if (count > 5)
		armed_with |= SCHEDULE_ONCE_EACH;
	if (!strcmp(arguments[3], "client"))
		sweep_clients();
	else
		sweep();
	printf("instructions %lu tried %lu ended %lu\n", instructions, point - 1, ended);
	elisa_detach(attachment);
	return 0;
}
