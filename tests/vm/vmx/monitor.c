// SPDX-License-Identifier: GPL-2.0-only
/* A store of one CPU wakes another that waits for it with MONITOR and MWAIT, at once. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include "tests.h"

#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/gfp.h>
#include <linux/kthread.h>
#include <asm/mwait.h>

#define ROUNDS 20
#define LATENCY_MAX 20000 /* ticks: 200 us of emulated time; a timer tick, which wakes as well, takes 4 ms */
#define SETTLE_US 1000

struct rounds {
	/* One page: the word that is waited for, and one whose store lets the storing CPU know the page before. */
	volatile u64 *flag, *neighbour;
	volatile u64 may_wait, woken_at; /* which round; when */
};

static int waiter(void *argument)
{
	struct rounds *rounds = argument;
	unsigned long flags;
	u64 round;

	for (round = 1; round <= ROUNDS; round++) {
		while (rounds->may_wait != round)
			cpu_relax();
		local_irq_save(flags);
		while (*rounds->flag != round) {
			__monitor((void *)rounds->flag, 0, 0);
			if (*rounds->flag == round)
				break;
			__mwait(0, 1); /* 1: an interrupt ends it too, also while they are off */
			if (*rounds->flag != round) {
				local_irq_restore(flags);
				local_irq_save(flags);
			}
		}
		rounds->woken_at = rdtsc();
		local_irq_restore(flags);
	}
	while (!kthread_should_stop())
		usleep_range(100, 200);
	return 0;
}

static u64 worst_latency(struct rounds *rounds)
{
	u64 round, stored_at, latency, worst = 0;

	for (round = 1; round <= ROUNDS; round++) {
		rounds->woken_at = 0;
		*rounds->neighbour = round;
		rounds->may_wait = round;
		udelay(SETTLE_US);
		stored_at = rdtsc();
		*rounds->flag = round;
		while (!rounds->woken_at)
			cpu_relax();
		latency = rounds->woken_at - stored_at;
		worst = max(worst, latency);
	}
	return worst;
}

int monitor_wakes(void)
{
	struct rounds rounds = {};
	struct task_struct *task;
	unsigned long page;
	u64 worst;

	if (num_online_cpus() < 2)
		return -ENODEV;
	page = get_zeroed_page(GFP_KERNEL);
	if (!page)
		return -ENOMEM;
	rounds.flag = (u64 *)page;
	rounds.neighbour = (u64 *)(page + 2048);
	migrate_disable();
	task = kthread_create_on_cpu(waiter, &rounds, smp_processor_id() ? 0 : 1, "waiter/%u");
	if (IS_ERR(task)) {
		migrate_enable();
		free_page(page);
		return PTR_ERR(task);
	}
	wake_up_process(task);
	worst = worst_latency(&rounds);
	migrate_enable();
	kthread_stop(task);
	free_page(page);
	pr_info("slowest of %d wake-ups: %llu ticks\n", ROUNDS, worst);
	return expect("ticks over the limit", worst > LATENCY_MAX ? worst : 0, 0);
}
