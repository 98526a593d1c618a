// SPDX-License-Identifier: MIT
/* Two numbers that are the same whenever nobody holds the lock: what a lock is for, for tests of locks. */
#include <elisa/object.h>

static ELISA_SHARED struct elisa_lock lock;
static ELISA_SHARED volatile uint64_t left, right, repairs;

/* Idempotent and short, as whoever repairs may be killed as well. */
static void take(const struct elisa_info *info)
{
	if (elisa_lock(&lock, info) == -EOWNERDEAD) {
		right = left;
		repairs++;
	}
}

/* Adds 1 to both, with a pause of so many turns between; returns the sum, or -EIO if they were not the same. */
ELISA_ENTRY(add, uint64_t turns)
{
	long result;

	take(info);
	result = left == right ? (long)++left : -EIO;
	for (volatile uint64_t turn = 0; turn < turns; turn++)
		;
	right = left;
	elisa_unlock(&lock, info);
	return result;
}

ELISA_ENTRY(repaired)
{
	return (long)repairs;
}
