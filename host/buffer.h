/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory of clients, pinned and mapped where trusted code that they call reaches it. All with elisa_lock held. */
#ifndef HOST_BUFFER_H
#define HOST_BUFFER_H

#include "attachment.h"

/* Takes MEMORY over when it succeeds; FLAGS are ELISA_SHARE_*. */
int elisa_buffer_share(struct elisa_attachment *attachment, struct elisa_memory *memory, u32 flags, u32 *buffer,
		       struct elisa_why *why);
int elisa_buffer_unshare(struct elisa_attachment *attachment, u32 buffer, struct elisa_why *why);
/* The memory under it has changed: nobody reaches it any more. */
void elisa_buffer_revoke(struct elisa_attachment *attachment, u32 buffer);
/* Tells of that: the manager, and the lists. */
void elisa_buffer_tell_revoked(struct elisa_attachment *attachment, u32 buffer);
/* Unpins all but those of the exchange. No vCPU reaches the attachment, and its translations are flushed. */
void elisa_buffers_forget(struct elisa_attachment *attachment);

#endif
