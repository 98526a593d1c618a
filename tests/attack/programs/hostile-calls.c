// SPDX-License-Identifier: MIT
/*
 * hostile-calls NAME [evade HOW | hop OTHER | locks]: calls the functions of the object `hostile`, which is not vetted,
 * with all that they can do; OTHER is another object of the same code. The code may take along who calls it, which is
 * this process: what comes back otherwise than by the landing comes as a signal. Afterwards nop must work. Prints
 * `WHAT: tried N contained N` for each.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <ucontext.h>

#include "../../../include/uapi/elisa/layout.h"
#include "../../clock.h"
#include "../../vm/programs/program.h"

#define SECRET 0x5ec2e75ec2e75ec2
#define G 0x40000000ul
#define PAGE 4096ul
#define DESERTIONS 32
#define TURNS 60000 /* of a call that the host's timer interrupts, and that ends before its limit */

/* What sigsetjmp() says of a call. */
enum { LOST = 1, CAME_BACK };
enum outcome { FAILED, WORKED, DIED };

static struct elisa_attachment *attachment;
static struct elisa_function nop, check;
static unsigned long tried, contained, died;
static sigjmp_buf back;
static volatile bool leaked;
static volatile long result;

static void on_signal(int signal, siginfo_t *unused, void *context)
{
	const ucontext_t *at = context;

	(void)signal;
	(void)unused;
	/* The call had interrupts masked. */
	asm volatile("sti");
	for (unsigned int i = 0; i < NGREG; i++)
		if ((uint64_t)at->uc_mcontext.gregs[i] == SECRET)
			leaked = true;
	siglongjmp(back, LOST);
}

static void catch_signals(void)
{
	static char stack[1 << 16];
	const stack_t alternate = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };

	expect("sigaltstack", sigaltstack(&alternate, NULL), 0);
	expect("sigaction", sigaction(SIGSEGV, &action, NULL), 0);
	expect("sigaction", sigaction(SIGILL, &action, NULL), 0);
	expect("sigaction", sigaction(SIGTRAP, &action, NULL), 0);
	expect("sigaction", sigaction(SIGBUS, &action, NULL), 0);
}

/*
 * Registers may come back as anything: also those that a function has to keep, as a call that is ended elsewhere comes
 * back with those of the last call there. So a call that has returned takes them from `back`, too.
 */
__attribute__((noipa)) static enum outcome try(const struct elisa_function *function, uint64_t a0, uint64_t a1)
{
	leaked = false;
	tried++;
	switch (sigsetjmp(back, 0)) {
	case 0:
		result = elisa_call2(function, a0, a1);
		siglongjmp(back, CAME_BACK);
	case LOST:
		contained += !leaked;
		died++;
		return DIED;
	}
	contained += (uint64_t)result != SECRET;
	return result < 0 && result > -4096 ? FAILED : WORKED;
}

/* It must not have worked. */
static void refused(const char *name, uint64_t a0, uint64_t a1)
{
	const struct elisa_function function = find(attachment, name);

	if (try(&function, a0, a1) == WORKED) {
		printf("BREACH %s %#lx %#lx\n", name, a0, a1);
		contained--;
	}
}

static void report(const char *what)
{
	expect("nop afterwards", elisa_call0(&nop), 0);
	expect("the victim", elisa_call0(&check), 1);
	printf("%s: tried %lu contained %lu, the caller was lost %lu times\n", what, tried, contained, died);
	tried = contained = died = 0;
}

/* What is not its own. */
static void places(void)
{
	for (unsigned int i = 0; i < 512; i++) {
		refused("peek", ELISA_LIST_OFFSET + 8 * i, 0);
		refused("poke", ELISA_LIST_OFFSET + 8 * i, 0x1234501e);
	}
	report("the list");
	for (unsigned int i = 0; i < PAGE; i += 8) {
		refused("poke", ELISA_GATE_OFFSET + i, 0);
		refused("peek", ELISA_GATE_OFFSET + i, 0);
		refused("poke", ELISA_INFO_OFFSET + i, 0);
		refused("poke", ELISA_CODE_OFFSET + i, 0);
	}
	refused("peek", ELISA_STACK_OFFSET - 8, 0);
	refused("peek", ELISA_STACK_OFFSET + ELISA_STACK_SIZE, 0);
	for (unsigned int i = 1; i < 128; i++)
		refused("peek", i * G + 8 * PAGE, 0);
	/* Guest-physical addresses as such are nothing that is mapped. */
	for (unsigned int i = 0; i < 512; i++)
		refused("peek", -ELISA_BASE + i * PAGE, 0);
	report("pages of others");
}

/* VMFUNC from each place of a page to some slot, and from some to each slot. */
static void switches(void)
{
	const struct elisa_function slide = find(attachment, "slide"), leave = find(attachment, "leave");

	for (uint64_t place = 0; place < 3 * PAGE; place++)
		try(&slide, place, place % 5 ? place * 7 % 512 : nop.slot - (place & 1 ? 256 : 0));
	report("switches from every place");
	for (uint64_t slot = 0; slot < 512; slot++) {
		try(&leave, slot, 0);
		for (uint64_t place = 0; place < 3 * PAGE; place += 3001)
			try(&slide, place, slot);
	}
	report("switches to every slot");
}

/* After an interruption, when a return is to make an exit: only the one that returns is one. */
static void returns(void)
{
	const struct elisa_function desert = find(attachment, "desert");
	unsigned int outcomes[3] = {};

	for (unsigned int i = 0; i < DESERTIONS; i++)
		outcomes[try(&desert, TURNS, 0)]++;
	contained -= outcomes[WORKED];
	if (outcomes[WORKED])
		printf("BREACH %u calls came home from elsewhere\n", outcomes[WORKED]);
	else if (outcomes[FAILED] < DESERTIONS / 4)
		die("only %u of %u calls were interrupted before they went home", outcomes[FAILED], DESERTIONS);
	report("returns from elsewhere");
}

/* The host's own code, from the middle and by its VMFUNC, with a slot of one's own. */
static void entries(void)
{
	const struct elisa_function jump = find(attachment, "jump"), forged = find(attachment, "forged");

	for (uint64_t offset = 0; offset < PAGE; offset++)
		try(&jump, offset, offset % 3 ? offset % 512 : check.slot);
	report("jumps into the entry page");
	for (uint64_t slot = 0; slot < 512; slot++)
		for (uint64_t offset = ELISA_RETURN - 3; offset <= ELISA_RETURN; offset++)
			try(&jump, offset, slot);
	report("jumps to its VMFUNC");
	for (uint64_t offset = 0; offset < PAGE; offset += 5) {
		try(&forged, ELISA_GATE_OFFSET + offset, 0);
		refused("forged", ELISA_LIST_OFFSET + offset, 0);
		refused("forged", ELISA_INFO_OFFSET + offset, 0);
		refused("forged", ELISA_STACK_OFFSET + offset, 0);
		refused("forged", ELISA_BUFFER_OFFSET + offset, 0);
	}
	report("returns to anywhere");
}

static void frames(void)
{
	static const uint64_t values[] = { 0,
					   1,
					   0x4141414141414141,
					   -1ull,
					   1ull << 47,
					   1ull << 63,
					   0xffff800000000000,
					   0xffffffff81000000,
					   ELISA_BASE + ELISA_LIST_OFFSET,
					   ELISA_BASE + ELISA_STACK_OFFSET,
					   ELISA_GATE,
					   ELISA_LANDING,
					   ELISA_BASE + ELISA_MEMORY_OFFSET };

	for (unsigned int i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		for (uint64_t how = 0; how < 5; how++) {
			refused("frame", values[i], how);
			refused("stackless", values[i] + 8 * how, 0);
		}
	for (unsigned int i = 0; i < 512; i++)
		refused("stackless", ELISA_BASE + ELISA_LIST_OFFSET + 8 * i, 0);
	for (unsigned int i = 0; i < 3; i++)
		refused("forever", 0, 0);
	report("frames and stacks");
}

/*
 * A call that must be ended as any other, whatever it does. OPENS, if not NULL, is called before, until it has gone
 * home from elsewhere, as then its slot stays open. A call that is ended there comes back with that one's stack
 * pointer, which is the same in both.
 */
static void timed(const struct elisa_function *opens, const struct elisa_function *function, uint64_t a0, uint64_t a1)
{
	static const char *const others[] = { [WORKED] = "ok", [DIED] = "lost" };
	unsigned int tries = DESERTIONS;
	enum outcome outcome;
	uint64_t before;
	double took;

	while (opens && try(opens, 0, 0) != DIED)
		if (!--tries)
			die("no call came home from elsewhere");
	before = now_us();
	outcome = try(function, a0, a1);
	took = (double)(now_us() - before) / 1e3;
	printf("result %s took %.1f ms\n", outcome == FAILED ? strerrorname_np((int)-result) : others[outcome], took);
	expect("nop afterwards", elisa_call0(&nop), 0);
}

/* It says all the time that it is a new one. */
static void evade(uint64_t how)
{
	const struct elisa_function function = find(attachment, "evade");

	timed(NULL, &function, how, function.index);
}

/* It goes to another object and back. */
static void hop(const char *name)
{
	struct elisa_attachment *other = attach(name, "gate");
	const struct elisa_function desert = find(other, "desert"), hops = find(other, "hops"),
				    hop = find(attachment, "hop");

	timed(&desert, &hop, hop.slot - 256, desert.slot - 256);
	printf("hops %ld\n", elisa_call0(&hops));
}

/* Words of the object's own that name others' calls, around this vCPU's number, and words that are elsewhere. */
static void locks(void)
{
	const struct elisa_function forge = find(attachment, "forge"), holder = find(attachment, "holder"),
				    ask = find(attachment, "ask_about");
	uint64_t own = (uint64_t)elisa_call0(&holder);
	const uint64_t bounds[] = { 0,
				    1,
				    PAGE - 8,
				    PAGE - 4,
				    PAGE,
				    PAGE + 8,
				    G,
				    -8ull,
				    -PAGE,
				    1ull << 63,
				    ELISA_STACK_OFFSET - ELISA_MEMORY_OFFSET,
				    ELISA_LIST_OFFSET - ELISA_MEMORY_OFFSET,
				    -(ELISA_BASE + ELISA_MEMORY_OFFSET) };

	for (uint64_t number = own > 64 ? own - 64 : 1; number < own + 16; number++)
		for (uint64_t call = 0; call < 4; call++) {
			long result = elisa_call2(&forge, number, call);

			/* That nobody holds it: it was taken from nobody. */
			tried++;
			if (result == -1 || number == own)
				contained++;
			else
				printf("BREACH forge %lu %lu: %ld\n", number, call, result);
		}
	for (unsigned int i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++)
		try(&ask, ELISA_BASE + ELISA_MEMORY_OFFSET + bounds[i], 0);
	report("forged words of locks");
}

int main(int count, char **arguments)
{
	if (count < 2)
		die("hostile-calls NAME [evade HOW | hop OTHER | locks]");
	catch_signals();
	attachment = attach(arguments[1], "gate");
	nop = find(attachment, "nop");
	check = find(attach("victim", "gate"), "check");
	expect("nop", elisa_call0(&nop), 0);
	if (count > 3 && !strcmp(arguments[2], "hop")) {
		hop(arguments[3]);
	} else if (count > 3) {
		evade(number(arguments[3]));
	} else if (count > 2) {
		locks();
	} else {
		places();
		switches();
		returns();
		entries();
		frames();
	}
	return 0;
}
