/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * All that the module knows of KVM's insides is behind this header: kvm.c implements it for the kernels that it knows
 * by name look-up, and refuses others.
 *
 * Hooks: the tracepoints kvm_entry and kvm_exit (interrupts off, at every VM entry and exit), and KVM's own static
 * calls of handle_exit and vm_destroy. Nothing of KVM is linked against.
 */
#ifndef HOST_KVM_H
#define HOST_KVM_H

#include <linux/kvm_host.h>

#include "why.h"

/* Called with interrupts off, the vCPU's VMCS loaded. */
void elisa_on_entry(struct kvm_vcpu *vcpu);
void elisa_on_exit(struct kvm_vcpu *vcpu);
/* An exit that KVM is about to handle, in the vCPU's thread, may sleep: true if it is done with, and the guest goes on.
 */
bool elisa_on_handle_exit(struct kvm_vcpu *vcpu);
/* No vCPU of it will ever run again. */
void elisa_on_vm_destroy(struct kvm *kvm);

/* Places all hooks, or none. kvm_intel stays loaded until uninit. */
int elisa_kvm_init(struct elisa_why *why);
/* Removes the hooks; when it returns nobody is in any of the functions above. */
void elisa_kvm_uninit(void);

/* Around what may sleep in elisa_on_handle_exit(): the module stays until the second. */
int elisa_kvm_hold(void);
void elisa_kvm_release(int held);

/* --- a vCPU, in its own thread */

bool elisa_vcpu_is_nested(const struct kvm_vcpu *vcpu);
bool elisa_vcpu_is_in_smm(const struct kvm_vcpu *vcpu);
/* RIP and RSP: KVM keeps these in its own copy once it has read them. */
void elisa_vcpu_set_rip(struct kvm_vcpu *vcpu, u64 rip);
void elisa_vcpu_set_rsp(struct kvm_vcpu *vcpu, u64 rsp);
u64 elisa_vcpu_rip(const struct kvm_vcpu *vcpu);
u64 elisa_vcpu_rsp(const struct kvm_vcpu *vcpu);
/* An exception that inside code raised and could not deliver is nobody's: it must not be delivered at the landing. */
void elisa_vcpu_drop_exception(struct kvm_vcpu *vcpu);
/* The CPU has taken the interrupt, and not delivered it. */
void elisa_vcpu_inject_interrupt(struct kvm_vcpu *vcpu, u8 vector);

/*
 * Takes the NMI that was to be injected at this entry, and gives it back later. Left with KVM it would be tried at
 * every entry, and with an interrupt pending too each of these would exit at once.
 */
void elisa_vcpu_take_nmi(struct kvm_vcpu *vcpu);
void elisa_vcpu_return_nmi(struct kvm_vcpu *vcpu);
/* At an entry: an interrupt of the host's comes as soon as the guest runs, and KVM looks again at what there is to do.
 */
void elisa_vcpu_exit_soon(void);

/* Makes a halted vCPU go through an entry and an exit soon: to its guest HLT ends for no reason, as it may. */
void elisa_vcpu_nudge(struct kvm_vcpu *vcpu);

/* Gives the rest of this thread's time slice to that of the vCPU, if it is runnable and does not run. */
void elisa_vcpu_yield_to(struct kvm_vcpu *vcpu);
/* Is its thread runnable, in KVM, but others run on its CPU? */
bool elisa_vcpu_waits_for_cpu(const struct kvm_vcpu *vcpu);

/* --- a VM */

/* The VMM's address of guest memory; 0 if GPA is not writable memory. *BYTES: in, wanted; out, how much of it lies
 * together. */
unsigned long elisa_vm_address(struct kvm *kvm, gpa_t gpa, u64 *bytes);
/* Of all its memory. */
unsigned long elisa_vm_pages(struct kvm *kvm);
/* Whether memory of the VM lies in [BASE, BASE + BYTES). */
bool elisa_vm_has_memory(struct kvm *kvm, gpa_t base, u64 bytes);
/* Whether [GPA, GPA + BYTES) is the VMM's memory from ADDRESS on, and no log of what is written is kept. */
bool elisa_vm_is_backed(struct kvm *kvm, gpa_t gpa, u64 bytes, unsigned long address);
u64 elisa_vm_memory_generation(struct kvm *kvm);
/* Keeps the VM from being destroyed; false if it is about to be. The last put may destroy it: hold no lock. */
bool elisa_vm_kvm_get(struct kvm *kvm);
void elisa_vm_kvm_put(struct kvm *kvm);
/* The same where locks are held; false: it was the last, which is still to be put. */
bool elisa_vm_kvm_put_not_last(struct kvm *kvm);
/* A memory slot of our own, from ADDRESS of the VMM, or none any more with BYTES 0. In a thread that holds no lock of
 * KVM's. */
int elisa_vm_set_slot(struct kvm *kvm, int number, gpa_t gpa, u64 bytes, unsigned long address);

/* A message-signalled interrupt, as from a device of the VM's. The VM is kept from being destroyed. */
void elisa_vm_send_interrupt(struct kvm *kvm, u64 address, u32 data);

/* --- the host's CPUs */

/*
 * Kills every cached translation of every EPTP on all CPUs, and makes every vCPU that is in its guest leave it once:
 * when it returns each has gone through elisa_on_exit(), and sees at its next entry what was changed before.
 */
void elisa_flush_all_cpus(void);
/* The latter alone, where nothing is taken away. */
void elisa_kick_all_cpus(void);

#endif
