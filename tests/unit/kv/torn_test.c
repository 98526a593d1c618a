// SPDX-License-Identifier: MIT
/*
 * A read that meets a store at any of its instructions. A child reads, step by step; at one of its steps, another one
 * each time, the item is replaced, and what it was made of is used again for what the reader may not see. It must get
 * the old value or the new one, with its own flags; and of the secret, nothing ever comes into its memory, also not for
 * a moment.
 */
#include <errno.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "world.h"

#define READER 0u
#define WRITER 1u
#define SECRET 'S'

/* A value of one letter, which its flags are, too. */
static void put(uint32_t n, uint32_t space, const char *key, uint8_t letter, uint32_t bytes)
{
	struct kv_slot *slot = slot_of(n, key);

	slot->flags = letter;
	memset(slot->value, letter, bytes);
	kv_store(&clients[n].info, KV_WHERE(BUFFER, 0), which(space, key), bytes);
}

static void mark(void)
{
	asm volatile("int3" : : : "memory");
}

static bool all(const uint8_t *value, uint32_t bytes, uint8_t letter)
{
	for (uint32_t i = 0; i < bytes; i++) {
		if (value[i] != letter)
			return false;
	}
	return true;
}

static _Noreturn void child(uint32_t bytes)
{
	struct kv_slot *slot = slot_of(READER, "key");
	long result;

	memset(slot->value, 0, bytes);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		_exit(77);
	mark();
	result = kv_get(&clients[READER].info, KV_WHERE(BUFFER, 0), KV_WHICH(SHARED, 3), KV_VALUE_MAX);
	mark();
	_exit(result != (long)bytes || (slot->item_flags != 'o' && slot->item_flags != 'n') ||
	      !all(slot->value, bytes, (uint8_t)slot->item_flags));
}

static bool stopped(pid_t pid, int *status)
{
	return waitpid(pid, status, 0) == pid && WIFSTOPPED(*status) && WSTOPSIG(*status) == SIGTRAP;
}

/* All that is free becomes the secret. */
static void replace(uint32_t bytes, uint32_t times)
{
	char key[16];

	for (uint32_t i = 0; i < times; i++)
		put(WRITER, SHARED, "key", 'n', bytes);
	for (uint32_t i = 0; i < 8; i++) {
		snprintf(key, sizeof(key), "s%u", i);
		put(WRITER, KV_OWN, key, SECRET, bytes + 16);
	}
}

/* Replaced at step AT of the reader's; how many steps it took, or -1: it went wrong; 0: there is no such step. */
static long meet(uint32_t bytes, long at, uint32_t times)
{
	long steps = 0;
	int status = 0, marks = 0;
	bool leaked = false;
	pid_t pid;

	world_reset(512 << 10, 6);
	state->bucket_mask = 0; /* whatever is stored is in the same chain, and of the same stripe */
	put(WRITER, SHARED, "key", 'o', bytes);
	pid = fork();
	if (!pid)
		child(bytes);
	while (stopped(pid, &status)) {
		siginfo_t what;

		ptrace(PTRACE_GETSIGINFO, pid, NULL, &what);
		marks += what.si_code == SI_KERNEL;
		if (marks == 1 && ++steps == at)
			replace(bytes, times);
		leaked |= steps >= at && bytes && memchr(clients[READER].slot->value, SECRET, bytes);
		if (ptrace(marks == 1 ? PTRACE_SINGLESTEP : PTRACE_CONT, pid, NULL, NULL))
			return -1;
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		puts("skipped: processes may not be traced here");
		exit(77);
	}
	if (leaked)
		printf("the secret came out, replaced at step %ld\n", at);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		printf("neither the old value nor the new one, replaced at step %ld\n", at);
	return leaked || !WIFEXITED(status) || WEXITSTATUS(status) || marks != 2 ? -1 : steps < at ? 0 : steps;
}

static bool run(uint32_t bytes, long stride, uint32_t times)
{
	uint64_t retried = 0;
	long at = 1, steps;

	for (; (steps = meet(bytes, at, times)) > 0; at += stride)
		retried += state->rows[READER + 1].stats.retried;
	printf("%5u bytes: replaced at %ld steps, %lu reads began anew\n", bytes, at / stride, retried);
	return !steps && at > 100 && retried > 5;
}

int main(void)
{
	bool good = run(64, 1, 1);

	good &= run(8, 3, 2);
	good &= run(700, 37, 1);
	return !good;
}
