// SPDX-License-Identifier: MIT
/*
 * shuffle PID CPUS SEED: on the host, moves a thread of the process to another CPU all the time, any to any; at SIGTERM
 * it lets them all run everywhere, and says how often it did.
 */
#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include "program.h"

#define THREADS 64
#define PAUSE_US 200

static volatile sig_atomic_t stop;

static void on_signal(int signal)
{
	(void)signal;
	stop = 1;
}

static unsigned int threads_of(const char *process, pid_t *threads)
{
	char path[64];
	struct dirent *entry;
	unsigned int count = 0;
	DIR *folder;

	snprintf(path, sizeof(path), "/proc/%s/task", process);
	folder = opendir(path);
	if (!folder)
		die("%s: %s", path, strerror(errno));
	while ((entry = readdir(folder)) && count < THREADS) {
		if (entry->d_name[0] != '.')
			threads[count++] = (pid_t)number(entry->d_name);
	}
	closedir(folder);
	return count;
}

/* The mask's CPUs are those that the thread may run on. A thread that has just ended is none of ours. */
static void move(pid_t thread, unsigned long mask)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	for (unsigned int cpu = 0; cpu < 8 * sizeof(mask); cpu++) {
		if (mask >> cpu & 1)
			CPU_SET(cpu, &set);
	}
	if (sched_setaffinity(thread, sizeof(set), &set) && errno != ESRCH)
		die("thread %d to CPUs %#lx: %s", thread, mask, strerror(errno));
}

int main(int count, char **arguments)
{
	struct sigaction action = { .sa_handler = on_signal };
	unsigned long cpus, moves = 0;
	unsigned int random, threads;
	pid_t thread[THREADS];

	if (count < 4)
		die("shuffle PID CPUS SEED");
	cpus = number(arguments[2]);
	random = (unsigned int)number(arguments[3]);
	sigaction(SIGTERM, &action, NULL);
	for (; !stop; moves++) {
		threads = threads_of(arguments[1], thread);
		move(thread[(unsigned int)rand_r(&random) % threads], 1ul << (unsigned long)rand_r(&random) % cpus);
		usleep((unsigned int)rand_r(&random) % PAUSE_US);
	}
	threads = threads_of(arguments[1], thread);
	for (unsigned int i = 0; i < threads; i++)
		move(thread[i], (1ul << cpus) - 1);
	printf("moves %lu\n", moves);
	return 0;
}
