/* SPDX-License-Identifier: GPL-2.0-only */
/* Host interposition: the functions of an object's source, built as a module, executed by the host in a VM exit. */
#ifndef HOST_INTERPOSE_H
#define HOST_INTERPOSE_H

#include <elisa/interpose.h>

#include "attachment.h"

/* For the attachment of that scheme. With elisa_lock held. */
int elisa_interpose_attach(struct elisa_attachment *attachment, struct elisa_why *why);
void elisa_interpose_detach(struct elisa_attachment *attachment);
int elisa_interpose_share(struct elisa_attachment *attachment, u32 buffer, const struct elisa_memory *memory);
void elisa_interpose_unshare(struct elisa_attachment *attachment, u32 buffer);
/* The same when no call can be under way any more. */
void elisa_interpose_forget(struct elisa_attachment *attachment, u32 buffer);
/* The index of a function, or -ENOENT. */
int elisa_interpose_function(const struct elisa_attachment *attachment, const char *name);
/* Calls a function by its index, with five arguments, for the attachment in that slot of VM: its result. */
s64 elisa_interpose_call(struct elisa_vm *vm, u8 slot, u64 function, const u64 *arguments);

#endif
