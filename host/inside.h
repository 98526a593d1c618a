/* SPDX-License-Identifier: GPL-2.0-only */
/* A vCPU's own EPTP list, and its state while it is inside. All in the vCPU's thread. */
#ifndef HOST_INSIDE_H
#define HOST_INSIDE_H

#include "attachment.h"

/* No EPTP, whatever a gate writes into its lowest byte: its address has all bits set. */
#define ELISA_EPTP_NONE 0xffffffffffffffccull

/* What was taken out of a vCPU when it left its guest while inside. */
struct elisa_taken {
	bool harmless;
	u8 slot_byte;
	u32 slot;  /* of the list, which outlives the pair */
	int error; /* what the call returns if it does not go on */
	u32 exit_reason;
	u8 vector; /* of a virtual interrupt that the CPU began to deliver inside, or 0 */
	struct elisa_pair *pair;
	u64 eptp, rip, rflags, interruptibility;
	u64 regs[NR_VCPU_REGS];                     /* RSP among them */
	u64 shown_regs[NR_VCPU_REGS], shown_rflags; /* what KVM sees meanwhile */
};

/* What somebody waits for. */
struct elisa_lock_waiter {
	u64 word, since_ns;
	u32 asked;   /* how often */
	bool sleeps; /* for a while, or the holder does not get on */
};

struct elisa_cpu {
	struct kvm_vcpu *vcpu;
	struct elisa_vm *vm;
	struct elisa_pages pages;
	u64 *list; /* the EPTP list */
	struct elisa_ept list_pt;
	struct list_head pairs;
	bool on;                           /* VM functions were on at the last entry */
	bool la57;                         /* the paging depth that its contexts are built for */
	bool enabled;                      /* KVM's VMCS has them on, and holds the module */
	bool fresh;                        /* roots were made for it since its last entry */
	bool put_back;                     /* the last entry went on inside, and there was no exit yet */
	bool swallow;                      /* this exit is no business of KVM's */
	u64 default_eptp;                  /* at the last entry */
	u64 cr0, cr3, cr4, efer;           /* at the last exit */
	u64 ran_ns, entered_ns;            /* how long the present call has been seen inside */
	const struct elisa_pair *ran_pair; /* which call that was */
	u64 ran_calls;
	struct elisa_pair *goes_on; /* the pair of the call that it was in at its last exit, and may still be; never
				       followed */
	struct elisa_pair *held;    /* taken.pair while its state may be put back; detaching clears it, under RCU */
	int detached;               /* what the call that was held returns, since detaching has cleared it; or 0 */
	struct elisa_taken taken;
	bool nmi_waits;  /* for the call to return: list[0] is invalid, so that the VMFUNC that returns exits */
	bool home_exits; /* likewise: code that is not vetted goes on, and only its return tells that its call has ended
			  */
	u64 lock_wait;   /* this exit asks for the lock at this address, inside */
	u32 wakes;       /* this exit wakes the client of the attachment with this number */
	struct elisa_lock_waiter waiter;
	bool unvetted; /* it has called code that is not vetted */
	int where;     /* the CPU that runs its guest, or -1; for the watchdog, as all below */
	u64 exits;
	u64 samples;      /* of them, by interrupts of the host */
	bool seen_inside; /* by an exit, or an entry that goes on there, since the watchdog has asked */
	bool asked;       /* below: the watchdog's own, with elisa_lock held */
	u64 watched_calls, watched_exits;
	u32 retries; /* VMFUNC of the same slot that failed in a row for no reason that we know */
};

/* Why this vCPU may not use VM functions as it stands now, or NULL: it may. */
const char *elisa_inside_obstacle(const struct kvm_vcpu *vcpu);
static inline bool elisa_inside_allowed(const struct kvm_vcpu *vcpu)
{
	return !elisa_inside_obstacle(vcpu);
}
bool elisa_inside_la57(const struct kvm_vcpu *vcpu);
struct elisa_cpu *elisa_cpu_create(struct elisa_vm *vm, struct kvm_vcpu *vcpu);
void elisa_cpu_destroy(struct elisa_cpu *cpu);
/* An entry that was to go on inside failed before it began, and there was no exit: the call is over. */
void elisa_entry_failed(struct kvm_vcpu *vcpu, struct elisa_cpu *cpu);
/* The call that was to begin or goes on returns ERROR to its caller: the vCPU stands at the landing. */
void elisa_cpu_land(struct kvm_vcpu *vcpu, s64 result);

/* The lock at ADDRESS is taken from a holder that does not go on. In a vCPU's thread, its call taken out; elisa_lock is
 * not held. */
void elisa_lock_wait(struct elisa_cpu *cpu, u64 address);
/*
 * Its two halves, for whoever has the attachment otherwise. The vCPU to let run, of a VM that is kept from being
 * destroyed, or NULL; OFFSET is the lock's in the object's memory. With elisa_holders_lock held.
 */
struct kvm_vcpu *elisa_lock_ask(const struct elisa_attachment *attachment, struct elisa_lock_waiter *waiter,
				u64 offset);
/* Lets it run, and its VM go; may sleep. No lock is held. */
void elisa_lock_let_run(struct kvm_vcpu *holder, struct elisa_lock_waiter *waiter);
/*
 * Waits until the calls that are inside OBJECT now have ended; those that have not by their limit do nothing more when
 * the caller has made all CPUs leave their guests (unless their code is not vetted). With elisa_lock held.
 */
void elisa_inside_wait(struct elisa_object *object);
/* CALL, by the pair's count of them, does nothing more: it is aborted when it leaves its guest, to which the caller
 * makes it, or at its next entry. */
void elisa_inside_revoke(struct elisa_pair *pair, u32 call);
/* Is it the call that the pair is in? */
bool elisa_inside_revoked(const struct elisa_pair *pair);

extern unsigned int elisa_call_limit_ms;

#endif
