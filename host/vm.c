// SPDX-License-Identifier: GPL-2.0-only
#include "vm.h"

#include <linux/cred.h>
#include <linux/hashtable.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/wait_bit.h>

#include "attachment.h"
#include "change.h"
#include "inside.h"
#include "kvm.h"

static DEFINE_HASHTABLE(by_kvm, 6); /* changed with elisa_lock held, read under RCU */
LIST_HEAD(elisa_vms);
static u32 last_id;
static atomic_t alive; /* structures, also of VMs that are gone */

struct elisa_vm *elisa_vm_find(const struct kvm *kvm)
{
	struct elisa_vm *vm, *found = NULL;

	rcu_read_lock();
	hash_for_each_possible_rcu(by_kvm, vm, node, (unsigned long)kvm)
		if (vm->kvm == kvm)
			found = vm;
	rcu_read_unlock();
	return found;
}

static void release(struct kref *ref)
{
	struct elisa_vm *vm = container_of(ref, struct elisa_vm, ref);

	for (unsigned int i = 0; vm->cpus && i < KVM_MAX_VCPUS; i++)
		elisa_cpu_destroy(vm->cpus[i]);
	xa_destroy(&vm->objects);
	xa_destroy(&vm->memories);
	kvfree(vm->cpus);
	put_pid(vm->vmm);
	mmdrop(vm->mm);
	/* This may be a work of its own queue. */
	queue_work(elisa_queue, &vm->free);
}

static void free_work(struct work_struct *work)
{
	struct elisa_vm *vm = container_of(work, struct elisa_vm, free);

	/* What its memory still needed was done with references to it. */
	if (vm->queue)
		destroy_workqueue(vm->queue);
	kfree_rcu(vm, rcu);
	if (atomic_dec_and_test(&alive))
		wake_up_var(&alive);
}

static void orphan(struct work_struct *work)
{
	struct elisa_vm *vm = container_of(work, struct elisa_vm, orphan);

	mutex_lock(&elisa_lock);
	/* It stays known, as it may be found by who holds its kvm. */
	if (!vm->gone) {
		vm->gone = true;
		elisa_vm_release_all(vm, false);
	}
	elisa_vm_put(vm);
	mutex_unlock(&elisa_lock);
}

static void put_kvm(struct work_struct *work)
{
	struct elisa_vm *vm = container_of(work, struct elisa_vm, put_kvm);
	struct kvm *kvm = vm->kvm;

	elisa_vm_put(vm);
	elisa_vm_kvm_put(kvm);
}

void elisa_vm_put(struct elisa_vm *vm)
{
	kref_put(&vm->ref, release);
}

void elisa_vm_put_kvm(struct elisa_vm *vm)
{
	kref_get(&vm->ref);
	queue_work(elisa_queue, &vm->put_kvm);
}

void elisa_vm_orphan(struct elisa_vm *vm)
{
	kref_get(&vm->ref);
	if (!queue_work(elisa_queue, &vm->orphan))
		elisa_vm_put(vm);
}

struct elisa_vm *elisa_vm_of_process(void)
{
	struct elisa_vm *vm = kzalloc(sizeof(*vm), GFP_KERNEL_ACCOUNT);

	if (!vm)
		return NULL;
	atomic_inc(&alive);
	kref_init(&vm->ref);
	vm->id = ++last_id;
	INIT_WORK(&vm->free, free_work);
	INIT_WORK(&vm->put_kvm, put_kvm);
	vm->vmm = get_pid(task_tgid(current));
	vm->pid = pid_nr(vm->vmm);
	vm->mm = current->mm;
	mmgrab(vm->mm);
	vm->uid = from_kuid(&init_user_ns, current_uid());
	INIT_LIST_HEAD(&vm->attachments);
	xa_init_flags(&vm->objects, XA_FLAGS_ALLOC1);
	xa_init_flags(&vm->memories, XA_FLAGS_ALLOC1);
	INIT_WORK(&vm->recheck, elisa_change_recheck);
	INIT_WORK(&vm->orphan, orphan);
	spin_lock_init(&vm->interrupt_lock);
	raw_spin_lock_init(&vm->slots_lock);
	return vm;
}

static struct elisa_vm *create(struct kvm *kvm)
{
	struct elisa_vm *vm = elisa_vm_of_process();

	if (!vm)
		return NULL;
	vm->cpus = kvcalloc(KVM_MAX_VCPUS, sizeof(*vm->cpus), GFP_KERNEL_ACCOUNT);
	vm->queue = alloc_ordered_workqueue("elisa_vm%u", 0, vm->id);
	if (!vm->cpus || !vm->queue) {
		elisa_vm_put(vm);
		return NULL;
	}
	vm->kvm = kvm;
	vm->generation = elisa_vm_memory_generation(kvm);
	return vm;
}

void elisa_vm_set_interrupt(struct elisa_vm *vm, u64 address, u32 data)
{
	spin_lock(&vm->interrupt_lock);
	vm->interrupt_address = address;
	vm->interrupt_data = data;
	spin_unlock(&vm->interrupt_lock);
}

void elisa_vm_interrupt(struct elisa_vm *vm)
{
	u64 address;
	u32 data;

	spin_lock(&vm->interrupt_lock);
	address = vm->interrupt_address;
	data = vm->interrupt_data;
	spin_unlock(&vm->interrupt_lock);
	/* Some kernels free the vCPUs of a VM that is destroyed before they tell us of it. */
	if (!address || !elisa_vm_kvm_get(vm->kvm))
		return;
	elisa_vm_send_interrupt(vm->kvm, address, data);
	/* Destroying a VM takes locks under which others may wait for whoever is here. */
	if (!elisa_vm_kvm_put_not_last(vm->kvm))
		elisa_vm_put_kvm(vm);
}

int elisa_vm_hello(struct kvm_vcpu *vcpu, u32 user_cs, u32 user_ss, struct elisa_vm **vm, struct elisa_why *why)
{
	*vm = elisa_vm_find(vcpu->kvm);
	if (!*vm) {
		*vm = create(vcpu->kvm);
		if (!*vm)
			return elisa_refuse(why, -ENOMEM, "out of memory");
		list_add_tail(&(*vm)->list, &elisa_vms);
		hash_add_rcu(by_kvm, &(*vm)->node, (unsigned long)vcpu->kvm);
	}
	/* Loaded with CPL 3 whatever the guest says. */
	(*vm)->user_cs = (user_cs & 0xffff) | 3;
	(*vm)->user_ss = (user_ss & 0xffff) | 3;
	return 0;
}

void elisa_vm_release_all(struct elisa_vm *vm, bool memory_too)
{
	struct elisa_attachment *attachment, *next;
	struct elisa_object *object;
	struct elisa_memory *memory;
	unsigned long index;

	elisa_vm_set_interrupt(vm, 0, 0);
	list_for_each_entry_safe(attachment, next, &vm->attachments, in_vm)
		elisa_detach(attachment);
	xa_for_each(&vm->objects, index, object) {
		xa_erase(&vm->objects, index);
		if (memory_too)
			elisa_object_withdraw(object, -ESHUTDOWN);
		elisa_object_close(object);
	}
	/* Another vCPU may be taking it at this moment: whoever erases it has it. */
	xa_for_each(&vm->memories, index, memory)
		elisa_memory_destroy(xa_erase(&vm->memories, index));
}

static void forget(struct elisa_vm *vm)
{
	hash_del_rcu(&vm->node);
	list_del(&vm->list);
	vm->gone = true;
	elisa_vm_release_all(vm, false);
	elisa_vm_put(vm);
}

/* KVM destroys a VM when the last descriptor of it is closed, those of its vCPUs among them: none will be entered
 * again. */
void elisa_on_vm_destroy(struct kvm *kvm)
{
	struct elisa_vm *vm;

	mutex_lock(&elisa_lock);
	vm = elisa_vm_find(kvm);
	if (vm)
		forget(vm);
	mutex_unlock(&elisa_lock);
}

void elisa_vm_forget_all(void)
{
	struct elisa_vm *vm, *next;

	mutex_lock(&elisa_lock);
	list_for_each_entry_safe(vm, next, &elisa_vms, list)
		forget(vm);
	mutex_unlock(&elisa_lock);
	/* What is still pinned for one waits for whoever holds up its VMM's memory. */
	wait_var_event(&alive, !atomic_read(&alive));
	/* The hooks are gone already; what they have read is not. */
	rcu_barrier();
}
