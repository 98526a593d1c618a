// SPDX-License-Identifier: GPL-2.0-only
/*
 * Locks in objects' memory: a waiter asks for one whose holder does not go on. Whoever holds it is kept from going on
 * before the word is changed, so that no two calls are ever in what the lock protects.
 */
#include <linux/module.h>
#include <linux/timekeeping.h>

#include "inside.h"
#include "kvm.h"

static unsigned int lock_limit_us = 1000;
module_param(lock_limit_us, uint, 0644);
MODULE_PARM_DESC(lock_limit_us, "a lock that a call waits for is taken from its holder after this long (1000)");

static u32 call_of(const struct elisa_pair *pair)
{
	return elisa_pair_frame(pair, ELISA_FRAME_CALLS);
}

bool elisa_lock_revoked(const struct elisa_pair *pair)
{
	return READ_ONCE(pair->revoked) && call_of(pair) == pair->revoked_call;
}

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

/* Has the same word been waited for beyond the limit? A waiter that comes again after long has waited all the time. */
static bool waited_enough(struct elisa_cpu *cpu, u64 word)
{
	u64 now = ktime_get_mono_fast_ns();

	if (cpu->lock_word != word) {
		cpu->lock_word = word;
		cpu->lock_since_ns = now;
		return false;
	}
	return now - cpu->lock_since_ns > lock_limit_us * (u64)NSEC_PER_USEC;
}

/* The vCPU to yield to, of a VM that is kept from being destroyed; or NULL. */
static struct kvm_vcpu *wait(struct elisa_cpu *cpu, const struct elisa_object *object, u64 offset)
{
	u64 *lock = page_address(elisa_memory_page(object->memory, offset)) + offset_in_page(offset);
	u64 word = READ_ONCE(*lock);
	struct elisa_pair *holder;

	if (!word || word == ELISA_LOCK_DEAD)
		return NULL;
	holder = find_holder(object, word);
	/* A holder whose call has ended without unlocking, or who is gone, is in nobody's way. */
	if (holder && call_of(holder) == (u32)word) {
		/* Some kernels free the vCPUs of a VM that is destroyed before they tell us of it. */
		if (!waited_enough(cpu, word))
			return elisa_vm_kvm_get(holder->cpu->vm->kvm) ? holder->cpu->vcpu : NULL;
		/* The next one waits its time again: all CPUs are stopped no more often than that, whatever is in the
		 * word. */
		cpu->lock_word = 0;
		if (!elisa_lock_revoked(holder)) {
			holder->revoked_call = word;
			/* The number before the flag. */
			smp_store_release(&holder->revoked, true);
			/* It leaves its guest, and is aborted there or at its next entry: from here on that call does
			 * nothing more. Code that is not vetted can write its count of calls, and go on: with what is
			 * its own object's anyway. */
			elisa_flush_all_cpus();
		}
	}
	cmpxchg(lock, word, (u64)ELISA_LOCK_DEAD);
	return NULL;
}

void elisa_lock_wait(struct elisa_cpu *cpu, u64 address)
{
	u64 offset = address - (ELISA_BASE + ELISA_MEMORY_OFFSET);
	const struct elisa_object *object;
	struct kvm_vcpu *holder = NULL;
	struct elisa_pair *waiter;

	/* Whoever has it may not be let run for a while. The waiter asks again, and its time runs. */
	if (!mutex_trylock(&elisa_lock))
		return;
	waiter = READ_ONCE(cpu->held);
	object = waiter ? waiter->attachment->object : NULL;
	if (object && object->memory && waiter->attachment->writable && IS_ALIGNED(offset, sizeof(u64)) &&
	    offset < object->memory->bytes)
		holder = wait(cpu, object, offset);
	mutex_unlock(&elisa_lock);
	if (holder) {
		elisa_vcpu_yield_to(holder);
		/* Destroying a VM takes locks of KVM's under which others wait for this vCPU. */
		if (!elisa_vm_kvm_put_not_last(holder->kvm))
			elisa_vm_put_kvm(elisa_vm_find(holder->kvm));
	}
}
