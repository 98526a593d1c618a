// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tells the emulator which memory the host's kernel is given back: pages of its modules, KVM's and ours among them, and
 * those of processes that were pinned. Nothing of what is tested has to know of it.
 */
#include <linux/io.h>
#include <linux/kprobes.h>
#include <linux/mm.h>
#include <linux/module.h>

/* emulator/instrument/counts.cc has the same number: a prefetch that does nothing on a real CPU. */
static void tell(phys_addr_t address, unsigned long bytes)
{
	asm volatile("prefetcht2 %c0" : : "i"(0xffffffffe1150005), "D"(address), "S"(bytes) : "memory");
}

/* free_pages(address, order) */
static int freed(struct kprobe *probe, struct pt_regs *regs)
{
	if (regs->di)
		tell(virt_to_phys((void *)regs->di), PAGE_SIZE << (unsigned int)regs->si);
	return 0;
}

/* unpin_user_page_range_dirty_lock(page, count, dirty) */
static int unpinned(struct kprobe *probe, struct pt_regs *regs)
{
	tell(page_to_phys((struct page *)regs->di), regs->si << PAGE_SHIFT);
	return 0;
}

static struct kprobe probes[] = {
	{ .symbol_name = "free_pages", .pre_handler = freed },
	{ .symbol_name = "unpin_user_page_range_dirty_lock", .pre_handler = unpinned },
};
static struct kprobe *all[] = { probes, probes + 1 };

static int __init watch_init(void)
{
	return register_kprobes(all, ARRAY_SIZE(all));
}

static void __exit watch_exit(void)
{
	unregister_kprobes(all, ARRAY_SIZE(all));
}

module_init(watch_init);
module_exit(watch_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("tells the emulator what memory is given back");
