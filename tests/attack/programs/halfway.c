// SPDX-License-Identifier: MIT
/*
 * halfway NAME [exchange] [whole]: at each SIGUSR1 shares a buffer with the object `hostile` that the host has to map
 * page by page, and that it is made to fail with; meanwhile another vCPU tries to read the buffer's first page, at the
 * address where it will be. Prints for each how sharing ended, and `met` if the page was read.
 *
 * `whole`: nobody makes it fail, and the other vCPU reads until the buffer is unshared again, or the object is gone.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../../include/uapi/elisa/layout.h"
#include "../../vm/programs/program.h"

#define PAGE 4096ul
#define PAGES 768ul /* the host has the table of the first 512 already, and needs another */
#define MAGIC 0x600d600d600d

static struct elisa_attachment *attachment;
static uint64_t place; /* of the buffer, in the window */
static bool over, met, whole;

static void stay_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	expect("sched_setaffinity", sched_setaffinity(0, sizeof(set), &set), 0);
}

/* Pages of a file, which the guest takes from here and there: touched far from each other one after another. */
static unsigned char *scattered(void)
{
	unsigned char *area = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (area == MAP_FAILED)
		die("no memory");
	for (unsigned long i = 0; i < PAGES; i++)
		area[i * 5 % PAGES * PAGE] = 1;
	*(volatile uint64_t *)area = MAGIC;
	return area;
}

/* A call that finds nothing there is aborted. */
static void *look(void *unused)
{
	struct elisa_function peek = find(attachment, "peek");

	stay_on(1);
	while (!__atomic_load_n(&over, __ATOMIC_RELAXED) && !met)
		met = elisa_call1(&peek, place) == MAGIC;
	while (whole && elisa_call1(&peek, place) == MAGIC)
		;
	return unused;
}

static void attempt(unsigned int number, unsigned char *area, uint32_t flags)
{
	pthread_t thread;
	uint32_t buffer;
	int error;

	over = met = false;
	expect("pthread_create", pthread_create(&thread, NULL, look, NULL), 0);
	usleep(5000);
	error = elisa_share(attachment, area, PAGES * PAGE, flags, &buffer);
	/* The host gives the pages back a little later. */
	usleep(50000);
	if (whole)
		expect("unshare", elisa_unshare(attachment, buffer), 0);
	__atomic_store_n(&over, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	printf("share %u %s%s\n", number, error ? strerrorname_np(-error) : "ok", met ? " met" : "");
	fflush(stdout);
	if (!error && !whole)
		expect("unshare", elisa_unshare(attachment, buffer), 0);
}

int main(int count, char **arguments)
{
	uint32_t flags = 0, buffer;
	struct elisa_function nop;
	unsigned char *area;
	sigset_t signals;
	int signal;

	if (count < 2)
		die("halfway NAME [exchange] [whole]");
	for (int i = 2; i < count; i++) {
		whole |= !strcmp(arguments[i], "whole");
		flags |= strcmp(arguments[i], "exchange") ? 0 : ELISA_BUFFER_EXCHANGE;
	}
	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR1);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	stay_on(0);
	attachment = attach(arguments[1], "gate");
	nop = find(attachment, "nop");
	area = scattered();
	/* Its tables stay, in the sub contexts too: so what is mapped next is reached at once. */
	expect("share a page", elisa_share(attachment, area, PAGE, flags, &buffer), 0);
	place = flags ? ELISA_EXCHANGE_OFFSET + (buffer - ELISA_EXCHANGE_FIRST) * ELISA_EXCHANGE_BYTES
		      : ELISA_BUFFER_OFFSET + buffer * (ELISA_BUFFER_MAX / ELISA_BUFFERS_MAX);
	stay_on(1);
	expect("nop", elisa_call0(&nop), 0);
	stay_on(0);
	expect("unshare the page", elisa_unshare(attachment, buffer), 0);
	puts("ready");
	fflush(stdout);
	for (unsigned int i = 0; !sigwait(&signals, &signal); i++)
		attempt(i, area, flags);
	return 0;
}
