/* SPDX-License-Identifier: GPL-2.0-only */
/* What has happened, kept for the tool; aborts are also told to the manager and to the tracepoint elisa:elisa_abort. */
#ifndef HOST_LOG_H
#define HOST_LOG_H

#include <elisa/elisa.h>

#include "inside.h"

/* From any context. ATTACHMENT may be NULL. */
void elisa_log(u32 event, const struct elisa_object *object, const struct elisa_attachment *attachment);
void elisa_log_revoke(const struct elisa_attachment *attachment, u32 buffer);
/* The call that was taken out returns ERROR, and does not go on. With interrupts off. */
void elisa_log_abort(const struct elisa_taken *taken, int error);
/* The next that is newer than entry->cursor, by entry->kind; -ENOENT: there is none. */
int elisa_log_next(struct elisa_ioc_list *entry);

#endif
