// SPDX-License-Identifier: MIT
/*
 * teller NAME SEED TURNS [THREADS]: moves amounts in the object `ledger` until SIGTERM, or until a call returns
 * an error that says the object is gone; each call takes some TURNS, and every eighth looks whether the sum is right.
 * Says "attached" when all threads have shared their memory, or found that it cannot be shared now.
 */
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

#include "../../clock.h"
#include "../../vm/programs/program.h"

#define PAGE 4096
#define THREADS_MAX 8

static struct elisa_function transfer, audit;
static unsigned long seed, turns, calls, aborted, revoked, longest_us;
static volatile sig_atomic_t stop;
static struct elisa_attachment *attachment;
static pthread_barrier_t ready;

static void on_signal(int signal)
{
	(void)signal;
	stop = 1;
}

/* Aborted for a reason that passes: an interrupt, its lock taken from it, the limit on time. */
static bool passes(long error)
{
	return error == -EINTR || error == -ECANCELED || error == -ETIME;
}

/* A page of a thread's own, which trusted code writes; shared unless the memory is being logged. */
struct receipt {
	volatile uint64_t *page;
	uint32_t buffer;
	bool shared;
};

static void share(struct receipt *receipt)
{
	int error = elisa_share(attachment, (void *)receipt->page, PAGE, 0, &receipt->buffer);

	if (error && error != -EBUSY)
		die("share: %s: %s", strerror(-error), elisa_reason());
	receipt->shared = !error;
}

/* What the call met: the buffer was revoked, as the memory under it has changed or is logged. */
static bool share_again(struct receipt *receipt, long error)
{
	if (!receipt->shared || (error != -EINVAL && error != -EFAULT))
		return false;
	__atomic_fetch_add(&revoked, 1, __ATOMIC_RELAXED);
	expect("unshare", elisa_unshare(attachment, receipt->buffer), 0);
	share(receipt);
	return true;
}

static long one_call(unsigned int *random, struct receipt *receipt)
{
	uint64_t from = (uint64_t)rand_r(random) % 63, amount = (uint64_t)rand_r(random) % 1000 + 1;
	uint64_t mine = turns / 2 + (uint64_t)rand_r(random) % (turns + 1);
	long result;

	if (!receipt->shared)
		share(receipt);
	if (!receipt->shared || rand_r(random) % 8 == 0)
		return elisa_call0(&audit);
	result = elisa_call(&transfer, from, from + 1, amount, mine, receipt->buffer);
	if (!result && *receipt->page != amount)
		die("the receipt says %lu, not %lu", *receipt->page, amount);
	return result;
}

static void *work(void *thread)
{
	unsigned int random = (unsigned int)(seed * THREADS_MAX + (uintptr_t)thread);
	long result = elisa_call0(&audit); /* the thread's first: asks for the right to mask interrupts */
	struct receipt receipt = { .page = aligned_alloc(PAGE, PAGE) };

	memset((void *)receipt.page, 0, PAGE);
	share(&receipt);
	pthread_barrier_wait(&ready);
	while (!stop) {
		unsigned long before = now_us(), took;

		result = one_call(&random, &receipt);
		took = now_us() - before;
		__atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED);
		if (took > longest_us)
			longest_us = took;
		if (result >= 0)
			continue;
		if (result == -EIO)
			die("the sum is wrong");
		if (share_again(&receipt, result))
			continue;
		if (!passes(result))
			break;
		__atomic_fetch_add(&aborted, 1, __ATOMIC_RELAXED);
	}
	if (!stop) {
		printf("error %s\n", strerrorname_np((int)-result));
		fflush(stdout);
	}
	return NULL;
}

int main(int count, char **arguments)
{
	unsigned long threads = count > 4 ? number(arguments[4]) : 1;
	struct sigaction action = { .sa_handler = on_signal };
	pthread_t thread[THREADS_MAX];

	if (count < 4 || threads > THREADS_MAX)
		die("teller NAME SEED TURNS [THREADS]");
	seed = number(arguments[2]);
	turns = number(arguments[3]);
	sigaction(SIGTERM, &action, NULL);
	attachment = attach(arguments[1], "gate");
	transfer = find(attachment, "transfer");
	audit = find(attachment, "audit");
	expect("pthread_barrier_init", pthread_barrier_init(&ready, NULL, (unsigned int)threads + 1), 0);
	for (unsigned long i = 0; i < threads; i++)
		expect("pthread_create", pthread_create(&thread[i], NULL, work, (void *)i), 0);
	pthread_barrier_wait(&ready);
	puts("attached");
	fflush(stdout);
	for (unsigned long i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	printf("calls %lu aborted %lu revoked %lu longest_us %lu repairs %ld\n", calls, aborted, revoked, longest_us,
	       elisa_call0(&audit));
	elisa_detach(attachment);
	return 0;
}
