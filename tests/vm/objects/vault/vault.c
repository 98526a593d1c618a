// SPDX-License-Identifier: MIT
/* Two numbers that are the same whenever nobody holds the lock: what a lock is for, for tests of locks. */
#include <elisa/object.h>

static ELISA_SHARED struct {
	struct elisa_lock lock;
	volatile uint64_t left, right, repairs;
} vault;

/* Idempotent and short, as whoever repairs may be killed as well. */
static void take(const struct elisa_info *info)
{
	if (elisa_lock(&vault.lock, info) == -EOWNERDEAD) {
		vault.right = vault.left;
		vault.repairs++;
	}
}

/* Adds 1 to both, with a pause of so many turns between; returns the sum, or -EIO if they were not the same. */
ELISA_ENTRY(add, uint64_t turns)
{
	long result;

	take(info);
	result = vault.left == vault.right ? (long)++vault.left : -EIO;
	for (volatile uint64_t turn = 0; turn < turns; turn++)
		;
	vault.right = vault.left;
	elisa_unlock(&vault.lock, info);
	return result;
}

ELISA_ENTRY(repaired)
{
	return (long)vault.repairs;
}
