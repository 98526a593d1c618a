/* SPDX-License-Identifier: MIT */
/*
 * Exact counts between two markers.
 *
 * A marker is a prefetch of an address that nothing else prefetches (see
 * agent/marker.h): it needs no privilege, causes no exit and is a no-op on a
 * real CPU. Only the CPU's own instruction counter is read, at VM entries, VM
 * exits and markers, so counting costs nothing in between.
 *
 * An instruction is one tick of that counter. An exception, a VM exit or an
 * interrupt also takes the tick of the instruction that it cut short, even
 * where there was none; VM entry belongs to the host, what exits to the guest.
 */
#include "bochs.h"
#include "cpu/cpu.h"
#include "pc_system.h"
#include "testbed.h"

#include <map>
#include <string>
#include <vector>

/* agent/marker.h has the same numbers. */
static const bx_address MARKER_BASE = 0xffffffffe1150000;
enum marker { MARKER_NAME = 0, MARKER_BEGIN = 1, MARKER_END = 2, COPY_TO_AGENT = 3, COPY_FROM_AGENT = 4, FREED = 5 };
static const unsigned REGIONS = 256;
static const unsigned NAME_REGISTERS = 4;

static const unsigned REASONS = 80; /* Bochs knows fewer (VMX_VMEXIT_LAST_REASON) */
static const unsigned REASON_VMFUNC = 59, REASON_EPT_VIOLATION = 48;

struct vcpu_counts {
	Bit16u vpid;
	Bit64u guest, host; /* instructions; host: of the CPU, from an exit of this vCPU to the next entry of any */
	Bit64u vmfunc;
	Bit64u exits[REASONS];
};

struct cpu_counts {
	Bit64u host, guest; /* instructions */
	Bit64u invept, invvpid;
};

/* Everything since the start. A vCPU is known by the address of its VMCS. */
struct counts {
	Bit64u ticks;
	std::vector<cpu_counts> cpus;
	std::map<Bit64u, vcpu_counts> vcpus;
};

static struct counts total;
static struct counts begin_of[REGIONS];
static bool is_open[REGIONS];
static std::string name_of[REGIONS];

/* Per CPU: where its present stretch of host or guest instructions began. */
struct stretch {
	Bit64u since;
	bool in_guest;
	struct vcpu_counts *vcpu; /* the one that runs, or was the last to; NULL before the first */
};
static std::vector<stretch> stretches;

void testbed_counts_init(void)
{
	stretches.resize(BX_SMP_PROCESSORS);
	total.cpus.resize(BX_SMP_PROCESSORS);
}

/* Counts what CPU has executed up to the instruction number UNTIL. */
static void close_stretch(unsigned cpu, Bit64u until)
{
	struct stretch *now = &stretches[cpu];

	/* A marker in the instruction after a VM entry or exit counts nothing yet. */
	if (until <= now->since)
		return;
	Bit64u executed = until - now->since;

	if (now->in_guest) {
		now->vcpu->guest += executed;
		total.cpus[cpu].guest += executed;
	} else {
		if (now->vcpu)
			now->vcpu->host += executed;
		total.cpus[cpu].host += executed;
	}
	now->since = until;
}

void testbed_vmentry(unsigned cpu)
{
	struct vcpu_counts *vcpu = &total.vcpus[BX_CPU(cpu)->vmcsptr];
	Bit64u next = BX_CPU(cpu)->get_icount() + 1;

	close_stretch(cpu, next);
	stretches[cpu] = { next, true, vcpu };
	vcpu->vpid = BX_CPU(cpu)->vmcs.vpid;
	testbed_schedule_entry(cpu);
}

void testbed_vmexit(unsigned cpu, Bit32u reason)
{
	struct stretch *now = &stretches[cpu];
	Bit64u next = BX_CPU(cpu)->get_icount() + 1;

	testbed_schedule_exit(cpu);
	if (!now->in_guest) /* an entry that failed was never in the guest */
		return;
	close_stretch(cpu, next);
	*now = { next, false, now->vcpu };
	reason &= 0xffff;
	if (reason < REASONS)
		now->vcpu->exits[reason]++;
}

void testbed_vmfunc(unsigned cpu, Bit32u leaf, Bit32u index)
{
	testbed_schedule_vmfunc(cpu, leaf, index);
	if (stretches[cpu].in_guest)
		stretches[cpu].vcpu->vmfunc++;
}

void testbed_tlb(unsigned cpu, unsigned what, Bit64u)
{
	if (what == BX_INSTR_INVEPT)
		total.cpus[cpu].invept++;
	else if (what == BX_INSTR_INVVPID)
		total.cpus[cpu].invvpid++;
}

/* All counts as of now; the marker that asks is not part of them. */
static void settle(void)
{
	for (unsigned cpu = 0; cpu < stretches.size(); cpu++)
		close_stretch(cpu, BX_CPU(cpu)->get_icount());
	total.ticks = bx_pc_system.time_ticks();
}

static void add(std::string *json, const char *key, Bit64u value)
{
	char text[64];

	snprintf(text, sizeof(text), "%s\"%s\": %llu", json->back() == '{' ? "" : ", ", key, (unsigned long long)value);
	*json += text;
}

static void add_vcpu(std::string *json, const vcpu_counts &now, const vcpu_counts &then)
{
	std::string exits = "{";

	for (unsigned reason = 0; reason < REASONS; reason++)
		if (now.exits[reason] > then.exits[reason])
			add(&exits, std::to_string(reason).c_str(), now.exits[reason] - then.exits[reason]);
	if (now.guest == then.guest && now.host == then.host && exits == "{")
		return;
	*json += json->back() == '[' ? "{" : ", {";
	add(json, "vpid", now.vpid);
	add(json, "guest", now.guest - then.guest);
	add(json, "host", now.host - then.host);
	add(json, "vmfunc", now.vmfunc - then.vmfunc);
	add(json, "vmfunc_failed", now.exits[REASON_VMFUNC] - then.exits[REASON_VMFUNC]);
	add(json, "ept_violations", now.exits[REASON_EPT_VIOLATION] - then.exits[REASON_EPT_VIOLATION]);
	*json += ", \"exits\": " + exits + "}}";
}

static void report(const std::string &name, const struct counts &then)
{
	std::string json = "{\"name\": \"" + name + "\"";

	add(&json, "ticks", total.ticks - then.ticks);
	json += ", \"cpus\": [";
	for (unsigned cpu = 0; cpu < total.cpus.size(); cpu++) {
		const cpu_counts &a = total.cpus[cpu], &b = then.cpus[cpu];
		json += cpu ? ", {" : "{";
		add(&json, "host", a.host - b.host);
		add(&json, "guest", a.guest - b.guest);
		add(&json, "invept", a.invept - b.invept);
		add(&json, "invvpid", a.invvpid - b.invvpid);
		json += "}";
	}
	json += "], \"vcpus\": [";
	for (auto &entry : total.vcpus) {
		auto before = then.vcpus.find(entry.first);
		add_vcpu(&json, entry.second, before == then.vcpus.end() ? vcpu_counts() : before->second);
	}
	json += "]}";
	testbed_send(TESTBED_COUNTS, json.data(), json.size());
}

/* Names are what a JSON string may hold without an escape; the rest becomes '_'. */
static void set_name(unsigned cpu, unsigned region)
{
	static const unsigned registers[NAME_REGISTERS] = { BX_64BIT_REG_RSI, BX_64BIT_REG_RDX, BX_64BIT_REG_RCX,
							    BX_64BIT_REG_R8 };
	char text[NAME_REGISTERS * 8 + 1] = "";

	for (unsigned i = 0; i < NAME_REGISTERS; i++) {
		Bit64u word = BX_CPU(cpu)->get_reg64(registers[i]);
		memcpy(text + i * 8, &word, 8);
	}
	for (char *at = text; *at; at++)
		if (!isalnum((unsigned char)*at) && !strchr("-_.:/ ", *at))
			*at = '_';
	name_of[region] = text;
}

void testbed_prefetch(unsigned cpu, bx_address address)
{
	bx_address offset = address - MARKER_BASE;
	unsigned region = offset >> 8;

	if (offset == REGIONS << 8)
		testbed_schedule(cpu);
	if (offset >= REGIONS << 8)
		return;
	/* watch/watch.c: physical address in RDI, bytes in RSI, whether another has it pinned in RDX */
	if ((offset & 0xff) == FREED) {
		if (testbed_checks)
			testbed_freed(cpu, BX_CPU(cpu)->get_reg64(BX_64BIT_REG_RDI),
				      BX_CPU(cpu)->get_reg64(BX_64BIT_REG_RSI),
				      BX_CPU(cpu)->get_reg64(BX_64BIT_REG_RDX));
		return;
	}
	if ((offset & 0xff) >= COPY_TO_AGENT) { /* agent/port.c: page in RDI, bytes in RSI */
		Bit64u moved = testbed_copy(cpu, BX_CPU(cpu)->get_reg64(BX_64BIT_REG_RDI),
					    BX_CPU(cpu)->get_reg64(BX_64BIT_REG_RSI), (offset & 0xff) == COPY_TO_AGENT);
		BX_CPU(cpu)->set_reg64(BX_64BIT_REG_RAX, moved);
		return;
	}
	settle();
	switch (offset & 0xff) {
	case MARKER_NAME:
		set_name(cpu, region);
		break;
	case MARKER_BEGIN:
		begin_of[region] = total;
		is_open[region] = true;
		break;
	case MARKER_END:
		if (is_open[region])
			report(name_of[region], begin_of[region]);
		is_open[region] = false;
		break;
	}
	/* The marker itself is outside of every region. */
	if (stretches[cpu].since < BX_CPU(cpu)->get_icount() + 1)
		stretches[cpu].since = BX_CPU(cpu)->get_icount() + 1;
}
