// SPDX-License-Identifier: MIT
/*
 * What sending costs in the switch, in instructions: a child sends bursts, and its parent counts them step by step. As
 * in the emulator, each repetition of a string instruction is one. The code is compiled as that which runs inside; gate
 * and client come on top.
 */
#include <errno.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "world.h"

struct shape {
	const char *name;
	uint32_t burst, bytes;
	uint32_t receivers; /* one: all to it; several: in turn; none: broadcast to all of three */
	uint32_t queues;    /* of a receiver */
	double limit;       /* instructions per packet */
};

static void mark(void)
{
	asm volatile("int3" : : : "memory");
}

/* Sends a burst unmarked, so that addresses are learned, and once more. */
static _Noreturn void child(const struct shape *shape)
{
	uint32_t receivers = shape->receivers ? shape->receivers : 3;
	long sent;

	world_reset(64, VSWITCH_BUCKETS_DEFAULT);
	client_join(0, 1);
	for (uint32_t n = 1; n <= receivers; n++)
		client_join(n, shape->queues);
	for (uint32_t i = 0; i < shape->burst; i++)
		packet_put(0, i, shape->receivers ? mac(1 + i % receivers) : VSWITCH_BROADCAST, mac(0), shape->bytes,
			   1);
	client_send(0, 1);
	for (uint32_t n = 1; n <= receivers; n++) {
		while (client_take(n, 0, NULL))
			client_post(n, 0, 1, PLACE_BYTES);
	}
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		_exit(77);
	mark();
	sent = client_send(0, shape->burst);
	mark();
	_exit(sent != (long)shape->burst || counters_of(1).rx_drops[VSWITCH_DROP_FULL]);
}

static bool stopped(pid_t pid, int *status)
{
	return waitpid(pid, status, 0) == pid && WIFSTOPPED(*status) && WSTOPSIG(*status) == SIGTRAP;
}

/* Instructions between the marks; 0: something went wrong; -1: it may not be traced here. */
static long count(const struct shape *shape)
{
	pid_t pid = fork();
	long instructions = 0;
	int status, marks = 0;

	if (!pid)
		child(shape);
	while (stopped(pid, &status)) {
		siginfo_t what;

		ptrace(PTRACE_GETSIGINFO, pid, NULL, &what);
		marks += what.si_code == SI_KERNEL;
		instructions += marks == 1;
		if (ptrace(marks == 1 ? PTRACE_SINGLESTEP : PTRACE_CONT, pid, NULL, NULL))
			return 0;
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		return -1;
	return WIFEXITED(status) && !WEXITSTATUS(status) && marks == 2 ? instructions : 0;
}

int main(void)
{
	static const struct shape shapes[] = {
		{ "64 bytes, burst 1", 1, 64, 1, 1, 180 },
		{ "64 bytes, burst 32", 32, 64, 1, 1, 85 },
		{ "64 bytes, burst 256", 256, 64, 1, 1, 78 },
		{ "60 bytes, burst 32", 32, 60, 1, 1, 85 },
		{ "1518 bytes, burst 32", 32, 1518, 1, 1, 265 },
		{ "64 bytes, burst 32, to two in turn", 32, 64, 2, 1, 215 },
		{ "64 bytes, burst 32, to one with four queues", 32, 64, 1, 4, 205 },
		{ "64 bytes, burst 32, broadcast to three", 32, 64, 0, 1, 1400 },
	};
	int failed = 0;

	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		const struct shape *shape = &shapes[i];
		long instructions = count(shape);
		double each = (double)instructions / shape->burst;

		if (instructions < 0) {
			puts("skipped: processes may not be traced here");
			return 77;
		}
		printf("%-46s %8.2f instructions per packet, at most %4.0f %s\n", shape->name, each, shape->limit,
		       instructions && each <= shape->limit ? "" : "MISSED");
		failed |= !instructions || each > shape->limit;
	}
	return failed;
}
