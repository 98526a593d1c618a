// SPDX-License-Identifier: GPL-2.0-only
#include "abort.h"

#include <linux/spinlock.h>
#include <linux/timekeeping.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 10, 0)
#define ELISA_ASSIGN_STR(to, from) __assign_str(to, from)
#else
#define ELISA_ASSIGN_STR(to, from) __assign_str(to)
#endif
#define CREATE_TRACE_POINTS
#include "trace.h"

#define KEPT 64

static DEFINE_RAW_SPINLOCK(lock); /* the two below; taken in VM entries and exits */
static struct elisa_ioc_list kept[KEPT];
static u64 count; /* so far: the newest is kept[(count - 1) % KEPT] */

static void keep(struct elisa_ioc_list *abort)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&lock, flags);
	abort->cursor = ++count;
	kept[(count - 1) % KEPT] = *abort;
	raw_spin_unlock_irqrestore(&lock, flags);
}

int elisa_abort_next(struct elisa_ioc_list *entry)
{
	u64 wanted = entry->cursor;
	u32 size = entry->size;
	unsigned long flags;
	bool found;

	raw_spin_lock_irqsave(&lock, flags);
	if (count > KEPT)
		wanted = max(wanted, count - KEPT);
	found = wanted < count;
	if (found)
		*entry = kept[wanted % KEPT];
	raw_spin_unlock_irqrestore(&lock, flags);
	entry->size = size;
	entry->kind = ELISA_LIST_ABORT;
	return found ? 0 : -ENOENT;
}

void elisa_abort_report(const struct elisa_taken *taken, int error)
{
	struct elisa_attachment *attachment = taken->pair->attachment;
	struct elisa_object *object = attachment->object;
	struct elisa_event event = elisa_attachment_event(attachment, ELISA_EVENT_ABORT);
	struct elisa_ioc_list abort = {
		.id = attachment->id,
		.vm = event.vm,
		.pid = event.pid,
		.uid = event.uid,
		.object = object->id,
		.state = -error,
		.time_ns = ktime_get_boot_fast_ns(),
		.address = taken->rip,
		.exit_reason = taken->exit_reason,
	};
	const char *symbol = elisa_object_symbol(object, taken->rip, &abort.offset);

	if (symbol)
		strscpy(abort.symbol, symbol, sizeof(abort.symbol));
	strscpy(abort.name, object->name, sizeof(abort.name));
	event.error = error;
	event.exit_reason = taken->exit_reason;
	event.address = taken->rip;
	event.offset = abort.offset;
	memcpy(event.symbol, abort.symbol, sizeof(event.symbol));
	atomic64_inc(&attachment->aborts);
	keep(&abort);
	trace_elisa_abort(&abort);
	elisa_object_event(object, &event);
}
