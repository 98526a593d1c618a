// SPDX-License-Identifier: GPL-2.0-only
#include "watchdog.h"

#include <linux/module.h>
#include <linux/smp.h>

#include "inside.h"

static unsigned int call_offences = 100;
module_param(call_offences, uint, 0644);
MODULE_PARM_DESC(call_offences,
		 "an attachment whose calls were aborted so often for their time is ended (100; 0: never)");

static void look(struct work_struct *work);
static DECLARE_DELAYED_WORK(watch, look);

static u64 calls_of(const struct elisa_cpu *cpu)
{
	const struct elisa_pair *pair;
	u64 calls = 0;

	list_for_each_entry(pair, &cpu->pairs, in_cpu)
		calls += elisa_pair_frame(pair, ELISA_FRAME_CALLS);
	return calls;
}

static void nothing(void *unused)
{
}

/*
 * A call that began after the last look is young. One that is as old is inside now, or has returned: an exit tells,
 * and as long as no other call begins it has told once and for all. Code that is not vetted can write the count of
 * calls, so its vCPUs have to pass an exit from one look to the next.
 */
static void look_at(struct elisa_cpu *cpu)
{
	u64 calls = calls_of(cpu), exits = READ_ONCE(cpu->exits);
	bool inside = READ_ONCE(cpu->seen_inside);
	int where;

	if (cpu->unvetted ? exits != cpu->watched_exits : calls != cpu->watched_calls) {
		cpu->watched_calls = calls;
		cpu->watched_exits = exits;
		cpu->asked = false;
		return;
	}
	if (cpu->asked && !inside && !cpu->unvetted)
		return;
	cpu->asked = true;
	WRITE_ONCE(cpu->seen_inside, false);
	/* Before it is read where it runs: it is interrupted there, or has not said yet that it is inside, at the exit
	 * or entry that this look does not see (elisa_on_entry()), and the next look asks again. */
	smp_mb();
	where = READ_ONCE(cpu->where);
	/* Any interrupt ends its run. One that comes too late meets the host, or an exit more. */
	if (where >= 0)
		smp_call_function_single(where, nothing, NULL, 0);
}

static unsigned long period(void)
{
	return msecs_to_jiffies(clamp(READ_ONCE(elisa_call_limit_ms) / 2, 1u, 1000u));
}

static void look(struct work_struct *work)
{
	struct elisa_vm *vm;
	bool any = false;

	/* Whoever has it may not be let run for a while: then all leave their guests. */
	if (!mutex_trylock(&elisa_lock)) {
		on_each_cpu(nothing, NULL, 0);
		queue_delayed_work(elisa_queue, &watch, period());
		return;
	}
	list_for_each_entry(vm, &elisa_vms, list) {
		any |= vm->callable;
		for (unsigned int i = 0, left = vm->callable ? vm->cpu_count : 0; left && i < KVM_MAX_VCPUS; i++) {
			if (!vm->cpus[i])
				continue;
			left--;
			look_at(vm->cpus[i]);
		}
	}
	mutex_unlock(&elisa_lock);
	if (any)
		queue_delayed_work(elisa_queue, &watch, period());
}

void elisa_watchdog_start(void)
{
	queue_delayed_work(elisa_queue, &watch, period());
}

void elisa_watchdog_offence(struct elisa_attachment *attachment)
{
	unsigned int most = READ_ONCE(call_offences);

	if (!most || atomic_inc_return(&attachment->offences) < most)
		return;
	/* Once: the work has a reference. */
	if (test_and_set_bit(0, &attachment->expelled))
		return;
	kref_get(&attachment->ref);
	queue_work(elisa_queue, &attachment->expel);
}

void elisa_watchdog_expel(struct work_struct *work)
{
	struct elisa_attachment *attachment = container_of(work, struct elisa_attachment, expel);

	mutex_lock(&elisa_lock);
	if (attachment->object)
		pr_notice("elisa: VM %u is detached from %s: %u of its calls exceeded %u ms\n", attachment->vm->id,
			  attachment->object->name, atomic_read(&attachment->offences), elisa_call_limit_ms);
	elisa_attachment_kill(attachment, -ETIME);
	elisa_attachment_put(attachment);
	mutex_unlock(&elisa_lock);
}

void elisa_watchdog_stop(void)
{
	cancel_delayed_work_sync(&watch);
}
