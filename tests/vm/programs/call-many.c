// SPDX-License-Identifier: MIT
/*
 * call-many NAME SCHEME THREADS CALLS [CHILDREN]: each thread of this process, and of CHILDREN that fork from it, adds
 * 1 to the object `counter` CALLS times. Prints what was added by all, and the counter. With an object of one client
 * these must be the same.
 */
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "program.h"

static struct elisa_function add;
static unsigned long threads, calls;

static void *work(void *unused)
{
	long last = 0;

	(void)unused;
	for (unsigned long i = 0; i < calls; i++) {
		long result = elisa_call1(&add, 1);

		if (result <= last)
			die("call %lu: %ld after %ld", i, result, last);
		last = result;
	}
	return NULL;
}

static void run_threads(void)
{
	pthread_t *thread = calloc(threads, sizeof(*thread));

	for (unsigned long i = 0; i < threads; i++)
		expect("pthread_create", pthread_create(&thread[i], NULL, work, NULL), 0);
	for (unsigned long i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	free(thread);
}

int main(int count, char **arguments)
{
	unsigned long children = count > 5 ? number(arguments[5]) : 0;
	struct elisa_attachment *attachment;
	struct elisa_function read;
	int status;

	if (count < 5)
		die("call-many NAME SCHEME THREADS CALLS [CHILDREN]");
	threads = number(arguments[3]);
	calls = number(arguments[4]);
	attachment = attach(arguments[1], arguments[2]);
	add = find(attachment, "add");
	read = find(attachment, "read");
	if (elisa_call0(&read) < 0) /* also so that the children inherit the right to call */
		die("read: %ld", elisa_call0(&read));
	for (unsigned long i = 0; i < children; i++) {
		switch (fork()) {
		case -1:
			die("fork: %s", strerror(errno));
		case 0:
			work(NULL);
			run_threads();
			_exit(0);
		}
	}
	run_threads();
	for (unsigned long i = 0; i < children; i++) {
		wait(&status);
		expect("a child's status", status, 0);
	}
	printf("added %lu total %ld\n", calls * (threads * (1 + children) + children), elisa_call0(&read));
	elisa_detach(attachment);
	return 0;
}
