// SPDX-License-Identifier: GPL-2.0-only
/*
 * Locks in objects' memory: a waiter asks for one whose holder does not go on. Whoever holds it is kept from going on
 * before the word is changed, so that no two calls are ever in what the lock protects.
 */
#include <linux/delay.h>
#include <linux/module.h>
#include <linux/timekeeping.h>

#include "inside.h"
#include "interpose.h"
#include "kvm.h"

static unsigned int lock_limit_us = 1000;
module_param(lock_limit_us, uint, 0644);
MODULE_PARM_DESC(lock_limit_us, "a lock that a call waits for is taken from its holder after this long (1000)");

#define ASKS 16      /* of a waiter at least: each lets the holder run, if it can */
#define SLEEP_US 500 /* of a waiter whose holder waits for a CPU */

static struct elisa_pair *find_holder(const struct elisa_object *object, u64 word)
{
	struct elisa_attachment *attachment;
	struct elisa_pair *pair;

	list_for_each_entry(attachment, &object->attachments, in_object)
		list_for_each_entry(pair, &attachment->pairs, in_attachment)
			if (pair->number == word >> 32)
				return pair;
	return NULL;
}

/*
 * It is held for an attachment whose calls cannot be aborted: the host's kernel executes them, and they end by
 * themselves; or the client itself does, on memory that is mapped into its VM.
 */
static const struct elisa_attachment *find_other_holder(const struct elisa_object *object, u64 word)
{
	const struct elisa_attachment *attachment;

	list_for_each_entry(attachment, &object->attachments, in_object)
		if (ELISA_LOCK_OF(attachment->id) == word)
			return attachment->scheme == ELISA_SCHEME_GATE ? NULL : attachment;
	return NULL;
}

/* Has the same word been waited for beyond the limit? A waiter that comes again after long has waited all the time. */
static bool waited_enough(struct elisa_lock_waiter *waiter, u64 word)
{
	u64 now = ktime_get_mono_fast_ns();

	if (waiter->word != word) {
		waiter->word = word;
		waiter->since_ns = now;
		waiter->asked = 0;
		return false;
	}
	/* Where CPUs are scarce others may have run all the time: the holder has been let run a few times, too. */
	return ++waiter->asked > ASKS && now - waiter->since_ns > lock_limit_us * (u64)NSEC_PER_USEC;
}

/* The vCPU to yield to, of a VM that is kept from being destroyed; or NULL. */
static struct kvm_vcpu *wait(struct elisa_lock_waiter *waiter, const struct elisa_object *object, u64 offset)
{
	u64 *lock = page_address(elisa_memory_page(object->memory, offset)) + offset_in_page(offset);
	u64 word = READ_ONCE(*lock);
	const struct elisa_attachment *other;
	struct elisa_pair *holder;

	if (!word || word == ELISA_LOCK_DEAD)
		return NULL;
	other = find_other_holder(object, word);
	if (other) {
		/* By which of its VM's vCPUs is not known. */
		waiter->sleeps = other->scheme == ELISA_SCHEME_DIRECT;
		return NULL;
	}
	holder = find_holder(object, word);
	/* A holder whose call has ended without unlocking, or who is gone, is in nobody's way. */
	if (holder && elisa_pair_call(holder) == (u32)word) {
		/* Some kernels free the vCPUs of a VM that is destroyed before they tell us of it. */
		if (!waited_enough(waiter, word))
			return elisa_vm_kvm_get(holder->cpu->vm->kvm) ? holder->cpu->vcpu : NULL;
		/* The next one waits its time again: all CPUs are stopped no more often than that, whatever is in the
		 * word. */
		waiter->word = 0;
		if (!elisa_inside_revoked(holder)) {
			elisa_inside_revoke(holder, word);
			/* Code that is not vetted can write its count of calls, and go on: with what is its own
			 * object's anyway. */
			elisa_kick_all_cpus();
		}
	}
	cmpxchg(lock, word, (u64)ELISA_LOCK_DEAD);
	return NULL;
}

struct kvm_vcpu *elisa_lock_ask(const struct elisa_attachment *attachment, struct elisa_lock_waiter *waiter, u64 offset)
{
	const struct elisa_object *object = attachment->object;

	if (!object || !object->memory || !attachment->writable || !IS_ALIGNED(offset, sizeof(u64)) ||
	    offset >= object->memory->bytes)
		return NULL;
	return wait(waiter, object, offset);
}

void elisa_lock_let_run(struct kvm_vcpu *holder, struct elisa_lock_waiter *waiter)
{
	bool sleeps = waiter->sleeps;

	waiter->sleeps = false;
	if (holder) {
		elisa_vcpu_yield_to(holder);
		/* The scheduler yields to a thread only as far as that is fair to all others. */
		sleeps |= elisa_vcpu_waits_for_cpu(holder);
		/* Destroying a VM takes locks of KVM's under which others wait for this vCPU. */
		if (!elisa_vm_kvm_put_not_last(holder->kvm))
			elisa_vm_put_kvm(elisa_vm_find(holder->kvm));
	}
	/* Who waits for one that does not run leaves it the CPU. */
	if (sleeps)
		usleep_range(SLEEP_US, 2 * SLEEP_US);
}

void elisa_lock_wait(struct elisa_cpu *cpu, u64 address)
{
	struct kvm_vcpu *holder = NULL;
	struct elisa_pair *waiter;

	/* Whoever has it may not be let run for a while. The waiter asks again, and its time runs. */
	if (!mutex_trylock(&elisa_holders_lock))
		return;
	waiter = READ_ONCE(cpu->held);
	if (waiter)
		holder = elisa_lock_ask(waiter->attachment, &cpu->waiter, address - (ELISA_BASE + ELISA_MEMORY_OFFSET));
	mutex_unlock(&elisa_holders_lock);
	elisa_lock_let_run(holder, &cpu->waiter);
}

void elisa_interpose_lock_begin(void)
{
	preempt_disable();
}
EXPORT_SYMBOL_GPL(elisa_interpose_lock_begin);

void elisa_interpose_lock_end(void)
{
	preempt_enable();
}
EXPORT_SYMBOL_GPL(elisa_interpose_lock_end);

void elisa_interpose_lock_wait(const struct elisa_info *info, const void *lock, struct elisa_interpose_waiter *state)
{
	struct elisa_lock_waiter waiter = { .word = state->word, .since_ns = state->since_ns, .asked = state->asked };
	/* Its call is under way: elisa_call_srcu is held. */
	const struct elisa_attachment *attachment = elisa_attachment_of_number(info->attachment);
	struct kvm_vcpu *holder = NULL;
	int held;

	/* For each lock that it holds already preemption is off once, and who is waited for may need this very CPU. */
	for (held = 0; IS_ENABLED(CONFIG_PREEMPT_COUNT) && preempt_count(); held++)
		preempt_enable();
	/* Not elisa_lock: whoever detaches waits for this call with it. */
	if (attachment && mutex_trylock(&elisa_holders_lock)) {
		holder = elisa_lock_ask(attachment, &waiter, (unsigned long)lock - info->memory.address);
		mutex_unlock(&elisa_holders_lock);
	}
	*state = (struct elisa_interpose_waiter){ waiter.word, waiter.since_ns, waiter.asked };
	elisa_lock_let_run(holder, &waiter);
	cond_resched();
	while (held--)
		preempt_disable();
}
EXPORT_SYMBOL_GPL(elisa_interpose_lock_wait);
