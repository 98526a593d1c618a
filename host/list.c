// SPDX-License-Identifier: GPL-2.0-only
/* What there is, for the tool. With elisa_lock held. */
#include "list.h"

#include "log.h"

static unsigned int count(const struct list_head *list)
{
	const struct list_head *entry;
	unsigned int number = 0;

	list_for_each(entry, list)
		number++;
	return number;
}

void elisa_stats_get(struct elisa_ioc_stats *stats)
{
	struct elisa_vm *vm;

	stats->objects = count(&elisa_objects);
	list_for_each_entry(vm, &elisa_vms, list) {
		stats->vms += !!vm->kvm;
		stats->vcpus += vm->cpu_count;
		stats->attachments += count(&vm->attachments);
	}
	stats->pinned_pages = elisa_memory_pinned();
	stats->allocated_pages = elisa_pages_total();
}

static void add_attachment(struct elisa_ioc_list *entry, const struct elisa_attachment *attachment)
{
	struct elisa_pair *pair;

	list_for_each_entry(pair, &attachment->pairs, in_attachment)
		entry->calls += elisa_pair_frame(pair, ELISA_FRAME_CALLS);
	for (unsigned int kind = 0; kind < ELISA_ABORTS; kind++) {
		u64 aborts = atomic64_read(&attachment->aborts[kind]);

		entry->aborts_by[kind] += aborts;
		entry->aborts += aborts;
	}
	entry->samples_inside += atomic64_read(&attachment->samples);
	entry->allocated_bytes += atomic_long_read(&attachment->pages.held) * ELISA_PAGE + sizeof(*attachment);
}

static void list_vm(struct elisa_ioc_list *entry, const struct elisa_vm *vm)
{
	const struct elisa_attachment *attachment;

	entry->cursor = entry->id = entry->vm = vm->id;
	entry->pid = vm->pid;
	entry->uid = vm->uid;
	entry->attachments = count(&vm->attachments);
	entry->vcpus = vm->cpu_count;
	entry->state = vm->collides ? EADDRINUSE : 0;
	list_for_each_entry(attachment, &vm->attachments, in_vm)
		add_attachment(entry, attachment);
	for (unsigned int i = 0; i < KVM_MAX_VCPUS; i++)
		if (vm->cpus[i]) {
			entry->samples += READ_ONCE(vm->cpus[i]->samples);
			entry->vcpu_bytes +=
				atomic_long_read(&vm->cpus[i]->pages.held) * ELISA_PAGE + sizeof(struct elisa_cpu);
		}
}

static void list_object(struct elisa_ioc_list *entry, const struct elisa_object *object)
{
	const struct elisa_attachment *attachment;

	list_for_each_entry(attachment, &object->attachments, in_object)
		add_attachment(entry, attachment);
	entry->cursor = entry->id = object->id;
	entry->pid = object->pid;
	entry->uid = object->uid;
	entry->vm = object->vm ? object->vm->id : 0;
	entry->flags = object->flags;
	entry->functions = object->code.function_count;
	entry->attachments = count(&object->attachments);
	entry->state = -object->dead;
	entry->memory_bytes = object->memory ? object->memory->bytes : 0;
	entry->allocated_bytes = atomic_long_read(&object->pages.held) * ELISA_PAGE + sizeof(*object);
	strscpy(entry->name, object->name, sizeof(entry->name));
}

static void list_attachment(struct elisa_ioc_list *entry, const struct elisa_attachment *attachment)
{
	struct elisa_pair *pair;

	entry->cursor = entry->id = attachment->id;
	entry->vm = attachment->vm->id;
	entry->pid = attachment->vm->pid;
	entry->uid = attachment->vm->uid;
	entry->flags = attachment->writable ? ELISA_RIGHT_WRITE : ELISA_RIGHT_READ;
	entry->vcpus = attachment->pair_count;
	entry->scheme = attachment->scheme;
	entry->state = -attachment->state;
	add_attachment(entry, attachment);
	/* Each vCPU's list is for all attachments together; counted in each, as one alone would need it too. */
	list_for_each_entry(pair, &attachment->pairs, in_attachment) {
		entry->vcpu_bytes +=
			(atomic_long_read(&pair->pages.held) + atomic_long_read(&pair->cpu->pages.held)) * ELISA_PAGE +
			sizeof(*pair) + sizeof(*pair->cpu);
	}
	if (attachment->object) {
		entry->object = attachment->object->id;
		strscpy(entry->name, attachment->object->name, sizeof(entry->name));
	}
}

static int next_vm(struct elisa_ioc_list *entry)
{
	struct elisa_vm *vm;

	list_for_each_entry(vm, &elisa_vms, list)
		if (vm->kvm && vm->id > entry->cursor) {
			list_vm(entry, vm);
			return 0;
		}
	return -ENOENT;
}

static int next_object(struct elisa_ioc_list *entry)
{
	struct elisa_object *object;

	list_for_each_entry(object, &elisa_objects, node)
		if (object->id > entry->cursor) {
			list_object(entry, object);
			return 0;
		}
	return -ENOENT;
}

static int next_attachment(struct elisa_ioc_list *entry)
{
	struct elisa_attachment *attachment, *next = NULL;
	struct elisa_vm *vm;

	list_for_each_entry(vm, &elisa_vms, list)
		list_for_each_entry(attachment, &vm->attachments, in_vm)
			if (attachment->id > entry->cursor && (!next || attachment->id < next->id))
				next = attachment;
	if (!next)
		return -ENOENT;
	list_attachment(entry, next);
	return 0;
}

/* The cursor is the object's number and, in its low 16 bits, how many of its grants are behind. */
static int next_grant(struct elisa_ioc_list *entry)
{
	struct elisa_object *object;
	struct elisa_ioc_grant grant;

	list_for_each_entry(object, &elisa_objects, node) {
		unsigned int behind = object->id == entry->cursor >> 16 ? entry->cursor & 0xffff : 0;

		if (object->id < entry->cursor >> 16 || elisa_object_grant_get(object, behind, &grant))
			continue;
		entry->cursor = (u64)object->id << 16 | (behind + 1);
		entry->object = object->id;
		entry->id = grant.id;
		entry->grant = grant.kind;
		entry->flags = grant.rights;
		strscpy(entry->name, object->name, sizeof(entry->name));
		return 0;
	}
	return -ENOENT;
}

int elisa_list_next(struct elisa_ioc_list *entry)
{
	*entry = (struct elisa_ioc_list){ .size = entry->size, .kind = entry->kind, .cursor = entry->cursor };
	switch (entry->kind) {
	case ELISA_LIST_VM:
		return next_vm(entry);
	case ELISA_LIST_OBJECT:
		return next_object(entry);
	case ELISA_LIST_ATTACHMENT:
		return next_attachment(entry);
	case ELISA_LIST_GRANT:
		return next_grant(entry);
	case ELISA_LIST_ABORT:
	case ELISA_LIST_EVENT:
		return elisa_log_next(entry);
	default:
		return -EINVAL;
	}
}
