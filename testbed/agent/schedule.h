/* SPDX-License-Identifier: MIT */
/*
 * Schedules: asks the emulator for an event at a certain instruction (emulator/instrument/schedule.cc).
 *
 * Like a marker (marker.h) it is a prefetch: no privilege, no exit, and on a real CPU nothing, so that nothing is ever
 * armed there.
 *
 *	schedule_arm(SCHEDULE_NMI, 17);
 *	...                              a call: the NMI comes before the 17th instruction inside
 *	fired = schedule_end(&count);    false: there are only `count` instructions
 */
#ifndef TESTBED_SCHEDULE_H
#define TESTBED_SCHEDULE_H

#include <stdbool.h>

enum schedule_event {
	SCHEDULE_NOTHING,
	SCHEDULE_INTERRUPT, /* of the host */
	SCHEDULE_NMI,
	SCHEDULE_SMI,
	SCHEDULE_INIT,
	SCHEDULE_HOLD,              /* the CPU stands still until others have done something; not with one CPU */
	SCHEDULE_ONCE_EACH = 0x100, /* counts each address once, however often it is executed */
	SCHEDULE_ANY_VCPU = 0x200,  /* the first to call, not the one that arms */
};

enum {
	SCHEDULE__ARM,
	SCHEDULE__END,
	SCHEDULE__IS_HELD,
	SCHEDULE__BEGIN,
	SCHEDULE__DONE,
	SCHEDULE__RANDOM,
	SCHEDULE__RANDOM_END,
	SCHEDULE__AIM,
	SCHEDULE__PLACES,
	SCHEDULE__WHERE
};

static inline unsigned long schedule__ask(unsigned long what, unsigned long a, unsigned long *b, unsigned long c)
{
	register unsigned long r8 asm("r8") = c;
	unsigned long result = -1ul;

	asm volatile("prefetcht2 0xffffffffe1160000" : "+a"(result), "+d"(*b) : "D"(what), "S"(a), "r"(r8) : "memory");
	return result;
}

/* False: not in the emulator, not in a guest, or held with one CPU. */
static inline bool schedule_arm(unsigned int event, unsigned long number)
{
	return !schedule__ask(SCHEDULE__ARM, event, &number, 0);
}

/* Has the event come? And how many instructions there were. */
static inline bool schedule_end(unsigned long *count)
{
	unsigned long fired = 0;

	*count = schedule__ask(SCHEDULE__END, 0, &fired, 0);
	return fired;
}

/* Before the instruction at which address it has come. */
static inline unsigned long schedule_where(void)
{
	unsigned long unused = 0;

	return schedule__ask(SCHEDULE__WHERE, 0, &unused, 0);
}

static inline bool schedule_is_held(void)
{
	unsigned long unused = 0;

	return schedule__ask(SCHEDULE__IS_HELD, 0, &unused, 0) == 1;
}

/* What the CPU was held for begins; it goes on when that is done, or in so many ticks, as it may be needed for it. */
static inline void schedule_begin(unsigned long ticks)
{
	unsigned long unused = 0;

	schedule__ask(SCHEDULE__BEGIN, ticks, &unused, 0);
}

static inline void schedule_done(void)
{
	unsigned long unused = 0;

	schedule__ask(SCHEDULE__DONE, 0, &unused, 0);
}

/* Those that follow at random come before instructions from `begin` up to `end`, outside of guests; both 0: before any.
 */
static inline void schedule_aim(unsigned long begin, unsigned long end)
{
	schedule__ask(SCHEDULE__AIM, begin, &end, 0);
}

/* Events at random, `mean` ticks from one to the next; EVENTS: bits 1 << INTERRUPT, NMI, HOLD (a pause of the CPU). */
static inline bool schedule_random(unsigned long seed, unsigned long mean, unsigned long events)
{
	return !schedule__ask(SCHEDULE__RANDOM, seed, &mean, events);
}

/* Ends it; how many of that kind there were. */
static inline unsigned long schedule_random_end(enum schedule_event event)
{
	unsigned long unused = 0;

	return schedule__ask(SCHEDULE__RANDOM_END, event, &unused, 0);
}

/* Before how many different instructions those at random came. */
static inline unsigned long schedule_places(void)
{
	unsigned long unused = 0;

	return schedule__ask(SCHEDULE__PLACES, 0, &unused, 0);
}

#endif
