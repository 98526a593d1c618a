/* SPDX-License-Identifier: GPL-2.0-only */
/* Attachments: what the host made for this VM, which all files with the same object and scheme share. */
#ifndef GUEST_ATTACHMENT_H
#define GUEST_ATTACHMENT_H

#include <linux/list.h>
#include <linux/mm_types.h>
#include <linux/mutex.h>

#include "request.h"

struct elisa_attachment {
	struct list_head node; /* by which more files find it; empty: it is dead, and its files are its last */
	unsigned int users;    /* files, and those that are about to be */
	struct list_head kept; /* memory that the host did not let go of: until the end */
	u32 scheme;
	char name[ELISA_NAME_MAX];

	struct mutex lock; /* asking the host, and the three below; they stay as they are once it is attached */
	bool attached;
	u32 id;
	struct elisa_ioc_attach answer;
};

/* Fills ATTACH in. May wait for the manager: EINTR. Other errors are the host's. */
int elisa_attachment_get(struct elisa_attachment **attachment, struct elisa_ioc_attach *attach, struct elisa_why *why);
/* The last one detaches. */
void elisa_attachment_put(struct elisa_attachment *attachment);

int elisa_attachment_function(struct elisa_attachment *attachment, struct elisa_ioc_function *function,
			      struct elisa_why *why);
/* mmap() of ELISA_MMAP_MEMORY: the object's memory, from OFFSET on. */
int elisa_attachment_mmap(struct elisa_attachment *attachment, struct vm_area_struct *vma, u64 offset,
			  struct elisa_why *why);

/*
 * Memory of the calling process, shared with trusted code. BUFFERS are those of one file, which serialises these;
 * others cannot take them back.
 */
int elisa_attachment_share(struct elisa_attachment *attachment, struct list_head *buffers,
			   struct elisa_ioc_share *share, struct elisa_why *why);
int elisa_attachment_unshare(struct elisa_attachment *attachment, struct list_head *buffers, u32 buffer,
			     struct elisa_why *why);
void elisa_attachment_unshare_all(struct elisa_attachment *attachment, struct list_head *buffers);

int elisa_attachments_count(void);

#endif
