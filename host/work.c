// SPDX-License-Identifier: GPL-2.0-only
#include "work.h"

#include <linux/errno.h>

struct workqueue_struct *elisa_queue, *elisa_memory_queue;

int elisa_work_init(void)
{
	/* Not bound to the CPU that queues: that one may run a vCPU and nothing else. */
	elisa_queue = alloc_workqueue("elisa", WQ_UNBOUND, 0);
	if (!elisa_queue)
		return -ENOMEM;
	elisa_memory_queue = alloc_workqueue("elisa_memory", WQ_UNBOUND, 0);
	if (elisa_memory_queue)
		return 0;
	destroy_workqueue(elisa_queue);
	return -ENOMEM;
}

void elisa_work_uninit(void)
{
	destroy_workqueue(elisa_memory_queue);
	destroy_workqueue(elisa_queue);
}
