// SPDX-License-Identifier: GPL-2.0-only
/* Calls of any VM that are inside an object: waited for, and kept from going on. */
#include <linux/delay.h>
#include <linux/ktime.h>

#include "attachment.h"
#include "inside.h"
#include "kvm.h"

void elisa_inside_revoke(struct elisa_pair *pair, u32 call)
{
	pair->revoked_call = call;
	/* The number before the flag. */
	smp_store_release(&pair->revoked, true);
}

bool elisa_inside_revoked(const struct elisa_pair *pair)
{
	return READ_ONCE(pair->revoked) && elisa_pair_call(pair) == pair->revoked_call;
}

/* Those that go on, of the ones that are awaited. One that was revoked does not, when the caller has made all CPUs
 * leave their guests: also one that its VMM has stopped for good is waited for once, not whenever something is taken
 * away. */
static bool anybody_awaited(struct elisa_object *object)
{
	struct elisa_attachment *attachment;
	struct elisa_pair *pair;
	bool any = false;

	list_for_each_entry(attachment, &object->attachments, in_object)
		list_for_each_entry(pair, &attachment->pairs, in_attachment) {
			pair->awaited = pair->awaited && READ_ONCE(pair->cpu->goes_on) == pair &&
					elisa_pair_call(pair) == pair->awaited_call && !elisa_inside_revoked(pair);
			any |= pair->awaited;
		}
	return any;
}

void elisa_inside_wait(struct elisa_object *object)
{
	ktime_t until = ktime_add_ms(ktime_get(), elisa_call_limit_ms);
	struct elisa_attachment *attachment;
	struct elisa_pair *pair;

	/* The exit of each tells what it is in. A call that begins later, or on a vCPU that is outside now, is no
	 * matter. Nothing is invalidated: the caller has yet to take away what they use. */
	elisa_kick_all_cpus();
	list_for_each_entry(attachment, &object->attachments, in_object)
		list_for_each_entry(pair, &attachment->pairs, in_attachment) {
			pair->awaited_call = elisa_pair_call(pair);
			pair->awaited = true;
		}
	while (anybody_awaited(object) && ktime_before(ktime_get(), until)) {
		usleep_range(100, 200);
		elisa_kick_all_cpus();
	}
	/* A call that its VMM has stopped, or that has no CPU, may go on at any later time, with addresses of what is
	 * somebody else's by then. Not if it has ended meanwhile: who waits for a lock may have revoked the next one.
	 */
	mutex_lock(&elisa_holders_lock);
	list_for_each_entry(attachment, &object->attachments, in_object)
		list_for_each_entry(pair, &attachment->pairs, in_attachment)
			if (pair->awaited && elisa_pair_call(pair) == pair->awaited_call && !elisa_inside_revoked(pair))
				elisa_inside_revoke(pair, pair->awaited_call);
	mutex_unlock(&elisa_holders_lock);
}
