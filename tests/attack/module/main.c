// SPDX-License-Identifier: GPL-2.0-only
/*
 * A hostile guest kernel: `insmod attack.ko what=NAME object=NAME secret=N [count=N] [seed=N]` tries one attack and
 * logs how many attempts there were and how many were contained. Each attempt is one that would do harm if the
 * invariant that its table names did not hold.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include "attack.h"

#include <linux/err.h>
#include <linux/module.h>
#include <linux/random.h>

#include "driver.h"

static char *what = "", *object = "victim";
ulong secret, seed, count = 1000;
module_param(what, charp, 0);
module_param(object, charp, 0);
module_param(secret, ulong, 0);
module_param(seed, ulong, 0);
module_param(count, ulong, 0);

u64 tried, contained;
int check_index, spin_index, fault_index, read_index;
static u64 before[16];
static unsigned int said;

static const struct {
	const char *name, *invariant;
	int (*run)(void);
} attacks[] = {
	{ "landings-user", "the gate is sound at every byte (DESIGN 5)", attack_landings_user },
	{ "landings-kernel", "the gate is sound at every byte; 3", attack_landings_kernel },
	{ "landings-code", "only gates are valid (DESIGN 5)", attack_landings_code },
	{ "slots", "only gates are valid (DESIGN 5)", attack_slots },
	{ "sub-slot", "sub contexts are locked (DESIGN 5)", attack_sub_slot },
	{ "cr3", "1, 2", attack_cr3 },
	{ "faults", "3, 8", attack_faults },
	{ "breakpoints", "3, 8", attack_breakpoints },
	{ "tables", "3, 8", attack_tables },
	{ "vmx", "3", attack_vmx },
	{ "nmi", "3, 4", attack_nmi },
	{ "interrupts", "3, 4", attack_interrupts },
	{ "init", "3; exits take the inside state out (DESIGN 5)", attack_init },
	{ "smi", "3; exits take the inside state out (DESIGN 5)", attack_smi },
	{ "modes", "3", attack_modes },
	{ "control-registers", "3", attack_control_registers },
	{ "pcid", "2, 3", attack_pcid },
	{ "flags", "3", attack_flags },
	{ "pkru", "3, 8", attack_pkru },
	{ "region", "2, 5", attack_region },
	{ "pat", "5", attack_pat },
	{ "requests", "11", attack_requests },
	{ "user-requests", "11", attack_user_requests },
	{ "pieces", "11", attack_pieces },
	{ "times", "11", attack_times },
};

/* xorshift64: the seed says it all. */
u64 random(void)
{
	static u64 state;

	if (!state)
		state = seed | 1;
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

void breach(const char *name, const char *how)
{
	if (said++ < 20)
		pr_info("BREACH %s: %s: vector %lld error %llx rip %llx cs %llx cr2 %llx ax %llx cx %llx dx %llx sp %llx, was %llx\n",
			name, how, frame->vector, frame->error, frame->rip, frame->cs, frame->cr2, frame->regs[REG_RAX],
			frame->regs[REG_RCX], frame->regs[REG_RDX], frame->rsp, before[REG_RSP]);
}

void prepare(u64 function, u64 a0)
{
	static const u8 stub[] = { 0x0f, 0x01, 0xd4 };

	memset(stub_pages[0], 0xcc, ELISA_PAGE);
	memset(stub_pages[1], 0xcc, ELISA_PAGE);
	memcpy(stub_pages[0] + ELISA_PAGE - sizeof(stub), stub, sizeof(stub));
	for (unsigned int i = 0; i < 16; i++)
		frame->regs[i] = 0x4141000000000000 + i;
	frame->regs[REG_RAX] = 0;
	frame->regs[REG_RCX] = ELISA_GATE_SLOT(slot);
	frame->regs[REG_R10] = function;
	frame->regs[REG_RSI] = a0;
	frame->rip = ELISA_GATE - sizeof(stub);
	frame->cs = __USER_CS;
	frame->ss = __USER_DS;
	frame->rflags = 2;
	frame->rsp = 0x4141000000000000;
	frame->cr3 = arena_cr3;
}

static bool known(u64 value)
{
	if (value < 2 * ELISA_PAGE || IS_ERR_VALUE(value))
		return true;
	for (unsigned int i = 0; i < 16; i++)
		if (value == before[i])
			return true;
	/* The middle of VMFUNC, 01 d4, is `add %edx, %esp`: the attacker's own two. */
	return value == (u32)(before[REG_RSP] + before[REG_RDX]);
}

static bool landed(void)
{
	return frame->vector == 3 && frame->rip == ELISA_LANDING + 1;
}

u64 attempt(const char *name)
{
	u64 rip, start = frame->rip;
	bool bad = false, is_user = frame->cs == __USER_CS;

	memcpy(before, frame->regs, sizeof(before));
	before[REG_RSP] = frame->rsp;
	tried++;
	arena_run();
	frame->regs[REG_RSP] = frame->rsp;
	for (unsigned int i = 0; i < 16; i++) {
		if (frame->regs[i] == secret) {
			breach(name, "the secret");
			bad = true;
		} else if (!known(frame->regs[i])) {
			breach(name, "a value that is not the attacker's");
			bad = true;
		}
	}
	if (arena_met_inside(start, &rip)) {
		pr_info("an event at %llx\n", rip);
		breach(name, "an event was delivered inside");
		bad = true;
	}
	if (is_user && landed() && (frame->cs != __USER_CS || frame->ss != __USER_DS)) {
		breach(name, "it has landed with other segments");
		bad = true;
	}
	contained += !bad;
	return frame->vector;
}

long result(void)
{
	return landed() ? (long)frame->regs[REG_RDX] : NOT_LANDED;
}

void must_fail(const char *name)
{
	long value = result();

	if (value >= 0)
		breach(name, "the call has worked");
	if (value == NOT_LANDED)
		breach(name, "it has not landed");
}

void control(const char *when)
{
	prepare(check_index, 0);
	attempt(when);
	tried--;
	contained--;
	if (!landed() || frame->regs[REG_RDX] != 1)
		breach(when, "a right call afterwards does not work");
}

static int attach(void)
{
	u64 address;
	int error;

	error = arena_create();
	if (error)
		return error;
	error = driver_connect(object);
	if (error)
		goto destroy;
	check_index = driver_function("check");
	spin_index = driver_function("spin");
	fault_index = driver_function("fault");
	read_index = driver_function("where");
	error = driver_share(arena_pages, ARENA_PAGES);
	if (error < 0)
		goto detach;
	/* The first one lies at the beginning. */
	address = ELISA_BASE + ELISA_BUFFER_OFFSET;
	arena_place(address);
	arena_begin();
	prepare(read_index, 0);
	arena_run();
	arena_end();
	if (!landed() || frame->regs[REG_RDX] != address) {
		pr_info("no way in: vector %llu rip %llx result %lld, expected %llx\n", frame->vector, frame->rip,
			frame->regs[REG_RDX], address);
		error = -EIO;
		goto detach;
	}
	return 0;

detach:
	driver_disconnect();
destroy:
	arena_destroy();
	return error;
}

static int __init start(void)
{
	int error = attach();

	if (error)
		return error;
	for (unsigned int i = 0; i < ARRAY_SIZE(attacks); i++) {
		if (strcmp(what, attacks[i].name))
			continue;
		error = attacks[i].run();
		pr_info("%s: tried %llu contained %llu breaches %u seed %lu error %d (invariant: %s)\n", what, tried,
			contained, said, seed, error, attacks[i].invariant);
		break;
	}
	return 0;
}

static void __exit end(void)
{
	driver_disconnect();
	arena_destroy();
}

module_init(start);
module_exit(end);
MODULE_LICENSE("GPL v2");
MODULE_DESCRIPTION("A hostile guest, to test ELISA with");
