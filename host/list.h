/* SPDX-License-Identifier: GPL-2.0-only */
/* What there is, for the tool. With elisa_lock held. */
#ifndef HOST_LIST_H
#define HOST_LIST_H

#include <elisa/elisa.h>

void elisa_stats_get(struct elisa_ioc_stats *stats);
/* The entry after ENTRY->cursor; -ENOENT: there is none. */
int elisa_list_next(struct elisa_ioc_list *entry);

#endif
