// SPDX-License-Identifier: GPL-2.0-only
/* Memory that is not this VM's. */
#include "manager.h"

#include <asm/apicdef.h>
#include <asm/io.h>
#include <linux/completion.h>
#include <linux/kthread.h>
#include <linux/sched.h>
#include <linux/string.h>

/* False: it must not be taken. */
static bool make_extent(struct asker *asker, struct elisa_extent *extent)
{
	u64 value = asker_random(asker), page = (value >> 8) % PLAY_PAGES, far = (value >> 16) & 0x3ffffffff;

	*extent = (struct elisa_extent){ virt_to_phys(asker->play) + page * ELISA_PAGE, ELISA_PAGE };
	switch (value % 32) {
	case 0: /* behind its memory: whatever the host or another VM may have at such an address */
		extent->gpa = ram_bytes + far * ELISA_PAGE % (1ull << 46);
		return false;
	case 1: /* from its memory on beyond */
		*extent = (struct elisa_extent){ ram_bytes - ELISA_PAGE, 2 * ELISA_PAGE };
		return false;
	case 2: /* what is used inside */
		extent->gpa = region + far % (36 * ELISA_1G / ELISA_PAGE) * ELISA_PAGE;
		return false;
	case 3: /* objects mapped directly, if any */
		extent->gpa = region + 136 * ELISA_1G + far % 1024 * ELISA_PAGE;
		return false;
	case 4: /* devices; every fourth time the page of the APIC, for which KVM has a memory slot of its own */
		extent->gpa = far % 4 ? 0xfe000000 + far % 0x1ff0 * ELISA_PAGE : APIC_DEFAULT_PHYS_BASE;
		return false;
	case 5: /* around the end of all addresses */
		extent->gpa = -(far % 16 + 1) * ELISA_PAGE;
		extent->bytes = (far % 16 + 2) * ELISA_PAGE;
		return false;
	case 6:
		extent->bytes = -extent->gpa + ELISA_PAGE;
		return false;
	case 7:
		extent->bytes = 0;
		return false;
	case 8: /* a part of a page */
		extent->gpa += far % (ELISA_PAGE - 1) + 1;
		return false;
	case 9:
		extent->bytes = far % (ELISA_PAGE - 1) + 1;
		return false;
	case 10: /* all there is, and more */
		*extent = (struct elisa_extent){ 0, ELISA_MEMORY_MAX + ELISA_PAGE };
		return false;
	case 11:
		extent->bytes = 1ull << (40 + far % 24);
		return false;
	default:
		return true;
	}
}

static bool make_request(struct asker *asker)
{
	u32 extents = asker_random(asker) % 8 + 1;
	u64 value = asker_random(asker);
	bool right = true;

	for (u32 i = 0; i < extents; i++)
		right &= make_extent(asker, asker->extents + i);
	memset(asker->request, 0, sizeof(*asker->request));
	asker->request->memory.extents = extents;
	asker->request->memory.gpa = virt_to_phys(asker->extents);
	switch (value % 64) {
	case 0:
		asker->request->memory.extents = 0;
		return false;
	case 1:
		asker->request->memory.extents = ELISA_EXTENTS_MAX + 1 + (u32)(value >> 8) % 1000;
		return false;
	case 2:
		asker->request->memory.extents = (u32)(value >> 8) | 1u << 31;
		return false;
	case 3:
		asker->request->memory.gpa += 16 * (1 + (value >> 8) % 255);
		return false;
	case 4: /* the list itself elsewhere */
		asker->request->memory.gpa = ram_bytes + (value >> 20) * ELISA_PAGE;
		return false;
	case 5: /* more of what was never named */
		asker->request->memory.id = 1 + (u32)(value >> 8) % 1000;
		return false;
	default:
		return right;
	}
}

/* Around the end of all addresses, where nobody has memory: refused for that. */
static void wraps(struct asker *asker)
{
	for (u64 pages = 1; pages < 16; pages++) {
		asker->extents[0] = (struct elisa_extent){ -pages * ELISA_PAGE, (pages + 1) * ELISA_PAGE };
		expect("an extent that wraps around", name_extents(asker, 1), -EINVAL);
	}
}

int attack_memory(struct asker *asker)
{
	u64 accepted = 0;

	wraps(asker);
	for (unsigned long i = 0; i < count; i++) {
		bool right = make_request(asker);
		struct elisa_extent first = asker->extents[0];
		int error = ask(asker, ELISA_OP_MEMORY, 0);

		judge(right == !error, "memory", first.gpa, first.bytes, error);
		accepted += !error;
		if (!error)
			error = ask(asker, ELISA_OP_MEMORY_RELEASE, 0);
		if (i % 64 == 63)
			cond_resched();
	}
	pr_info("hostile_manager: %llu of %lu were its own\n", accepted, count);
	return accepted && accepted < count ? 0 : -EIO;
}

/* One of many threads that do the same to the same numbers at the same time. */
static void storm(struct asker *asker)
{
	for (unsigned long i = 0; i < count; i++) {
		u64 value = asker_random(asker);
		u32 op = value % (ELISA_OP_DETACH + 1);

		memset(asker->request, 0, sizeof(*asker->request));
		/* Both use the same few numbers. HELLO and BYE now and then only: they end all. */
		if (op <= ELISA_OP_BYE && value >> 8 & 63)
			op = ELISA_OP_MEMORY;
		asker->request->memory.id = value >> 16 & 3;
		asker->request->memory.extents = 1 + (value >> 20 & 3);
		asker->request->memory.gpa = virt_to_phys(asker->extents);
		for (unsigned int page = 0; page < 4; page++)
			asker->extents[page] =
				(struct elisa_extent){ virt_to_phys(asker->play) + page * ELISA_PAGE, ELISA_PAGE };
		if (op == ELISA_OP_HELLO)
			asker->request->hello.version = ELISA_HYPERCALL_VERSION;
		else if (op == ELISA_OP_CREATE)
			asker->request->create.flags = value >> 24 & 14;
		else if (op == ELISA_OP_PUBLISH || op == ELISA_OP_ATTACH)
			snprintf(asker->request->publish.name, ELISA_NAME_MAX, "storm%llu", value >> 32 & 1);
		else if (op == ELISA_OP_GRANT)
			asker->request->grant.rights = 3;
		else if (op == ELISA_OP_SHARE)
			asker->request->share.bytes = ELISA_PAGE;
		else if (op == ELISA_OP_ANSWER)
			asker->request->answer.attachment = value >> 32 & 63;
		ask(asker, op, value >> 40 & 63 ? value >> 40 & 3 : (u32)(value >> 32));
		if (op == ELISA_OP_CREATE && !asker->request->error)
			give_code(asker, asker->request->id);
		if (i % 16 == 15)
			cond_resched();
	}
}

static DECLARE_COMPLETION(done);

static int run_storm(void *asker)
{
	storm(asker);
	complete(&done);
	return 0;
}

int attack_storm(struct asker *asker)
{
	struct asker *other[4] = {};
	unsigned int started = 0;

	for (; started < min(threads, 4u); started++) {
		struct task_struct *task;

		other[started] = asker_create(asker_random(asker));
		if (!other[started])
			break;
		task = kthread_create(run_storm, other[started], "storm%u", started);
		if (IS_ERR(task))
			break;
		kthread_bind(task, started % num_online_cpus());
		wake_up_process(task);
	}
	for (unsigned int i = 0; i < started; i++)
		wait_for_completion(&done);
	/* Nobody uses their pages after that. */
	ask_plain(asker, ELISA_OP_BYE, 0);
	for (unsigned int i = 0; i < 4; i++)
		if (other[i])
			asker_destroy(other[i]);
	tried = contained = started * count;
	return started == min(threads, 4u) ? 0 : -ENOMEM;
}
