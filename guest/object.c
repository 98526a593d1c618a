// SPDX-License-Identifier: GPL-2.0-only
#include "object.h"

#include <linux/delay.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

/* How often the host is asked for events: it has no way to call. */
#define WATCH_FIRST_US 1000u
#define WATCH_LAST_US 10000u

static struct workqueue_struct *queue;
static atomic_t count;

static void watch(struct work_struct *work);
static void close_again(struct work_struct *work);

int elisa_object_init(void)
{
	queue = alloc_workqueue("elisa_guest", WQ_UNBOUND, 0);
	return queue ? 0 : -ENOMEM;
}

void elisa_object_uninit(void)
{
	/* Waits for work that has dropped its reference to this module and has not returned yet. */
	destroy_workqueue(queue);
}

int elisa_object_create(struct elisa_object **created, const struct elisa_ioc_create *create, struct elisa_why *why)
{
	struct elisa_object *object = kzalloc(sizeof(*object), GFP_KERNEL_ACCOUNT);
	struct elisa_request *request;
	int error;

	if (!object)
		return elisa_refuse(why, -ENOMEM, "out of memory");
	mutex_init(&object->events_lock);
	INIT_KFIFO(object->events);
	INIT_LIST_HEAD(&object->extras);
	init_waitqueue_head(&object->wait);
	INIT_WORK(&object->watch, watch);
	INIT_DELAYED_WORK(&object->close, close_again);
	request = elisa_request_get(ELISA_OP_CREATE, 0);
	request->create = *create;
	error = elisa_request_make(request, why);
	object->id = request->id;
	elisa_request_put(request);
	if (error) {
		kfree(object);
		return error;
	}
	atomic_inc(&count);
	*created = object;
	return 0;
}

static void drop_extra(struct elisa_memory *extra)
{
	list_del(&extra->list);
	elisa_memory_destroy(extra);
}

/* False: the host still uses its memory, or may. */
static bool try_close(struct elisa_object *object)
{
	struct elisa_memory *extra, *next;
	struct elisa_why why;

	if (!elisa_request_released(elisa_request_simple(ELISA_OP_OBJECT_CLOSE, object->id, &why)))
		return false;
	list_for_each_entry_safe(extra, next, &object->extras, list)
		drop_extra(extra);
	elisa_memory_destroy(object->memory);
	mutex_destroy(&object->events_lock);
	kfree(object);
	atomic_dec(&count);
	return true;
}

static void close_again(struct work_struct *work)
{
	struct elisa_object *object = container_of(to_delayed_work(work), struct elisa_object, close);

	if (try_close(object))
		module_put(THIS_MODULE);
	else
		queue_delayed_work(queue, &object->close, HZ);
}

void elisa_object_close(struct elisa_object *object)
{
	/* Its file is gone, so nobody waits any more and nobody sets it going again. */
	cancel_work_sync(&object->watch);
	__module_get(THIS_MODULE);
	if (try_close(object))
		module_put(THIS_MODULE);
	else
		queue_delayed_work(queue, &object->close, HZ);
}

int elisa_object_set_memory(struct elisa_object *object, const struct elisa_ioc_memory *from, struct elisa_why *why)
{
	struct elisa_request *request;
	struct elisa_memory *memory;
	int error;

	if (from->reserved)
		return elisa_refuse(why, -EINVAL, "a reserved field is not zero");
	if (object->memory)
		return elisa_refuse(why, -EBUSY, "the object has its memory already");
	error = elisa_memory_pin(&memory, "the object's memory", from->address, from->bytes, ELISA_MEMORY_MAX, true,
				 why);
	if (error)
		return error;
	request = elisa_request_get(ELISA_OP_OBJECT_MEMORY, object->id);
	error = elisa_memory_request(memory, request, why);
	elisa_request_put(request);
	if (error)
		elisa_memory_destroy(memory);
	else
		object->memory = memory;
	return error;
}

int elisa_object_set_code(struct elisa_object *object, const struct elisa_ioc_code *code, struct elisa_why *why)
{
	struct elisa_request *request;
	u64 bytes = elisa_code_blob_bytes(code);
	struct elisa_memory *blob;
	int error;

	if (!bytes)
		return elisa_refuse(why, -EINVAL, "the code's parts do not add up, or are too large");
	error = elisa_memory_copy(&blob, code->blob, bytes, why);
	if (error)
		return error;
	request = elisa_request_get(ELISA_OP_OBJECT_CODE, object->id);
	request->code = *code;
	request->code.blob = 0;
	error = elisa_memory_request(blob, request, why);
	elisa_request_put(request);
	elisa_memory_destroy(blob);
	return error;
}

int elisa_object_publish(struct elisa_object *object, const struct elisa_ioc_publish *publish, struct elisa_why *why)
{
	struct elisa_request *request;
	int error;

	if (publish->reserved)
		return elisa_refuse(why, -EINVAL, "a reserved field is not zero");
	if (!publish->name[0] || strnlen(publish->name, ELISA_NAME_MAX) == ELISA_NAME_MAX)
		return elisa_refuse(why, -EINVAL, "a name has 1 to %d bytes", ELISA_NAME_MAX - 1);
	request = elisa_request_get(ELISA_OP_PUBLISH, object->id);
	request->publish = *publish;
	error = elisa_request_make(request, why);
	elisa_request_put(request);
	return error;
}

int elisa_object_grant(struct elisa_object *object, const struct elisa_ioc_grant *grant, struct elisa_why *why)
{
	struct elisa_request *request;
	int error;

	if (grant->kind != ELISA_GRANT_ALL && grant->kind != ELISA_GRANT_VM)
		return elisa_refuse(why, -EINVAL, "a manager in a VM grants to all or to a VM by its number");
	request = elisa_request_get(ELISA_OP_GRANT, object->id);
	request->grant = *grant;
	error = elisa_request_make(request, why);
	elisa_request_put(request);
	return error;
}

/*
 * With events_lock held from before the host has the memory: the event that says that it no longer uses it finds it
 * here.
 */
static int answer_with(struct elisa_object *object, struct elisa_request *request, struct elisa_memory *extra,
		       struct elisa_why *why)
{
	int error;

	mutex_lock(&object->events_lock);
	error = elisa_memory_request(extra, request, why);
	if (!error)
		list_add_tail(&extra->list, &object->extras);
	mutex_unlock(&object->events_lock);
	return error;
}

int elisa_object_answer(struct elisa_object *object, const struct elisa_ioc_answer *answer, struct elisa_why *why)
{
	struct elisa_request *request;
	struct elisa_memory *extra = NULL;
	int error;

	if (answer->reserved)
		return elisa_refuse(why, -EINVAL, "a reserved field is not zero");
	if (answer->error && answer->bytes)
		return elisa_refuse(why, -EINVAL, "a refusal comes with memory");
	if (answer->bytes) {
		error = elisa_memory_pin(&extra, "the attachment's memory", answer->address, answer->bytes,
					 ELISA_EXTRA_MAX, true, why);
		if (error)
			return error;
		extra->number = answer->attachment;
	}
	request = elisa_request_get(ELISA_OP_ANSWER, object->id);
	request->answer = *answer;
	request->answer.address = 0;
	error = extra ? answer_with(object, request, extra, why) : elisa_request_make(request, why);
	elisa_request_put(request);
	if (error)
		elisa_memory_destroy(extra);
	return error;
}

int elisa_object_withdraw(struct elisa_object *object, struct elisa_why *why)
{
	return elisa_request_simple(ELISA_OP_WITHDRAW, object->id, why);
}

/* An attachment that is gone no longer uses what it was given. */
static void note(struct elisa_object *object, const struct elisa_event *event)
{
	struct elisa_memory *extra, *next;

	if (event->kind != ELISA_EVENT_DETACH)
		return;
	list_for_each_entry_safe(extra, next, &object->extras, list)
		if (extra->number == event->attachment)
			drop_extra(extra);
}

/* Fetches what the host has and there is room for, with events_lock held. Errors: those of the host. */
static int fetch(struct elisa_object *object, struct elisa_why *why)
{
	struct elisa_request *request;
	bool some = false;
	int error = 0;

	while (!error && !kfifo_is_full(&object->events)) {
		request = elisa_request_get(ELISA_OP_EVENT, object->id);
		error = elisa_request_make(request, why);
		if (!error) {
			request->event.size = sizeof(request->event);
			note(object, &request->event);
			kfifo_put(&object->events, request->event);
			some = true;
		}
		elisa_request_put(request);
	}
	if (some)
		wake_up_interruptible_poll(&object->wait, EPOLLIN | EPOLLRDNORM);
	if (error != -EAGAIN)
		return error;
	/* There are no more: not a failure that needs a reason. */
	why->text[0] = 0;
	return 0;
}

static void start_watch(struct elisa_object *object)
{
	WRITE_ONCE(object->watch_us, WATCH_FIRST_US);
	queue_work(queue, &object->watch);
}

static void watch(struct work_struct *work)
{
	struct elisa_object *object = container_of(work, struct elisa_object, watch);
	unsigned int us = READ_ONCE(object->watch_us);
	struct elisa_why why;
	bool ready;

	usleep_range_state(us, us + us / 4, TASK_IDLE);
	mutex_lock(&object->events_lock);
	ready = fetch(object, &why) || !kfifo_is_empty(&object->events);
	mutex_unlock(&object->events_lock);
	if (ready) {
		wake_up_interruptible_poll(&object->wait, EPOLLIN | EPOLLRDNORM | EPOLLERR);
	} else if (wq_has_sleeper(&object->wait)) {
		WRITE_ONCE(object->watch_us, min(us * 2, WATCH_LAST_US));
		queue_work(queue, &object->watch);
	}
}

/* Bytes of the events that were there, 0: there were none. */
static ssize_t take(struct elisa_object *object, char __user *to, size_t bytes, struct elisa_why *why)
{
	struct elisa_event event;
	ssize_t taken = 0;
	int error;

	error = mutex_lock_interruptible(&object->events_lock);
	if (error)
		return error;
	error = fetch(object, why);
	while (bytes - taken >= sizeof(event) && kfifo_peek(&object->events, &event)) {
		if (copy_to_user(to + taken, &event, sizeof(event))) {
			error = elisa_refuse(why, -EFAULT, "events cannot be written to %#lx", (unsigned long)to);
			break;
		}
		kfifo_skip(&object->events);
		taken += sizeof(event);
	}
	mutex_unlock(&object->events_lock);
	/* Others wait without asking again, and there may be nothing left to wake them. */
	if (wq_has_sleeper(&object->wait))
		start_watch(object);
	return taken ? taken : error;
}

ssize_t elisa_object_read(struct elisa_object *object, char __user *to, size_t bytes, bool wait, struct elisa_why *why)
{
	unsigned int us = WATCH_FIRST_US;
	ssize_t taken;
	int error;

	if (bytes < sizeof(struct elisa_event))
		return elisa_refuse(why, -EINVAL, "an event has %zu bytes", sizeof(struct elisa_event));
	for (;;) {
		taken = take(object, to, bytes, why);
		if (taken)
			return taken;
		if (!wait)
			return -EAGAIN;
		error = wait_event_interruptible_hrtimeout(object->wait, !kfifo_is_empty(&object->events),
							   ns_to_ktime(us * NSEC_PER_USEC));
		if (error && error != -ETIME)
			return error;
		us = min(us * 2, WATCH_LAST_US);
	}
}

__poll_t elisa_object_poll(struct elisa_object *object, struct file *file, struct poll_table_struct *table)
{
	struct elisa_why why;
	bool ready;
	int error;

	poll_wait(file, &object->wait, table);
	mutex_lock(&object->events_lock);
	error = fetch(object, &why);
	ready = !kfifo_is_empty(&object->events);
	mutex_unlock(&object->events_lock);
	if (ready)
		return EPOLLIN | EPOLLRDNORM;
	if (error)
		return EPOLLERR;
	start_watch(object);
	return 0;
}

int elisa_objects_count(void)
{
	return atomic_read(&count);
}
