/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Buffers that a client shares with the calls of all attachments of an object (ELISA_CREATE_EXCHANGE): mapped in every
 * sub context of it, and told in a table that all of them see. All with elisa_lock held.
 */
#ifndef HOST_EXCHANGE_H
#define HOST_EXCHANGE_H

#include <elisa/layout.h>

#include "ept.h"
#include "memory.h"
#include "pages.h"

struct elisa_attachment;
struct elisa_object;
struct elisa_pair;

#define ELISA_EXCHANGE_TABLE_BYTES (ELISA_EXCHANGES_MAX * sizeof(struct elisa_exchange))
#define ELISA_EXCHANGE_TABLE_PAGES (ELISA_EXCHANGE_TABLE_BYTES / ELISA_PAGE)

struct elisa_exchanges {
	void *pages[ELISA_EXCHANGE_TABLE_PAGES]; /* the table, as trusted code sees it */
	struct elisa_ept ept;                    /* of level 3, shared by all attachments */
	struct {
		struct elisa_attachment *owner; /* of the place, also after its buffer was revoked; NULL: it is free */
		struct elisa_memory *memory;
	} places[ELISA_EXCHANGES_MAX];
	/* The same table with the kernel's addresses, while there are attachments whose functions the host executes. */
	struct elisa_exchange *interposed;
	unsigned int interposers;
};

/* An object's; -ENOMEM. */
int elisa_exchange_create(struct elisa_object *object);
/* Nothing is shared any more. NULL is fine. */
void elisa_exchange_destroy(struct elisa_object *object);

/* An attachment finds the table; a vCPU's sub context has what is shared. -ENOMEM. */
int elisa_exchange_attach(struct elisa_attachment *attachment);
int elisa_exchange_link(struct elisa_pair *pair);
/* Likewise for one whose functions the host executes. */
int elisa_exchange_interpose(struct elisa_attachment *attachment);
void elisa_exchange_interpose_end(struct elisa_attachment *attachment);

/* Takes MEMORY over when it succeeds; *NUMBER counts from ELISA_EXCHANGE_FIRST. */
int elisa_exchange_share(struct elisa_attachment *attachment, struct elisa_memory *memory, bool writable, u32 *number,
			 struct elisa_why *why);
int elisa_exchange_unshare(struct elisa_attachment *attachment, u32 number, struct elisa_why *why);
/* The memory under it has changed: nobody reaches it any more, its place stays its owner's. */
void elisa_exchange_revoke(struct elisa_attachment *attachment, u32 number);
/* All that ATTACHMENT has shared; calls of others that began before have ended, or are aborted. */
void elisa_exchange_leave(struct elisa_attachment *attachment);
/* Revokes those whose memory is not the VM's any more. */
void elisa_exchange_recheck(struct elisa_attachment *attachment);

#endif
