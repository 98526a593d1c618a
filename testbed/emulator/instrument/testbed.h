/* SPDX-License-Identifier: MIT */
/* What the two halves of the library share: the wire to the harness. */
#ifndef TESTBED_H
#define TESTBED_H

#include <stdint.h>

/* Kinds of messages on the socket to the harness; harness/channel.py has the same list. */
enum testbed_kind {
	TESTBED_MESSAGE = 1, /* to or from the agent in the emulated host */
	TESTBED_EXPIRED = 2, /* no reply within its budget of emulated time */
	TESTBED_RESET = 3,   /* the emulated machine was reset */
	TESTBED_COUNTS = 4,  /* one closed region, as JSON */
	TESTBED_REPORT = 5,  /* what translations.cc has found, a line */
};

/* Ends the emulator unless the harness took the message. */
void testbed_send(enum testbed_kind kind, const void *data, uint32_t length);

/*
 * Moves LENGTH bytes between the message under way and the agent's memory at
 * the linear address ADDRESS, within one page. Returns the bytes moved: 0 if
 * the page is not there, or too short a rest.
 */
uint32_t testbed_copy(unsigned cpu, uint64_t address, uint32_t length, bool to_agent);

/* Called once, when the emulated CPUs exist. */
void testbed_counts_init(void);
void testbed_translations_init(void);
/* Before each message to the agent: reports what is due. */
void testbed_translations_message(void);
/* BYTES from host-physical HPA on are given back to the kernel, says code on this CPU. */
void testbed_freed(unsigned cpu, uint64_t hpa, uint64_t bytes, bool pinned);

void testbed_schedule_init(void);

/* What schedule.cc has to know: VM entries and exits, a VMFUNC about to be carried out, a program that asks for one. */
void testbed_schedule_entry(unsigned cpu);
void testbed_schedule_exit(unsigned cpu);
void testbed_schedule_vmfunc(unsigned cpu, uint32_t leaf, uint32_t index);
void testbed_schedule(unsigned cpu);

#endif
