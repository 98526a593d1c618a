/* SPDX-License-Identifier: GPL-2.0-only */
/* Objects that processes of this VM manage. The host knows all about them; here is the memory that it uses. */
#ifndef GUEST_OBJECT_H
#define GUEST_OBJECT_H

#include <linux/kfifo.h>
#include <linux/mutex.h>
#include <linux/poll.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "memory.h"

#define ELISA_OBJECT_EVENTS 16 /* fetched from the host and not yet read; the host keeps the others */

struct elisa_object {
	u32 id;
	struct elisa_memory *memory; /* under the lock of its file */

	struct mutex events_lock; /* events, extras; and the order in which events are fetched */
	DECLARE_KFIFO(events, struct elisa_event, ELISA_OBJECT_EVENTS);
	struct list_head extras; /* memory that attachments were given, by the attachment's number */
	wait_queue_head_t wait;
	struct work_struct watch; /* asks the host for events while somebody polls */
	unsigned int watch_us;    /* how long to sleep before it asks again */

	struct delayed_work
		close; /* tries again while the host uses the memory; a reference to this module goes with it */
};

int elisa_object_init(void);
/* No object is left. */
void elisa_object_uninit(void);

int elisa_object_create(struct elisa_object **object, const struct elisa_ioc_create *create, struct elisa_why *why);
/* Cannot fail. The memory is given back when the host no longer uses it, which may be later. */
void elisa_object_close(struct elisa_object *object);

/* One at a time for an object. */
int elisa_object_set_memory(struct elisa_object *object, const struct elisa_ioc_memory *memory, struct elisa_why *why);
int elisa_object_set_code(struct elisa_object *object, const struct elisa_ioc_code *code, struct elisa_why *why);
int elisa_object_publish(struct elisa_object *object, const struct elisa_ioc_publish *publish, struct elisa_why *why);
int elisa_object_grant(struct elisa_object *object, const struct elisa_ioc_grant *grant, struct elisa_why *why);
int elisa_object_answer(struct elisa_object *object, const struct elisa_ioc_answer *answer, struct elisa_why *why);
int elisa_object_withdraw(struct elisa_object *object, struct elisa_why *why);

/* Whole events, at least one; bytes, or an error. */
ssize_t elisa_object_read(struct elisa_object *object, char __user *to, size_t bytes, bool wait, struct elisa_why *why);
__poll_t elisa_object_poll(struct elisa_object *object, struct file *file, struct poll_table_struct *table);

int elisa_objects_count(void);

#endif
