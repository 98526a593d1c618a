// SPDX-License-Identifier: GPL-2.0-only
/* What a vCPU enters for an attachment: made at its first call, in its own thread. */
#include <linux/slab.h>
#include <linux/xarray.h>

#include "exchange.h"
#include "inside.h"

#define RW (ELISA_EPT_READ | ELISA_EPT_WRITE)

/* By number, which locks name; a number is not used again before all others were. With elisa_lock held; 0 holds no
 * lock. */
static DEFINE_XARRAY_ALLOC1(pairs);
static u32 next_number;

static int build_stack(struct elisa_pair *pair)
{
	int error = elisa_ept_create(&pair->stack_pt, &pair->pages.allocator, ELISA_EPT_PT);

	for (unsigned int i = 0; !error && i < ARRAY_SIZE(pair->stack); i++) {
		pair->stack[i] = elisa_page_alloc(&pair->pages);
		if (!pair->stack[i])
			return -ENOMEM;
		error = elisa_ept_map_range(&pair->stack_pt, ELISA_STACK_OFFSET % ELISA_2M + i * ELISA_PAGE,
					    elisa_page_physical(pair->stack[i]), ELISA_PAGE, RW, ELISA_EPT_PT);
	}
	return error;
}

static int link_pt(struct elisa_context *context, u64 offset, const struct elisa_ept *pt, u64 prot)
{
	return pt->table ? elisa_context_link_first(context, round_down(offset, ELISA_2M), elisa_ept_physical(pt), prot)
			 : 0;
}

static int link_tree(struct elisa_context *context, u64 offset, const struct elisa_memory *memory,
		     const struct elisa_ept *tree, u64 prot)
{
	return memory ? elisa_context_link_tree(context, offset, round_up(memory->bytes, ELISA_1G), tree, prot) : 0;
}

static int build_gate(struct elisa_pair *pair)
{
	int error = elisa_context_create(&pair->gate, &elisa_inside, &pair->pages.allocator, ELISA_KIND_GATE,
					 pair->cpu->la57);

	if (!error)
		error = link_pt(&pair->gate, ELISA_GATE_OFFSET, &pair->attachment->gate_pt, ELISA_EPT_EXEC);
	if (!error)
		error = link_pt(&pair->gate, ELISA_LIST_OFFSET, &pair->cpu->list_pt, RW);
	return error;
}

static int build_sub(struct elisa_pair *pair)
{
	struct elisa_attachment *attachment = pair->attachment;
	const struct elisa_object *object = attachment->object;
	struct elisa_context *sub = &pair->sub;
	int error = elisa_context_create(sub, &elisa_inside, &pair->pages.allocator, ELISA_KIND_SUB, pair->cpu->la57);

	if (!error)
		error = link_pt(sub, ELISA_GATE_OFFSET, &attachment->entry_pt, ELISA_EPT_ALL);
	/* A writable list in the hands of code that is not vetted is the host: it returns through its gate. */
	if (!error && object->flags & ELISA_CREATE_VETTED)
		error = link_pt(sub, ELISA_LIST_OFFSET, &pair->cpu->list_pt, RW);
	if (!error)
		error = link_pt(sub, ELISA_STACK_OFFSET, &pair->stack_pt, RW);
	for (unsigned int i = 0; !error && i < ARRAY_SIZE(object->code.pts); i++)
		error = link_pt(sub, ELISA_CODE_OFFSET + i * ELISA_2M, object->code.pts + i,
				ELISA_EPT_READ | ELISA_EPT_EXEC);
	for (unsigned int i = 0; !error && i < ARRAY_SIZE(attachment->data_pts); i++)
		error = link_pt(sub, ELISA_DATA_OFFSET + i * ELISA_2M, attachment->data_pts + i, RW);
	if (!error)
		error = link_tree(sub, ELISA_MEMORY_OFFSET, object->memory, &object->memory_ept,
				  attachment->writable ? RW : ELISA_EPT_READ);
	if (!error)
		error = link_tree(sub, ELISA_EXTRA_OFFSET, attachment->extra, &attachment->extra_ept, RW);
	if (!error && attachment->buffers_ept.table)
		error = elisa_context_link_tree(sub, ELISA_BUFFER_OFFSET, ELISA_BUFFER_MAX, &attachment->buffers_ept,
						RW);
	if (!error)
		error = elisa_exchange_link(pair);
	return error;
}

int elisa_pair_create(struct elisa_attachment *attachment, struct elisa_cpu *cpu)
{
	struct elisa_pair *pair = kzalloc(sizeof(*pair), GFP_KERNEL_ACCOUNT);
	u64 *list = cpu->list;
	int error;

	if (!pair)
		return -ENOMEM;
	pair->attachment = attachment;
	pair->cpu = cpu;
	elisa_pages_init(&pair->pages);
	error = xa_alloc_cyclic(&pairs, &pair->number, pair, xa_limit_32b, &next_number, GFP_KERNEL);
	/* 1: they have begun anew. */
	if (error >= 0)
		error = build_stack(pair);
	if (!error)
		*(u32 *)(pair->stack[0] + ELISA_LOCK_OWNER_OFFSET - ELISA_STACK_OFFSET) = pair->number;
	if (!error)
		error = build_gate(pair);
	if (!error)
		error = build_sub(pair);
	if (error) {
		elisa_pair_destroy(pair);
		return error;
	}
	mutex_lock(&elisa_holders_lock);
	list_add_tail(&pair->in_attachment, &attachment->pairs);
	mutex_unlock(&elisa_holders_lock);
	list_add_tail(&pair->in_cpu, &cpu->pairs);
	cpu->unvetted |= !(attachment->object->flags & ELISA_CREATE_VETTED);
	attachment->pair_count++;
	/* From an EPTP, an exit finds the pair. */
	set_page_private(virt_to_page(pair->gate.root), (unsigned long)pair);
	set_page_private(virt_to_page(pair->sub.root), (unsigned long)pair);
	/* Published: the vCPU itself is here, outside. Before it enters, its CPU forgets all it knows of the roots'
	 * addresses. */
	cpu->fresh = true;
	list[attachment->slot] = (elisa_context_eptp(&pair->sub) & ~0xffull) | ELISA_EPTP_LOCKED;
	list[ELISA_GATE_SLOT(attachment->slot)] = elisa_context_eptp(&pair->gate);
	return 0;
}

void elisa_pair_destroy(struct elisa_pair *pair)
{
	elisa_context_destroy(&pair->gate);
	elisa_context_destroy(&pair->sub);
	elisa_ept_destroy(&pair->stack_pt);
	for (unsigned int i = 0; i < ARRAY_SIZE(pair->stack); i++)
		elisa_page_free(&pair->pages, pair->stack[i]);
	WARN_ON(atomic_long_read(&pair->pages.held));
	if (pair->number)
		xa_erase(&pairs, pair->number);
	kfree(pair);
}

struct elisa_pair *elisa_pair_find(const struct elisa_attachment *attachment, const struct elisa_cpu *cpu)
{
	struct elisa_pair *pair;

	list_for_each_entry(pair, &cpu->pairs, in_cpu)
		if (pair->attachment == attachment)
			return pair;
	return NULL;
}

u64 elisa_pair_frame(const struct elisa_pair *pair, unsigned int offset)
{
	return READ_ONCE(*(u64 *)(pair->stack[ARRAY_SIZE(pair->stack) - 1] + ELISA_PAGE - offset));
}
