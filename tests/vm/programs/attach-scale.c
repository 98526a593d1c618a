// SPDX-License-Identifier: MIT
/*
 * attach-scale PREFIX COUNT VCPUS TRIES: attaches to the objects PREFIX0, PREFIX1, ... (each a `nop`), to the last one
 * TRIES times over, with a call: regions "attach" and "first call". Then calls each on each of VCPUS vCPUs, says so,
 * and stays attached.
 */
#include <sched.h>
#include <unistd.h>

#include "marker.h"
#include "program.h"

static struct elisa_attachment *attach_number(const char *prefix, unsigned long i)
{
	char name[64];

	snprintf(name, sizeof(name), "%s%lu", prefix, i);
	return attach(name, "gate");
}

static void go_to(unsigned long vcpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(vcpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("vCPU %lu: %s", vcpu, strerror(errno));
}

static struct elisa_function attach_counted(const char *prefix, unsigned long last, unsigned long tries)
{
	struct elisa_attachment *attachment = NULL;
	struct elisa_function nop = { 0 };

	marker_name(1, "attach");
	marker_name(2, "first call");
	for (unsigned long i = 0; i < tries; i++) {
		elisa_detach(attachment);
		marker_begin(1);
		attachment = attach_number(prefix, last);
		marker_end(1);
		nop = find(attachment, "nop");
		marker_begin(2);
		expect("call", elisa_call0(&nop), 0);
		marker_end(2);
	}
	return nop;
}

int main(int count, char **arguments)
{
	unsigned long objects, vcpus, tries;
	struct elisa_function *nop;

	if (count < 5)
		die("attach-scale PREFIX COUNT VCPUS TRIES");
	objects = number(arguments[2]);
	vcpus = number(arguments[3]);
	tries = number(arguments[4]);
	nop = calloc(objects, sizeof(*nop));
	if (!objects || !tries || !nop)
		die("nothing to attach to");
	go_to(0);
	for (unsigned long i = 0; i + 1 < objects; i++)
		nop[i] = find(attach_number(arguments[1], i), "nop");
	nop[objects - 1] = attach_counted(arguments[1], objects - 1, tries);
	for (unsigned long vcpu = 0; vcpu < vcpus; vcpu++) {
		go_to(vcpu);
		for (unsigned long i = 0; i < objects; i++)
			expect("call", elisa_call0(&nop[i]), 0);
	}
	puts("attached");
	fflush(stdout);
	for (;;)
		pause();
}
