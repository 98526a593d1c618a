/* SPDX-License-Identifier: GPL-2.0-only */
/* Attachments: one VM's connection to one object, and the contexts that its vCPUs enter by it. */
#ifndef HOST_ATTACHMENT_H
#define HOST_ATTACHMENT_H

#include <linux/srcu.h>

#include "context.h"
#include "vm.h"
#include "work.h"

struct elisa_interpose;
struct elisa_direct;

#define ELISA_BUFFER_BYTES (ELISA_BUFFER_MAX / ELISA_BUFFERS_MAX) /* of address space each has */
#define ELISA_DATA_PTS (ELISA_DATA_MAX / ELISA_2M)

struct elisa_attachment {
	struct kref ref;
	struct list_head in_object, in_vm;
	struct elisa_object *object; /* referenced; NULL once calls return an error */
	struct elisa_vm *vm;         /* referenced */
	u32 id, slot, scheme;
	bool writable;
	int state; /* 0: alive; -EINPROGRESS: waits for the manager; else what calls return */
	struct elisa_pages pages;
	struct elisa_info *info;
	void *gate_page, *entry_page, **data_pages;
	u64 data_page_count;
	struct elisa_ept gate_pt;  /* gates: page G */
	struct elisa_ept entry_pt; /* sub contexts: page G, the info page */
	struct elisa_ept data_pts[ELISA_DATA_PTS];
	struct elisa_notice *notice; /* what the manager is told of it, if it is asked: ELISA_CREATE_ASK */
	struct elisa_memory *extra;
	struct elisa_ept extra_ept, buffers_ept; /* of level 3 */
	struct elisa_memory *buffers[ELISA_BUFFERS_MAX];
	DECLARE_BITMAP(revoked,
		       ELISA_BUFFERS_MAX); /* buffers that were taken away: their numbers are the client's still */
	atomic64_t woken;                  /* how often, and not yet told to the client; one on the host */
	wait_queue_head_t wait;
	struct list_head pairs;
	u32 pair_count;
	atomic64_t aborts[ELISA_ABORTS];
	atomic64_t samples;                      /* interrupts of the host that found a call inside */
	atomic_t offences;                       /* calls that were aborted for their time */
	unsigned long expelled;                  /* bit 0: there were too many, and the work is queued */
	struct work_struct expel;                /* with a reference of its own */
	const struct elisa_interpose *interpose; /* ELISA_SCHEME_VMCALL */
	struct elisa_direct *direct;             /* ELISA_SCHEME_DIRECT */
};

/* What one vCPU has for one attachment. */
struct elisa_pair {
	struct list_head in_attachment, in_cpu;
	struct elisa_cpu *cpu;
	struct elisa_attachment *attachment;
	struct elisa_pages pages;
	struct elisa_context gate, sub;
	struct elisa_ept stack_pt;
	void *stack[ELISA_STACK_SIZE / ELISA_PAGE];
	u32 number;   /* as holder of locks */
	bool awaited; /* the call below was going on when the exchange asked */
	u32 awaited_call;
	bool revoked; /* the call below may not go on; with elisa_holders_lock held */
	u32 revoked_call;
};

/* Made once, when the module is loaded. */
extern struct elisa_inside elisa_inside;
/* Held by whoever uses an attachment of vm->slots without elisa_lock. */
extern struct srcu_struct elisa_call_srcu;
/*
 * Who may hold a lock of an object: the lists of objects' attachments and of their pairs change with it held too.
 * Whoever waits for such a lock takes this one alone, and calls that wait are waited for with elisa_lock held: so
 * nothing is waited for with this one, and elisa_lock comes first.
 */
extern struct mutex elisa_holders_lock;

/* All with elisa_lock held. */

/* *ATTACHMENT is set with 0, and with -EINPROGRESS: the manager has been asked. */
int elisa_attach(struct elisa_vm *vm, const char *name, u32 scheme, struct elisa_attachment **attachment,
		 struct elisa_why *why);
/* It could be called now, or ERROR says why it cannot. For ELISA_SCHEME_DIRECT, which takes its time. */
void elisa_attachment_ready(struct elisa_attachment *attachment, int error);
/* The manager's answer; takes EXTRA over when it succeeds. */
int elisa_attachment_answer(struct elisa_object *object, const struct elisa_ioc_answer *answer,
			    struct elisa_memory *extra, struct elisa_why *why);
/* No call enters any more, those inside are aborted; all is given back. */
void elisa_detach(struct elisa_attachment *attachment);
/* From now on calls return ERROR, until the client detaches. */
void elisa_attachment_kill(struct elisa_attachment *attachment, int error);
/* An event of KIND about it, without what is that kind's own. From any context. */
struct elisa_event elisa_attachment_event(const struct elisa_attachment *attachment, u32 kind);
void elisa_attachment_put(struct elisa_attachment *attachment);
/* Wakes its client: a process of the host, or whoever waits in its VM. From any thread that may sleep. */
void elisa_attachment_wake(struct elisa_attachment *attachment);
/* The same by its number, if it is OBJECT's, which is not looked into; without elisa_lock. */
void elisa_attachment_wake_number(const struct elisa_object *object, u32 number);
/* By its number, with elisa_call_srcu held, or NULL. */
struct elisa_attachment *elisa_attachment_of_number(u32 number);
struct elisa_attachment *elisa_attachment_find(struct elisa_vm *vm, u32 id);
/* For the vCPU's first call, in its own thread; -ENOMEM. */
int elisa_pair_create(struct elisa_attachment *attachment, struct elisa_cpu *cpu);
/* No vCPU can be in it, and its translations are flushed. */
void elisa_pair_destroy(struct elisa_pair *pair);
struct elisa_pair *elisa_pair_find(const struct elisa_attachment *attachment, const struct elisa_cpu *cpu);
/* The word at OFFSET from the top of a vCPU's stack, where its entry keeps what the caller wants back. */
u64 elisa_pair_frame(const struct elisa_pair *pair, unsigned int offset);
/* The number of the call that it is in, or was in last: as locks and elisa_inside_revoke() name it. */
static inline u32 elisa_pair_call(const struct elisa_pair *pair)
{
	return elisa_pair_frame(pair, ELISA_FRAME_CALLS);
}

#endif
