/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Host interposition: functions that the host's kernel executes for a client, in a VM exit, in the vCPU's thread.
 * Between elisa.ko and a module made of an object's own source; elisa/module.h makes one.
 */
#ifndef ELISA_INTERPOSE_H
#define ELISA_INTERPOSE_H

#include <linux/types.h>

#include <elisa/layout.h>

struct module;

struct elisa_interpose_function {
	const char *name;
	/* May take fewer arguments. The addresses in info are the kernel's. */
	long (*call)(const struct elisa_info *info, __u64 a0, __u64 a1, __u64 a2, __u64 a3, __u64 a4);
};

/*
 * Functions for the object that is published under this name; the module's own, until they are unregistered.
 *
 * A name says nothing of who has made the object, and it is the host's kernel that goes by what its memory says. So
 * they serve objects that host root has vetted, and that no client maps; unless they trust nothing that they read
 * there: no offset, no size, no index.
 */
struct elisa_interpose {
	const char *name;
	struct module *owner;
	const struct elisa_interpose_function *functions;
	unsigned int count;
	unsigned int any_object; /* they trust nothing */
};

/* 0, -EEXIST (the name is taken), -ENOMEM. */
int elisa_interpose_register(const struct elisa_interpose *interpose);

/* Returns when no call of its functions is under way. */
void elisa_interpose_unregister(const struct elisa_interpose *interpose);

/*
 * The rest is for elisa/object.h. Both share their state with calls by the gate: what is woken is the same, and so are
 * locks, whose word names the attachment that the host holds them for.
 */
struct elisa_interpose_waiter {
	__u64 word, since_ns;
	__u32 asked;
};

static inline __u64 elisa_interpose_lock_word(__u32 attachment)
{
	return ELISA_LOCK_OF(attachment);
}

/* Around what holds a lock: it does not stop in between. */
void elisa_interpose_lock_begin(void);
void elisa_interpose_lock_end(void);
void elisa_interpose_notify(const struct elisa_info *info, __u32 attachment);
/* Does what it can that the lock's holder goes on, or loses it. STATE is zeroed at first. May sleep. */
void elisa_interpose_lock_wait(const struct elisa_info *info, const void *lock, struct elisa_interpose_waiter *state);

#endif
