/* SPDX-License-Identifier: MIT */
/* What the library in the place of libelisa does for a test, apart from what libelisa does. */
#ifndef NET_ELISA_FAKE_H
#define NET_ELISA_FAKE_H

#include <stdint.h>

/* What the manager says of attachments from now on: VSWITCH_VALUE_*, an address. */
void fake_value(uint64_t value);

/* From now on calls fail with that error; 0: they do not. */
void fake_fail(int error);

/*
 * The next COUNT calls of that function fail with that error: the host has cut them short, before they did anything, or
 * (DONE) after all of it.
 */
enum fake_function { FAKE_OPEN, FAKE_CLOSE, FAKE_SEND, FAKE_SET, FAKE_COUNTERS };
void fake_cut(enum fake_function function, int error, unsigned int count, int done);

/* The manager ends and starts anew: calls of attachments that there are fail, the switch is empty. */
void fake_restart(void);

/* The next calls that send take that many slots at most, as one that has used up its time; -1: all. */
void fake_take(int slots);

/* How many buffers are shared now, and the same for attachments. */
unsigned int fake_buffers(void);
unsigned int fake_attachments(void);

/* elisa_share() refuses once so many buffers are shared. */
void fake_buffers_max(unsigned int count);

/* How many calls have been made. */
uint64_t fake_calls(void);

#endif
