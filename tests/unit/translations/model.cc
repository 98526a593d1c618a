// SPDX-License-Identifier: MIT
/* The checker of translations, told by hand what a CPU does: what each operation ends, and what is reported. */
#include "bochs.h"
#include "testbed.h"

#include <string>
#include <vector>

BX_CPU_C fake_cpus[BX_SMP_PROCESSORS];
fake_memory fake_mem;
fake_clock bx_pc_system;

static std::vector<std::string> reports;
static const char *scene;
static unsigned checks;

static const Bit64u ROOT = 0x10000, OTHER = 0x20000, LIST = 0x90000, OPEN = 0x1e;
static const Bit64u GPA = 0x8000000000, PAGE = 0x700000, MOVED = 0x800000, LINEAR = 0x200000000000;
static const Bit64u GRACE = 100000;
static const Bit32u R = 1, RW = 3, VIOLATION = 48;

void testbed_send(enum testbed_kind kind, const void *data, uint32_t length)
{
	if (kind == TESTBED_REPORT)
		reports.push_back(std::string((const char *)data, length));
}

static void expect(unsigned count, const char *text = "")
{
	bool right = reports.size() == count && (!count || reports[0].find(text) != std::string::npos);

	checks++;
	if (!right) {
		printf("%s: %zu reports, expected %u with \"%s\"\n", scene, reports.size(), count, text);
		for (const std::string &each : reports)
			printf("  %s\n", each.c_str());
		exit(1);
	}
	reports.clear();
}

static void enter(unsigned cpu, Bit64u root)
{
	fake_cpus[cpu].vmcs.eptptr = root | OPEN;
	testbed_eptp_switch(cpu, 1, root | OPEN);
}

/* Both CPUs anew, with the same vCPU's tags. */
static void begin(const char *name)
{
	scene = name;
	bx_pc_system.now += 10 * GRACE;
	for (unsigned cpu = 0; cpu < BX_SMP_PROCESSORS; cpu++) {
		BX_CPU_C *c = fake_cpus + cpu;

		*c = BX_CPU_C();
		c->in_vmx = true;
		testbed_invalidate(cpu, BX_INSTR_INVEPT, 2, 0, 0);
		c->in_vmx_guest = true;
		c->cr0.value = 1u << 31;
		c->cr4.value = 1 << 5 | 1 << 7;
		c->efer.value = 1 << 10;
		c->cr3 = 0x3000;
		c->vmcs.vpid = 5;
		c->vmcs.vmexec_ctrls2 = { true, true };
		c->vmcs.vmfunc_ctrls = 1;
		c->vmcs.eptp_list_address = LIST;
		testbed_translations_entry(cpu);
		enter(cpu, ROOT);
	}
	reports.clear();
}

static void tables(Bit64u *entry, Bit64u page, Bit32u rights)
{
	for (int level = 3; level > 0; level--)
		entry[level] = (0x30000 + 0x1000 * level) | 7;
	entry[0] = page ? page | rights : 0;
}

/* The memory's, which map GPA to PAGE. */
static void tables_have(Bit64u page, Bit32u rights = RW, unsigned cpu = 0)
{
	Bit64u entry[4], root = fake_cpus[cpu].vmcs.eptptr & ~0xfffull;

	tables(entry, page, rights);
	for (int level = 3; level >= 0; level--)
		fake_mem.words[(level == 3 ? root : entry[level + 1] & ~0xfffull) +
			       (GPA >> (12 + 9 * level)) % 512 * 8] = entry[level];
}

/* Translates LINEAR by way of GPA, which the tables have at PAGE (or not at all, for 0). */
static void touch(Bit64u page, Bit32u rights = RW, Bit32u access = R, unsigned cpu = 0)
{
	Bit64u entry[4];
	bool fails = !page || (rights & access) != access;

	tables(entry, page, rights);
	tables_have(page, rights, cpu);
	testbed_ept_walk(cpu, GPA, LINEAR, true, false, entry, 0, access, fails ? VIOLATION : 0);
	if (!fails)
		testbed_guest_walk(cpu, LINEAR, page, 0xfff, 6, access == R ? BX_READ : BX_WRITE);
}

static void later(void)
{
	bx_pc_system.now += 2 * GRACE;
	testbed_translations_message();
}

static void by_host(unsigned cpu, unsigned what, unsigned type, Bit64u id, Bit64u laddr = 0)
{
	fake_cpus[cpu].in_vmx_guest = false;
	testbed_invalidate(cpu, what, type, id, laddr);
	fake_cpus[cpu].in_vmx_guest = true;
}

static void given_back(Bit64u page, bool pinned = false)
{
	fake_cpus[1].in_vmx_guest = false;
	testbed_freed(1, page, 0x1000, pinned);
	fake_cpus[1].in_vmx_guest = true;
}

static void uses(void)
{
	begin("the tables as they were");
	touch(PAGE);
	touch(PAGE);
	later();
	expect(0);
	begin("another page");
	touch(PAGE);
	touch(MOVED);
	expect(0);
	later();
	expect(2, "no INVEPT");
	begin("nothing");
	touch(PAGE);
	touch(0);
	later();
	expect(2, "no INVEPT");
	begin("fewer rights, used");
	touch(PAGE, RW, RW);
	touch(PAGE, R, RW);
	later();
	expect(2, "no INVEPT");
	begin("fewer rights, not used");
	touch(PAGE, RW, R);
	touch(PAGE, R, R);
	later();
	expect(0);
	begin("more rights");
	touch(PAGE, R);
	touch(PAGE, RW, RW);
	later();
	expect(0);
	begin("invalidated within the grace");
	touch(PAGE);
	touch(MOVED);
	by_host(0, BX_INSTR_INVEPT, 1, ROOT | OPEN);
	later();
	expect(0);
	begin("another CPU has seen nothing");
	touch(PAGE);
	touch(MOVED, RW, R, 1);
	later();
	expect(0);
}

/* Of a root of KVM's, and a CPU that leaves the guest soon after. */
static void owed(bool used_again)
{
	static const Bit64u KVMS = 0x50000;

	fake_cpus[0].vmcs.eptptr = KVMS | OPEN;
	touch(PAGE);
	touch(MOVED);
	bx_pc_system.now += GRACE / 2;
	testbed_translations_exit(0);
	later();
	expect(0);
	testbed_translations_entry(0);
	if (used_again)
		touch(MOVED);
}

static void entries(void)
{
	begin("left before the grace is over, and used again");
	owed(true);
	expect(1, "no INVEPT");
	begin("not used again");
	owed(false);
	expect(0);
	begin("invalidated before the entry");
	owed(false);
	by_host(0, BX_INSTR_INVEPT, 2, 0);
	touch(MOVED);
	later();
	expect(0);
}

/* What ends what was kept of ROOT on CPU 0. */
static void invalidations(void)
{
	static const struct {
		const char *name;
		unsigned what, type;
		Bit64u id;
		bool ends;
	} host[] = {
		{ "INVEPT of the root", BX_INSTR_INVEPT, 1, ROOT | OPEN, true },
		{ "INVEPT of another", BX_INSTR_INVEPT, 1, OTHER | OPEN, false },
		{ "INVEPT of all", BX_INSTR_INVEPT, 2, 0, true },
		{ "INVVPID ends nothing of an EPT", BX_INSTR_INVVPID, 1, 5, false },
	};

	for (auto &each : host) {
		begin(each.name);
		touch(PAGE);
		by_host(0, each.what, each.type, each.id);
		given_back(PAGE);
		expect(!each.ends, "no INVEPT");
	}
	begin("INVEPT on another CPU");
	touch(PAGE);
	by_host(1, BX_INSTR_INVEPT, 2, 0);
	given_back(PAGE);
	expect(1, "CPU 0 may have kept");
	begin("a violation ends what would have been one");
	touch(PAGE, R, R);
	touch(0, 0, RW);
	given_back(PAGE);
	expect(0);
	begin("a page fault that need not have been one");
	touch(PAGE);
	tables_have(0);
	testbed_page_fault(0, LINEAR, BX_READ, true);
	later();
	expect(1, "no INVEPT");
	begin("a page fault that protection keys have led to");
	touch(PAGE);
	testbed_page_fault(0, LINEAR, BX_READ, false);
	later();
	expect(0);
}

/* A root of KVM's becomes one of a gate or sub context. */
static void reused(void)
{
	begin("what KVM's root has left");
	testbed_eptp_switch(0, 0, ROOT | OPEN);
	touch(PAGE);
	enter(0, ROOT);
	touch(MOVED);
	expect(1, "no INVEPT");
	by_host(0, BX_INSTR_INVEPT, 2, 0);
	later();
	expect(0);
	begin("invalidated before it is entered");
	testbed_eptp_switch(0, 0, ROOT | OPEN);
	touch(PAGE);
	by_host(0, BX_INSTR_INVEPT, 2, 0);
	enter(0, ROOT);
	touch(MOVED);
	later();
	expect(0);
}

static void given(void)
{
	begin("a page");
	touch(PAGE);
	given_back(MOVED);
	expect(0);
	given_back(PAGE);
	expect(1, "given back");
	begin("a page that is another buffer's too");
	touch(PAGE);
	given_back(PAGE, true);
	expect(0);
	begin("the same, but the tables have it no more");
	touch(PAGE);
	tables_have(0);
	given_back(PAGE, true);
	expect(1, "given back");
	begin("a table");
	touch(PAGE);
	given_back(0x32000);
	expect(1, "table");
	begin("VMX is off");
	touch(PAGE);
	fake_cpus[0].in_vmx = false;
	given_back(PAGE);
	expect(0);
	begin("of a default context");
	testbed_eptp_switch(0, 0, ROOT | OPEN);
	touch(PAGE);
	given_back(PAGE);
	expect(0);
	begin("a root that KVM enters is no longer ours");
	touch(PAGE);
	fake_mem.words[LIST] = ROOT | OPEN;
	testbed_translations_entry(0);
	fake_mem.words[LIST] = 0;
	given_back(PAGE);
	expect(0);
}

/* The host changes CR3; then WHAT ends what was kept, or not. */
static void other_space(const char *name, bool ends, void (*what)(void))
{
	begin(name);
	touch(PAGE);
	what();
	fake_cpus[0].cr3 = 0x4000;
	touch(PAGE);
	expect(!ends, "no INVVPID");
	later();
	expect(0);
}

static void guest_loads(Bit64u cr3)
{
	testbed_invalidate(0, BX_INSTR_MOV_CR3, 0, cr3, 0);
}

static void spaces(void)
{
	other_space("nothing", false, [] {});
	other_space("VM entry and exit, with a VPID", false, [] {
		testbed_translations_exit(0);
		testbed_translations_entry(0);
	});
	other_space("without", false, [] {
		testbed_translations_exit(0);
		fake_cpus[0].vmcs.vmexec_ctrls2.vpid = false;
		testbed_translations_entry(0);
		fake_cpus[0].vmcs.vmexec_ctrls2.vpid = true; /* what is kept has the VPID */
	});
	other_space("INVVPID of an address", true, [] { by_host(0, BX_INSTR_INVVPID, 0, 5, LINEAR); });
	other_space("of another", false, [] { by_host(0, BX_INSTR_INVVPID, 0, 5, LINEAR + 0x1000); });
	other_space("of the VPID", true, [] { by_host(0, BX_INSTR_INVVPID, 1, 5); });
	other_space("of another VPID", false, [] { by_host(0, BX_INSTR_INVVPID, 1, 6); });
	other_space("of all", true, [] { by_host(0, BX_INSTR_INVVPID, 2, 0); });
	other_space("of all but globals", true, [] { by_host(0, BX_INSTR_INVVPID, 3, 5); });
	other_space("INVVPID on another CPU", false, [] { by_host(1, BX_INSTR_INVVPID, 1, 5); });
	other_space("INVEPT", true, [] { by_host(0, BX_INSTR_INVEPT, 1, ROOT | OPEN); });
	other_space("MOV to CR3", true, [] { guest_loads(0x4000); });
	other_space("INVLPG", true, [] { testbed_translations_control(0, BX_INSTR_INVLPG, LINEAR); });
	other_space("INVPCID of all", true, [] { testbed_invalidate(0, BX_INSTR_INVPCID, 2, 0, 0); });
	other_space("MOV to CR4 that changes PGE", true, [] {
		fake_cpus[0].cr4.value ^= 1 << 7;
		testbed_translations_control(0, BX_INSTR_MOV_CR4, 0);
	});
	other_space("MOV to CR4 that changes nothing", false,
		    [] { testbed_translations_control(0, BX_INSTR_MOV_CR4, 0); });
	other_space("a page fault", true, [] {
		fake_cpus[0].vmcs.eptptr = ROOT | OPEN;
		testbed_page_fault(0, LINEAR, BX_WRITE, false);
	});
}

static void pcids(void)
{
	begin("MOV to CR3 that keeps");
	fake_cpus[0].cr4.value |= 1 << 17;
	fake_cpus[0].cr3 = 0x3001;
	touch(PAGE);
	guest_loads(1ull << 63 | 0x4001);
	fake_cpus[0].cr3 = 0x4001;
	touch(PAGE);
	expect(1, "no INVVPID");
	begin("of another PCID");
	fake_cpus[0].cr4.value |= 1 << 17;
	fake_cpus[0].cr3 = 0x3001;
	touch(PAGE);
	guest_loads(0x4002);
	fake_cpus[0].cr3 = 0x4002;
	touch(PAGE);
	expect(0);
}

static void touch_global(void)
{
	Bit64u entry[4];

	tables(entry, PAGE, RW);
	testbed_ept_walk(0, GPA, LINEAR, true, false, entry, 0, R, 0);
	testbed_guest_walk(0, LINEAR, PAGE, 0xfff, 6 | 0x100, BX_READ);
}

static void global_of_another_pcid(const char *name)
{
	begin(name);
	fake_cpus[0].cr4.value |= 1 << 17;
	fake_cpus[0].cr3 = 0x3001;
	touch_global();
	guest_loads(0x4002);
	fake_cpus[0].cr3 = 0x4002;
}

static void globals(void)
{
	begin("a global mapping");
	touch_global();
	guest_loads(0x4000);
	fake_cpus[0].cr3 = 0x4000;
	touch(PAGE);
	expect(1, "global, ");
	global_of_another_pcid("a global mapping of another PCID");
	touch(PAGE);
	expect(1, "global, ");
	global_of_another_pcid("INVLPG under another PCID");
	testbed_translations_control(0, BX_INSTR_INVLPG, LINEAR);
	touch(PAGE);
	expect(0);
}

int main(void)
{
	setenv("TESTBED_TRANSLATIONS", "1", 1);
	testbed_translations_init();
	uses();
	entries();
	invalidations();
	reused();
	given();
	spaces();
	pcids();
	globals();
	printf("%u checks\n", checks);
	return 0;
}
