// SPDX-License-Identifier: MIT
/*
 * vault NAME CALLS TURNS [THREADS [SCHEME]]: adds to the object `vault` CALLS times in each thread, holding its lock
 * for TURNS. Prints how many calls were carried out, how many aborted, the sum, and how often the lock was taken from
 * somebody.
 */
#include <pthread.h>

#include "program.h"

static struct elisa_function add;
static unsigned long calls, turns, done, aborted;

static void *work(void *unused)
{
	(void)unused;
	for (unsigned long i = 0; i < calls; i++) {
		long result = elisa_call1(&add, turns);

		if (result > 0)
			__atomic_fetch_add(&done, 1, __ATOMIC_RELAXED);
		else if (result == -EIO)
			die("call %lu: the numbers were not the same", i);
		else
			__atomic_fetch_add(&aborted, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

int main(int count, char **arguments)
{
	struct elisa_attachment *attachment;
	struct elisa_function repaired;
	pthread_t thread[16];
	unsigned long threads;

	if (count < 4)
		die("vault NAME CALLS TURNS [THREADS [SCHEME]]");
	calls = number(arguments[2]);
	turns = number(arguments[3]);
	threads = count > 4 ? number(arguments[4]) : 1;
	attachment = attach(arguments[1], count > 5 ? arguments[5] : "gate");
	add = find(attachment, "add");
	repaired = find(attachment, "repaired");
	puts("attached");
	fflush(stdout);
	for (unsigned long i = 0; i < threads && i < 16; i++)
		expect("pthread_create", pthread_create(&thread[i], NULL, work, NULL), 0);
	for (unsigned long i = 0; i < threads && i < 16; i++)
		pthread_join(thread[i], NULL);
	printf("done %lu aborted %lu repaired %ld\n", done, aborted, elisa_call0(&repaired));
	elisa_detach(attachment);
	return 0;
}
