// SPDX-License-Identifier: MIT
/*
 * Accounts whose sum is always zero, for tests that kill whoever calls: what is under way is noted before an account is
 * touched, so that whoever takes the lock from a dead caller can finish it. Each vCPU also leaves a mark of where it
 * is; a mark that stays when the vCPU is gone says where its call was cut short.
 */
#include <elisa/object.h>

#define ACCOUNTS 64
#define CALLERS 1024

enum { OUTSIDE, INSIDE, LOCKED };

/* The manager's memory from its first byte on: tests/fault/ledger.py reads it, too. */
static ELISA_SHARED struct {
	struct elisa_lock lock;
	volatile uint64_t repairs, transfers;
	volatile struct {
		uint64_t open, from, to;
		int64_t from_after, to_after;
	} journal;
	volatile int64_t accounts[ACCOUNTS];
	volatile struct {
		uint64_t number, vm, where, calls;
	} callers[CALLERS];
} ledger;

static void pause_for(uint64_t turns)
{
	for (volatile uint64_t turn = 0; turn < turns; turn++)
		;
}

/* The host's number of this vCPU in this attachment: used once only. */
static uint64_t caller_number(const struct elisa_info *info)
{
	return elisa_lock_owner(info) >> 32;
}

static void mark(const struct elisa_info *info, uint64_t where)
{
	uint64_t number = caller_number(info), at = number % CALLERS;

	ledger.callers[at].where = where;
	if (where == INSIDE) {
		ledger.callers[at].number = number;
		ledger.callers[at].vm = info->vm;
		ledger.callers[at].calls++;
	}
}

static void finish_journal(uint64_t turns)
{
	uint64_t from = ledger.journal.from % ACCOUNTS, to = ledger.journal.to % ACCOUNTS;

	ledger.accounts[from] = ledger.journal.from_after;
	pause_for(turns);
	ledger.accounts[to] = ledger.journal.to_after;
	ledger.journal.open = 0;
}

/* Idempotent and short, as whoever repairs may be killed as well. */
static void take(const struct elisa_info *info)
{
	if (elisa_lock(&ledger.lock, info) == -EOWNERDEAD) {
		if (ledger.journal.open)
			finish_journal(0);
		ledger.repairs++;
	}
	mark(info, LOCKED);
}

static int write_receipt(const struct elisa_info *info, uint64_t buffer, uint64_t value)
{
	volatile uint64_t *receipt = elisa_buffer(info, buffer, 0, sizeof(*receipt));

	if (!receipt)
		return -EINVAL;
	*receipt = value;
	return 0;
}

/*
 * Moves an amount, says so in a buffer, and takes its time: so many turns before the lock, and as many while it is
 * held.
 */
ELISA_ENTRY(transfer, uint64_t from, uint64_t to, uint64_t amount, uint64_t turns, uint64_t buffer)
{
	int error;

	from %= ACCOUNTS;
	to %= ACCOUNTS;
	if (from == to)
		return -EDOM;
	mark(info, INSIDE);
	pause_for(turns);
	take(info);
	ledger.journal.from = from;
	ledger.journal.to = to;
	ledger.journal.from_after = ledger.accounts[from] - (int64_t)amount;
	ledger.journal.to_after = ledger.accounts[to] + (int64_t)amount;
	ledger.journal.open = 1;
	finish_journal(turns);
	ledger.transfers++;
	error = elisa_unlock(&ledger.lock, info);
	mark(info, INSIDE);
	if (!error)
		error = write_receipt(info, buffer, amount);
	mark(info, OUTSIDE);
	return error;
}

/* How often the lock was taken from a dead caller; -EIO if the sum is wrong. */
ELISA_ENTRY(audit)
{
	int64_t sum = 0;
	long repairs;

	mark(info, INSIDE);
	take(info);
	for (unsigned int i = 0; i < ACCOUNTS; i++)
		sum += ledger.accounts[i];
	repairs = (long)ledger.repairs;
	elisa_unlock(&ledger.lock, info);
	mark(info, OUTSIDE);
	return sum ? -EIO : repairs;
}
