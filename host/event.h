/* SPDX-License-Identifier: GPL-2.0-only */
/* What an object's manager is told, in the order in which it happened. */
#ifndef HOST_EVENT_H
#define HOST_EVENT_H

#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/wait.h>

#include <elisa/elisa.h>

#define ELISA_EVENTS 64 /* that wait to be read; further ones are counted as lost */

struct elisa_notice;

struct elisa_events {
	raw_spinlock_t lock; /* the rest; taken with interrupts off, in VM entries too */
	wait_queue_head_t wait;
	u64 serial; /* of the next */
	struct elisa_waiting {
		u64 serial;
		struct elisa_event event;
	} ring[ELISA_EVENTS];
	unsigned int first, count;
	u64 lost;
	struct list_head notices;
};

void elisa_events_init(struct elisa_events *events);
/* Forgets all. */
void elisa_events_destroy(struct elisa_events *events);

/* From any context. Lost if there are too many that nobody reads. */
void elisa_event_add(struct elisa_events *events, const struct elisa_event *event);

/*
 * That an attachment asks, and that it is gone, must not be lost, however many events there are of what it does: else
 * its client waits for ever, or the manager keeps what it had for it. So they have room of their own, made with the
 * attachment. A guest can have no more of them than attachments that were answered, as its manager reads in order.
 */
/* NULL: no memory. */
struct elisa_notice *elisa_notice_create(void);
void elisa_notice_destroy(struct elisa_notice *notice);
/* EVENT is told once; NOTICE stays the caller's. */
void elisa_notice_add(struct elisa_events *events, struct elisa_notice *notice, const struct elisa_event *event);
/* The attachment's last. NOTICE is the events' own from here on. Nothing is told of whom the manager has not heard yet.
 */
void elisa_notice_end(struct elisa_events *events, struct elisa_notice *notice, const struct elisa_event *event);

/* The oldest. -EAGAIN: there is none. */
int elisa_event_next(struct elisa_events *events, struct elisa_event *event);
bool elisa_event_waits(struct elisa_events *events);

#endif
