// SPDX-License-Identifier: GPL-2.0-only
#include "exchange.h"

#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "attachment.h"
#include "buffer.h"
#include "change.h"
#include "inside.h"
#include "kvm.h"

#define RW (ELISA_EPT_READ | ELISA_EPT_WRITE)
#define EACH_PAGE (ELISA_PAGE / sizeof(struct elisa_exchange))

static u64 last_serial;

int elisa_exchange_create(struct elisa_object *object)
{
	struct elisa_exchanges *exchanges = kvzalloc(sizeof(*exchanges), GFP_KERNEL_ACCOUNT);

	if (!exchanges)
		return -ENOMEM;
	object->exchanges = exchanges;
	for (unsigned int i = 0; i < ELISA_EXCHANGE_TABLE_PAGES; i++) {
		exchanges->pages[i] = elisa_page_alloc(&object->pages);
		if (!exchanges->pages[i])
			goto destroy;
	}
	if (!elisa_ept_create(&exchanges->ept, &object->pages.allocator, ELISA_EPT_PDPT))
		return 0;

destroy:
	elisa_exchange_destroy(object);
	return -ENOMEM;
}

void elisa_exchange_destroy(struct elisa_object *object)
{
	struct elisa_exchanges *exchanges = object->exchanges;

	if (!exchanges)
		return;
	elisa_ept_destroy(&exchanges->ept);
	for (unsigned int i = 0; i < ELISA_EXCHANGE_TABLE_PAGES; i++)
		elisa_page_free(&object->pages, exchanges->pages[i]);
	kvfree(exchanges);
	object->exchanges = NULL;
}

static struct elisa_exchange *entry(const struct elisa_exchanges *exchanges, u32 index)
{
	return (struct elisa_exchange *)exchanges->pages[index / EACH_PAGE] + index % EACH_PAGE;
}

int elisa_exchange_attach(struct elisa_attachment *attachment)
{
	const struct elisa_exchanges *exchanges = attachment->object->exchanges;
	u64 offset = ELISA_EXCHANGE_TABLE_OFFSET;
	int error = 0;

	for (unsigned int i = 0; exchanges && !error && i < ELISA_EXCHANGE_TABLE_PAGES; i++)
		error = elisa_ept_map_range(&attachment->entry_pt, (offset + i * ELISA_PAGE) % ELISA_2M,
					    elisa_page_physical(exchanges->pages[i]), ELISA_PAGE, ELISA_EPT_READ,
					    ELISA_EPT_PT);
	if (exchanges && !error)
		attachment->info->exchange = (struct elisa_range){ ELISA_BASE + offset, ELISA_EXCHANGE_TABLE_BYTES };
	return error;
}

/* GiBs that the object's exchange has got since the context was made. A reader's functions may not write it either. */
int elisa_exchange_link(struct elisa_pair *pair)
{
	const struct elisa_exchanges *exchanges = pair->attachment->object->exchanges;

	return exchanges ? elisa_context_link_tree(&pair->sub, ELISA_EXCHANGE_OFFSET, ELISA_EXCHANGE_MAX,
						   &exchanges->ept, pair->attachment->writable ? RW : ELISA_EPT_READ)
			 : 0;
}

static int link_all(const struct elisa_object *object)
{
	struct elisa_attachment *attachment;
	struct elisa_pair *pair;
	int error = 0;

	list_for_each_entry(attachment, &object->attachments, in_object)
		list_for_each_entry(pair, &attachment->pairs, in_attachment)
			if (!error)
				error = elisa_exchange_link(pair);
	return error;
}

/* Whoever sees the size finds the rest. */
static void tell(struct elisa_exchange *entry, u64 address, const struct elisa_attachment *attachment, u64 serial,
		 u64 bytes)
{
	entry->range.address = address;
	entry->serial = serial;
	WRITE_ONCE(entry->attachment, attachment->id);
	smp_store_release(&entry->range.bytes, bytes);
}

/* The host's functions see it too. -ENOMEM. */
static int interpose(struct elisa_exchanges *exchanges, u32 index)
{
	const struct elisa_memory *memory = exchanges->places[index].memory;
	void *address = elisa_memory_vmap(memory);

	if (!address)
		return -ENOMEM;
	tell(exchanges->interposed + index, (unsigned long)address, exchanges->places[index].owner,
	     entry(exchanges, index)->serial, memory->bytes);
	return 0;
}

/* Its calls are over. */
static void interpose_end(struct elisa_exchanges *exchanges, u32 index)
{
	struct elisa_exchange *interposed = exchanges->interposed + index;

	if (exchanges->interposed && interposed->range.address)
		vunmap((void *)(unsigned long)interposed->range.address);
	if (exchanges->interposed)
		memset(interposed, 0, sizeof(*interposed));
}

int elisa_exchange_interpose(struct elisa_attachment *attachment)
{
	struct elisa_exchanges *exchanges = attachment->object->exchanges;
	int error = 0;

	attachment->info->exchange = (struct elisa_range){};
	if (!exchanges)
		return 0;
	if (!exchanges->interposers) {
		exchanges->interposed = kvzalloc(ELISA_EXCHANGE_TABLE_BYTES, GFP_KERNEL_ACCOUNT);
		if (!exchanges->interposed)
			return -ENOMEM;
	}
	exchanges->interposers++;
	attachment->info->exchange =
		(struct elisa_range){ (unsigned long)exchanges->interposed, ELISA_EXCHANGE_TABLE_BYTES };
	for (u32 i = 0; exchanges->interposers == 1 && !error && i < ELISA_EXCHANGES_MAX; i++)
		if (exchanges->places[i].memory)
			error = interpose(exchanges, i);
	if (error)
		elisa_exchange_interpose_end(attachment);
	return error;
}

/* No call of it is under way. */
void elisa_exchange_interpose_end(struct elisa_attachment *attachment)
{
	struct elisa_exchanges *exchanges = attachment->object->exchanges;

	if (!exchanges || !attachment->info->exchange.bytes)
		return;
	attachment->info->exchange = (struct elisa_range){};
	if (--exchanges->interposers)
		return;
	for (u32 i = 0; i < ELISA_EXCHANGES_MAX; i++)
		interpose_end(exchanges, i);
	kvfree(exchanges->interposed);
	exchanges->interposed = NULL;
}

static int free_place(const struct elisa_exchanges *exchanges, const struct elisa_attachment *attachment)
{
	unsigned int own = 0;
	int place = -1;

	for (int i = 0; i < ELISA_EXCHANGES_MAX; i++) {
		own += exchanges->places[i].owner == attachment;
		if (place < 0 && !exchanges->places[i].owner)
			place = i;
	}
	return own < ELISA_EXCHANGES_EACH ? place : -1;
}

/* At its place it is reached by all; after an error by nobody. */
static int map(struct elisa_object *object, u32 index, bool writable)
{
	struct elisa_exchanges *exchanges = object->exchanges;
	const struct elisa_memory *memory = exchanges->places[index].memory;
	u64 offset = index * ELISA_EXCHANGE_BYTES;
	int error = elisa_memory_map(memory, &exchanges->ept, offset, writable ? RW : ELISA_EPT_READ);

	if (!error) {
		error = link_all(object);
		if (!error && exchanges->interposers)
			error = interpose(exchanges, index);
		if (error)
			elisa_memory_unmap(memory, &exchanges->ept, offset);
	}
	/* Mappings of what was there for a moment, as in buffer.c: of all clients. */
	if (error)
		elisa_flush_all_cpus();
	return error;
}

int elisa_exchange_share(struct elisa_attachment *attachment, struct elisa_memory *memory, bool writable, u32 *number,
			 struct elisa_why *why)
{
	struct elisa_object *object = attachment->object;
	struct elisa_exchanges *exchanges = object->exchanges;
	int index, error;

	if (!exchanges)
		return elisa_refuse(why, -EOPNOTSUPP, "object %s is not made for buffers that all attachments see",
				    object->name);
	if (memory->bytes > ELISA_EXCHANGE_BYTES)
		return elisa_refuse(why, -E2BIG, "a buffer that all attachments see has at most %lu MiB",
				    ELISA_EXCHANGE_BYTES >> 20);
	/* The host's functions would write what they can read. */
	if (!writable)
		return elisa_refuse(why, -EOPNOTSUPP, "a buffer that all attachments see is not read-only");
	index = free_place(exchanges, attachment);
	if (index < 0)
		return elisa_refuse(why, -ENOSPC, "%d such buffers are shared already by this VM, or %d by all",
				    ELISA_EXCHANGES_EACH, ELISA_EXCHANGES_MAX);
	exchanges->places[index].owner = attachment;
	exchanges->places[index].memory = memory;
	entry(exchanges, index)->serial = ++last_serial;
	error = map(object, index, writable);
	if (error) {
		exchanges->places[index].owner = NULL;
		exchanges->places[index].memory = NULL;
		return elisa_refuse(why, error, "no memory for the buffer's tables");
	}
	tell(entry(exchanges, index), ELISA_BASE + ELISA_EXCHANGE_OFFSET + index * ELISA_EXCHANGE_BYTES, attachment,
	     last_serial, memory->bytes);
	*number = ELISA_EXCHANGE_FIRST + index;
	elisa_memory_set_buffer(memory, attachment, *number);
	return 0;
}

/*
 * Nobody reaches the memory at the places in WHICH any more. First no call finds them, then those that have found them
 * end by themselves, as they are other VMs' calls, which have done nothing wrong; what still goes on after that is
 * aborted when it touches them.
 */
static void take(struct elisa_object *object, const unsigned long *which)
{
	struct elisa_exchanges *exchanges = object->exchanges;
	u32 i;

	for_each_set_bit(i, which, ELISA_EXCHANGES_MAX)
	{
		WRITE_ONCE(entry(exchanges, i)->range.bytes, 0);
		if (exchanges->interposed)
			WRITE_ONCE(exchanges->interposed[i].range.bytes, 0);
	}
	elisa_inside_wait(object);
	for_each_set_bit(i, which, ELISA_EXCHANGES_MAX)
		elisa_memory_unmap(exchanges->places[i].memory, &exchanges->ept, i * ELISA_EXCHANGE_BYTES);
	/* Combined and guest-physical mappings of them, which calls have left on every CPU that has run a vCPU inside,
	 * and which CPUs may make without any access as long as the tables have them: before they are unpinned. */
	elisa_flush_all_cpus();
	/* Calls that the host executes. */
	synchronize_srcu_expedited(&elisa_call_srcu);
	for_each_set_bit(i, which, ELISA_EXCHANGES_MAX)
	{
		interpose_end(exchanges, i);
		elisa_memory_set_buffer(exchanges->places[i].memory, NULL, 0);
		elisa_memory_destroy(exchanges->places[i].memory);
		exchanges->places[i].memory = NULL;
	}
}

/* The place is anybody's again. */
static void give_back(struct elisa_exchanges *exchanges, u32 index)
{
	WRITE_ONCE(entry(exchanges, index)->attachment, 0);
	exchanges->places[index].owner = NULL;
}

int elisa_exchange_unshare(struct elisa_attachment *attachment, u32 number, struct elisa_why *why)
{
	struct elisa_exchanges *exchanges = attachment->object->exchanges;
	u32 index = number - ELISA_EXCHANGE_FIRST;
	DECLARE_BITMAP(which, ELISA_EXCHANGES_MAX) = {};

	if (!exchanges || index >= ELISA_EXCHANGES_MAX || exchanges->places[index].owner != attachment)
		return elisa_refuse(why, -ENOENT, "no buffer %u is shared", number);
	__set_bit(index, which);
	if (exchanges->places[index].memory)
		take(attachment->object, which);
	give_back(exchanges, index);
	return 0;
}

void elisa_exchange_revoke(struct elisa_attachment *attachment, u32 number)
{
	DECLARE_BITMAP(which, ELISA_EXCHANGES_MAX) = {};

	__set_bit(number - ELISA_EXCHANGE_FIRST, which);
	take(attachment->object, which);
}

void elisa_exchange_leave(struct elisa_attachment *attachment)
{
	struct elisa_exchanges *exchanges = attachment->object->exchanges;
	DECLARE_BITMAP(which, ELISA_EXCHANGES_MAX) = {};

	if (!exchanges)
		return;
	for (u32 i = 0; i < ELISA_EXCHANGES_MAX; i++)
		if (exchanges->places[i].owner == attachment && exchanges->places[i].memory)
			__set_bit(i, which);
	if (!bitmap_empty(which, ELISA_EXCHANGES_MAX))
		take(attachment->object, which);
	for (u32 i = 0; i < ELISA_EXCHANGES_MAX; i++)
		if (exchanges->places[i].owner == attachment)
			give_back(exchanges, i);
}

void elisa_exchange_recheck(struct elisa_attachment *attachment)
{
	struct elisa_exchanges *exchanges = attachment->object ? attachment->object->exchanges : NULL;
	DECLARE_BITMAP(which, ELISA_EXCHANGES_MAX) = {};
	u32 i;

	for (i = 0; exchanges && i < ELISA_EXCHANGES_MAX; i++)
		if (exchanges->places[i].owner == attachment && exchanges->places[i].memory &&
		    !elisa_change_is_backed(attachment->vm, exchanges->places[i].memory))
			__set_bit(i, which);
	if (bitmap_empty(which, ELISA_EXCHANGES_MAX))
		return;
	/* At once: calls are waited for, and all CPUs stopped, once for all of them. */
	take(attachment->object, which);
	for_each_set_bit(i, which, ELISA_EXCHANGES_MAX) elisa_buffer_tell_revoked(attachment, ELISA_EXCHANGE_FIRST + i);
}
