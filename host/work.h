/* SPDX-License-Identifier: GPL-2.0-only */
/* What is done a little later in a thread of the module's own: it may sleep, and hold up nobody. */
#ifndef HOST_WORK_H
#define HOST_WORK_H

#include <linux/workqueue.h>

extern struct workqueue_struct *elisa_queue; /* waits for nothing but elisa_lock */
/* May wait for as long as the owner of some memory likes, a process of the host; each VM has one of its own. */
extern struct workqueue_struct *elisa_memory_queue;

int elisa_work_init(void);
/* Returns when all that was queued is done. */
void elisa_work_uninit(void);

#endif
