// SPDX-License-Identifier: GPL-2.0-only
/*
 * Exits while inside: the private state is taken out before KVM looks at anything, and the state of an aborted call
 * shown instead. It is put back at the next entry if nothing came between; in every other case there is nothing to do,
 * the call is aborted. So KVM, its emulator, SMM and the VMM only ever see an ordinary vCPU that has just returned from
 * a call.
 */
#include "inside.h"

#include <asm/vmx.h>
#include <linux/module.h>
#include <linux/timekeeping.h>

#include "log.h"
#include "entry.h"
#include "gate.h"
#include "kvm.h"
#include "watchdog.h"
#include "vmcs.h"

unsigned int elisa_call_limit_ms = 10;
module_param_named(call_limit_ms, elisa_call_limit_ms, uint, 0644);
MODULE_PARM_DESC(call_limit_ms, "a call that has run for longer is aborted (10)");

#define VMFUNC_BYTES 3
#define NMI (INTR_INFO_VALID_MASK | INTR_TYPE_NMI_INTR)
#define SEGMENT_DPL(access_rights) (((access_rights) >> 5) & 3)
#define CS_USER_64 0xa0fb /* present, DPL 3, code, accessed, L, G */
#define SS_USER 0xc0f3    /* present, DPL 3, data, accessed, B, G */

/* What the guest may have set in CR4: everything here is harmless inside, and no bit is that we do not know. */
#define CR4_REQUIRED (X86_CR4_PAE | X86_CR4_SMEP | X86_CR4_SMAP)
#define CR4_ALLOWED                                                                                        \
	(CR4_REQUIRED | X86_CR4_VME | X86_CR4_PVI | X86_CR4_TSD | X86_CR4_DE | X86_CR4_PSE | X86_CR4_MCE | \
	 X86_CR4_PGE | X86_CR4_PCE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_UMIP | X86_CR4_LA57 |   \
	 X86_CR4_FSGSBASE | X86_CR4_OSXSAVE | X86_CR4_PKE)
/* Those that may change without an exit, where KVM lets the guest own them. */
#define CR4_MAY_OWN                                                                                                 \
	(X86_CR4_PVI | X86_CR4_TSD | X86_CR4_DE | X86_CR4_PGE | X86_CR4_PCE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | \
	 X86_CR4_FSGSBASE)

const char *elisa_inside_obstacle(const struct kvm_vcpu *vcpu)
{
	unsigned long cr4 = vcpu->arch.cr4, owned = vcpu->arch.cr4_guest_owned_bits;

	if (elisa_vcpu_is_nested(vcpu))
		return "the vCPU runs a guest of its own";
	if (elisa_vcpu_is_in_smm(vcpu))
		return "the vCPU is in system-management mode";
	if (vcpu->guest_debug)
		return "the VMM debugs the guest";
	/* Their records are written by the CPU itself to where the guest says, in whatever context it is. */
	if (vcpu->arch.pmu.pebs_enable)
		return "the guest has PEBS on, whose records the CPU would write while it is in a call";
	if (elisa_vmread(SECONDARY_VM_EXEC_CONTROL) & SECONDARY_EXEC_PT_USE_GPA)
		return "the VM has Intel PT, whose records the CPU would write while it is in a call";
	if (owned & ~CR4_MAY_OWN || vcpu->arch.cr0_guest_owned_bits & (X86_CR0_PE | X86_CR0_PG))
		return "this kernel's KVM lets the guest change bits of CR0 or CR4 that calls depend on";
	if (!(vcpu->arch.efer & EFER_LMA) || !(vcpu->arch.cr0 & X86_CR0_PG))
		return "the vCPU is not in long mode";
	if ((cr4 & CR4_REQUIRED) != CR4_REQUIRED)
		return "the guest's CPU has SMEP or SMAP off: give the VM a CPU model with both";
	if (!(cr4 & ~owned & ~CR4_ALLOWED))
		return NULL;
	if (cr4 & X86_CR4_PCIDE)
		return "the guest uses PCID: start the VM with -cpu ...,-pcid";
	return "the guest has something on in CR4 that does not go with calls: VMX, CET or the like";
}

bool elisa_inside_la57(const struct kvm_vcpu *vcpu)
{
	return vcpu->arch.cr4 & X86_CR4_LA57;
}

static struct elisa_pair *pair_of(u64 eptp)
{
	return (struct elisa_pair *)page_private(pfn_to_page((eptp & ELISA_EPT_ADDRESS) >> PAGE_SHIFT));
}

static bool is_vetted(const struct elisa_pair *pair)
{
	return pair->attachment->object->flags & ELISA_CREATE_VETTED;
}

static u8 *slot_byte(const struct elisa_taken *taken)
{
	return (u8 *)(taken->pair->cpu->list + taken->slot);
}

/* Exits that concern the host alone: what was interrupted can go on as if nothing had been. */
static bool is_harmless(const struct kvm_vcpu *vcpu, u32 reason)
{
	switch (reason) {
	case EXIT_REASON_EXTERNAL_INTERRUPT:
	case EXIT_REASON_INTERRUPT_WINDOW:
	case EXIT_REASON_NMI_WINDOW:
	case EXIT_REASON_PREEMPTION_TIMER:
	case EXIT_REASON_PAUSE_INSTRUCTION:
	case EXIT_REASON_TPR_BELOW_THRESHOLD:
		return true;
	case EXIT_REASON_VMCALL:
		return (u32)vcpu->arch.regs[VCPU_REGS_RAX] == ELISA_LOCK_WAIT ||
		       (u32)vcpu->arch.regs[VCPU_REGS_RAX] == ELISA_NOTIFY;
	case EXIT_REASON_EXCEPTION_NMI:
		return (elisa_vmread(VM_EXIT_INTR_INFO) & INTR_INFO_INTR_TYPE_MASK) == INTR_TYPE_NMI_INTR;
	default:
		return false;
	}
}

/* Harmless ones at whose instruction RIP still is. */
static bool skips_instruction(u32 reason)
{
	return reason == EXIT_REASON_PAUSE_INSTRUCTION || reason == EXIT_REASON_VMCALL;
}

/* Exits that KVM has to see although they are not harmless, or that are handled before its exit handler is called. */
static bool is_for_kvm(const struct kvm_vcpu *vcpu, u32 reason)
{
	if (reason == EXIT_REASON_EXCEPTION_NMI) {
		u32 info = elisa_vmread(VM_EXIT_INTR_INFO);

		return (info & INTR_INFO_INTR_TYPE_MASK) == INTR_TYPE_NMI_INTR ||
		       (info & INTR_INFO_VECTOR_MASK) == MC_VECTOR;
	}
	return reason == EXIT_REASON_MCE_DURING_VMENTRY || reason == EXIT_REASON_INVALID_STATE ||
	       (!skips_instruction(reason) && is_harmless(vcpu, reason));
}

static int abort_error(u32 reason)
{
	switch (reason) {
	case EXIT_REASON_VMFUNC:
		return -EPERM;
	case EXIT_REASON_TRIPLE_FAULT:
	case EXIT_REASON_EPT_VIOLATION:
	case EXIT_REASON_EPT_MISCONFIG:
		return -EFAULT;
	case EXIT_REASON_EXCEPTION_NMI:
		return -EILSEQ;
	default:
		return -ECANCELED;
	}
}

/* The registers that the caller wants back: still its own, or in the frame that the entry has made. */
static void show_callers_registers(struct elisa_taken *taken, bool in_gate)
{
	static const struct {
		int reg, offset;
	} saved[] = { { VCPU_REGS_RBX, ELISA_FRAME_RBX }, { VCPU_REGS_RBP, ELISA_FRAME_RBP },
		      { VCPU_REGS_R12, ELISA_FRAME_R12 }, { VCPU_REGS_R13, ELISA_FRAME_R13 },
		      { VCPU_REGS_R14, ELISA_FRAME_R14 }, { VCPU_REGS_R15, ELISA_FRAME_R15 } };
	const struct elisa_pair *pair = taken->pair;
	enum elisa_entry_state state = ELISA_ENTRY_LIVE;

	if (!in_gate) {
		u64 offset = taken->rip - ELISA_GATE;

		state = ELISA_ENTRY_SAVED;
		if (offset < ELISA_PAGE)
			state = elisa_entry_state(is_vetted(pair), offset);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(saved); i++)
		taken->shown_regs[saved[i].reg] = state == ELISA_ENTRY_SAVED ? elisa_pair_frame(pair, saved[i].offset)
									     : taken->regs[saved[i].reg];
	taken->shown_regs[VCPU_REGS_RSP] =
		state == ELISA_ENTRY_LIVE ? taken->regs[VCPU_REGS_RSP] : elisa_pair_frame(pair, ELISA_FRAME_RSP);
}

/* A call that goes on after many interruptions ends some time; what it ran before the first of them is not known. */
static bool over_limit(struct elisa_cpu *cpu, const struct elisa_taken *taken)
{
	u64 calls = elisa_pair_frame(taken->pair, ELISA_FRAME_CALLS);

	/* Code that is not vetted can write the count, and go on in another object of its kind: until it has been seen
	 * to return, which exits, it is the same call. */
	bool same = cpu->home_exits || (taken->pair == cpu->ran_pair && calls == cpu->ran_calls);

	if (!same) {
		cpu->ran_pair = taken->pair;
		cpu->ran_calls = calls;
		cpu->ran_ns = 0;
		return false;
	}
	cpu->ran_ns += ktime_get_mono_fast_ns() - cpu->entered_ns;
	return cpu->ran_ns > elisa_call_limit_ms * (u64)NSEC_PER_MSEC;
}

static void show(struct kvm_vcpu *vcpu, struct elisa_cpu *cpu, struct elisa_taken *taken)
{
	for (int reg = 0; reg < NR_VCPU_REGS; reg++)
		if (reg != VCPU_REGS_RSP && reg != VCPU_REGS_RIP)
			vcpu->arch.regs[reg] = taken->shown_regs[reg];
	elisa_vcpu_set_rsp(vcpu, taken->shown_regs[VCPU_REGS_RSP]);
	elisa_vcpu_set_rip(vcpu, ELISA_LANDING);
	elisa_vmwrite(GUEST_RFLAGS, taken->shown_rflags);
	elisa_vmwrite(EPT_POINTER, cpu->default_eptp);
	/* Shadows and traps of the instruction that was cut short are not the landing's. */
	elisa_vmwrite(GUEST_INTERRUPTIBILITY_INFO, taken->interruptibility & GUEST_INTR_STATE_NMI);
	elisa_vmwrite(GUEST_PENDING_DBG_EXCEPTIONS, 0);
	/* `syscall` loads these without memory, and compatibility mode has no such address as the landing's. */
	if (SEGMENT_DPL(elisa_vmread(GUEST_SS_AR_BYTES)) != 3 || !(elisa_vmread(GUEST_CS_AR_BYTES) & VMX_AR_L_MASK)) {
		taken->harmless = false;
		elisa_vmwrite(GUEST_CS_SELECTOR, cpu->vm->user_cs);
		elisa_vmwrite(GUEST_CS_AR_BYTES, CS_USER_64);
		elisa_vmwrite(GUEST_SS_SELECTOR, cpu->vm->user_ss);
		elisa_vmwrite(GUEST_SS_AR_BYTES, SS_USER);
	}
}

/*
 * With virtual-interrupt delivery the CPU moves a vector from requested to in service, and then finds no IDT inside:
 * that ends as a triple fault without a word of the vector, and with it in service for ever. It is injected at the
 * landing. It may be the one that was in service at the last entry, as the guest ends interrupts without an exit; a
 * guest that calls from an interrupt's handler, with others let in, and faults, gets that interrupt twice.
 */
static u8 interrupt_begun(const struct elisa_taken *taken)
{
	if (taken->exit_reason != EXIT_REASON_TRIPLE_FAULT || !(taken->rflags & X86_EFLAGS_IF) ||
	    !(elisa_vmread(SECONDARY_VM_EXEC_CONTROL) & SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY))
		return 0;
	return elisa_vmread(GUEST_INTR_STATUS) >> 8;
}

/* Or the exit came of its delivery, and names it: KVM injects it again. */
static bool was_interrupted(const struct elisa_taken *taken)
{
	u32 event = elisa_vmread(IDT_VECTORING_INFO_FIELD);

	return taken->vector || (event & (VECTORING_INFO_VALID_MASK | VECTORING_INFO_TYPE_MASK)) ==
					(VECTORING_INFO_VALID_MASK | INTR_TYPE_EXT_INTR);
}

static void take_out(struct kvm_vcpu *vcpu, struct elisa_cpu *cpu, u64 eptp)
{
	struct elisa_taken *taken = &cpu->taken;
	u32 full_reason = elisa_vmread(VM_EXIT_REASON), reason = full_reason & 0xffff;
	bool failed = full_reason >> 31; /* the entry; bits between tell of other things, such as bus locks */
	int state;

	memset(taken, 0, sizeof(*taken));
	WRITE_ONCE(cpu->seen_inside, true);
	cpu->detached = 0;
	taken->eptp = eptp;
	taken->pair = pair_of(eptp);
	taken->exit_reason = reason;
	if (reason == EXIT_REASON_EXTERNAL_INTERRUPT)
		atomic64_inc(&taken->pair->attachment->samples);
	taken->slot = taken->pair->attachment->slot;
	taken->harmless = is_harmless(vcpu, reason) && !failed;
	taken->rip = elisa_vmread(GUEST_RIP);
	taken->rflags = elisa_vmread(GUEST_RFLAGS);
	taken->interruptibility = elisa_vmread(GUEST_INTERRUPTIBILITY_INFO);
	for (int reg = 0; reg < VCPU_REGS_RIP; reg++)
		taken->regs[reg] = vcpu->arch.regs[reg];
	taken->regs[VCPU_REGS_RSP] = elisa_vmread(GUEST_RSP);
	if (skips_instruction(reason))
		taken->rip += elisa_vmread(VM_EXIT_INSTRUCTION_LEN);

	/* Nobody gets into the sub context by a slot that a call has left open. */
	taken->slot_byte = READ_ONCE(*slot_byte(taken));
	WRITE_ONCE(*slot_byte(taken), ELISA_EPTP_LOCKED);

	taken->vector = interrupt_begun(taken);
	taken->error = taken->harmless || was_interrupted(taken) ? -EINTR : abort_error(reason);
	if (taken->harmless && over_limit(cpu, taken)) {
		taken->harmless = false;
		taken->error = -ETIME;
		elisa_watchdog_offence(taken->pair->attachment);
	}
	if (elisa_inside_revoked(taken->pair)) {
		taken->harmless = false;
		taken->error = -ECANCELED;
	}
	state = READ_ONCE(taken->pair->attachment->state);
	if (state) {
		taken->harmless = false;
		taken->error = state;
	}
	show_callers_registers(taken, (eptp & ELISA_EPT_ADDRESS) == elisa_page_physical(taken->pair->gate.root));
	taken->shown_regs[VCPU_REGS_RDX] = taken->error;
	/* The interrupt flag stays as it is, so that KVM delivers what it would have delivered. */
	taken->shown_rflags = X86_EFLAGS_FIXED | (taken->rflags & (X86_EFLAGS_IF | X86_EFLAGS_IOPL));
	show(vcpu, cpu, taken);
	cpu->lock_wait = cpu->wakes = 0;
	if (taken->harmless && reason == EXIT_REASON_VMCALL) {
		if ((u32)taken->regs[VCPU_REGS_RAX] == ELISA_LOCK_WAIT)
			cpu->lock_wait = taken->regs[VCPU_REGS_RDI];
		else
			cpu->wakes = taken->regs[VCPU_REGS_RDI];
	}
	WRITE_ONCE(cpu->goes_on, taken->harmless ? taken->pair : NULL);
	WRITE_ONCE(cpu->held, taken->harmless ? taken->pair : NULL);
	cpu->swallow = !failed && !is_for_kvm(vcpu, reason);
	if (!taken->harmless) {
		/* Where trusted code has faulted is nobody's business; KVM writes it back at the next entry. */
		vcpu->arch.cr2 = 0;
		elisa_log_abort(taken, taken->error);
	}
}

/* The VMFUNC with which a call returns while list[0] is invalid: the switch is completed here. */
static bool complete_return(struct kvm_vcpu *vcpu, struct elisa_cpu *cpu)
{
	if (!(cpu->nmi_waits || cpu->home_exits) || elisa_vmread(VM_EXIT_REASON) != EXIT_REASON_VMFUNC ||
	    elisa_vmread(GUEST_RIP) != ELISA_LANDING - VMFUNC_BYTES || (u32)vcpu->arch.regs[VCPU_REGS_RAX] ||
	    (u32)vcpu->arch.regs[VCPU_REGS_RCX])
		return false;
	elisa_vmwrite(EPT_POINTER, cpu->default_eptp);
	elisa_vcpu_set_rip(vcpu, ELISA_LANDING);
	cpu->ran_pair = NULL;
	cpu->swallow = true;
	return true;
}

void elisa_on_exit(struct kvm_vcpu *vcpu)
{
	struct elisa_vm *vm = elisa_vm_find(vcpu->kvm);
	struct elisa_cpu *cpu = vm ? READ_ONCE(vm->cpus[vcpu->vcpu_idx]) : NULL;
	u64 eptp;

	if (!cpu || !cpu->on)
		return;
	WRITE_ONCE(cpu->where, -1);
	WRITE_ONCE(cpu->exits, cpu->exits + 1);
	if ((u16)elisa_vmread(VM_EXIT_REASON) == EXIT_REASON_EXTERNAL_INTERRUPT)
		WRITE_ONCE(cpu->samples, cpu->samples + 1);
	cpu->put_back = false;
	cpu->cr0 = elisa_vmread(GUEST_CR0);
	cpu->cr3 = elisa_vmread(GUEST_CR3);
	cpu->cr4 = elisa_vmread(GUEST_CR4);
	cpu->efer = vcpu->arch.efer;
	eptp = elisa_vmread(EPT_POINTER);
	/* goes_on is never wrong meanwhile: elisa_inside_wait() looks at any time. */
	if (likely(eptp == cpu->default_eptp)) {
		cpu->ran_pair = NULL;
		WRITE_ONCE(cpu->goes_on, NULL);
	} else if (complete_return(vcpu, cpu)) {
		WRITE_ONCE(cpu->goes_on, NULL);
	} else {
		take_out(vcpu, cpu, eptp);
	}
	cpu->home_exits = false;
	if (cpu->nmi_waits && !cpu->held) {
		cpu->nmi_waits = false;
		elisa_vcpu_return_nmi(vcpu);
	}
}

static bool control_registers_unchanged(const struct kvm_vcpu *vcpu, const struct elisa_cpu *cpu)
{
	return elisa_vmread(GUEST_CR0) == cpu->cr0 && elisa_vmread(GUEST_CR3) == cpu->cr3 &&
	       elisa_vmread(GUEST_CR4) == cpu->cr4 && vcpu->arch.efer == cpu->efer;
}

static bool shown_unchanged(const struct kvm_vcpu *vcpu, const struct elisa_taken *taken)
{
	for (int reg = 0; reg < VCPU_REGS_RIP; reg++)
		if (reg != VCPU_REGS_RSP && vcpu->arch.regs[reg] != taken->shown_regs[reg])
			return false;
	return elisa_vcpu_rsp(vcpu) == taken->shown_regs[VCPU_REGS_RSP] && elisa_vcpu_rip(vcpu) == ELISA_LANDING &&
	       elisa_vmread(GUEST_RFLAGS) == taken->shown_rflags && SEGMENT_DPL(elisa_vmread(GUEST_SS_AR_BYTES)) == 3 &&
	       elisa_vmread(GUEST_CS_AR_BYTES) & VMX_AR_L_MASK;
}

/* The call goes on inside, or has been aborted. */
static void put_back(struct kvm_vcpu *vcpu, struct elisa_cpu *cpu, bool allowed)
{
	struct elisa_taken *taken = &cpu->taken;
	int state = READ_ONCE(taken->pair->attachment->state);
	bool unchanged = allowed && control_registers_unchanged(vcpu, cpu) && shown_unchanged(vcpu, taken);
	u32 event = elisa_vmread(VM_ENTRY_INTR_INFO_FIELD);

	if (!state && elisa_inside_revoked(taken->pair))
		state = -ECANCELED;
	if (unchanged && !state && (event & (INTR_INFO_VALID_MASK | INTR_INFO_INTR_TYPE_MASK)) == NMI) {
		elisa_vcpu_take_nmi(vcpu);
		cpu->nmi_waits = true;
		event = 0;
	}
	if (!unchanged || state || event & INTR_INFO_VALID_MASK) {
		if (unchanged && state) {
			taken->error = state;
			vcpu->arch.regs[VCPU_REGS_RDX] = state;
		}
		WRITE_ONCE(cpu->goes_on, NULL);
		elisa_log_abort(taken, taken->error);
		return;
	}
	for (int reg = 0; reg < VCPU_REGS_RIP; reg++)
		if (reg != VCPU_REGS_RSP)
			vcpu->arch.regs[reg] = taken->regs[reg];
	elisa_vcpu_set_rsp(vcpu, taken->regs[VCPU_REGS_RSP]);
	elisa_vcpu_set_rip(vcpu, taken->rip);
	elisa_vmwrite(GUEST_RFLAGS, taken->rflags);
	elisa_vmwrite(EPT_POINTER, taken->eptp);
	WRITE_ONCE(*slot_byte(taken), taken->slot_byte);
	cpu->entered_ns = ktime_get_mono_fast_ns();
	cpu->home_exits = !is_vetted(taken->pair);
	cpu->put_back = true;
}

/* Its attachment has gone while the call was taken out: it still stands at the landing, unless somebody moved it. */
static void tell_detached(struct kvm_vcpu *vcpu, struct elisa_cpu *cpu)
{
	if (shown_unchanged(vcpu, &cpu->taken))
		vcpu->arch.regs[VCPU_REGS_RDX] = cpu->detached;
	cpu->detached = 0;
}

static void set_field(unsigned long field, u64 value)
{
	if (elisa_vmread(field) != value)
		elisa_vmwrite(field, value);
}

/* KVM of some kernels leaves VMFUNC off (#UD) and rewrites the control word: with it on and no function, VMFUNC exits.
 */
static void let_vmfunc_exit(void)
{
	u64 controls = elisa_vmread(SECONDARY_VM_EXEC_CONTROL);

	if (!(controls & SECONDARY_EXEC_ENABLE_VMFUNC))
		elisa_vmwrite(SECONDARY_VM_EXEC_CONTROL, controls | SECONDARY_EXEC_ENABLE_VMFUNC);
}

/* While the VMCS names the list, neither the list nor the code that can take it out again may go. */
static void enable(struct elisa_cpu *cpu, bool on)
{
	/* KVM clears it when it resets a vCPU. */
	set_field(VM_FUNCTION_CONTROL, on ? ELISA_VM_FUNCTION_EPTP_SWITCHING : 0);
	if (on)
		set_field(EPTP_LIST_ADDRESS, elisa_page_physical(cpu->list));
	if (on == cpu->enabled)
		return;
	cpu->enabled = on;
	if (on)
		__module_get(THIS_MODULE);
	else
		module_put(THIS_MODULE);
}

/* R must meet no memory of the VM: with some that was added later, some CR3 would not work, and nothing is called. */
static void look_for_slots(struct elisa_vm *vm)
{
	u64 generation;

	/* Before it is read whether they meet. */
	if (likely(elisa_vm_memory_generation(vm->kvm) == smp_load_acquire(&vm->generation)))
		return;
	/* One vCPU after another: none has the last word with what it has found before another, of older slots. */
	raw_spin_lock(&vm->slots_lock);
	generation = elisa_vm_memory_generation(vm->kvm);
	vm->collides = elisa_vm_has_memory(vm->kvm, elisa_inside.base, ELISA_REGION_BYTES);
	/* Whoever finds them looked at finds what was seen. */
	smp_store_release(&vm->generation, generation);
	raw_spin_unlock(&vm->slots_lock);
	/* Buffers of memory that has been taken away, or is logged. */
	kref_get(&vm->ref);
	if (!queue_work(elisa_queue, &vm->recheck))
		elisa_vm_put(vm);
}

void elisa_on_entry(struct kvm_vcpu *vcpu)
{
	struct elisa_vm *vm = elisa_vm_find(vcpu->kvm);
	struct elisa_cpu *cpu = vm ? READ_ONCE(vm->cpus[vcpu->vcpu_idx]) : NULL;
	bool allowed;
	u64 eptp;

	/* In a nested guest the current VMCS is another one; VM functions of the first are off while CR4.VMXE is set.
	 */
	if (!vm || elisa_vcpu_is_nested(vcpu)) {
		if (cpu) {
			cpu->on = false;
			WRITE_ONCE(cpu->held, NULL);
		}
		return;
	}
	look_for_slots(vm);
	if (!cpu) {
		if (READ_ONCE(vm->callable))
			let_vmfunc_exit();
		return;
	}
	/*
	 * KVM invalidates what is cached of a root when it loads it, not when it frees it (kvm_mmu_load()), and VMFUNC
	 * loads without KVM: a page that is our root now may have been a root of any VM's, whose guest-physical
	 * mappings and paging-structure caches, tagged with this address, still lead to memory that others have now.
	 * When a vCPU changes its CPU, KVM invalidates all there.
	 */
	if (unlikely(cpu->fresh)) {
		cpu->fresh = false;
		elisa_invept_all();
	}
	allowed = READ_ONCE(vm->callable) && !vm->collides && elisa_inside_allowed(vcpu) &&
		  cpu->la57 == elisa_inside_la57(vcpu);
	/* Where KVM keeps its root, also after it has changed it. */
	eptp = elisa_vmread(EPT_POINTER);
	cpu->default_eptp = eptp;
	/*
	 * With PCID off a guest's own MOV to CR3 kills what is cached of any EPTP under its VPID. KVM changes control
	 * registers without: what gate and sub contexts have cached under the old ones must not serve the new.
	 */
	if (allowed && !control_registers_unchanged(vcpu, cpu))
		elisa_invvpid(elisa_vmread(VIRTUAL_PROCESSOR_ID));
	if (READ_ONCE(cpu->held) && xchg(&cpu->held, NULL))
		put_back(vcpu, cpu, allowed);
	else if (unlikely(READ_ONCE(cpu->detached)))
		tell_detached(vcpu, cpu);
	if (cpu->nmi_waits && !cpu->put_back) {
		cpu->nmi_waits = false;
		elisa_vcpu_return_nmi(vcpu);
		/* KVM has looked already at what is to be injected. */
		elisa_vcpu_exit_soon();
	}
	WRITE_ONCE(cpu->list[0], cpu->nmi_waits || cpu->home_exits ? ELISA_EPTP_NONE : eptp);
	if (READ_ONCE(vm->callable))
		let_vmfunc_exit();
	enable(cpu, allowed);
	cpu->on = allowed;
	if (allowed)
		WRITE_ONCE(cpu->where, raw_smp_processor_id());
	if (cpu->put_back) {
		/* After where it runs: the watchdog finds that, or does not overwrite this. It may have asked while the
		 * call was taken out, and takes it for over. */
		smp_mb();
		WRITE_ONCE(cpu->seen_inside, true);
	}
}

/* It ends as if there had been an exit: before KVM or the VMM looks at the vCPU. */
void elisa_entry_failed(struct kvm_vcpu *vcpu, struct elisa_cpu *cpu)
{
	cpu->put_back = cpu->home_exits = false;
	WRITE_ONCE(cpu->goes_on, NULL);
	WRITE_ONCE(cpu->where, -1);
	WRITE_ONCE(*(u8 *)(cpu->list + cpu->taken.slot), ELISA_EPTP_LOCKED);
	show(vcpu, cpu, &cpu->taken);
}

void elisa_cpu_land(struct kvm_vcpu *vcpu, s64 result)
{
	elisa_vcpu_set_rip(vcpu, ELISA_LANDING);
	vcpu->arch.regs[VCPU_REGS_RDX] = result;
	elisa_vmwrite(GUEST_INTERRUPTIBILITY_INFO, elisa_vmread(GUEST_INTERRUPTIBILITY_INFO) & GUEST_INTR_STATE_NMI);
}

struct elisa_cpu *elisa_cpu_create(struct elisa_vm *vm, struct kvm_vcpu *vcpu)
{
	struct elisa_cpu *cpu = kzalloc(sizeof(*cpu), GFP_KERNEL_ACCOUNT);

	if (!cpu)
		return NULL;
	cpu->vcpu = vcpu;
	cpu->vm = vm;
	cpu->where = -1;
	cpu->la57 = elisa_inside_la57(vcpu);
	INIT_LIST_HEAD(&cpu->pairs);
	elisa_pages_init(&cpu->pages);
	cpu->list = elisa_page_alloc(&cpu->pages);
	if (!cpu->list || elisa_ept_create(&cpu->list_pt, &cpu->pages.allocator, ELISA_EPT_PT))
		goto destroy;
	for (int slot = 0; slot < ELISA_SLOTS; slot++)
		cpu->list[slot] = ELISA_EPTP_NONE;
	if (elisa_ept_map_range(&cpu->list_pt, ELISA_LIST_OFFSET % ELISA_2M, elisa_page_physical(cpu->list), ELISA_PAGE,
				ELISA_EPT_READ | ELISA_EPT_WRITE, ELISA_EPT_PT))
		goto destroy;
	return cpu;

destroy:
	elisa_cpu_destroy(cpu);
	return NULL;
}

/* Its vCPU never runs again, or has VM functions off. */
void elisa_cpu_destroy(struct elisa_cpu *cpu)
{
	if (!cpu)
		return;
	WARN_ON(!list_empty(&cpu->pairs));
	if (cpu->enabled)
		module_put(THIS_MODULE);
	elisa_ept_destroy(&cpu->list_pt);
	elisa_page_free(&cpu->pages, cpu->list);
	kfree(cpu);
}
