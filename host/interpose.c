// SPDX-License-Identifier: GPL-2.0-only
#include "interpose.h"

#include <linux/module.h>
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "exchange.h"

struct registered {
	struct list_head list;
	const struct elisa_interpose *interpose;
};

static LIST_HEAD(all); /* with elisa_lock held */

static struct registered *find(const char *name)
{
	struct registered *registered;

	list_for_each_entry(registered, &all, list)
		if (!strcmp(registered->interpose->name, name))
			return registered;
	return NULL;
}

int elisa_interpose_register(const struct elisa_interpose *interpose)
{
	struct registered *registered = kzalloc(sizeof(*registered), GFP_KERNEL);
	int error = 0;

	if (!registered)
		return -ENOMEM;
	registered->interpose = interpose;
	mutex_lock(&elisa_lock);
	if (find(interpose->name))
		error = -EEXIST;
	else
		list_add_tail(&registered->list, &all);
	mutex_unlock(&elisa_lock);
	if (error)
		kfree(registered);
	return error;
}
EXPORT_SYMBOL_GPL(elisa_interpose_register);

/* Attachments hold the owner, so there are none, and no call. */
void elisa_interpose_unregister(const struct elisa_interpose *interpose)
{
	struct registered *registered;

	mutex_lock(&elisa_lock);
	registered = find(interpose->name);
	if (registered)
		list_del(&registered->list);
	mutex_unlock(&elisa_lock);
	kfree(registered);
}
EXPORT_SYMBOL_GPL(elisa_interpose_unregister);

static int map(const struct elisa_memory *memory, struct elisa_range *range)
{
	if (!memory)
		return 0;
	range->address = (unsigned long)elisa_memory_vmap(memory);
	if (!range->address)
		return -ENOMEM;
	smp_store_release(&range->bytes, memory->bytes); /* whoever sees it finds the address */
	return 0;
}

static void unmap(struct elisa_range *range)
{
	if (range->bytes)
		vunmap((void *)(unsigned long)range->address);
	*range = (struct elisa_range){};
}

/* Nobody but vetted code and who is trusted with it has written the memory that the host's kernel would go by. */
static bool is_trusted(const struct elisa_object *object)
{
	return (object->flags & (ELISA_CREATE_VETTED | ELISA_CREATE_DIRECT)) == ELISA_CREATE_VETTED;
}

int elisa_interpose_attach(struct elisa_attachment *attachment, struct elisa_why *why)
{
	struct registered *registered = find(attachment->object->name);

	/* What the host executes may write all that it can read. */
	if (!attachment->writable)
		return elisa_refuse(why, -EACCES,
				    "object %s is granted read-only, which the host's version does not keep to",
				    attachment->object->name);
	if (!registered || !try_module_get(registered->interpose->owner))
		return elisa_refuse(why, -EOPNOTSUPP, "no module with a host's version of %s is loaded",
				    attachment->object->name);
	if (!registered->interpose->any_object && !is_trusted(attachment->object)) {
		module_put(registered->interpose->owner);
		return elisa_refuse(why, -EPERM,
				    "the host's version serves a %s that is vetted, and that no client maps, only",
				    attachment->object->name);
	}
	attachment->info->memory = attachment->info->data = (struct elisa_range){};
	if (map(attachment->object->memory, &attachment->info->memory)) {
		module_put(registered->interpose->owner);
		return elisa_refuse(why, -ENOMEM, "no memory to map the object");
	}
	attachment->interpose = registered->interpose;
	if (!elisa_exchange_interpose(attachment))
		return 0;
	elisa_interpose_detach(attachment);
	return elisa_refuse(why, -ENOMEM, "no memory to map what is shared");
}

void elisa_interpose_detach(struct elisa_attachment *attachment)
{
	if (!attachment->interpose)
		return;
	elisa_exchange_interpose_end(attachment);
	unmap(&attachment->info->memory);
	module_put(attachment->interpose->owner);
	attachment->interpose = NULL;
}

int elisa_interpose_share(struct elisa_attachment *attachment, u32 buffer, const struct elisa_memory *memory)
{
	return map(memory, &attachment->info->buffers[buffer]);
}

void elisa_interpose_unshare(struct elisa_attachment *attachment, u32 buffer)
{
	struct elisa_range *range = &attachment->info->buffers[buffer];
	void *address = (void *)(unsigned long)range->address;

	WRITE_ONCE(range->bytes, 0);
	/* Calls that have seen the buffer are over after this. */
	synchronize_srcu_expedited(&elisa_call_srcu);
	range->address = 0;
	vunmap(address);
}

void elisa_interpose_forget(struct elisa_attachment *attachment, u32 buffer)
{
	unmap(&attachment->info->buffers[buffer]);
}

int elisa_interpose_function(const struct elisa_attachment *attachment, const char *name)
{
	for (u32 i = 0; i < attachment->interpose->count; i++)
		if (!strcmp(attachment->interpose->functions[i].name, name))
			return i;
	return -ENOENT;
}

void elisa_interpose_notify(const struct elisa_info *info, u32 number)
{
	const struct elisa_attachment *attachment = elisa_attachment_of_number(info->attachment);
	const struct elisa_object *object = attachment ? READ_ONCE(attachment->object) : NULL;

	if (object)
		elisa_attachment_wake_number(object, number);
}
EXPORT_SYMBOL_GPL(elisa_interpose_notify);

s64 elisa_interpose_call(struct elisa_vm *vm, u8 number, u64 function, const u64 *arguments)
{
	u32 slot = array_index_nospec(number, ELISA_SUB_SLOTS);
	int index = srcu_read_lock(&elisa_call_srcu);
	const struct elisa_attachment *attachment = smp_load_acquire(&vm->slots[slot]);
	const struct elisa_interpose *interpose;
	s64 result;

	if (!attachment || attachment->scheme != ELISA_SCHEME_VMCALL) {
		result = -ENOTCONN;
	} else if (READ_ONCE(attachment->state)) {
		result = attachment->state;
	} else if (interpose = attachment->interpose, function >= interpose->count) {
		result = -ENOSYS;
	} else {
		function = array_index_nospec(function, interpose->count);
		result = interpose->functions[function].call(attachment->info, arguments[0], arguments[1], arguments[2],
							     arguments[3], arguments[4]);
	}
	srcu_read_unlock(&elisa_call_srcu, index);
	return result;
}
