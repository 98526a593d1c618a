/* SPDX-License-Identifier: MIT */
/* Operations that invalidate what a CPU has kept. INVEPT on another CPU, and VMFUNC, end nothing. */
#include "translations.h"

void forget_root(struct kept *kept, uint64_t root)
{
	kept->epoch++;
	kept->roots.erase(root);
}

void forget_all(struct kept *kept)
{
	kept->epoch++;
	kept->roots.clear();
}

static bool covers(uint64_t key, uint64_t address)
{
	return key_of(key & 7, address) == key;
}

enum which { LOCAL = 1, GLOBAL = 2 };

static void forget_in(mappings *all, const uint64_t *linear, unsigned which)
{
	for (auto entry = all->begin(); entry != all->end();) {
		std::vector<mapping> &list = entry->second;

		if (!linear || covers(entry->first, *linear))
			for (auto each = list.begin(); each != list.end();)
				each = which & (each->global ? GLOBAL : LOCAL) ? list.erase(each) : each + 1;
		entry = list.empty() ? all->erase(entry) : ++entry;
	}
}

void forget_combined(struct kept *kept, int vpid, int pcid, const uint64_t *linear, bool global)
{
	for (auto &root : kept->roots)
		for (auto &tagged : root.second.combined) {
			bool own = pcid == ANY || (int)(tagged.first & 0xfff) == pcid;

			if (vpid == ANY || (int)(tagged.first >> 12) == vpid)
				forget_in(&tagged.second, linear, (own ? LOCAL : 0) | (global ? GLOBAL : 0));
		}
}

/* One that is suspected would have served the access: then there is no violation. */
static void forget_unsuspected(mappings *all, uint64_t address)
{
	for (unsigned level = 0; level < LEVELS; level++) {
		auto found = all->find(key_of(level, address));

		if (found == all->end())
			continue;
		for (auto each = found->second.begin(); each != found->second.end();)
			each = each->suspected ? each + 1 : found->second.erase(each);
		if (found->second.empty())
			all->erase(found);
	}
}

void forget_violating(struct kept *kept, uint64_t root, uint64_t gpa, const uint64_t *linear, uint32_t tag)
{
	auto found = kept->roots.find(root);

	if (found == kept->roots.end())
		return;
	kept->epoch++;
	forget_unsuspected(&found->second.physical, gpa);
	if (linear && found->second.combined.count(tag))
		forget_unsuspected(&found->second.combined[tag], *linear);
}

void forget_faulting(struct kept *kept, uint32_t tag, uint64_t linear)
{
	for (auto &root : kept->roots)
		if (root.second.combined.count(tag))
			forget_unsuspected(&root.second.combined[tag], linear);
}
