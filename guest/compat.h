/* SPDX-License-Identifier: GPL-2.0-only */
/* Where the kernels that this driver is built for (6.1 to 6.12) differ. */
#ifndef GUEST_COMPAT_H
#define GUEST_COMPAT_H

#include <linux/mm.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
static inline void vm_flags_mod(struct vm_area_struct *vma, vm_flags_t set, vm_flags_t clear)
{
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
}
#endif

/* Pins memory that is only read. */
static inline int elisa_pin_to_read(unsigned long address, int count, struct page **pages)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
	/*
	 * A private mapping may show a page that the process's next write replaces by a copy, so that pin and process
	 * would no longer see the same: the copying is got over with. That fails for shared mappings, which need it
	 * not.
	 */
	int got = pin_user_pages_fast(address, count, FOLL_LONGTERM | FOLL_WRITE | FOLL_FORCE, pages);

	if (got != -EFAULT)
		return got;
#endif
	return pin_user_pages_fast(address, count, FOLL_LONGTERM, pages);
}

#endif
