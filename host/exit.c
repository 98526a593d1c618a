// SPDX-License-Identifier: GPL-2.0-only
/* Exits that are ours: guests' requests, first calls on a vCPU, and calls that were aborted. In the vCPU's thread. */
#include <asm/vmx.h>
#include <elisa/hypercall.h>
#include <linux/nospec.h>

#include "inside.h"
#include "interpose.h"
#include "kvm.h"
#include "request.h"
#include "vmcs.h"

#define VMFUNC_BYTES 3
#define VMCALL_BYTES 3
#define RETRIES 3

static bool at_user_level(void)
{
	return ((elisa_vmread(GUEST_SS_AR_BYTES) >> 5) & 3) == 3;
}

static int find_cpu(struct elisa_vm *vm, struct kvm_vcpu *vcpu, struct elisa_cpu **cpu)
{
	*cpu = vm->cpus[vcpu->vcpu_idx];
	if (*cpu)
		return 0;
	*cpu = elisa_cpu_create(vm, vcpu);
	if (!*cpu)
		return -ENOMEM;
	vm->cpu_count++;
	/* Entries and exits of this vCPU come from this thread. */
	WRITE_ONCE(vm->cpus[vcpu->vcpu_idx], *cpu);
	return 0;
}

/* VMFUNC at the end of page G-1 has not switched: 0 if it will when it is executed again, else what the call returns.
 */
static int prepare_call(struct elisa_vm *vm, struct kvm_vcpu *vcpu, u32 gate_slot)
{
	u32 slot = gate_slot - ELISA_GATE_SLOT(0);
	struct elisa_attachment *attachment =
		slot < ELISA_SUB_SLOTS ? vm->slots[array_index_nospec(slot, ELISA_SUB_SLOTS)] : NULL;
	struct elisa_cpu *cpu;
	int error;

	if (!attachment || attachment->scheme != ELISA_SCHEME_GATE)
		return -ENOTCONN;
	if (attachment->state)
		return attachment->state;
	if (vm->collides)
		return -EADDRINUSE;
	if (!elisa_inside_allowed(vcpu))
		return -EOPNOTSUPP;
	error = find_cpu(vm, vcpu, &cpu);
	if (error)
		return error;
	if (cpu->la57 != elisa_inside_la57(vcpu))
		return -EOPNOTSUPP;
	if (!elisa_pair_find(attachment, cpu))
		return elisa_pair_create(attachment, cpu);
	/* VM functions were off for a while; they are on at the next entry. */
	return cpu->retries++ < RETRIES ? 0 : -EIO;
}

/* False: it is not a call, but somebody else's VMFUNC, which is #UD in a VM. */
static bool handle_vmfunc(struct elisa_vm *vm, struct kvm_vcpu *vcpu)
{
	int error;

	if (elisa_vcpu_rip(vcpu) != ELISA_GATE - VMFUNC_BYTES || (u32)vcpu->arch.regs[VCPU_REGS_RAX] ||
	    !at_user_level())
		return false;
	mutex_lock(&elisa_lock);
	error = prepare_call(vm, vcpu, vcpu->arch.regs[VCPU_REGS_RCX]);
	mutex_unlock(&elisa_lock);
	if (error)
		elisa_cpu_land(vcpu, error);
	return true;
}

static s64 call_of_host(struct elisa_vm *vm, const unsigned long *regs)
{
	const u64 arguments[] = { regs[VCPU_REGS_RSI], regs[VCPU_REGS_RDX], regs[VCPU_REGS_R11], regs[VCPU_REGS_R8],
				  regs[VCPU_REGS_R9] };

	return elisa_interpose_call(vm, regs[VCPU_REGS_RCX], regs[VCPU_REGS_R10], arguments);
}

/* With elisa_call_srcu held: NULL unless that is its number, and it is mapped into the VM directly. */
static const struct elisa_attachment *find_direct(const struct elisa_vm *vm, u64 number)
{
	const struct elisa_attachment *attachment = number <= U32_MAX ? elisa_attachment_of_number(number) : NULL;

	if (!attachment || attachment->vm != vm || attachment->scheme != ELISA_SCHEME_DIRECT ||
	    READ_ONCE(attachment->state))
		return NULL;
	return attachment;
}

/* Whoever has elisa_lock may wait for calls that wait for a lock which this client holds: not taken for granted. */
static struct elisa_cpu *try_cpu(struct elisa_vm *vm, struct kvm_vcpu *vcpu)
{
	struct elisa_cpu *cpu = vm->cpus[vcpu->vcpu_idx];

	if (!cpu && mutex_trylock(&elisa_lock)) {
		if (find_cpu(vm, vcpu, &cpu))
			cpu = NULL;
		mutex_unlock(&elisa_lock);
	}
	return cpu;
}

/* What trusted code asks for that runs in the client, on an object that is mapped directly; false: there is none. */
static bool serve_outside(struct elisa_vm *vm, struct kvm_vcpu *vcpu)
{
	u64 subject = vcpu->arch.regs[VCPU_REGS_RDI];
	int index = srcu_read_lock(&elisa_call_srcu);
	const struct elisa_attachment *attachment = find_direct(vm, vcpu->arch.regs[VCPU_REGS_RSI]);
	struct kvm_vcpu *holder = NULL;
	struct elisa_cpu *cpu = NULL;

	if (attachment && (u32)vcpu->arch.regs[VCPU_REGS_RAX] == ELISA_NOTIFY)
		elisa_attachment_wake_number(attachment->object, subject);
	else if (attachment)
		cpu = try_cpu(vm, vcpu);
	if (cpu && mutex_trylock(&elisa_holders_lock)) {
		holder = elisa_lock_ask(attachment, &cpu->waiter, subject - (ELISA_BASE + ELISA_MEMORY_OFFSET));
		mutex_unlock(&elisa_holders_lock);
	}
	srcu_read_unlock(&elisa_call_srcu, index);
	if (cpu)
		elisa_lock_let_run(holder, &cpu->waiter);
	return attachment;
}

/* SDM, "VMCALL": exits at any privilege level, with RIP at the instruction. */
static bool handle_vmcall(struct elisa_vm *vm, struct kvm_vcpu *vcpu)
{
	u32 what = vcpu->arch.regs[VCPU_REGS_RAX];

	if (what == ELISA_HYPERCALL_CALL && vm)
		vcpu->arch.regs[VCPU_REGS_RAX] = call_of_host(vm, vcpu->arch.regs);
	else if (what == ELISA_HYPERCALL && !at_user_level())
		vcpu->arch.regs[VCPU_REGS_RAX] = elisa_request(vcpu);
	else if ((what != ELISA_LOCK_WAIT && what != ELISA_NOTIFY) || !vm || !serve_outside(vm, vcpu))
		return false;
	elisa_vcpu_set_rip(vcpu, elisa_vcpu_rip(vcpu) + VMCALL_BYTES);
	elisa_vmwrite(GUEST_INTERRUPTIBILITY_INFO,
		      elisa_vmread(GUEST_INTERRUPTIBILITY_INFO) & ~(GUEST_INTR_STATE_STI | GUEST_INTR_STATE_MOV_SS));
	return true;
}

/* The exits that code inside has meant. */
static void serve_inside(struct elisa_cpu *cpu)
{
	int hold = elisa_kvm_hold();
	const struct elisa_object *object;
	const struct elisa_pair *held;

	if (cpu->lock_wait)
		elisa_lock_wait(cpu, cpu->lock_wait);
	/* Detaching may destroy the pair. */
	rcu_read_lock();
	held = READ_ONCE(cpu->held);
	object = held ? READ_ONCE(held->attachment->object) : NULL;
	rcu_read_unlock();
	if (cpu->wakes && object)
		elisa_attachment_wake_number(object, cpu->wakes);
	cpu->lock_wait = cpu->wakes = 0;
	elisa_kvm_release(hold);
}

bool elisa_on_handle_exit(struct kvm_vcpu *vcpu)
{
	struct elisa_vm *vm = elisa_vm_find(vcpu->kvm);
	struct elisa_cpu *cpu = vm ? vm->cpus[vcpu->vcpu_idx] : NULL;
	u32 reason;

	if (elisa_vcpu_is_nested(vcpu))
		return false;
	if (cpu && cpu->swallow) {
		cpu->swallow = false;
		elisa_vcpu_drop_exception(vcpu);
		if (cpu->taken.vector)
			elisa_vcpu_inject_interrupt(vcpu, cpu->taken.vector);
		cpu->taken.vector = 0;
		if (cpu->lock_wait || cpu->wakes)
			serve_inside(cpu);
		return true;
	}
	/* There was no exit; the VMCS tells of the last one. */
	if (unlikely(cpu && cpu->put_back)) {
		elisa_entry_failed(vcpu, cpu);
		return false;
	}
	reason = elisa_vmread(VM_EXIT_REASON);
	if (reason >> 31) /* the entry failed */
		return false;
	reason = (u16)reason;
	if (reason == EXIT_REASON_VMCALL || (reason == EXIT_REASON_VMFUNC && vm)) {
		int held = elisa_kvm_hold();
		bool handled = reason == EXIT_REASON_VMCALL ? handle_vmcall(vm, vcpu) : handle_vmfunc(vm, vcpu);

		elisa_kvm_release(held);
		return handled;
	}
	if (cpu)
		cpu->retries = 0;
	return false;
}
