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

/*
 * Pins of memory that is only read. Before 6.2 they may be of a page that the process's next write copies, so that the
 * two no longer see the same: there copying is got over with.
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
#define ELISA_PIN_READ (FOLL_LONGTERM | FOLL_WRITE | FOLL_FORCE)
#else
#define ELISA_PIN_READ FOLL_LONGTERM
#endif
#define ELISA_PIN_WRITE (FOLL_LONGTERM | FOLL_WRITE)

#endif
