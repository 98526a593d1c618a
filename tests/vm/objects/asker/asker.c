// SPDX-License-Identifier: MIT
/* Asks the host for locks that lie anywhere; and shows whether a holder goes on. */
#include <elisa/object.h>

#define NOBODY 0x1234500001 /* a holder whom there is not */

static ELISA_SHARED volatile uint64_t word = NOBODY;

/* From the word on. 1 if that has been set to dead, which is to happen for offset 0 alone. */
ELISA_ENTRY(ask, uint64_t offset)
{
	elisa_lock_waiter waiter = { 0 };

	elisa_lock_wait(info, (struct elisa_lock *)((uint64_t)&word + offset), &waiter);
	return word != NOBODY;
}

static ELISA_SHARED struct elisa_lock lock;
static ELISA_SHARED volatile uint64_t writes;

/* Writes all the time, with the lock. */
ELISA_ENTRY(scribble, uint64_t turns)
{
	elisa_lock(&lock, info);
	for (uint64_t turn = 0; turn < turns; turn++)
		writes++;
	return elisa_unlock(&lock, info);
}

/* Takes the lock, from whom it may be, and returns how much somebody else writes meanwhile; or -EIO if nobody had. */
ELISA_ENTRY(watch, uint64_t turns)
{
	int error = elisa_lock(&lock, info);
	uint64_t before = writes;

	for (volatile uint64_t turn = 0; turn < turns; turn++)
		;
	before = writes - before;
	elisa_unlock(&lock, info);
	return error == -EOWNERDEAD ? (long)before : -EIO;
}

/* Anything in the window. */
ELISA_ENTRY(peek, uint64_t offset)
{
	return *(volatile uint8_t *)(ELISA_BASE + offset);
}
