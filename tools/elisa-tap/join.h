/* SPDX-License-Identifier: MIT */
/* Carries packets between a device and a port of the switch, both ways. */
#ifndef JOIN_H
#define JOIN_H

#include <signal.h>
#include <stdint.h>

#include "../../objects/vswitch/port.h"

#define JOIN_BURST 64 /* packets a turn, each way */

struct join_counts {
	uint64_t to_switch, from_switch; /* packets */
	uint64_t refused; /* that the device did not take: it is down, or what it was given is no packet */
	uint64_t cut;     /* calls that were ended from outside: some of their packets may be lost */
	uint64_t sleeps;
};

/* A device is one descriptor a queue, which neither reading nor writing waits for: a packet each. */
struct join {
	const int *devices;
	unsigned int queues;               /* of the device, and of the port each way */
	const volatile sig_atomic_t *stop; /* it is to end; then stop_fd is readable too */
	int stop_fd;
	int limit_ms;                                     /* how often it looks whether the port is still there */
	void (*tick)(const struct vswitch_counters *now); /* called then; or NULL */
	struct join_counts counts;
	int device_error; /* if it ended because of the device: an errno */
};

/*
 * Returns 0 when `stop` is set, or the -errno for which the port is of no use any more; then close it, and open
 * another. With device_error set the device is of no use.
 */
int join_run(struct join *join, struct port *port);

#endif
