// SPDX-License-Identifier: MIT
/* General registers and RFLAGS of a vCPU that was interrupted inside. */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "change.h"

#define TF (1ul << 8)
#define IF (1ul << 9)
#define IOPL (3ul << 12)

static int set(struct cpu *cpu, struct kvm_regs *regs)
{
	return ioctl(cpu->fd, KVM_SET_REGS, regs);
}

static int nothing(struct cpu *cpu, const struct state *now)
{
	(void)cpu;
	(void)now;
	return 0;
}

static int same(struct cpu *cpu, const struct state *now)
{
	struct kvm_regs regs = now->regs;

	return set(cpu, &regs);
}

static int everything_same(struct cpu *cpu, const struct state *now)
{
	struct state state = *now;

	return ioctl(cpu->fd, KVM_SET_SREGS, &state.sregs) || set(cpu, &state.regs) ||
	       ioctl(cpu->fd, KVM_SET_VCPU_EVENTS, &state.events) || ioctl(cpu->fd, KVM_SET_LAPIC, &state.lapic) ||
	       ioctl(cpu->fd, KVM_SET_DEBUGREGS, &state.debugregs) || ioctl(cpu->fd, KVM_SET_XSAVE, &state.xsave);
}

/* By the other way: KVM takes it from struct kvm_run at the next KVM_RUN. */
static int same_at_run(struct cpu *cpu, const struct state *now)
{
	cpu->run->s.regs.regs = now->regs;
	cpu->run->s.regs.sregs = now->sregs;
	cpu->run->s.regs.events = now->events;
	cpu->run->kvm_dirty_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS;
	return 0;
}

static int moved_at_run(struct cpu *cpu, const struct state *now)
{
	cpu->run->s.regs.regs = now->regs;
	cpu->run->s.regs.regs.rip = USER_ALIAS + USER + GUEST_DISTANCE(guest_user, guest_moved);
	cpu->run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
	return 0;
}

static int rip(struct cpu *cpu, const struct state *now, uint64_t rip)
{
	struct kvm_regs regs = now->regs;

	regs.rip = rip;
	return set(cpu, &regs);
}

static int moved(struct cpu *cpu, const struct state *now)
{
	return rip(cpu, now, USER_ALIAS + USER + GUEST_DISTANCE(guest_user, guest_moved));
}

static int rip_into_code(struct cpu *cpu, const struct state *now)
{
	return rip(cpu, now, ELISA_BASE + ELISA_CODE_OFFSET + below(0x200));
}

static int rip_into_gate(struct cpu *cpu, const struct state *now)
{
	return rip(cpu, now, ELISA_GATE + below(ELISA_PAGE));
}

static int rip_beside_landing(struct cpu *cpu, const struct state *now)
{
	return rip(cpu, now, ELISA_LANDING + 0x800);
}

/* What the interrupted call had unlocked is locked again: the call that follows is refused. */
static int stub(struct cpu *cpu, const struct state *now, uint64_t slot)
{
	struct kvm_regs regs = now->regs;

	regs.rip = ELISA_STUB;
	regs.rcx = slot;
	return set(cpu, &regs);
}

static int stub_to_sub(struct cpu *cpu, const struct state *now)
{
	return stub(cpu, now, victim.slot);
}

static int stub_to_default(struct cpu *cpu, const struct state *now)
{
	return stub(cpu, now, 0);
}

static int stub_to_gate(struct cpu *cpu, const struct state *now)
{
	struct kvm_regs regs = now->regs;

	regs.rip = ELISA_STUB;
	regs.rcx = ELISA_GATE_SLOT(victim.slot);
	regs.r10 = 255; /* no such function */
	return set(cpu, &regs);
}

static uint64_t *general(struct kvm_regs *regs)
{
	return (uint64_t *)regs;
}

/* One of them, RSP too. */
static int one(struct cpu *cpu, const struct state *now)
{
	struct kvm_regs regs = now->regs;

	general(&regs)[below(16)] ^= 1ul << below(63);
	return set(cpu, &regs);
}

static int all(struct cpu *cpu, const struct state *now)
{
	struct kvm_regs regs = now->regs;

	for (unsigned int i = 0; i < 16; i++)
		general(&regs)[i] = randomly();
	return set(cpu, &regs);
}

static int stack_inside(struct cpu *cpu, const struct state *now)
{
	struct kvm_regs regs = now->regs;

	regs.rsp = ELISA_BASE + (below(2) ? ELISA_LIST_OFFSET : ELISA_STACK_OFFSET) + 8 * below(512);
	return set(cpu, &regs);
}

static int flags(struct cpu *cpu, const struct state *now, uint64_t bits)
{
	struct kvm_regs regs = now->regs;

	regs.rflags ^= bits;
	return set(cpu, &regs);
}

static int single_step(struct cpu *cpu, const struct state *now)
{
	return flags(cpu, now, TF);
}

static int interrupts_on(struct cpu *cpu, const struct state *now)
{
	return flags(cpu, now, IF);
}

static int no_privilege(struct cpu *cpu, const struct state *now)
{
	return flags(cpu, now, IOPL);
}

/* Of CF, PF, AF, ZF, SF, DF, OF, NT, RF, AC, ID. */
static int any_flag(struct cpu *cpu, const struct state *now)
{
	static const uint8_t bits[] = { 0, 2, 4, 6, 7, 10, 11, 14, 16, 18, 21 };

	return flags(cpu, now, 1ul << bits[below(sizeof(bits))]);
}

/* There and back: nothing has changed when it is entered again. */
static int there_and_back(struct cpu *cpu, const struct state *now)
{
	struct kvm_regs regs = now->regs;

	return all(cpu, now) || single_step(cpu, now) || set(cpu, &regs);
}

const struct change register_changes[] = {
	{ "nothing", nothing, .outcome = GOES_ON },
	{ "the same registers", same, .outcome = GOES_ON },
	{ "all the same", everything_same, .outcome = GOES_ON },
	{ "the same, by kvm_run", same_at_run, .outcome = GOES_ON },
	{ "there and back", there_and_back, .outcome = GOES_ON },
	{ "RIP to the caller's code", moved, .outcome = MOVES },
	{ "the same by kvm_run", moved_at_run, .outcome = MOVES },
	{ "RIP into trusted code", rip_into_code, .outcome = ENDS, .lies = true },
	{ "RIP into the gate", rip_into_gate, .outcome = ENDS, .lies = true },
	{ "RIP beside the landing", rip_beside_landing, .outcome = ENDS, .lies = true },
	{ "RIP to a VMFUNC to the sub context", stub_to_sub, .outcome = ENDS, .error = -ENOTCONN },
	{ "RIP to a VMFUNC to the default context", stub_to_default, .outcome = ENDS, .lies = true },
	{ "RIP to another call", stub_to_gate, .outcome = ENDS, .error = -ENOSYS },
	{ "a bit of a register", one, .outcome = ENDS, .lies = true },
	{ "all registers", all, .outcome = ENDS, .lies = true },
	{ "a stack inside", stack_inside, .outcome = ENDS, .lies = true },
	{ "RFLAGS.TF", single_step, .outcome = ENDS },
	{ "RFLAGS.IF", interrupts_on, .outcome = ENDS },
	{ "RFLAGS.IOPL", no_privilege, .outcome = ENDS },
	{ "a flag", any_flag, .outcome = ENDS },
	{},
};
