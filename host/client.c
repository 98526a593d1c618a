// SPDX-License-Identifier: GPL-2.0-only
#include "client.h"

#include <linux/slab.h>

#include "buffer.h"
#include "interpose.h"
#include "work.h"

/* Its own memory, which it may unmap: its pages stay what the functions see. */
static int pin(struct elisa_memory **memory, u64 address, u64 bytes, struct elisa_why *why)
{
	int error;

	*memory = elisa_memory_create(NULL);
	if (!*memory)
		return elisa_refuse(why, -ENOMEM, "out of memory");
	error = elisa_memory_add(*memory, 0, address, bytes, why);
	if (error)
		elisa_memory_destroy(*memory);
	return error;
}

/* -EINPROGRESS: the manager is asked; the rest is as elisa_attach() says. */
static int attach(struct elisa_client *client, const struct elisa_ioc_attach *attach, struct elisa_why *why)
{
	int error;

	mutex_lock(&elisa_lock);
	client->vm = elisa_vm_of_process();
	if (!client->vm) {
		error = elisa_refuse(why, -ENOMEM, "out of memory");
	} else {
		error = elisa_attach(client->vm, attach->name, attach->scheme, &client->attachment, why);
		if (!error || error == -EINPROGRESS) {
			kref_get(&client->attachment->ref);
			list_add_tail(&client->vm->list, &elisa_vms);
		} else {
			elisa_vm_put(client->vm);
		}
	}
	mutex_unlock(&elisa_lock);
	return error;
}

static void describe(const struct elisa_attachment *attachment, struct elisa_ioc_attach *attach)
{
	const struct elisa_object *object = attachment->object;

	attach->slot = attachment->slot;
	attach->attachment = attachment->id;
	attach->writable = attachment->writable;
	attach->memory_gpa = 0;
	attach->by_ioctl = true;
	attach->functions = attachment->interpose ? attachment->interpose->count : 0;
	attach->memory_bytes = object && object->memory ? object->memory->bytes : 0;
}

int elisa_client_attach(struct elisa_client **created, struct elisa_ioc_attach *asked, struct elisa_why *why)
{
	struct elisa_client *client;
	int error;

	if (asked->scheme != ELISA_SCHEME_VMCALL)
		return elisa_refuse(why, -EOPNOTSUPP,
				    "for a process of the host, the host executes the functions: no scheme but VMCALL");
	if (strnlen(asked->name, ELISA_NAME_MAX) == ELISA_NAME_MAX)
		return elisa_refuse(why, -ENAMETOOLONG, "the name has more than %d bytes", ELISA_NAME_MAX - 1);
	client = kzalloc(sizeof(*client), GFP_KERNEL_ACCOUNT);
	if (!client)
		return elisa_refuse(why, -ENOMEM, "out of memory");
	error = attach(client, asked, why);
	if (error && error != -EINPROGRESS) {
		kfree(client);
		return error;
	}
	error = wait_event_interruptible(client->attachment->wait,
					 READ_ONCE(client->attachment->state) != -EINPROGRESS);
	mutex_lock(&elisa_lock);
	if (error)
		error = elisa_refuse(why, -EINTR, "interrupted while waiting for the manager of %s", asked->name);
	else if (client->attachment->state)
		error = elisa_refuse(why, client->attachment->state, "the manager has refused, or is gone (error %d)",
				     client->attachment->state);
	else
		describe(client->attachment, asked);
	mutex_unlock(&elisa_lock);
	if (error)
		elisa_client_detach(client);
	else
		*created = client;
	return error;
}

void elisa_client_detach(struct elisa_client *client)
{
	mutex_lock(&elisa_lock);
	list_del(&client->vm->list);
	elisa_detach(client->attachment);
	elisa_attachment_put(client->attachment);
	elisa_vm_put(client->vm);
	mutex_unlock(&elisa_lock);
	kfree(client);
}

int elisa_client_function(struct elisa_client *client, struct elisa_ioc_function *function, struct elisa_why *why)
{
	int index = -ENOENT;

	function->name[ELISA_NAME_MAX - 1] = 0;
	mutex_lock(&elisa_lock);
	if (client->attachment->interpose)
		index = elisa_interpose_function(client->attachment, function->name);
	mutex_unlock(&elisa_lock);
	if (index < 0)
		return elisa_refuse(why, -ENOENT, "the object has no function %s, or is gone", function->name);
	function->index = index;
	return 0;
}

int elisa_client_share(struct elisa_client *client, struct elisa_ioc_share *share, struct elisa_why *why)
{
	struct elisa_memory *memory;
	int error;

	if (share->flags & ~(ELISA_SHARE_READ_ONLY | ELISA_SHARE_EXCHANGE) || share->reserved)
		return elisa_refuse(why, -EINVAL, "unknown flags %#x, or a reserved field is not zero", share->flags);
	error = pin(&memory, share->address, share->bytes, why);
	if (error)
		return error;
	mutex_lock(&elisa_lock);
	error = elisa_buffer_share(client->attachment, memory, share->flags, &share->buffer, why);
	mutex_unlock(&elisa_lock);
	if (error)
		elisa_memory_destroy(memory);
	return error;
}

int elisa_client_unshare(struct elisa_client *client, u32 buffer, struct elisa_why *why)
{
	int error;

	mutex_lock(&elisa_lock);
	error = elisa_buffer_unshare(client->attachment, buffer, why);
	mutex_unlock(&elisa_lock);
	return error;
}

s64 elisa_client_call(struct elisa_client *client, const struct elisa_ioc_call *call)
{
	return elisa_interpose_call(client->vm, client->attachment->slot, call->function, call->arguments);
}

int elisa_client_read(struct elisa_client *client, u64 *woken, bool wait)
{
	struct elisa_attachment *attachment = client->attachment;

	*woken = atomic64_xchg(&attachment->woken, 0);
	if (!*woken && wait &&
	    wait_event_interruptible(attachment->wait, (*woken = atomic64_xchg(&attachment->woken, 0))))
		return -ERESTARTSYS;
	return *woken ? 0 : -EAGAIN;
}

__poll_t elisa_client_poll(struct elisa_client *client, struct file *file, poll_table *table)
{
	poll_wait(file, &client->attachment->wait, table);
	return atomic64_read(&client->attachment->woken) ? EPOLLIN | EPOLLRDNORM : 0;
}
