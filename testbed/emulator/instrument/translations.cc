/* SPDX-License-Identifier: MIT */
/*
 * Finds accesses that a real CPU could have served from a translation which is no longer in the tables, and pages that
 * are given back while a CPU could still reach them so; docs/fidelity.md says what of it is modelled, and why.
 */
#include "bochs.h"
#include "cpu/cpu.h"
#include "iodev/iodev.h"
#include "pc_system.h"
#include "testbed.h"
#include "translations.h"

#include <deque>
#include <stdarg.h>
#include <string>
#include <unordered_set>

bool testbed_checks;

/*
 * What is changed in the tables is invalidated a little later: another CPU, or another thread on this one, may use the
 * old translation until then, and does no harm as long as the page is not given back.
 */
static const Bit64u GRACE_TICKS = 100000;
static const unsigned REPORTS_MAX = 50; /* between two messages to the agent: the first tell enough */
static const Bit32u EPT_VIOLATION = 48;

static std::vector<kept> cpus;
/* Those that were entered by VMFUNC, but not from entry 0 of a list: gate and sub contexts. */
static std::unordered_set<Bit64u> inside_roots;

/*
 * A use of what was no longer in the tables; reported unless it is invalidated before the grace is over. KVM
 * invalidates at a vCPU's next entry: of its roots, a CPU that has left the guest is given until it uses such a thing
 * again.
 */
struct suspicion {
	Bit64u since;
	unsigned cpu;
	Bit64u root, key, target;
	Bit64s tag; /* of a combined mapping, else ANY */
	std::string text;
};
static std::deque<suspicion> suspicions;
static unsigned reports;

static std::string format(const char *pattern, ...)
{
	char text[512];
	va_list arguments;

	va_start(arguments, pattern);
	vsnprintf(text, sizeof(text), pattern, arguments);
	va_end(arguments);
	return text;
}

static void report(const std::string &text)
{
	if (++reports > REPORTS_MAX)
		return;
	printf("translations: %s\n", text.c_str());
	fflush(stdout);
	testbed_send(TESTBED_REPORT, text.data(), text.size());
}

static std::string rights_text(Bit32u rights)
{
	return format("%c%c%c", rights & EPT_READ ? 'r' : '-', rights & EPT_WRITE ? 'w' : '-',
		      rights & (EPT_EXECUTE | EPT_USER_EXECUTE) ? 'x' : '-');
}

static Bit64u root_of(unsigned cpu)
{
	return BX_CPU(cpu)->vmcs.eptptr & TABLE_ADDRESS;
}

static Bit16u vpid_of(unsigned cpu)
{
	return BX_CPU(cpu)->vmcs.vmexec_ctrls2.VPID_ENABLE() ? BX_CPU(cpu)->vmcs.vpid : 0;
}

static Bit16u pcid_of(unsigned cpu)
{
	return BX_CPU(cpu)->cr4.get_PCIDE() ? BX_CPU(cpu)->cr3 & 0xfff : 0;
}

static std::string where(unsigned cpu)
{
	return format("CPU %u, RIP %#llx, VPID %u, EPT root %#llx (%s)", cpu, BX_CPU(cpu)->prev_rip, vpid_of(cpu),
		      root_of(cpu), inside_roots.count(root_of(cpu)) ? "inside" : "default");
}

static std::string what(const mapping &mapping, unsigned level)
{
	return format("the %s at %#llx %s for %llu KiB", mapping.table ? "table" : "page", mapping.target,
		      rights_text(mapping.rights).c_str(), (unsigned long long)bytes_of(level) >> 10) +
	       (mapping.since ? format(", seen at tick %llu", mapping.since) : "");
}

/* The bits of an entry that permit something. */
static Bit32u rights_mask(unsigned cpu)
{
	return EPT_READ | EPT_WRITE | EPT_EXECUTE | (BX_CPU(cpu)->vmcs.vmexec_ctrls2.MBE_CTRL() ? EPT_USER_EXECUTE : 0);
}

static mappings *mappings_of(unsigned cpu, Bit64u root, Bit64s tag)
{
	auto found = cpus[cpu].roots.find(root);

	if (found == cpus[cpu].roots.end())
		return NULL;
	return tag == ANY ? &found->second.physical : &found->second.combined[tag];
}

/* Suspicions whose grace is over: was what they are about invalidated meanwhile? */
static void settle(void)
{
	while (!suspicions.empty() && suspicions.front().since + GRACE_TICKS <= bx_pc_system.time_ticks()) {
		suspicion &first = suspicions.front();
		mappings *all = mappings_of(first.cpu, first.root, first.tag);
		/* In the same tick, if the access itself made it leave. */
		bool left = !inside_roots.count(first.root) && cpus[first.cpu].left >= first.since;

		if (all && all->count(first.key))
			for (mapping &each : (*all)[first.key])
				if (each.target == first.target && each.suspected && !each.reported) {
					each.overdue = left;
					each.reported = !left;
					if (!left)
						report(first.text);
				}
		suspicions.pop_front();
	}
}

void testbed_translations_message(void)
{
	settle();
	reports = 0;
}

static void suspect(unsigned cpu, Bit64s tag, Bit64u key, mapping *mapping, const std::string &text)
{
	/* What a root of KVM's has left leads to pages that were given back long ago: there is no grace for it inside.
	 */
	bool foreign = !mapping->inside && inside_roots.count(root_of(cpu));

	if ((mapping->overdue || foreign) && !mapping->reported) {
		mapping->reported = true;
		report(text);
	}
	if (mapping->suspected)
		return;
	mapping->suspected = true;
	suspicions.push_back({ bx_pc_system.time_ticks(), cpu, root_of(cpu), key, mapping->target, tag, text });
}

/* To the list of its key, unless it is there. False if it is the only one. */
static bool keep(struct kept *kept, std::vector<mapping> *list, const mapping &wanted)
{
	for (const mapping &each : *list)
		if (each.target == wanted.target && each.rights == wanted.rights && each.table == wanted.table &&
		    each.gpa == wanted.gpa && each.space == wanted.space && each.global == wanted.global)
			return list->size() > 1;
	list->push_back(wanted);
	list->back().since = bx_pc_system.time_ticks();
	if (list->size() > 1)
		kept->epoch++;
	return list->size() > 1;
}

/* What the tables say of one address, by level. */
struct walk {
	bool valid[LEVELS];
	mapping at[LEVELS];
	int level; /* where it ends */

	const mapping *page() const
	{
		return valid[level] && !at[level].table ? &at[level] : NULL;
	}
};

static struct walk walk_of(const Bit64u *entry, int level, bool broken, Bit32u rights, bool inside)
{
	struct walk walk = {};

	walk.level = level;
	for (int at = LEVELS - 1; at >= level; at--) {
		rights &= entry[at];
		walk.valid[at] = at > level || !broken;
		walk.at[at].inside = inside;
		walk.at[at].table = at > level;
		walk.at[at].target = entry[at] & TABLE_ADDRESS & (at > level ? ~0ull : ~(bytes_of(at) - 1));
		walk.at[at].rights = rights;
	}
	return walk;
}

static bool serves(const mapping &mapping, Bit32u access)
{
	return (mapping.rights & access) == access;
}

/* Would it have served the access as the tables do now? */
static bool agrees(const mapping &old, unsigned level, const struct walk &walk, Bit64u gpa, Bit32u access)
{
	const mapping *now =
		old.table ? (walk.valid[level] && walk.at[level].table ? &walk.at[level] : NULL) : walk.page();

	if (!now || !serves(*now, access))
		return false;
	if (old.table)
		return now->target == old.target;
	return ((old.target + gpa % bytes_of(level)) ^ (now->target + gpa % bytes_of(walk.level))) < 0x1000;
}

/* All that the CPU may have kept of this address. False if some of it disagrees. */
static bool check_physical(unsigned cpu, mappings *all, const struct walk &walk, Bit64u gpa, Bit64u laddr,
			   Bit32u access)
{
	bool good = true;

	for (unsigned level = 0; level < LEVELS; level++) {
		Bit64u key = key_of(level, gpa);
		auto found = all->find(key);

		if (found == all->end())
			continue;
		for (mapping &old : found->second) {
			if (!serves(old, access) || agrees(old, level, walk, gpa, access))
				continue;
			const mapping *now = walk.page();
			good = false;
			suspect(cpu, ANY, key, &old,
				format("%s: guest-physical %#llx (linear %#llx) could have been translated by %s, the tables now "
				       "have %s: no INVEPT of this root on this CPU since it was changed",
				       where(cpu).c_str(), gpa, laddr, what(old, level).c_str(),
				       now ? what(*now, walk.level).c_str() : "nothing"));
		}
	}
	return good;
}

static bool was_seen(const struct kept &kept, const seen_walk &seen, Bit64u root, Bit64u gpa, const Bit64u *entry,
		     int level)
{
	if (seen.root != root || seen.page != gpa >> 12 || seen.epoch != kept.epoch || seen.level != level)
		return false;
	for (int at = LEVELS - 1; at >= level; at--)
		if ((seen.entry[at] ^ entry[at]) & ~0x300ull) /* accessed and dirty say nothing */
			return false;
	return true;
}

static void check_combined(unsigned cpu, Bit64u laddr, Bit32u access, const mapping *now, unsigned now_level);

void testbed_ept_walk(unsigned cpu, Bit64u gpa, Bit64u laddr, bool laddr_valid, bool page_walk, const Bit64u *entry,
		      int level, Bit32u access, Bit32u reason)
{
	struct kept *kept = &cpus[cpu];
	Bit64u root = root_of(cpu);
	seen_walk *seen = &kept->seen[((gpa >> 12) ^ (root >> 10)) % SEEN_WALKS];
	Bit32u mask = rights_mask(cpu);
	bool broken = reason && (reason != EPT_VIOLATION || !(entry[level] & mask));

	kept->walk_level = level;
	kept->walk_gpa = gpa;
	kept->walk_rights = mask;
	for (int at = LEVELS - 1; at >= level; at--)
		kept->walk_rights &= entry[at];
	if (!reason && was_seen(*kept, *seen, root, gpa, entry, level))
		return;
	settle();

	bool inside = inside_roots.count(root);
	struct walk walk = walk_of(entry, level, broken, mask, inside);
	mappings *all = &kept->roots[root].physical;
	bool good = check_physical(cpu, all, walk, gpa, laddr, access), others = false;

	for (unsigned at = level; at < LEVELS; at++)
		if (walk.valid[at] && (at > (unsigned)level || !reason))
			others |= keep(kept, &(*all)[key_of(at, gpa)], walk.at[at]);
	if (reason) {
		if (laddr_valid && inside)
			check_combined(cpu, laddr, page_walk ? 0 : access, NULL, 0);
		if (reason == EPT_VIOLATION)
			forget_violating(kept, root, gpa, laddr_valid ? &laddr : NULL,
					 tag_of(vpid_of(cpu), pcid_of(cpu)));
		return;
	}
	if (good && !others) {
		*seen = { root, gpa >> 12, kept->epoch, {}, level };
		memcpy(seen->entry + level, entry + level, (LEVELS - level) * sizeof(*entry));
	}
}

/* --- combined mappings, of gate and sub contexts: those of the default one depend on the guest's own tables */

static bool read_entry(Bit64u address, Bit64u *entry)
{
	return BX_MEM(0)->dbg_fetch_mem(BX_CPU(0), address, sizeof(*entry), (Bit8u *)entry);
}

/* Does the EPT still say of a page's guest-physical address what it said? */
static bool ept_agrees(unsigned cpu, Bit64u root, Bit64u gpa, const mapping &old)
{
	Bit64u table = root, entry;
	Bit32u mask = rights_mask(cpu), rights = mask;

	for (int level = LEVELS - 1; level >= 0; level--) {
		if (!read_entry(table + (gpa >> (12 + 9 * level)) % 512 * 8, &entry))
			return false;
		rights &= entry;
		if (!(entry & mask))
			return false;
		table = entry & TABLE_ADDRESS;
		if (level && !(entry & 0x80))
			continue;
		table = (table & ~(bytes_of(level) - 1)) + gpa % bytes_of(level);
		return (table ^ old.target) < 0x1000 && !(old.rights & ~rights);
	}
	return false;
}

/* CR3, and what else says how tables are read. */
static Bit64u space_of(unsigned cpu)
{
	BX_CPU_C *c = BX_CPU(cpu);
	unsigned how = c->cr0.get_PG() | c->cr4.get_PAE() << 1 | c->cr4.get_LA57() << 2 | c->cr4.get_PGE() << 3 |
		       c->efer.get_LMA() << 4 | c->efer.get_NXE() << 5;

	return (c->cr3 & TABLE_ADDRESS) | how;
}

static void suspect_combined(unsigned cpu, Bit32u tag, Bit64u key, mapping *old, Bit64u laddr, const mapping *now,
			     unsigned level)
{
	bool other_space = old->space != space_of(cpu);
	/* If the EPT has not changed, the linear side has. */
	bool linear = other_space || ept_agrees(cpu, root_of(cpu), old->gpa, *old);
	std::string text = format("%s: linear %#llx could have been translated by %s%s (guest-physical %#llx, CR3 and "
				  "modes %#llx), the tables of %#llx have %s: no %s on this CPU since it was changed",
				  where(cpu).c_str(), laddr, old->global ? "global, " : "", what(*old, key & 7).c_str(),
				  old->gpa, old->space, space_of(cpu), now ? what(*now, level).c_str() : "nothing",
				  linear ? "INVVPID of this VPID" : "INVEPT of this root");

	if (!linear) {
		suspect(cpu, tag, key, old, text);
	} else if (!old->reported) {
		/* Whoever changes what a VPID means invalidates before the next VM entry. */
		old->suspected = old->reported = true;
		report(text);
	}
}

/* What was kept under one VPID and PCID, or of it what is global alone. */
static void check_tagged(unsigned cpu, Bit32u tag, mappings *all, bool globals, Bit64u laddr, Bit32u access,
			 const mapping *now, unsigned now_level)
{
	for (unsigned level = 0; level < LEVELS; level++) {
		Bit64u key = key_of(level, laddr);
		auto found = all->find(key);

		if (found == all->end())
			continue;
		for (mapping &old : found->second) {
			Bit64u offset = laddr % bytes_of(level);

			if ((globals && !old.global) || !serves(old, access) ||
			    (now && old.space == space_of(cpu) &&
			     ((old.target + offset) ^ (now->target + laddr % bytes_of(now_level))) < 0x1000))
				continue;
			suspect_combined(cpu, tag, key, &old, laddr, now, now_level);
		}
	}
}

/* ACCESS 0: of any kind. NOW is NULL if the access fails. Global mappings serve all PCIDs. */
static void check_combined(unsigned cpu, Bit64u laddr, Bit32u access, const mapping *now, unsigned now_level)
{
	auto root = cpus[cpu].roots.find(root_of(cpu));
	Bit32u own = tag_of(vpid_of(cpu), pcid_of(cpu));

	if (root == cpus[cpu].roots.end())
		return;
	for (auto &tagged : root->second.combined)
		if (tagged.first >> 12 == own >> 12)
			check_tagged(cpu, tagged.first, &tagged.second, tagged.first != own, laddr, access, now,
				     now_level);
}

static Bit32u access_of(unsigned rw)
{
	return rw == BX_EXECUTE ? 0 : rw & 1 ? EPT_WRITE : EPT_READ;
}

void testbed_guest_walk(unsigned cpu, Bit64u laddr, Bit64u hpa, Bit32u page_mask, Bit32u guest_access, unsigned rw)
{
	struct kept *kept = &cpus[cpu];
	Bit64u root = root_of(cpu);
	unsigned level = page_mask > 0x1fffff ? 2 : page_mask > 0xfff ? 1 : 0;
	mapping now = {};

	if (!inside_roots.count(root))
		return;
	level = std::min(level, kept->walk_level);
	now.target = hpa & ~(bytes_of(level) - 1);
	now.gpa = kept->walk_gpa & ~(bytes_of(level) - 1);
	now.rights = kept->walk_rights;
	if (!(guest_access & 2))
		now.rights &= ~EPT_WRITE;
	if (guest_access & 1)
		now.rights &= ~(EPT_EXECUTE | EPT_USER_EXECUTE);
	now.space = space_of(cpu);
	now.global = guest_access & 0x100;
	now.inside = true;
	check_combined(cpu, laddr, access_of(rw), &now, level);
	keep(kept, &kept->roots[root].combined[tag_of(vpid_of(cpu), pcid_of(cpu))][key_of(level, laddr)], now);
}

/* NOTHING_THERE: the tables have no page there. Else they do not permit the access, or protection keys, SMEP or SMAP.
 */
void testbed_page_fault(unsigned cpu, Bit64u laddr, unsigned rw, bool nothing_there)
{
	if (!BX_CPU(cpu)->in_vmx_guest || !inside_roots.count(root_of(cpu)))
		return;
	if (nothing_there)
		check_combined(cpu, laddr, access_of(rw), NULL, 0);
	forget_faulting(&cpus[cpu], tag_of(vpid_of(cpu), pcid_of(cpu)), laddr);
}

/* --- what the CPU does */

void testbed_translations_init(void)
{
	testbed_checks = getenv("TESTBED_TRANSLATIONS") != NULL;
	cpus.resize(BX_SMP_PROCESSORS);
	for (kept &each : cpus)
		each.seen.resize(SEEN_WALKS);
}

void testbed_eptp_switch(unsigned cpu, unsigned index, Bit64u eptp)
{
	if (index)
		inside_roots.insert(eptp & TABLE_ADDRESS);
	else
		inside_roots.erase(eptp & TABLE_ADDRESS);
}

/* A root of ours may become one of KVM's; a call that goes on is entered by VM entry, too. */
static void look_at_root(unsigned cpu)
{
	const VMCS_CACHE &vmcs = BX_CPU(cpu)->vmcs;
	Bit64u root = root_of(cpu), first;

	if (!inside_roots.count(root))
		return;
	if (!vmcs.vmexec_ctrls2.VMFUNC_ENABLE() || !(vmcs.vmfunc_ctrls & 1) ||
	    (read_entry(vmcs.eptp_list_address, &first) && (first & TABLE_ADDRESS) == root))
		inside_roots.erase(root);
}

void testbed_translations_entry(unsigned cpu)
{
	struct kept *kept = &cpus[cpu];

	settle();
	if (BX_CPU(cpu)->vmcs.vmexec_ctrls2.EPT_ENABLE())
		look_at_root(cpu);
	if (!vpid_of(cpu))
		forget_combined(kept, 0, ANY, NULL, true);
	kept->cr0 = BX_CPU(cpu)->cr0.get32();
	kept->cr4 = BX_CPU(cpu)->cr4.get32();
}

void testbed_translations_exit(unsigned cpu)
{
	cpus[cpu].left = bx_pc_system.time_ticks();
	if (!vpid_of(cpu))
		forget_combined(&cpus[cpu], 0, ANY, NULL, true);
}

/* MOV to CR0 and CR4 by a guest. */
static void control_changed(unsigned cpu)
{
	static const Bit64u PG = 1u << 31, PGE = 1 << 7, PCIDE = 1 << 17, PAE = 1 << 5, SMEP = 1 << 20;
	struct kept *kept = &cpus[cpu];
	Bit64u cr0 = BX_CPU(cpu)->cr0.get32(), cr4 = BX_CPU(cpu)->cr4.get32(), changed = cr4 ^ kept->cr4;

	if (kept->cr0 & ~cr0 & PG || changed & PGE || kept->cr4 & ~cr4 & PCIDE)
		forget_combined(kept, vpid_of(cpu), ANY, NULL, true);
	else if (changed & PAE || ~kept->cr4 & cr4 & SMEP)
		forget_combined(kept, vpid_of(cpu), pcid_of(cpu), NULL, false);
	kept->cr0 = cr0;
	kept->cr4 = cr4;
}

void testbed_translations_control(unsigned cpu, unsigned what, Bit64u value)
{
	if (!BX_CPU(cpu)->in_vmx_guest)
		return;
	if (what == BX_INSTR_MOV_CR0 || what == BX_INSTR_MOV_CR4)
		control_changed(cpu);
	else if (what == BX_INSTR_INVLPG)
		forget_combined(&cpus[cpu], vpid_of(cpu), pcid_of(cpu), &value, true);
	else if (what == BX_INSTR_TASK_SWITCH)
		forget_combined(&cpus[cpu], vpid_of(cpu), pcid_of(cpu), NULL, false);
}

/* By a guest: MOV to CR3 (ID is what it loads) and INVPCID. */
static void invalidated_by_guest(unsigned cpu, unsigned what, unsigned type, Bit64u id, Bit64u laddr)
{
	struct kept *kept = &cpus[cpu];
	bool pcide = BX_CPU(cpu)->cr4.get_PCIDE();
	int pcid = pcide ? id & 0xfff : 0;

	if (what == BX_INSTR_MOV_CR3) {
		if (!pcide || !(id >> 63))
			forget_combined(kept, vpid_of(cpu), pcid, NULL, false);
	} else if (what == BX_INSTR_INVPCID) {
		forget_combined(kept, vpid_of(cpu), type < 2 ? pcid : (int)ANY, type ? NULL : &laddr, type == 2);
	}
}

void testbed_invalidate(unsigned cpu, unsigned what, unsigned type, Bit64u id, Bit64u laddr)
{
	struct kept *kept = &cpus[cpu];

	if (BX_CPU(cpu)->in_vmx_guest) {
		invalidated_by_guest(cpu, what, type, id, laddr);
	} else if (what == BX_INSTR_INVEPT) {
		if (type == 1)
			forget_root(kept, id & TABLE_ADDRESS);
		else
			forget_all(kept);
	} else if (what == BX_INSTR_INVVPID) {
		forget_combined(kept, type == 2 ? (int)ANY : (int)id, ANY, type ? NULL : &laddr, type != 3);
	}
}

/* --- pages that are given back */

/* A way that a CPU has kept to what is given back. */
struct way {
	Bit64u address;
	const mapping *kept;
	unsigned level;
};

/* UNLESS_HELD: none that the tables have still. */
static bool reaches(unsigned cpu, Bit64u root, const mappings &all, bool linear, Bit64u hpa, Bit64u bytes,
		    bool unless_held, struct way *way)
{
	for (auto &entry : all)
		for (const mapping &each : entry.second) {
			unsigned level = entry.first & 7;
			Bit64u address = address_of(entry.first), size = each.table ? 0x1000 : bytes_of(level);

			if (each.target >= hpa + bytes || hpa >= each.target + size)
				continue;
			if (unless_held && !each.table && ept_agrees(cpu, root, linear ? each.gpa : address, each))
				continue;
			*way = { address, &each, level };
			return true;
		}
	return false;
}

/*
 * BYTES from HPA on are given back to the host's kernel: no CPU may reach them through gate or sub contexts any more,
 * unless they are another buffer's too (PINNED), by which the tables have them still.
 */
void testbed_freed(unsigned by, Bit64u hpa, Bit64u bytes, bool pinned)
{
	struct way way;

	if (BX_CPU(by)->in_vmx_guest)
		return;
	for (unsigned cpu = 0; cpu < cpus.size(); cpu++)
		for (auto &root : cpus[cpu].roots) {
			/* KVM invalidates all when it loads a vCPU that has run before VMX was off. */
			if (!inside_roots.count(root.first) || !BX_CPU(cpu)->in_vmx)
				continue;
			bool linear = false,
			     any = reaches(cpu, root.first, root.second.physical, false, hpa, bytes, pinned, &way);

			for (auto &tagged : root.second.combined)
				if (!any)
					any = linear =
						reaches(cpu, root.first, tagged.second, true, hpa, bytes, pinned, &way);
			if (any)
				report(format(
					"CPU %u, RIP %#llx: memory at %#llx (%llu KiB) is given back while CPU %u may have "
					"kept %s for %s %#llx of EPT root %#llx (inside): no INVEPT of that root on that CPU",
					by, BX_CPU(by)->prev_rip, hpa, bytes >> 10, cpu,
					what(*way.kept, way.level).c_str(), linear ? "linear" : "guest-physical",
					way.address, root.first));
		}
}
