/* SPDX-License-Identifier: MIT */
/* One attempt after another, counted. */
#ifndef ATTEMPT_H
#define ATTEMPT_H

#include "change.h"

extern unsigned long tried, contained, insides, refused;
extern uint32_t check_function, spin_function, fault_function;

/* Counts an attempt; with a problem it is a breach, and is said. */
void attempt_over(const char *what, const char *problem);
/* A call interrupted, changed, and gone on with; then a right call. */
void attempt(struct cpu *cpu, const struct change *change);
/* A call that faults with the secret in its registers, in one of nine ways, and all that KVM tells of it. */
void attempt_fault(struct cpu *cpu, uint64_t how);
/* An NMI waits for a call to return, which a change of registers ends. True: it has waited. */
bool attempt_late_nmi(struct cpu *cpu);
/* As it was kept, it calls, and the answer is right: NULL, or what is wrong. */
const char *attempt_control(struct cpu *cpu);
/* Attached to the victim, its functions found. */
void attempt_begin(struct machine *machine, const char *object, unsigned int cpus);
/* A call of `spin` that was interrupted inside: true. */
bool attempt_interrupt(struct cpu *cpu, struct state *now, const char **problem);

#endif
