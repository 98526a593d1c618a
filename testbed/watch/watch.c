// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tells the emulator which memory the host's kernel is given back: pages of its modules, KVM's and ours among them, and
 * those of processes that were pinned. Nothing of what is tested has to know of it.
 */
#include <linux/io.h>
#include <linux/kprobes.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/version.h>

/* emulator/instrument/counts.cc has the same number: a prefetch that does nothing on a real CPU. */
static void tell(phys_addr_t address, unsigned long bytes, bool pinned)
{
	asm volatile("prefetcht2 %c0"
		     :
		     : "i"(0xffffffffe1150005), "D"(address), "S"(bytes), "d"((unsigned long)pinned)
		     : "memory");
}

/* free_pages(address, order) */
static int freed(struct kprobe *probe, struct pt_regs *regs)
{
	if (regs->di)
		tell(virt_to_phys((void *)regs->di), PAGE_SIZE << (unsigned int)regs->si, false);
	return 0;
}

static unsigned long pins_of(struct folio *folio)
{
	if (!folio_test_large(folio))
		return folio_ref_count(folio) / GUP_PIN_COUNTING_BIAS;
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
	return atomic_read(folio_pincount_ptr(folio));
#else
	return atomic_read(&folio->_pincount);
#endif
}

/*
 * unpin_user_page_range_dirty_lock(page, count, dirty). What somebody else has pinned, of another buffer with the same
 * pages, is not given back; of a large folio it is known for the whole of it alone.
 */
static int unpinned(struct kprobe *probe, struct pt_regs *regs)
{
	struct page *page = (struct page *)regs->di;
	unsigned long count = regs->si, here;

	for (; count; page += here, count -= here) {
		struct folio *folio = page_folio(page);

		here = min_t(unsigned long, count, folio_nr_pages(folio) - folio_page_idx(folio, page));
		tell(page_to_phys(page), here << PAGE_SHIFT, pins_of(folio) > here);
	}
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
