// SPDX-License-Identifier: GPL-2.0-only
#include "kvm.h"

#include <asm/tlbflush.h>
#include <linux/cpu.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/srcu.h>
#include <linux/smp.h>
#include <linux/static_call.h>
#include <linux/tracepoint.h>
#include <trace/events/ipi.h> /* smp_send_reschedule() traces, on newer kernels */

#include "vmcs.h"

typedef int handle_exit_fn(struct kvm_vcpu *vcpu, int fastpath);
typedef void vm_destroy_fn(struct kvm *kvm);
typedef int set_memory_region_fn(struct kvm *kvm, const void *region);

static unsigned long (*lookup)(const char *name);
static struct tracepoint *entry_point, *exit_point;
static set_memory_region_fn *set_memory_region;
static void (*vcpu_kick)(struct kvm_vcpu *vcpu);
static void (*put_kvm)(struct kvm *kvm);
static int (*yield_to_vcpu)(struct kvm_vcpu *vcpu);
static int (*set_msi)(struct kvm_kernel_irq_routing_entry *entry, struct kvm *kvm, int source, int level,
		      bool line_status);
static struct module *(*module_of)(unsigned long address);
static struct module *kvm_intel;

DEFINE_STATIC_SRCU(held_hooks);

/* One of KVM's own calls of its vendor module, which we lead through a function of ours. */
struct hook {
	const char *key_name, *trampoline_name;
	void *ours;
	struct static_call_key *key;
	void *trampoline, *original;
};

static int handle_exit(struct kvm_vcpu *vcpu, int fastpath);
static void vm_destroy(struct kvm *kvm);

enum { HANDLE_EXIT, VM_DESTROY, HOOKS };
static struct hook hooks[HOOKS] = {
	[HANDLE_EXIT] = { "__SCK__kvm_x86_handle_exit", "__SCT__kvm_x86_handle_exit", handle_exit },
	[VM_DESTROY] = { "__SCK__kvm_x86_vm_destroy", "__SCT__kvm_x86_vm_destroy", vm_destroy },
};

int elisa_kvm_hold(void)
{
	return srcu_read_lock(&held_hooks);
}

void elisa_kvm_release(int held)
{
	srcu_read_unlock(&held_hooks, held);
}

static int handle_exit(struct kvm_vcpu *vcpu, int fastpath)
{
	/* With the exit said to be handled it still does what is due at each: it empties the log of dirty pages. */
	if (elisa_on_handle_exit(vcpu)) {
		/* But takes it for an error if an event was being delivered, as one may have been inside. */
		if (elisa_vmread(IDT_VECTORING_INFO_FIELD) & VECTORING_INFO_VALID_MASK)
			return 1;
		fastpath = EXIT_FASTPATH_EXIT_HANDLED;
	}
	/* A tail call: nothing of ours is on the stack while KVM's handler sleeps. */
	return ((handle_exit_fn *)hooks[HANDLE_EXIT].original)(vcpu, fastpath);
}

static void vm_destroy(struct kvm *kvm)
{
	int held = elisa_kvm_hold();

	elisa_on_vm_destroy(kvm);
	elisa_kvm_release(held);
	if (hooks[VM_DESTROY].original)
		((vm_destroy_fn *)hooks[VM_DESTROY].original)(kvm); /* likewise a tail call */
}

/* The tracepoints' further arguments differ between kernels and are not used. */
static void probe_entry(void *data, struct kvm_vcpu *vcpu)
{
	elisa_on_entry(vcpu);
}

static void probe_exit(void *data, struct kvm_vcpu *vcpu)
{
	elisa_on_exit(vcpu);
}

/* kallsyms_lookup_name() is not exported: a kprobe finds its address. */
static int find_lookup(struct elisa_why *why)
{
	struct kprobe probe = { .symbol_name = "kallsyms_lookup_name" };
	int error = register_kprobe(&probe);

	if (error)
		return elisa_refuse(why, error,
				    "this kernel has no kprobes, which symbols are looked up with (error %d)", error);
	lookup = (void *)probe.addr;
	unregister_kprobe(&probe);
	return 0;
}

static int find(void *to, const char *name, struct elisa_why *why)
{
	unsigned long address = lookup(name);

	if (!address)
		return elisa_refuse(why, -EOPNOTSUPP, "this kernel's KVM has no %s: this kernel is not supported yet",
				    name);
	*(unsigned long *)to = address;
	return 0;
}

static int find_all(struct elisa_why *why)
{
	int error = find(&entry_point, "__tracepoint_kvm_entry", why);

	if (!error)
		error = find(&exit_point, "__tracepoint_kvm_exit", why);
	if (!error)
		error = find(&set_memory_region, "__kvm_set_memory_region", why);
	if (!error)
		error = find(&vcpu_kick, "kvm_vcpu_kick", why);
	if (!error)
		error = find(&put_kvm, "kvm_put_kvm", why);
	if (!error)
		error = find(&yield_to_vcpu, "kvm_vcpu_yield_to", why);
	if (!error)
		error = find(&set_msi, "kvm_set_msi", why);
	if (!error)
		error = find(&module_of, "__module_address", why);
	for (struct hook *hook = hooks; !error && hook < hooks + HOOKS; hook++) {
		error = find(&hook->key, hook->key_name, why);
		if (!error)
			error = find(&hook->trampoline, hook->trampoline_name, why);
		if (!error)
			hook->original = hook->key->func;
	}
	return error;
}

/* Holds kvm_intel, whose functions the hooks stand before. */
static int hold_kvm_intel(struct elisa_why *why)
{
	unsigned long address = (unsigned long)hooks[HANDLE_EXIT].original;

	preempt_disable();
	kvm_intel = module_of(address);
	if (kvm_intel && !try_module_get(kvm_intel))
		kvm_intel = NULL;
	preempt_enable();
	if (!kvm_intel)
		return elisa_refuse(
			why, -EOPNOTSUPP,
			"KVM's exit handler is not that of a module: kvm_intel is built in, or hooked already");
	if (strcmp(kvm_intel->name, "kvm_intel")) {
		int error =
			elisa_refuse(why, -EOPNOTSUPP, "KVM's exit handler belongs to %s: only kvm_intel has VMFUNC",
				     kvm_intel->name);

		module_put(kvm_intel);
		return error;
	}
	return 0;
}

int elisa_kvm_init(struct elisa_why *why)
{
	const bool *tdp_enabled;
	int error = find_lookup(why);

	if (error)
		return error;
	/* Without it KVM's calls still name its functions, or what lies there now. */
	if (!lookup("kvm_intel:vmx_handle_exit"))
		return elisa_refuse(why, -ENODEV, "kvm_intel is not loaded: load it first");
	error = find_all(why);
	if (error)
		return error;
	tdp_enabled = (const bool *)lookup("tdp_enabled");
	if (!tdp_enabled || !*tdp_enabled)
		return elisa_refuse(why, -EOPNOTSUPP, "kvm_intel runs without EPT: load it with ept=1");
	error = hold_kvm_intel(why);
	if (error)
		return error;
	error = tracepoint_probe_register_prio(exit_point, probe_exit, NULL, INT_MAX);
	if (error) {
		elisa_refuse(why, error, "cannot probe kvm_exit (error %d)", error);
		goto put;
	}
	error = tracepoint_probe_register_prio(entry_point, probe_entry, NULL, INT_MIN);
	if (error) {
		elisa_refuse(why, error, "cannot probe kvm_entry (error %d)", error);
		goto unprobe_exit;
	}
	for (struct hook *hook = hooks; hook < hooks + HOOKS; hook++)
		__static_call_update(hook->key, hook->trampoline, hook->ours);
	return 0;

unprobe_exit:
	tracepoint_probe_unregister(exit_point, probe_exit, NULL);
	tracepoint_synchronize_unregister();
put:
	module_put(kvm_intel);
	return error;
}

void elisa_kvm_uninit(void)
{
	for (struct hook *hook = hooks; hook < hooks + HOOKS; hook++)
		__static_call_update(hook->key, hook->trampoline, hook->original);
	tracepoint_probe_unregister(entry_point, probe_entry, NULL);
	tracepoint_probe_unregister(exit_point, probe_exit, NULL);
	tracepoint_synchronize_unregister();
	/* Those who are about to hold the hooks do, then all have released them, then all have left our code. */
	synchronize_rcu_tasks();
	synchronize_srcu(&held_hooks);
	synchronize_rcu_tasks();
	module_put(kvm_intel);
}

bool elisa_vcpu_is_nested(const struct kvm_vcpu *vcpu)
{
	return vcpu->arch.hflags & HF_GUEST_MASK;
}

bool elisa_vcpu_is_in_smm(const struct kvm_vcpu *vcpu)
{
	return vcpu->arch.hflags & HF_SMM_MASK;
}

/* KVM's copy wins over the VMCS when it is dirty, and is read from the VMCS when it is not available. */
static void set_lazy(struct kvm_vcpu *vcpu, int reg, unsigned long field, u64 value)
{
	vcpu->arch.regs[reg] = value;
	vcpu->arch.regs_avail |= 1u << reg;
	vcpu->arch.regs_dirty &= ~(1u << reg);
	elisa_vmwrite(field, value);
}

static u64 get_lazy(const struct kvm_vcpu *vcpu, int reg, unsigned long field)
{
	return vcpu->arch.regs_avail & (1u << reg) ? vcpu->arch.regs[reg] : elisa_vmread(field);
}

void elisa_vcpu_set_rip(struct kvm_vcpu *vcpu, u64 rip)
{
	set_lazy(vcpu, VCPU_REGS_RIP, GUEST_RIP, rip);
}

void elisa_vcpu_set_rsp(struct kvm_vcpu *vcpu, u64 rsp)
{
	set_lazy(vcpu, VCPU_REGS_RSP, GUEST_RSP, rsp);
}

u64 elisa_vcpu_rip(const struct kvm_vcpu *vcpu)
{
	return get_lazy(vcpu, VCPU_REGS_RIP, GUEST_RIP);
}

u64 elisa_vcpu_rsp(const struct kvm_vcpu *vcpu)
{
	return get_lazy(vcpu, VCPU_REGS_RSP, GUEST_RSP);
}

void elisa_vcpu_drop_exception(struct kvm_vcpu *vcpu)
{
	vcpu->arch.exception.pending = false;
	vcpu->arch.exception.injected = false;
	/* `int n` is such an exception too. */
	if (vcpu->arch.interrupt.soft)
		vcpu->arch.interrupt.injected = false;
}

void elisa_vcpu_inject_interrupt(struct kvm_vcpu *vcpu, u8 vector)
{
	if (vcpu->arch.interrupt.injected)
		return;
	vcpu->arch.interrupt.injected = true;
	vcpu->arch.interrupt.soft = false;
	vcpu->arch.interrupt.nr = vector;
	kvm_make_request(KVM_REQ_EVENT, vcpu);
}

void elisa_vcpu_take_nmi(struct kvm_vcpu *vcpu)
{
	elisa_vmwrite(VM_ENTRY_INTR_INFO_FIELD, 0);
	vcpu->arch.nmi_injected = false;
}

void elisa_vcpu_exit_soon(void)
{
	smp_send_reschedule(raw_smp_processor_id());
}

void elisa_vcpu_return_nmi(struct kvm_vcpu *vcpu)
{
	vcpu->arch.nmi_pending++;
	kvm_make_request(KVM_REQ_EVENT, vcpu);
}

void elisa_vcpu_nudge(struct kvm_vcpu *vcpu)
{
	/* In any other state it would never be cleared. */
	if (READ_ONCE(vcpu->arch.mp_state) == KVM_MP_STATE_HALTED)
		WRITE_ONCE(vcpu->arch.pv.pv_unhalted, true);
	vcpu_kick(vcpu);
}

void elisa_vcpu_yield_to(struct kvm_vcpu *vcpu)
{
	yield_to_vcpu(vcpu);
}

bool elisa_vcpu_waits_for_cpu(const struct kvm_vcpu *vcpu)
{
	return READ_ONCE(vcpu->preempted);
}

unsigned long elisa_vm_address(struct kvm *kvm, gpa_t gpa, u64 *bytes)
{
	struct kvm_memory_slot *slot;
	unsigned long address = 0;
	int index = srcu_read_lock(&kvm->srcu);

	slot = __gfn_to_memslot(kvm_memslots(kvm), gpa >> PAGE_SHIFT);
	if (slot && !(slot->flags & (KVM_MEMSLOT_INVALID | KVM_MEM_READONLY)) && slot->id < KVM_USER_MEM_SLOTS) {
		u64 into = gpa - (slot->base_gfn << PAGE_SHIFT);

		address = slot->userspace_addr + into;
		*bytes = min_t(u64, *bytes, (slot->npages << PAGE_SHIFT) - into);
	}
	srcu_read_unlock(&kvm->srcu, index);
	return address;
}

bool elisa_vm_is_backed(struct kvm *kvm, gpa_t gpa, u64 bytes, unsigned long address)
{
	int index = srcu_read_lock(&kvm->srcu);
	bool same = true;

	while (same && bytes) {
		const struct kvm_memory_slot *slot = __gfn_to_memslot(kvm_memslots(kvm), gpa >> PAGE_SHIFT);
		u64 into, now;

		same = slot && !(slot->flags & (KVM_MEMSLOT_INVALID | KVM_MEM_READONLY | KVM_MEM_LOG_DIRTY_PAGES));
		if (!same)
			break;
		into = gpa - (slot->base_gfn << PAGE_SHIFT);
		now = min_t(u64, bytes, (slot->npages << PAGE_SHIFT) - into);
		same = slot->userspace_addr + into == address;
		gpa += now;
		address += now;
		bytes -= now;
	}
	srcu_read_unlock(&kvm->srcu, index);
	return same;
}

unsigned long elisa_vm_pages(struct kvm *kvm)
{
	const struct kvm_memory_slot *slot;
	unsigned long pages = 0;
	int index = srcu_read_lock(&kvm->srcu), bucket;

	/* nr_memslot_pages has those once more that it has in SMM too. */
	kvm_for_each_memslot(slot, bucket, kvm_memslots(kvm)) pages += slot->npages;
	srcu_read_unlock(&kvm->srcu, index);
	return pages;
}

bool elisa_vm_has_memory(struct kvm *kvm, gpa_t base, u64 bytes)
{
	int index = srcu_read_lock(&kvm->srcu);
	struct kvm_memslot_iter iter;
	bool found = false;

	/* In a VM entry: not one by one, of which a VMM may have thousands, there too. The first may lie before. */
	kvm_for_each_memslot_in_gfn_range(&iter, kvm_memslots(kvm), base >> PAGE_SHIFT, (base + bytes) >> PAGE_SHIFT) {
		found = iter.slot->base_gfn + iter.slot->npages > base >> PAGE_SHIFT;
		if (found)
			break;
	}
	srcu_read_unlock(&kvm->srcu, index);
	return found;
}

u64 elisa_vm_memory_generation(struct kvm *kvm)
{
	return READ_ONCE(rcu_dereference_raw(kvm->memslots[0])->generation);
}

bool elisa_vm_kvm_get(struct kvm *kvm)
{
	return refcount_inc_not_zero(&kvm->users_count);
}

void elisa_vm_kvm_put(struct kvm *kvm)
{
	put_kvm(kvm);
}

bool elisa_vm_kvm_put_not_last(struct kvm *kvm)
{
	return refcount_dec_not_one(&kvm->users_count);
}

int elisa_vm_set_slot(struct kvm *kvm, int number, gpa_t gpa, u64 bytes, unsigned long address)
{
	/* 6.12's structure is longer, and begins with that of 6.1. */
	struct {
		struct kvm_userspace_memory_region region;
		u64 longer[16];
	} argument = { .region = { .slot = KVM_USER_MEM_SLOTS - 1 - number,
				   .guest_phys_addr = gpa,
				   .memory_size = bytes,
				   .userspace_addr = address } };
	int error;

	mutex_lock(&kvm->slots_lock);
	error = set_memory_region(kvm, &argument);
	mutex_unlock(&kvm->slots_lock);
	return error;
}

void elisa_vm_send_interrupt(struct kvm *kvm, u64 address, u32 data)
{
	struct kvm_kernel_irq_routing_entry entry = {
		.type = KVM_IRQ_ROUTING_MSI,
		.msi = { .address_lo = address, .address_hi = address >> 32, .data = data },
	};

	/* A vCPU that does not exist, or has its local APIC off, does not get it, as from a device. */
	set_msi(&entry, kvm, KVM_USERSPACE_IRQ_SOURCE_ID, 1, false);
}

static void flush_this_cpu(void *unused)
{
	/* Off on a CPU that runs no VM, where INVEPT would be #UD. What it has kept from before serves nobody: KVM has
	 * taken all vCPUs off it, and invalidates everything when it loads one (vmx_vcpu_load_vmcs()). */
	if (cr4_read_shadow() & X86_CR4_VMXE)
		elisa_invept_all();
}

void elisa_flush_all_cpus(void)
{
	on_each_cpu(flush_this_cpu, NULL, 1);
}

void elisa_kick_all_cpus(void)
{
	/* Whoever runs this is in no guest. */
	kick_all_cpus_sync();
}
