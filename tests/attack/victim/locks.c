// SPDX-License-Identifier: MIT
/* Many locks, each of two numbers that are the same whenever nobody holds it. */
#include <elisa/object.h>

#define LOCKS 64

static ELISA_SHARED struct elisa_lock locks[LOCKS];
static ELISA_SHARED volatile uint64_t left[LOCKS], right[LOCKS], repairs;

static void take(const struct elisa_info *info, unsigned int i)
{
	if (elisa_lock(&locks[i], info) == -EOWNERDEAD) {
		right[i] = left[i];
		__atomic_add_fetch(&repairs, 1, __ATOMIC_RELAXED);
	}
}

/* Adds 1 to both of number `index`; the sum, or -EIO if they were not the same. */
ELISA_ENTRY(add, uint64_t index)
{
	unsigned int i = index % LOCKS;
	long result;

	take(info, i);
	result = left[i] == right[i] ? (long)++left[i] : -EIO;
	right[i] = left[i];
	elisa_unlock(&locks[i], info);
	return result;
}

/* Takes them all and keeps them for so many turns, with all numbers in between. */
ELISA_ENTRY(hold, uint64_t turns)
{
	for (unsigned int i = 0; i < LOCKS; i++) {
		take(info, i);
		left[i]++;
	}
	for (uint64_t turn = 0; turn < turns; turn++)
		asm volatile("");
	for (unsigned int i = 0; i < LOCKS; i++) {
		right[i] = left[i];
		if (elisa_unlock(&locks[i], info))
			return -EOWNERDEAD;
	}
	return 0;
}

/* Takes one and forgets it. */
ELISA_ENTRY(leave, uint64_t index)
{
	unsigned int i = index % LOCKS;

	take(info, i);
	left[i]++;
	return 0;
}

ELISA_ENTRY(repaired)
{
	return (long)repairs;
}
