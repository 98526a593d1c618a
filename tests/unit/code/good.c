// SPDX-License-Identifier: MIT
/* Much of what may be in trusted code: a call through a pointer, with a retpoline, a lock, copies, a trap. */
#include <elisa/object.h>

static ELISA_SHARED struct elisa_lock lock;
static long (*volatile chosen)(long);
static char from[300], to[300];

__attribute__((noinline)) static long twice(long n)
{
	return 2 * n;
}

ELISA_ENTRY(through, uint64_t n)
{
	chosen = twice;
	return chosen((long)n) + 1;
}

ELISA_ENTRY(locked, uint64_t n)
{
	long result = elisa_lock(&lock, info);

	__builtin_memcpy(to, from, n % sizeof(to));
	elisa_zero(from, n % sizeof(from));
	elisa_unlock(&lock, info);
	return result;
}

ELISA_ENTRY(trap, uint64_t n)
{
	if (n > 100)
		__builtin_trap();
	return __builtin_ctzll(n | 1);
}
