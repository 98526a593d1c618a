// SPDX-License-Identifier: GPL-2.0-only
#include "attachment.h"

#include <linux/hrtimer.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "compat.h"
#include "memory.h"

/* How often the host is asked whether the manager has answered. */
#define ASK_FIRST_US 50u
#define ASK_LAST_US 10000u

/* Protects the list, and each one's users and kept. Detaching holds it, so that who attaches next comes after it. */
static DEFINE_MUTEX(attachments_lock);
static LIST_HEAD(attachments);
static atomic_t count;

static struct elisa_attachment *find_or_create(const char *name, u32 scheme)
{
	struct elisa_attachment *attachment;

	mutex_lock(&attachments_lock);
	list_for_each_entry(attachment, &attachments, node)
		if (attachment->scheme == scheme && !strcmp(attachment->name, name))
			goto found;
	attachment = kzalloc(sizeof(*attachment), GFP_KERNEL_ACCOUNT);
	if (!attachment)
		goto unlock;
	INIT_LIST_HEAD(&attachment->kept);
	mutex_init(&attachment->lock);
	attachment->scheme = scheme;
	strscpy(attachment->name, name, sizeof(attachment->name));
	list_add(&attachment->node, &attachments);
	atomic_inc(&count);
found:
	attachment->users++;
unlock:
	mutex_unlock(&attachments_lock);
	return attachment;
}

/* Nobody finds it any more. */
static void unlist(struct elisa_attachment *attachment)
{
	mutex_lock(&attachments_lock);
	list_del_init(&attachment->node);
	mutex_unlock(&attachments_lock);
}

void elisa_attachment_put(struct elisa_attachment *attachment)
{
	struct elisa_memory *memory, *next;
	struct elisa_why why;
	int error = 0;

	mutex_lock(&attachments_lock);
	if (--attachment->users) {
		mutex_unlock(&attachments_lock);
		return;
	}
	list_del_init(&attachment->node);
	if (attachment->attached)
		error = elisa_request_simple(ELISA_OP_DETACH, attachment->id, &why);
	mutex_unlock(&attachments_lock);
	list_for_each_entry_safe(memory, next, &attachment->kept, list) {
		list_del(&memory->list);
		if (elisa_request_released(error))
			elisa_memory_destroy(memory);
		else
			elisa_memory_abandon(memory);
	}
	mutex_destroy(&attachment->lock);
	kfree(attachment);
	atomic_dec(&count);
}

/* One question to the host; *ID is in or out. */
static int ask_once(struct elisa_attachment *attachment, enum elisa_op op, u32 *id, struct elisa_ioc_attach *answer,
		    struct elisa_why *why)
{
	struct elisa_request *request = elisa_request_get(op, *id);
	int error;

	request->attach.size = sizeof(request->attach);
	request->attach.scheme = attachment->scheme;
	strscpy(request->attach.name, attachment->name, sizeof(request->attach.name));
	error = elisa_request_make(request, why);
	*id = request->id;
	*answer = request->attach;
	elisa_request_put(request);
	return error;
}

/* Sleeps; true: there is a signal. */
static bool interrupted(unsigned int us)
{
	ktime_t limit = ns_to_ktime(us * NSEC_PER_USEC);

	set_current_state(TASK_INTERRUPTIBLE);
	schedule_hrtimeout_range(&limit, us * NSEC_PER_USEC / 4, HRTIMER_MODE_REL);
	return signal_pending(current);
}

/* Attaches, with its lock held. */
static int ask(struct elisa_attachment *attachment, struct elisa_why *why)
{
	struct elisa_ioc_attach answer;
	unsigned int us = ASK_FIRST_US;
	struct elisa_why ignored;
	u32 id = 0;
	int error;

	error = ask_once(attachment, ELISA_OP_ATTACH, &id, &answer, why);
	if (error && error != -EINPROGRESS)
		return error;
	while (error == -EINPROGRESS) {
		if (interrupted(us)) {
			error = elisa_refuse(why, -EINTR, "interrupted while waiting for the manager of %s",
					     attachment->name);
			break;
		}
		us = min(us * 2, ASK_LAST_US);
		error = ask_once(attachment, ELISA_OP_ATTACHED, &id, &answer, why);
	}
	if (error) {
		elisa_request_simple(ELISA_OP_DETACH, id, &ignored);
		return error;
	}
	attachment->id = id;
	attachment->answer = answer;
	attachment->attached = true;
	return 0;
}

/* False: what is attached is dead. With its lock held. */
static bool lives(struct elisa_attachment *attachment)
{
	struct elisa_ioc_attach answer;
	struct elisa_why why;
	u32 id = attachment->id;

	return !ask_once(attachment, ELISA_OP_ATTACHED, &id, &answer, &why);
}

static void fill(struct elisa_ioc_attach *attach, const struct elisa_ioc_attach *answer)
{
	attach->slot = answer->slot;
	attach->functions = answer->functions;
	attach->writable = answer->writable;
	attach->attachment = answer->attachment;
	attach->memory_bytes = answer->memory_bytes;
	attach->memory_gpa = 0;
	attach->vm = answer->vm;
	attach->value = answer->value;
}

int elisa_attachment_get(struct elisa_attachment **gotten, struct elisa_ioc_attach *attach, struct elisa_why *why)
{
	struct elisa_attachment *attachment;
	bool dead;
	int error;

	if (!attach->name[0] || strnlen(attach->name, ELISA_NAME_MAX) == ELISA_NAME_MAX)
		return elisa_refuse(why, -EINVAL, "a name has 1 to %d bytes", ELISA_NAME_MAX - 1);
	if (attach->scheme > ELISA_SCHEME_DIRECT)
		return elisa_refuse(why, -EINVAL, "there is no scheme %u", attach->scheme);
	do {
		dead = false;
		attachment = find_or_create(attach->name, attach->scheme);
		if (!attachment)
			return elisa_refuse(why, -ENOMEM, "out of memory");
		error = mutex_lock_interruptible(&attachment->lock);
		if (error) {
			elisa_attachment_put(attachment);
			return elisa_refuse(why, -EINTR, "interrupted while waiting for the manager of %s",
					    attach->name);
		}
		if (attachment->attached)
			dead = !lives(attachment);
		else
			error = ask(attachment, why);
		mutex_unlock(&attachment->lock);
		if (!dead && !error) {
			fill(attach, &attachment->answer);
			*gotten = attachment;
			return 0;
		}
		if (dead)
			unlist(attachment);
		elisa_attachment_put(attachment);
	} while (dead);
	return error;
}

int elisa_attachment_function(struct elisa_attachment *attachment, struct elisa_ioc_function *function,
			      struct elisa_why *why)
{
	struct elisa_request *request;
	int error;

	if (strnlen(function->name, ELISA_NAME_MAX) == ELISA_NAME_MAX)
		return elisa_refuse(why, -EINVAL, "a name has 1 to %d bytes", ELISA_NAME_MAX - 1);
	request = elisa_request_get(ELISA_OP_FUNCTION, attachment->id);
	request->function = *function;
	error = elisa_request_make(request, why);
	if (!error)
		function->index = request->function.index;
	elisa_request_put(request);
	return error;
}

int elisa_attachment_mmap(struct elisa_attachment *attachment, struct vm_area_struct *vma, u64 offset,
			  struct elisa_why *why)
{
	const struct elisa_ioc_attach *answer = &attachment->answer;
	unsigned long bytes = vma->vm_end - vma->vm_start;

	if (attachment->scheme != ELISA_SCHEME_DIRECT || !answer->memory_gpa)
		return elisa_refuse(why, -EINVAL, "memory is mapped with direct mapping only");
	if (offset > answer->memory_bytes || bytes > PAGE_ALIGN(answer->memory_bytes) - offset)
		return elisa_refuse(why, -EINVAL, "the object's memory has %llu bytes", answer->memory_bytes);
	if (!(vma->vm_flags & VM_MAYSHARE))
		return elisa_refuse(why, -EINVAL, "the object's memory is mapped with MAP_SHARED only");
	if (!answer->writable) {
		if (vma->vm_flags & VM_WRITE)
			return elisa_refuse(why, -EACCES, "%s is not granted for writing", attachment->name);
		vm_flags_mod(vma, 0, VM_MAYWRITE);
	}
	/* Memory that this kernel does not know of: no struct page. The memory type is the host's to say, in its EPT.
	 */
	if (remap_pfn_range(vma, vma->vm_start, PHYS_PFN(answer->memory_gpa + offset), bytes, vma->vm_page_prot))
		return elisa_refuse(why, -ENOMEM, "the object's memory cannot be mapped");
	return 0;
}

static struct elisa_memory *find_buffer(struct list_head *buffers, u32 number)
{
	struct elisa_memory *memory;

	list_for_each_entry(memory, buffers, list)
		if (memory->number == number)
			return memory;
	return NULL;
}

int elisa_attachment_share(struct elisa_attachment *attachment, struct list_head *buffers,
			   struct elisa_ioc_share *share, struct elisa_why *why)
{
	struct elisa_request *request;
	struct elisa_memory *memory;
	int error;

	if (share->flags & ~(ELISA_SHARE_READ_ONLY | ELISA_SHARE_EXCHANGE) || share->reserved)
		return elisa_refuse(why, -EINVAL, "unknown flags, or a reserved field that is not zero");
	error = elisa_memory_pin(&memory, "buffer", share->address, share->bytes, ELISA_BUFFER_MAX,
				 !(share->flags & ELISA_SHARE_READ_ONLY), why);
	if (error)
		return error;
	request = elisa_request_get(ELISA_OP_SHARE, attachment->id);
	request->share = *share;
	request->share.address = 0;
	error = elisa_memory_request(memory, request, why);
	if (error) {
		elisa_memory_destroy(memory);
	} else {
		share->buffer = memory->number = request->share.buffer;
		list_add_tail(&memory->list, buffers);
	}
	elisa_request_put(request);
	return error;
}

static int unshare(struct elisa_attachment *attachment, u32 buffer, struct elisa_why *why)
{
	struct elisa_request *request = elisa_request_get(ELISA_OP_UNSHARE, attachment->id);
	int error;

	request->unshare.size = sizeof(request->unshare);
	request->unshare.buffer = buffer;
	error = elisa_request_make(request, why);
	elisa_request_put(request);
	return error;
}

int elisa_attachment_unshare(struct elisa_attachment *attachment, struct list_head *buffers, u32 buffer,
			     struct elisa_why *why)
{
	struct elisa_memory *memory = find_buffer(buffers, buffer);
	int error;

	if (!memory)
		return elisa_refuse(why, -ENOENT, "this file has shared no buffer %u", buffer);
	error = unshare(attachment, buffer, why);
	if (!elisa_request_released(error))
		return error;
	list_del(&memory->list);
	elisa_memory_destroy(memory);
	/* Taken away by the host before: gone is what was asked for. */
	return 0;
}

void elisa_attachment_unshare_all(struct elisa_attachment *attachment, struct list_head *buffers)
{
	struct elisa_memory *memory, *next;
	struct elisa_why why;

	list_for_each_entry_safe(memory, next, buffers, list) {
		list_del(&memory->list);
		if (elisa_request_released(unshare(attachment, memory->number, &why))) {
			elisa_memory_destroy(memory);
			continue;
		}
		mutex_lock(&attachments_lock);
		list_add(&memory->list, &attachment->kept);
		mutex_unlock(&attachments_lock);
	}
}

int elisa_attachments_count(void)
{
	return atomic_read(&count);
}
