// SPDX-License-Identifier: GPL-2.0-only
/* Events: a ring that may overflow, and a list of what must be told. */
#include <linux/sched.h>
#include <linux/slab.h>

#include "event.h"

struct elisa_notice {
	struct list_head waits; /* in the events' notices */
	bool last;
	struct elisa_waiting waiting;
};

void elisa_events_init(struct elisa_events *events)
{
	raw_spin_lock_init(&events->lock);
	init_waitqueue_head(&events->wait);
	INIT_LIST_HEAD(&events->notices);
}

void elisa_events_destroy(struct elisa_events *events)
{
	struct elisa_notice *notice, *next;

	/* Those of attachments that are gone: there is no other left. */
	list_for_each_entry_safe(notice, next, &events->notices, waits)
		kfree(notice);
	INIT_LIST_HEAD(&events->notices);
}

void elisa_event_add(struct elisa_events *events, const struct elisa_event *event)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&events->lock, flags);
	if (events->count == ELISA_EVENTS) {
		events->lost++;
	} else {
		struct elisa_waiting *to = events->ring + (events->first + events->count++) % ELISA_EVENTS;

		*to = (struct elisa_waiting){ events->serial++, *event };
		to->event.lost = events->lost;
		events->lost = 0;
	}
	raw_spin_unlock_irqrestore(&events->lock, flags);
	wake_up(&events->wait);
}

struct elisa_notice *elisa_notice_create(void)
{
	struct elisa_notice *notice = kzalloc(sizeof(*notice), GFP_KERNEL_ACCOUNT);

	if (notice)
		INIT_LIST_HEAD(&notice->waits);
	return notice;
}

void elisa_notice_destroy(struct elisa_notice *notice)
{
	WARN_ON(notice && !list_empty(&notice->waits));
	kfree(notice);
}

static void put(struct elisa_events *events, struct elisa_notice *notice, const struct elisa_event *event)
{
	notice->waiting = (struct elisa_waiting){ events->serial++, *event };
	list_add_tail(&notice->waits, &events->notices);
}

void elisa_notice_add(struct elisa_events *events, struct elisa_notice *notice, const struct elisa_event *event)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&events->lock, flags);
	put(events, notice, event);
	raw_spin_unlock_irqrestore(&events->lock, flags);
	wake_up(&events->wait);
}

void elisa_notice_end(struct elisa_events *events, struct elisa_notice *notice, const struct elisa_event *event)
{
	unsigned long flags;
	bool unread;

	raw_spin_lock_irqsave(&events->lock, flags);
	unread = !list_empty(&notice->waits);
	if (unread) {
		list_del_init(&notice->waits);
	} else {
		notice->last = true;
		put(events, notice, event);
	}
	raw_spin_unlock_irqrestore(&events->lock, flags);
	if (unread)
		kfree(notice);
	else
		wake_up(&events->wait);
}

int elisa_event_next(struct elisa_events *events, struct elisa_event *event)
{
	struct elisa_waiting *waiting;
	struct elisa_notice *notice;
	unsigned long flags;
	int error = 0;

	raw_spin_lock_irqsave(&events->lock, flags);
	waiting = events->count ? events->ring + events->first : NULL;
	notice = list_first_entry_or_null(&events->notices, struct elisa_notice, waits);
	if (notice && waiting && waiting->serial < notice->waiting.serial)
		notice = NULL;
	if (notice) {
		*event = notice->waiting.event;
		list_del_init(&notice->waits);
		/* Its attachment's still, until the last. */
		if (!notice->last)
			notice = NULL;
	} else if (waiting) {
		*event = waiting->event;
		events->first = (events->first + 1) % ELISA_EVENTS;
		events->count--;
	} else {
		error = -EAGAIN;
	}
	raw_spin_unlock_irqrestore(&events->lock, flags);
	kfree(notice);
	return error;
}

bool elisa_event_waits(struct elisa_events *events)
{
	return READ_ONCE(events->count) || !list_empty_careful(&events->notices);
}
