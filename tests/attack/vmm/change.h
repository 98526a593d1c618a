/* SPDX-License-Identifier: MIT */
/* What a VMM does to a vCPU that it has interrupted inside, and what must come of the call. */
#ifndef CHANGE_H
#define CHANGE_H

#include "machine.h"

enum outcome {
	ANY,     /* it goes on or ends */
	GOES_ON, /* and is right */
	ENDS,    /* by an error, or an exception outside */
	MOVES,   /* the guest goes on where the VMM has set it */
};

struct change {
	const char *name;
	int (*apply)(struct cpu *cpu, const struct state *now); /* 0, or KVM refuses it */
	enum outcome outcome;
	bool lies;                        /* the VMM may have made up the result that the guest sees */
	int error;                        /* what the call must return, if not 0 */
	uint8_t nmis, interrupts, faults; /* that must be delivered outside; faults, if not 0 */
};

/* Each ends with one without a name. */
extern const struct change register_changes[], state_changes[];
extern struct target victim;
#endif
