/* SPDX-License-Identifier: GPL-2.0-only */
/* VMs whose guest driver has said hello, and their vCPUs that have called. */
#ifndef HOST_VM_H
#define HOST_VM_H

#include <linux/kref.h>
#include <linux/kvm_host.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "object.h"

struct elisa_attachment;
struct elisa_cpu;

#define ELISA_SUB_SLOTS 256

struct elisa_vm {
	struct hlist_node node; /* found by its kvm, under RCU */
	struct list_head list;  /* in elisa_vms, by id */
	struct rcu_head rcu;
	struct kref ref; /* KVM's VM, and each object and attachment of it */
	struct kvm *kvm; /* NULL: it is no VM, but a process of the host that is a client */
	u32 id, pid, uid;
	struct pid *vmm;
	struct mm_struct *mm; /* its own, which may be dead */
	bool gone; /* KVM has destroyed it, or nobody will tell; or its VMM has died: no vCPU of it runs again */
	u32 user_cs, user_ss;
	spinlock_t interrupt_lock;
	u64 interrupt_address; /* of the message that tells its driver that somebody is to be woken; 0: there is none */
	u32 interrupt_data;
	raw_spinlock_t slots_lock;      /* the generation and .collides; interrupts off */
	u64 generation;                 /* of its memory slots when it was last seen whether they meet R */
	struct workqueue_struct *queue; /* for what its VMM may hold up */
	struct work_struct put_kvm;     /* the last reference to its kvm; with one to this */
	struct work_struct free;
	struct work_struct recheck; /* looks at its buffers after memory slots have changed; with a reference */
	struct work_struct orphan;  /* releases all when its VMM has died; with a reference */
	bool collides;              /* a memory slot meets R: nothing is called until that is over */

	struct list_head attachments;
	struct elisa_attachment
		*slots[ELISA_SUB_SLOTS];             /* by sub slot; read under elisa_call_srcu without elisa_lock */
	DECLARE_BITMAP(slots_used, ELISA_SUB_SLOTS); /* also of those that wait for their manager */
	unsigned int callable;                       /* attachments that are entered by VMFUNC */
	struct elisa_cpu **cpus; /* by vcpu_idx; filled in the vCPU's own thread, gone with the VM */
	unsigned int cpu_count;
	struct xarray objects;  /* it manages, by number */
	struct xarray memories; /* named by its driver, not yet handed on */
	atomic_t areas;         /* of all its memory, named or handed on */
	atomic_long_t named;    /* pages of them */
	u64 copied;             /* bytes that the host has copied for objects of it; with elisa_lock held */
};

extern struct list_head elisa_vms; /* and processes of the host that are clients */

/* Under RCU, or in a thread of one of its vCPUs: they end before the VM does. */
struct elisa_vm *elisa_vm_find(const struct kvm *kvm);
/* The VM of the calling vCPU's thread, made at its first hello. With elisa_lock held. */
int elisa_vm_hello(struct kvm_vcpu *vcpu, u32 user_cs, u32 user_ss, struct elisa_vm **vm, struct elisa_why *why);
/* For the calling process of the host: as a VM that has one attachment. With elisa_lock held; NULL: no memory. */
struct elisa_vm *elisa_vm_of_process(void);
/* How the VM's driver is told that a client is to be woken. */
void elisa_vm_set_interrupt(struct elisa_vm *vm, u64 address, u32 data);
/* Tells it. From any thread that may sleep; the VM has not been told to be gone, which the caller keeps from changing.
 */
void elisa_vm_interrupt(struct elisa_vm *vm);
/*
 * Releases all that it holds and manages; it may say hello again. MEMORY_TOO: its kernel uses its memory for other
 * things from now on, also that of objects which should outlive their manager. With elisa_lock held.
 */
void elisa_vm_release_all(struct elisa_vm *vm, bool memory_too);
/*
 * Its VMM has died, whose memory it had, and which alone could run its vCPUs. Others may keep it by its descriptors:
 * what it holds is not to stay pinned so long, as it is charged to nobody. From any context; it is referenced by the
 * caller.
 */
void elisa_vm_orphan(struct elisa_vm *vm);
void elisa_vm_put(struct elisa_vm *vm);
/* Puts the last reference to its kvm, which is the caller's, in a thread that holds no lock. */
void elisa_vm_put_kvm(struct elisa_vm *vm);
/* All that is left when the module goes: nothing is attached. */
void elisa_vm_forget_all(void);

#endif
