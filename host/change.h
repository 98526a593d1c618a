/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory that a VM has shared, and that its VMM then takes away or begins to log (a balloon, a slot removed,
 * migration): the pages stay pinned, so nobody is harmed, but they are no longer the VM's. Such a buffer is revoked.
 */
#ifndef HOST_CHANGE_H
#define HOST_CHANGE_H

#include "memory.h"
#include "vm.h"

/* The works of elisa_memory.look, elisa_vm.recheck and elisa_memory.orphan. */
void elisa_change_look(struct work_struct *work);
void elisa_change_recheck(struct work_struct *work);
void elisa_change_orphan(struct work_struct *work);
/* Pins what elisa_memory_add() has found to be right, and watches. */
int elisa_memory_pin(struct elisa_memory *memory, unsigned long address, u64 bytes, struct elisa_why *why);
/* Nobody looks after it any more. */
void elisa_change_forget(struct elisa_memory *memory);
/* Whether all of it is the VM's at this moment, as far as its memory slots tell. With elisa_lock held. */
bool elisa_change_is_backed(struct elisa_vm *vm, const struct elisa_memory *memory);

#endif
