/* SPDX-License-Identifier: GPL-2.0-only */
/* Calls that were ended from outside: told to the manager, to the tracepoint elisa:elisa_abort, and kept for the tool.
 */
#ifndef HOST_ABORT_H
#define HOST_ABORT_H

#include <elisa/elisa.h>

#include "inside.h"

/* The call that was taken out returns ERROR, and does not go on. With interrupts off. */
void elisa_abort_report(const struct elisa_taken *taken, int error);
/* The next that is newer than entry->cursor; -ENOENT: there is none. */
int elisa_abort_next(struct elisa_ioc_list *entry);

#endif
