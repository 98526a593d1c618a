// SPDX-License-Identifier: GPL-2.0-only
#include "log.h"

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

#define ABORTS 64
#define EVENTS 256

/* The newest is kept[(count - 1) % room]. */
struct ring {
	struct elisa_ioc_list *kept;
	unsigned int room;
	u64 count; /* so far */
};

static struct elisa_ioc_list kept_aborts[ABORTS], kept_events[EVENTS];
static struct ring aborts = { kept_aborts, ABORTS }, events = { kept_events, EVENTS };
static DEFINE_RAW_SPINLOCK(lock); /* both; taken in VM entries and exits */

static void keep(struct ring *ring, const struct elisa_ioc_list *entry)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&lock, flags);
	ring->kept[ring->count % ring->room] = *entry;
	ring->kept[ring->count % ring->room].cursor = ring->count + 1;
	ring->count++;
	raw_spin_unlock_irqrestore(&lock, flags);
}

int elisa_log_next(struct elisa_ioc_list *entry)
{
	const struct ring *ring = entry->kind == ELISA_LIST_ABORT ? &aborts : &events;
	u32 size = entry->size, kind = entry->kind;
	u64 wanted = entry->cursor;
	unsigned long flags;
	bool found;

	raw_spin_lock_irqsave(&lock, flags);
	if (ring->count > ring->room)
		wanted = max(wanted, ring->count - ring->room);
	found = wanted < ring->count;
	if (found)
		*entry = ring->kept[wanted % ring->room];
	raw_spin_unlock_irqrestore(&lock, flags);
	entry->size = size;
	entry->kind = kind;
	return found ? 0 : -ENOENT;
}

static void fill(struct elisa_ioc_list *entry, u32 event, const struct elisa_object *object,
		 const struct elisa_attachment *attachment)
{
	*entry = (struct elisa_ioc_list){
		.event = event,
		.object = object->id,
		.pid = object->pid,
		.uid = object->uid,
		.vm = object->vm ? object->vm->id : 0,
		.time_ns = ktime_get_boot_fast_ns(),
	};
	if (attachment) {
		entry->id = attachment->id;
		entry->vm = attachment->vm->id;
		entry->pid = attachment->vm->pid;
		entry->uid = attachment->vm->uid;
	}
	strscpy(entry->name, object->label, sizeof(entry->name));
}

void elisa_log(u32 event, const struct elisa_object *object, const struct elisa_attachment *attachment)
{
	struct elisa_ioc_list entry;

	fill(&entry, event, object, attachment);
	if (attachment)
		entry.state = -attachment->state;
	keep(&events, &entry);
}

void elisa_log_revoke(const struct elisa_attachment *attachment, u32 buffer)
{
	struct elisa_ioc_list entry;

	fill(&entry, ELISA_EVENT_REVOKE, attachment->object, attachment);
	entry.buffer = buffer;
	keep(&events, &entry);
}

static enum elisa_abort_kind kind_of(int error)
{
	switch (error) {
	case -ETIME:
		return ELISA_ABORT_TIME;
	case -EFAULT:
		return ELISA_ABORT_FAULT;
	case -EILSEQ:
		return ELISA_ABORT_INSTRUCTION;
	case -EPERM:
		return ELISA_ABORT_VMFUNC;
	case -EINTR:
		return ELISA_ABORT_INTERRUPTED;
	case -ECANCELED:
		return ELISA_ABORT_EXIT;
	default:
		return ELISA_ABORT_GONE;
	}
}

void elisa_log_abort(const struct elisa_taken *taken, int error)
{
	struct elisa_attachment *attachment = taken->pair->attachment;
	struct elisa_object *object = attachment->object;
	struct elisa_event event = elisa_attachment_event(attachment, ELISA_EVENT_ABORT);
	struct elisa_ioc_list abort;
	const char *symbol;

	fill(&abort, ELISA_EVENT_ABORT, object, attachment);
	abort.state = -error;
	abort.address = taken->rip;
	abort.exit_reason = taken->exit_reason;
	symbol = elisa_object_symbol(object, taken->rip, &abort.offset);
	if (symbol)
		strscpy(abort.symbol, symbol, sizeof(abort.symbol));
	event.error = error;
	event.exit_reason = taken->exit_reason;
	event.address = taken->rip;
	event.offset = abort.offset;
	memcpy(event.symbol, abort.symbol, sizeof(event.symbol));
	atomic64_inc(&attachment->aborts[kind_of(error)]);
	keep(&aborts, &abort);
	keep(&events, &abort);
	trace_elisa_abort(&abort);
	elisa_object_event(object, &event);
}
