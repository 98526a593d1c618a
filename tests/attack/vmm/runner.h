/* SPDX-License-Identifier: MIT */
/* A thread that runs a vCPU, which calls all the time. */
#ifndef RUNNER_H
#define RUNNER_H

#include "machine.h"

struct runner {
	struct cpu *cpu;
	pthread_t thread;
	bool stop;
	int reason;            /* why it has ended */
	unsigned long samples; /* how often it was looked at, and was inside then */
	unsigned long inside;
};

/* The vCPU is prepared. */
void runner_start(struct runner *runner, struct cpu *cpu);
/* As kept again. */
void runner_stop(struct runner *runner);
/* Waits until one of the guest's counters goes on: false if it does not. */
bool runner_goes_on(const volatile uint64_t *counter);

#endif
