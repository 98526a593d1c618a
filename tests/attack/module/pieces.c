// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that is named again and again, for each of which the host keeps something: in pieces of a page, and all of the
 * VM's each time. What it allows is `count`; beyond that it must refuse, and what was given back counts no more.
 */
#include "attack.h"

#include <asm/io.h>
#include <linux/delay.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/string.h>

#include "driver.h"

#define MEMORIES 32 /* fewer than a VM may have named and not handed on */
#define BEYOND 64
#define FAILURES 8
#define TURNS 500 /* of a millisecond or more: the host gives back a little later */
#define ALL_BEGINS 0x100000
#define BLOCKS 32
#define BLOCK_ORDER 9

static struct elisa_extent *extents, piece;
static u32 ids[MEMORIES];

static int ask_memory(u32 op, u32 id, u32 count)
{
	memset(request, 0, sizeof(*request));
	request->memory.id = id;
	request->memory.extents = count;
	request->memory.gpa = virt_to_phys(extents);
	cond_resched();
	return ask(op, 0);
}

/* Memory of so many pieces. After an error there is none. */
static int name(u32 *id, unsigned long pieces)
{
	unsigned long now;
	int error = 0;

	for (*id = 0; !error && pieces; pieces -= now) {
		now = min(pieces, ELISA_EXTENTS_MAX);
		error = ask_memory(ELISA_OP_MEMORY, *id, now);
		*id = request->memory.id;
	}
	return error;
}

static int release(u32 id)
{
	return ask_memory(ELISA_OP_MEMORY_RELEASE, id, 0);
}

static void one_more(const char *when)
{
	u32 id;
	int error;

	tried++;
	error = name(&id, 1);
	if (error == -ENOSPC) {
		contained++;
		return;
	}
	pr_info("attack: one more %s: %d\n", when, error);
	breach(when, "what goes beyond the limit was not refused for that");
	if (!error)
		release(id);
}

/* The last piece is nobody's: what came before it is not the VM's either. */
static int fail(unsigned long pieces)
{
	int error;

	pieces = min(pieces, ELISA_EXTENTS_MAX - 1);
	extents[pieces].gpa = region;
	error = ask_memory(ELISA_OP_MEMORY, 0, pieces + 1);
	extents[pieces] = piece;
	/* What failed before may not be given back yet. */
	return error == -EFAULT || error == -ENOSPC ? 0 : -EIO;
}

static int name_again(u32 *id, unsigned long pieces)
{
	int error = name(id, pieces);

	for (unsigned int i = 0; error == -ENOSPC && i < TURNS; i++) {
		usleep_range(1000, 2000);
		error = name(id, pieces);
	}
	return error;
}

/* MEMORIES of PIECES each, the last one less by LESS: there is room for these, and for no more. */
static int exhaust(unsigned int memories, unsigned long pieces, unsigned int less)
{
	int error = 0;

	for (unsigned int i = 0; !error && i < memories; i++)
		error = name(&ids[i], pieces - (i + 1 < memories ? 0 : less));
	for (unsigned int i = 0; !error && i < BEYOND; i++)
		one_more("at once");
	if (!error)
		error = release(ids[0]);
	for (unsigned int i = 0; !error && i < FAILURES; i++)
		error = fail(pieces);
	if (!error)
		error = name_again(&ids[0], pieces);
	for (unsigned int i = 0; !error && i < BEYOND; i++)
		one_more("after some was given back");
	if (error)
		pr_info("attack: %d: %s\n", error, request->reason);
	return error;
}

static int begin(u64 gpa, u64 bytes)
{
	extents = (void *)get_zeroed_page(GFP_KERNEL);
	piece = (struct elisa_extent){ gpa, bytes };
	for (unsigned int i = 0; extents && i < ELISA_EXTENTS_MAX; i++)
		extents[i] = piece;
	return extents ? 0 : -ENOMEM;
}

/* The arena is a piece too. It stays named until the module goes. */
int attack_pieces(void)
{
	int error = begin(virt_to_phys(request), ELISA_PAGE);

	return error ? error : exhaust(MEMORIES, count / MEMORIES, 1);
}

/*
 * What this VM has not used yet, touched for the first time from its end on: for the host no two pages lie together,
 * which makes naming dearest (if it gives small pages, and this kernel does not clear what it allocates).
 */
static void scatter(void)
{
	void *blocks[BLOCKS];
	unsigned int taken = 0;

	while (taken < BLOCKS &&
	       (blocks[taken] = (void *)__get_free_pages(GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN, BLOCK_ORDER)))
		taken++;
	for (unsigned int i = 0; i < taken; i++)
		for (unsigned long page = 1ul << BLOCK_ORDER; page--;)
			WRITE_ONCE(*(u8 *)(blocks[i] + page * ELISA_PAGE), 1);
	while (taken)
		free_pages((unsigned long)blocks[--taken], BLOCK_ORDER);
}

int attack_times(void)
{
	int error;

	if (count > MEMORIES)
		return -EINVAL;
	scatter();
	error = begin(ALL_BEGINS, virt_to_phys(high_memory - 1) + 1 - ALL_BEGINS);
	return error ? error : exhaust(count, 1, 0);
}
