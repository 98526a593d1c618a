/* SPDX-License-Identifier: MIT */
/*
 * Schedules: after which instruction an event comes.
 *
 * Inside, one by one: a guest arms an event and a number N, and the event comes before the N-th instruction that its
 * vCPU then executes in another EPT context than it was in; the one after the last of them counts too. Elsewhere, at
 * random from a seed: after any instruction, or after one of some code outside of guests, as a kernel module's.
 *
 * What software does is no event of the CPU's. For that the CPU is held at that instruction while the others run: some
 * program on one of them sees it, says that it is about to begin, and does what it has to. The CPU goes on when that
 * has had time to get to where it needs this CPU, whatever waits for it by then comes before that instruction.
 *
 * A CPU that is watched looks for events after each instruction (correction 14); all others cost nothing.
 */
#include "bochs.h"
#include "cpu/cpu.h"
#include "cpu/apic.h"
#include "memory/memory-bochs.h"
#include "pc_system.h"
#include "testbed.h"

#include <algorithm>
#include <set>
#include <vector>

/* agent/schedule.h has the same numbers. */
enum event { NOTHING, INTERRUPT, NMI, SMI, INIT, HOLD };
enum op {
	ARM = 0,
	END = 1,
	IS_HELD = 2,
	BEGIN = 3,
	DONE = 4,
	RANDOM = 5,
	RANDOM_END = 6,
	AIM = 7,
	PLACES = 8,
	WHERE = 9
};
enum { ONCE_EACH = 0x100, ANY_VCPU = 0x200 };

/* Linux's own interrupt between CPUs that asks for nothing but a look at what there is to run. */
static const Bit8u RESCHEDULE_VECTOR = 0xfd;
static const bx_phy_address SMM_ENTRY = 0x8000, SMBASE_AT_RESET = 0x30000;
/* Where a call leaves its EPT context (include/uapi/elisa/layout.h, ELISA_STUB): some return by such a VMFUNC too. */
static const bx_address CALL_VMFUNC = 0x200034000000 - 3;
static const Bit64u HELD_AT_MOST = 500000000;
static const unsigned FINE = 64;         /* instructions that a random moment is away from its tick */
static const unsigned FINE_AIMED = 1000; /* of the code that it aims at: beyond what each exit executes of it */
static const Bit64u STALL_AT_MOST = 50000;

struct schedule {
	bool armed, once_each;
	enum event event;
	Bit64u vmcs;   /* whose; 0: the next to leave its EPT context */
	Bit64u number; /* of the instruction that the event comes before */
	Bit64u count;  /* instructions so far */
	bool fired, inside, resumed, switching;
	bool left;       /* at its last exit it was inside */
	bx_address last; /* where the one counted last is */
	bx_address at;   /* where the event came */
	std::set<Bit64u> contexts;
	std::set<bx_address> seen;
};

struct held {
	bool held, begun;
	unsigned cpu;
	Bit64u until;
};

static struct schedule schedule;
static struct held held;

/* At random. */
static Bit64u random_state, random_mean, random_events, random_counts[HOLD + 1];
static int random_timer = -1;
static bx_address aim_begin, aim_end;  /* where those instructions are; both 0: anywhere */
static std::set<Bit64u> places;        /* that an event has come at */
static std::vector<unsigned> fine;     /* per CPU: instructions until its event, plus one; 0: none */
static std::vector<Bit64u> stalled_to; /* per CPU: the tick until which it stands still */

void testbed_schedule_init(void)
{
	fine.resize(BX_SMP_PROCESSORS);
	stalled_to.resize(BX_SMP_PROCESSORS);
}

static bool in_context(unsigned cpu)
{
	const BX_CPU_C *at = BX_CPU(cpu);

	return schedule.armed && at->in_vmx_guest && at->vmcsptr == schedule.vmcs &&
	       schedule.contexts.count(at->vmcs.eptptr);
}

/*
 * The firmware moves the first CPU's SMM memory and leaves a handler there. The others' is still where it was at reset,
 * in memory that no kernel uses: the shortest handler is put there.
 */
static void deliver_smi(unsigned cpu)
{
	static const Bit8u rsm[] = { 0x0f, 0xaa };

	if (BX_CPU(cpu)->smbase == SMBASE_AT_RESET)
		BX_MEM(0)->writePhysicalPage(BX_CPU(cpu), SMBASE_AT_RESET + SMM_ENTRY, sizeof(rsm), (void *)rsm);
	BX_CPU(cpu)->deliver_SMI();
}

static void fire(unsigned cpu, enum event event)
{
	switch (event) {
	case INTERRUPT:
		BX_CPU(cpu)->lapic->trigger_irq(RESCHEDULE_VECTOR, 0);
		break;
	case NMI:
		BX_CPU(cpu)->deliver_NMI();
		break;
	case SMI:
		deliver_smi(cpu);
		break;
	case INIT:
		BX_CPU(cpu)->deliver_INIT();
		break;
	case HOLD:
		held.held = true;
		held.begun = false;
		held.cpu = cpu;
		held.until = bx_pc_system.time_ticks() + HELD_AT_MOST;
		break;
	default:
		break;
	}
}

static bool is_held(unsigned cpu)
{
	if (!held.held || held.cpu != cpu)
		return false;
	held.held = bx_pc_system.time_ticks() < held.until;
	return held.held;
}

/* Counts the instruction that CPU is about to execute, and lets the event come if it is the one. */
static void count(unsigned cpu)
{
	bx_address rip = BX_CPU(cpu)->get_instruction_pointer();
	bool again = schedule.resumed && rip == schedule.last;
	bool inside = in_context(cpu);

	schedule.resumed = false;
	if (!inside && !schedule.inside)
		return;
	schedule.inside = inside;
	/* Back from an exit before the same instruction; or it was counted, and this schedule wants each once. */
	if (again || (schedule.once_each && !schedule.seen.insert(rip).second))
		return;
	schedule.last = rip;
	if (++schedule.count != schedule.number || schedule.fired)
		return;
	/* Outside, stock KVM takes an INIT of the host's for an error of its own, and ends the VM. */
	if (inside || schedule.event != INIT) {
		schedule.fired = true;
		schedule.at = rip;
		fire(cpu, schedule.event);
	}
}

/* A CPU that has left its guest inside is not at the landing: whatever it executes there counts nothing. */
static void look_inside(unsigned cpu)
{
	const BX_CPU_C *at = BX_CPU(cpu);

	if (!schedule.armed || at->vmcsptr != schedule.vmcs)
		return;
	if (!at->in_vmx_guest) {
		schedule.switching = false;
		schedule.inside = false;
		return;
	}
	if (schedule.switching)
		schedule.contexts.insert(at->vmcs.eptptr);
	schedule.switching = false;
	count(cpu);
}

static Bit64u draw(Bit64u limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % limit;
}

static void random_event(unsigned cpu)
{
	static const enum event events[] = { INTERRUPT, NMI, HOLD };
	enum event event = events[draw(3)];

	/* A single CPU that stands still stops the time that it waits for. */
	if (!(random_events & 1 << event) || (event == HOLD && BX_SMP_PROCESSORS == 1))
		event = INTERRUPT;
	random_counts[event]++;
	places.insert(BX_CPU(cpu)->get_instruction_pointer());
	if (event == HOLD)
		stalled_to[cpu] = bx_pc_system.time_ticks() + 1 + draw(STALL_AT_MOST);
	else
		fire(cpu, event);
}

static void random_tick(void *)
{
	unsigned cpu = draw(BX_SMP_PROCESSORS);

	if (!random_mean)
		return;
	bx_pc_system.activate_timer_ticks(random_timer, 1 + draw(2 * random_mean), false);
	if (BX_CPU(cpu)->activity_state != BX_CPU_C::BX_ACTIVITY_STATE_ACTIVE)
		return;
	/* One that aims may take long to come, and is not put off by the next. */
	if (!aim_end || !fine[cpu])
		fine[cpu] = 1 + draw(aim_end ? FINE_AIMED : FINE);
	BX_CPU(cpu)->async_event = 1;
}

/* Is the instruction that CPU is about to execute one of those that a random moment is counted by? */
static bool is_aimed_at(unsigned cpu)
{
	bx_address rip = BX_CPU(cpu)->get_instruction_pointer();

	return !aim_end || (!BX_CPU(cpu)->in_vmx_guest && rip >= aim_begin && rip < aim_end);
}

/* Before CPU looks for events. True: it does not, and executes nothing. */
bool testbed_boundary(unsigned cpu)
{
	if (is_held(cpu) || stalled_to[cpu] > bx_pc_system.time_ticks())
		return true;
	if (schedule.armed)
		look_inside(cpu);
	if (fine[cpu] && is_aimed_at(cpu) && !--fine[cpu])
		random_event(cpu);
	return is_held(cpu) || stalled_to[cpu] > bx_pc_system.time_ticks();
}

bool testbed_steps(unsigned cpu)
{
	/* Guests are left alone by what aims at code outside. */
	return (fine[cpu] && !(aim_end && BX_CPU(cpu)->in_vmx_guest)) || in_context(cpu) ||
	       (schedule.armed && BX_CPU(cpu)->in_smm);
}

/* Where an exit has ended the call, or has been its way out, the host enters at the landing. */
void testbed_schedule_entry(unsigned cpu)
{
	bool lands = schedule.armed && BX_CPU(cpu)->vmcsptr == schedule.vmcs && schedule.left;

	if (!in_context(cpu) && !lands)
		return;
	schedule.resumed = true;
	schedule.inside = true;
	schedule.left = false;
	BX_CPU(cpu)->async_event = 1;
}

void testbed_schedule_exit(unsigned cpu)
{
	if (in_context(cpu))
		schedule.left = true;
	if (fine[cpu])
		BX_CPU(cpu)->async_event = 1;
}

/* Whether it switches is known when it has. */
void testbed_schedule_vmfunc(unsigned cpu, Bit32u leaf, Bit32u index)
{
	if (!schedule.armed || leaf)
		return;
	if (!schedule.vmcs && BX_CPU(cpu)->prev_rip == CALL_VMFUNC)
		schedule.vmcs = BX_CPU(cpu)->vmcsptr;
	if (BX_CPU(cpu)->vmcsptr != schedule.vmcs)
		return;
	schedule.switching = index != 0;
	BX_CPU(cpu)->async_event = 1;
}

static bool arm(unsigned cpu, Bit64u what, Bit64u number)
{
	enum event event = (enum event)(what & 0xff);

	if (event > HOLD || (event == HOLD && BX_SMP_PROCESSORS == 1))
		return false;
	if (!(what & ANY_VCPU) && !BX_CPU(cpu)->in_vmx_guest)
		return false;
	schedule = {};
	schedule.once_each = what & ONCE_EACH;
	schedule.event = event;
	schedule.vmcs = what & ANY_VCPU ? 0 : BX_CPU(cpu)->vmcsptr;
	schedule.number = number;
	schedule.armed = true;
	return true;
}

static void begin_random(Bit64u seed, Bit64u mean, Bit64u events)
{
	if (random_timer < 0)
		random_timer = bx_pc_system.register_timer(NULL, random_tick, 1000, false, false, "schedule");
	memset(random_counts, 0, sizeof(random_counts));
	places.clear();
	std::fill(fine.begin(), fine.end(), 0);
	random_state = seed * 2 + 1;
	random_mean = mean;
	random_events = events;
	random_tick(NULL);
}

/* What is asked in RDI, RSI, RDX, R8 is answered in RAX and RDX. */
void testbed_schedule(unsigned cpu)
{
	BX_CPU_C *at = BX_CPU(cpu);
	Bit64u a = at->get_reg64(BX_64BIT_REG_RSI), b = at->get_reg64(BX_64BIT_REG_RDX), result = 0;

	switch (at->get_reg64(BX_64BIT_REG_RDI)) {
	case ARM:
		result = arm(cpu, a, b) ? 0 : 1;
		break;
	case END:
		schedule.armed = false;
		result = schedule.count;
		at->set_reg64(BX_64BIT_REG_RDX, schedule.fired);
		break;
	case IS_HELD:
		result = held.held && !held.begun;
		break;
	case BEGIN: /* a: ticks that it needs until this CPU is needed */
		held.begun = true;
		held.until = bx_pc_system.time_ticks() + a;
		break;
	case DONE:
		held.until = 0;
		break;
	case RANDOM: /* a: seed, b: ticks between two on average */
		begin_random(a, b, at->get_reg64(BX_64BIT_REG_R8));
		break;
	case RANDOM_END:
		random_mean = 0;
		std::fill(fine.begin(), fine.end(), 0);
		result = random_counts[a % (HOLD + 1)];
		break;
	case AIM: /* a: where it begins, b: where it ends; for all that is random from now on */
		aim_begin = a;
		aim_end = b;
		break;
	case WHERE:
		result = schedule.at;
		break;
	case PLACES:
		result = places.size();
		break;
	default:
		result = 1;
	}
	at->set_reg64(BX_64BIT_REG_RAX, result);
}
