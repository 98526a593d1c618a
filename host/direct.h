/* SPDX-License-Identifier: GPL-2.0-only */
/* Direct mapping, for comparison: the object's memory as memory of the VM. No isolation at all. */
#ifndef HOST_DIRECT_H
#define HOST_DIRECT_H

#include "attachment.h"

/* -EINPROGRESS: under way; elisa_attachment_ready() follows. With elisa_lock held. */
int elisa_direct_attach(struct elisa_attachment *attachment, struct elisa_why *why);
void elisa_direct_detach(struct elisa_attachment *attachment);
void elisa_direct_describe(const struct elisa_attachment *attachment, struct elisa_ioc_attach *attach);

#endif
