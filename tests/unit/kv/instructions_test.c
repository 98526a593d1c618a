// SPDX-License-Identifier: MIT
/*
 * What calls cost in the cache, in instructions: a child calls, and its parent counts them step by step. As in the
 * emulator, each repetition of a string instruction is one. The code is compiled as that which runs inside; gate and
 * client come on top: some 60; some 20 of these are the test's own.
 */
#include <errno.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "world.h"

enum what { GET, MISS, SET, INCR, DELETE };

struct shape {
	const char *name;
	enum what what;
	uint32_t key_bytes, bytes;
	long limit;
};

static void mark(void)
{
	asm volatile("int3" : : : "memory");
}

static const char *key_of(const struct shape *shape)
{
	static char key[256];

	memset(key, 'k', shape->key_bytes);
	return key;
}

static long one(const struct shape *shape, uint64_t name)
{
	const struct elisa_info *info = &clients[0].info;
	uint64_t where = KV_WHERE(BUFFER, 0), room = round_up(shape->bytes);

	/* Called as the entry calls it, and no part of this. */
	long (*volatile get_it)(const struct elisa_info *, uint64_t, uint64_t, uint64_t) = kv_get;

	switch (shape->what) {
	case GET:
	case MISS:
		return get_it(info, where, name, room);
	case SET:
		return kv_store(info, where, name, shape->bytes);
	case INCR:
		return kv_count(info, where, name, 24);
	default:
		return kv_delete(info, where, name);
	}
}

static _Noreturn void child(const struct shape *shape)
{
	const char *key = key_of(shape);
	static uint8_t value[4096];
	long result;

	world_reset(64 << 20, 9);
	memset(value, '1', sizeof(value));
	if (shape->what != MISS)
		store(0, KV_OWN, key, KV_SET, value, shape->bytes);
	get(0, KV_OWN, key);
	slot_of(0, key)->number = 1;
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		_exit(77);
	mark();
	result = one(shape, KV_WHICH(KV_OWN, shape->key_bytes));
	mark();
	_exit(shape->what == MISS ? result != -ENOENT : result < 0);
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
		{ "get, key of 16 bytes, value of 64", GET, 16, 64, 216 },
		{ "get, key of 24 bytes, value of 64", GET, 24, 64, 232 },
		{ "get, key of 32 bytes, value of 64", GET, 32, 64, 380 },
		{ "get, key of 24 bytes, value of 8", GET, 24, 8, 217 },
		{ "get, key of 24 bytes, value of 1024", GET, 24, 1024, 1190 },
		{ "get, key of 24 bytes, value of 4096", GET, 24, 4096, 4020 },
		{ "get, key of 250 bytes, value of 64", GET, 250, 64, 1150 },
		{ "get, key of 24 bytes, none", MISS, 24, 0, 158 },
		{ "set, key of 24 bytes, value of 64", SET, 24, 64, 950 },
		{ "set, key of 24 bytes, value of 4096", SET, 24, 4096, 5600 },
		{ "increment", INCR, 24, 8, 1400 },
		{ "delete", DELETE, 24, 64, 415 },
	};
	int failed = 0;

	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		const struct shape *shape = &shapes[i];
		long instructions = count(shape);

		if (instructions < 0) {
			puts("skipped: processes may not be traced here");
			return 77;
		}
		printf("%-40s %6ld instructions, at most %5ld %s\n", shape->name, instructions, shape->limit,
		       instructions && instructions <= shape->limit ? "" : "MISSED");
		failed |= !instructions || instructions > shape->limit;
	}
	return failed;
}
