/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Open files of /dev/elisa. Lock order, outermost first:
 *
 *	elisa_file.lock           one ioctl at a time; the file's role and buffers
 *	elisa_attachment.lock     asking the host for it
 *	attachments_lock          the list of attachments (attachment.c)
 *	elisa_object.events_lock  events and attachments' memory of an object
 *	naming_lock               numbers of memory at the host (memory.c)
 *	mmap_lock                 the kernel's: pinning, charging, copying from and to user space
 *
 * mmap() comes with mmap_lock held and takes none of ours: what it reads is set before the role is published, and does
 *not change. So do read() and poll() for the role. A request to the host is made under any of ours.
 */
#ifndef GUEST_FILE_H
#define GUEST_FILE_H

#include <linux/fs.h>

extern const struct file_operations elisa_file_operations;

#endif
