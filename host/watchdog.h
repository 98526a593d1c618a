/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sees to it that a call ends also on a CPU without ticks: a vCPU that may be inside for long is made to leave its
 * guest, where its time is looked at (inside.c).
 */
#ifndef HOST_WATCHDOG_H
#define HOST_WATCHDOG_H

#include "attachment.h"

/* Looks no more. Nothing is attached. */
void elisa_watchdog_stop(void);
/* There is a VM that can call: looks until there is none. */
void elisa_watchdog_start(void);

/* A call of the attachment has exceeded the limit: the VM is detached if that happens again and again. With interrupts
 * off. */
void elisa_watchdog_offence(struct elisa_attachment *attachment);
/* The work of elisa_attachment.expel. */
void elisa_watchdog_expel(struct work_struct *work);

#endif
