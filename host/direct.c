// SPDX-License-Identifier: GPL-2.0-only
/*
 * The object's memory is a file (memfd): the VMM gets a shared mapping of it, and the VM a memory slot of that mapping.
 * In a thread of its own: changing slots waits for vCPUs, which must not be the one that asks.
 */
#include "direct.h"

#include <linux/fs.h>
#include <linux/kthread.h>
#include <linux/mman.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "kvm.h"

#define GPA_OFFSET (136 * ELISA_1G) /* from R on: behind it, in the same 256 GiB */
#define SLOTS 8                     /* of one VM */
#define SLOT_BYTES (8 * ELISA_1G)

struct elisa_direct {
	struct work_struct work;
	struct elisa_attachment *attachment; /* NULL: taken away */
	struct elisa_vm *vm;                 /* referenced */
	struct kvm *kvm;                     /* referenced while the work is under way */
	struct mm_struct *mm;                /* of the VMM, its structure held */
	struct file *file;
	u64 file_offset, bytes;
	unsigned int number;
	unsigned long address; /* in the VMM, 0: not mapped */
	bool done;             /* the work that brings it */
};

static gpa_t gpa_of(const struct elisa_direct *direct)
{
	return elisa_inside.base + GPA_OFFSET + direct->number * SLOT_BYTES;
}

static int map(struct elisa_direct *direct)
{
	unsigned long address =
		vm_mmap(direct->file, 0, direct->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, direct->file_offset);
	int error;

	if (IS_ERR_VALUE(address))
		return address;
	error = elisa_vm_set_slot(direct->kvm, direct->number, gpa_of(direct), direct->bytes, address);
	if (error) {
		vm_munmap(address, direct->bytes);
		return error;
	}
	direct->address = address;
	return 0;
}

static void unmap(struct elisa_direct *direct)
{
	if (!direct->address)
		return;
	elisa_vm_set_slot(direct->kvm, direct->number, gpa_of(direct), 0, direct->address);
	vm_munmap(direct->address, direct->bytes);
}

static void destroy(struct elisa_direct *direct)
{
	fput(direct->file);
	mmdrop(direct->mm);
	elisa_vm_put(direct->vm);
	kfree(direct);
}

/* In the VMM's address space; its end, or the VM's, undoes all by itself. */
static int in_vmm(struct elisa_direct *direct, bool on)
{
	int error = -ESRCH;

	if (mmget_not_zero(direct->mm)) {
		kthread_use_mm(direct->mm);
		error = 0;
		if (on)
			error = map(direct);
		else
			unmap(direct);
		kthread_unuse_mm(direct->mm);
		mmput(direct->mm);
	}
	return error;
}

static void take_away(struct work_struct *work)
{
	struct elisa_direct *direct = container_of(work, struct elisa_direct, work);

	in_vmm(direct, false);
	elisa_vm_kvm_put(direct->kvm);
	destroy(direct);
}

static void bring(struct work_struct *work)
{
	struct elisa_direct *direct = container_of(work, struct elisa_direct, work);
	struct kvm *kvm = direct->kvm;
	int error = in_vmm(direct, true);

	mutex_lock(&elisa_lock);
	direct->done = true;
	if (direct->attachment) {
		elisa_attachment_ready(direct->attachment, error);
		mutex_unlock(&elisa_lock);
		elisa_vm_kvm_put(kvm);
	} else { /* detached meanwhile */
		mutex_unlock(&elisa_lock);
		take_away(work);
	}
}

static int free_number(const struct elisa_vm *vm)
{
	const struct elisa_attachment *attachment;
	unsigned long used = 0;

	list_for_each_entry(attachment, &vm->attachments, in_vm)
		if (attachment->direct)
			used |= 1ul << attachment->direct->number;
	return used == (1ul << SLOTS) - 1 ? -1 : ffz(used);
}

int elisa_direct_attach(struct elisa_attachment *attachment, struct elisa_why *why)
{
	const struct elisa_memory *memory = attachment->object->memory;
	int number = free_number(attachment->vm);
	struct elisa_direct *direct;

	if (!(attachment->object->flags & ELISA_CREATE_DIRECT) || !attachment->writable)
		return elisa_refuse(why, -EACCES, "the manager of %s does not allow direct mapping",
				    attachment->object->name);
	if (!memory || !memory->file || memory->bytes > SLOT_BYTES)
		return elisa_refuse(why, -EOPNOTSUPP,
				    "%s has no memory that can be mapped: a shared file on the host, at most %lu GiB",
				    attachment->object->name, SLOT_BYTES >> 30);
	if (number < 0)
		return elisa_refuse(why, -ENOSPC, "%d objects are mapped directly already", SLOTS);
	direct = kzalloc(sizeof(*direct), GFP_KERNEL_ACCOUNT);
	if (!direct)
		return elisa_refuse(why, -ENOMEM, "out of memory");
	if (!elisa_vm_kvm_get(attachment->vm->kvm)) {
		kfree(direct);
		return elisa_refuse(why, -ESRCH, "the VM is going");
	}
	direct->attachment = attachment;
	direct->vm = attachment->vm;
	kref_get(&direct->vm->ref);
	direct->kvm = attachment->vm->kvm;
	direct->mm = direct->kvm->mm;
	mmgrab(direct->mm);
	direct->file = get_file(memory->file);
	direct->file_offset = memory->file_offset;
	direct->bytes = memory->bytes;
	direct->number = number;
	attachment->direct = direct;
	INIT_WORK(&direct->work, bring);
	/* One after another: what had the number before is taken away by then. */
	queue_work(direct->vm->queue, &direct->work);
	return -EINPROGRESS;
}

void elisa_direct_detach(struct elisa_attachment *attachment)
{
	struct elisa_direct *direct = attachment->direct;

	if (!direct)
		return;
	attachment->direct = NULL;
	direct->attachment = NULL;
	/* Not yet there: bring() sees that nobody wants it any more. It holds the VM. */
	if (!direct->done)
		return;
	if (attachment->vm->gone || !elisa_vm_kvm_get(direct->kvm)) {
		/* The slots are KVM's, and gone with it; the mapping is a file's, and the VMM's own. */
		destroy(direct);
		return;
	}
	INIT_WORK(&direct->work, take_away);
	queue_work(direct->vm->queue, &direct->work);
}

void elisa_direct_describe(const struct elisa_attachment *attachment, struct elisa_ioc_attach *attach)
{
	attach->memory_gpa = 0;
	if (!attachment->direct)
		return;
	attach->memory_gpa = gpa_of(attachment->direct);
	attach->vm = attachment->info->vm;
	attach->value = attachment->info->value;
}
