/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How the host tells that a client of this VM is to be woken: by an interrupt, as a device of its own would. One for
 * all clients: each that waits looks for itself.
 */
#ifndef GUEST_INTERRUPT_H
#define GUEST_INTERRUPT_H

#include <linux/poll.h>

/* Without an interrupt all else works: those who would wait get EOPNOTSUPP. */
int elisa_interrupt_init(void);
void elisa_interrupt_uninit(void);

/* How many there were: what a client has seen before it looks for what it waits for. */
u64 elisa_interrupt_count(void);
/* More than SEEN, or an error: -EAGAIN (none, and WAIT is not set), -EOPNOTSUPP, a signal's. */
int elisa_interrupt_wait(u64 seen, bool wait, u64 *count);
__poll_t elisa_interrupt_poll(u64 seen, struct file *file, poll_table *table);

#endif
