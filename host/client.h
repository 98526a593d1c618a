/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Processes of the host as clients: the host's kernel executes the functions for them (ELISA_SCHEME_VMCALL), as the
 * same module does for VMs. To the rest a process is like a VM that has one attachment. An open file's calls come one
 * at a time, but for elisa_client_call(), elisa_client_read() and elisa_client_poll().
 */
#ifndef HOST_CLIENT_H
#define HOST_CLIENT_H

#include <linux/fs.h>
#include <linux/poll.h>

#include "attachment.h"

struct elisa_client {
	struct elisa_vm *vm;
	struct elisa_attachment *attachment; /* referenced */
};

/* May wait for the manager: -EINTR. */
int elisa_client_attach(struct elisa_client **client, struct elisa_ioc_attach *attach, struct elisa_why *why);
void elisa_client_detach(struct elisa_client *client);
int elisa_client_function(struct elisa_client *client, struct elisa_ioc_function *function, struct elisa_why *why);
int elisa_client_share(struct elisa_client *client, struct elisa_ioc_share *share, struct elisa_why *why);
int elisa_client_unshare(struct elisa_client *client, u32 buffer, struct elisa_why *why);
s64 elisa_client_call(struct elisa_client *client, const struct elisa_ioc_call *call);
/* How often it was woken since the last time, and 0 with -EAGAIN if WAIT is not set. */
int elisa_client_read(struct elisa_client *client, u64 *woken, bool wait);
__poll_t elisa_client_poll(struct elisa_client *client, struct file *file, poll_table *table);

#endif
