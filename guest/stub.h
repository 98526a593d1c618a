/* SPDX-License-Identifier: GPL-2.0-only */
/* The two pages of a client's process around page G: from where a call leaves, and where it lands. */
#ifndef GUEST_STUB_H
#define GUEST_STUB_H

#include <linux/mm_types.h>

#include "why.h"

#define ELISA_STUB_PAGES 2 /* allocated */

int elisa_stub_init(void);
void elisa_stub_uninit(void);

/* mmap() of ELISA_MMAP_STUB. */
int elisa_stub_mmap(struct vm_area_struct *vma, struct elisa_why *why);

#endif
