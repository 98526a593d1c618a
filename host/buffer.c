// SPDX-License-Identifier: GPL-2.0-only
#include "buffer.h"

#include "change.h"
#include "exchange.h"
#include "interpose.h"
#include "kvm.h"
#include "log.h"

/* The caller flushes all CPUs before it gives the memory back. */
static void unmap(struct elisa_attachment *attachment, int buffer)
{
	if (attachment->scheme == ELISA_SCHEME_VMCALL) {
		elisa_interpose_unshare(attachment, buffer);
		return;
	}
	WRITE_ONCE(attachment->info->buffers[buffer].bytes, 0);
	elisa_memory_unmap(attachment->buffers[buffer], &attachment->buffers_ept, buffer * ELISA_BUFFER_BYTES);
}

static void forget(struct elisa_attachment *attachment, int buffer)
{
	elisa_memory_set_buffer(attachment->buffers[buffer], NULL, 0);
	elisa_memory_destroy(attachment->buffers[buffer]);
	attachment->buffers[buffer] = NULL;
}

void elisa_buffers_forget(struct elisa_attachment *attachment)
{
	for (int i = 0; i < ELISA_BUFFERS_MAX; i++) {
		if (!attachment->buffers[i])
			continue;
		if (attachment->scheme == ELISA_SCHEME_VMCALL)
			elisa_interpose_forget(attachment, i);
		forget(attachment, i);
	}
}

static int free_number(const struct elisa_attachment *attachment)
{
	for (int i = 0; i < ELISA_BUFFERS_MAX; i++)
		if (!attachment->buffers[i] && !test_bit(i, attachment->revoked))
			return i;
	return -1;
}

/* GiBs that the attachment's buffers have got since contexts were made. */
static int link(struct elisa_attachment *attachment)
{
	struct elisa_pair *pair;
	int error = 0;

	list_for_each_entry(pair, &attachment->pairs, in_attachment)
		if (!error)
			error = elisa_context_link_tree(&pair->sub, ELISA_BUFFER_OFFSET, ELISA_BUFFER_MAX,
							&attachment->buffers_ept, ELISA_EPT_READ | ELISA_EPT_WRITE);
	return error;
}

static int map(struct elisa_attachment *attachment, int buffer, struct elisa_memory *memory, bool writable)
{
	u64 offset = buffer * ELISA_BUFFER_BYTES;
	int error = 0;

	if (attachment->scheme == ELISA_SCHEME_VMCALL)
		return elisa_interpose_share(attachment, buffer, memory);
	if (!attachment->buffers_ept.table)
		error = elisa_ept_create(&attachment->buffers_ept, &attachment->pages.allocator, ELISA_EPT_PDPT);
	if (error)
		return error;
	error = elisa_memory_map(memory, &attachment->buffers_ept, offset,
				 writable ? ELISA_EPT_READ | ELISA_EPT_WRITE : ELISA_EPT_READ);
	if (!error) {
		error = link(attachment);
		if (error)
			elisa_memory_unmap(memory, &attachment->buffers_ept, offset);
	}
	if (error) {
		/* Mappings of what was there for a moment: code may have looked, though it was told of nothing, and a
		 * CPU that speculates needs not be told. */
		elisa_flush_all_cpus();
		return error;
	}
	attachment->info->buffers[buffer].address = ELISA_BASE + ELISA_BUFFER_OFFSET + offset;
	/* Trusted code that sees the size finds the address. */
	smp_store_release(&attachment->info->buffers[buffer].bytes, memory->bytes);
	return 0;
}

int elisa_buffer_share(struct elisa_attachment *attachment, struct elisa_memory *memory, u32 flags, u32 *buffer,
		       struct elisa_why *why)
{
	bool writable = !(flags & ELISA_SHARE_READ_ONLY);
	int number = free_number(attachment), error;

	if (attachment->state == -EINPROGRESS)
		return elisa_refuse(why, -EINPROGRESS, "the manager has not answered yet who may attach");
	if (attachment->state)
		return elisa_refuse(why, attachment->state, "the object is gone");
	if (attachment->scheme == ELISA_SCHEME_DIRECT)
		return elisa_refuse(why, -EOPNOTSUPP, "with direct mapping there is nobody to share a buffer with");
	if (attachment->scheme == ELISA_SCHEME_VMCALL && !writable)
		return elisa_refuse(why, -EOPNOTSUPP, "the host's version would not keep to a read-only buffer");
	if (memory->bytes > ELISA_BUFFER_BYTES)
		return elisa_refuse(why, -E2BIG, "a buffer has at most %lu MiB", ELISA_BUFFER_BYTES >> 20);
	/* Takes its time for each page: not for more than that. */
	if (!elisa_change_is_backed(attachment->vm, memory))
		return elisa_refuse(why, -EBUSY, "the VM's memory is being migrated, or has just changed");
	if (flags & ELISA_SHARE_EXCHANGE)
		return elisa_exchange_share(attachment, memory, writable, buffer, why);
	if (number < 0)
		return elisa_refuse(why, -ENOSPC, "%d buffers are shared already", ELISA_BUFFERS_MAX);
	error = map(attachment, number, memory, writable);
	if (error)
		return elisa_refuse(why, error, "no memory for the buffer's tables");
	attachment->buffers[number] = memory;
	elisa_memory_set_buffer(memory, attachment, number);
	*buffer = number;
	return 0;
}

static void take(struct elisa_attachment *attachment, u32 buffer)
{
	unmap(attachment, buffer);
	/* Combined and guest-physical mappings of the buffer, on every CPU that has run a vCPU inside: before it is
	 * unpinned. */
	elisa_flush_all_cpus();
	forget(attachment, buffer);
}

void elisa_buffer_tell_revoked(struct elisa_attachment *attachment, u32 buffer)
{
	struct elisa_event event = elisa_attachment_event(attachment, ELISA_EVENT_REVOKE);

	event.buffer = buffer;
	pr_notice_ratelimited("elisa: buffer %u of VM %u for %s is revoked: the memory under it has changed\n", buffer,
			      attachment->vm->id, attachment->object->name);
	elisa_log_revoke(attachment, buffer);
	elisa_object_event(attachment->object, &event);
}

void elisa_buffer_revoke(struct elisa_attachment *attachment, u32 buffer)
{
	if (buffer < ELISA_BUFFERS_MAX) {
		__set_bit(buffer, attachment->revoked);
		take(attachment, buffer);
	} else {
		elisa_exchange_revoke(attachment, buffer);
	}
	elisa_buffer_tell_revoked(attachment, buffer);
}

int elisa_buffer_unshare(struct elisa_attachment *attachment, u32 buffer, struct elisa_why *why)
{
	if (buffer >= ELISA_EXCHANGE_FIRST && attachment->object)
		return elisa_exchange_unshare(attachment, buffer, why);
	if (buffer < ELISA_BUFFERS_MAX && __test_and_clear_bit(buffer, attachment->revoked))
		return 0;
	if (buffer >= ELISA_BUFFERS_MAX || !attachment->buffers[buffer])
		return elisa_refuse(why, -ENOENT, "no buffer %u is shared", buffer);
	take(attachment, buffer);
	return 0;
}
