/* SPDX-License-Identifier: GPL-2.0-only */
/* Objects: memory, trusted code and functions under a name, made by a manager on the host or in a VM. */
#ifndef HOST_OBJECT_H
#define HOST_OBJECT_H

#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/pid.h>
#include <linux/uidgid.h>

#include "event.h"
#include "memory.h"
#include "pages.h"

struct elisa_exchanges;
struct elisa_vm;

/* Protects all objects, attachments and VMs against each other's changes; taken in process context only, first of all.
 */
extern struct mutex elisa_lock;

#define ELISA_CODE_PTS (ELISA_CODE_MAX / ELISA_2M)

struct elisa_code {
	struct elisa_ept pts[3 * ELISA_CODE_PTS]; /* PTs of code and constants, linked by all attachments; by 2 MiB from
						     ELISA_CODE_OFFSET on */
	void **pages;                             /* of code and constants */
	u64 page_count;
	void *data; /* what an attachment's data begins as */
	u64 data_bytes;
	struct elisa_function_entry *functions, *symbols; /* the latter by rising address */
	u32 function_count, symbol_count;
	u64 charged; /* bytes of all these copies */
};

struct elisa_object {
	struct kref ref;
	struct list_head node; /* in elisa_objects */
	u32 id, flags;
	struct elisa_vm *vm; /* the manager's; NULL: a process of the host */
	u32 pid, uid;
	char label[ELISA_NAME_MAX]; /* the name that it has or had */
	char name[ELISA_NAME_MAX];  /* empty until it is published, and again when it is withdrawn */
	int dead;                   /* what calls return now, else 0 */
	bool managed;               /* somebody reads its events */
	struct elisa_pages pages;
	struct elisa_memory *memory;
	struct elisa_ept memory_ept;       /* of level 3, shared by all attachments */
	struct elisa_exchanges *exchanges; /* with ELISA_CREATE_EXCHANGE */
	struct elisa_code code;
	struct list_head grants, attachments;

	struct elisa_events events;
};

extern struct list_head elisa_objects;

/* All with elisa_lock held, but for elisa_object_event(). */

/* VM is the manager's, or NULL. The object belongs to the caller until elisa_object_close(). */
int elisa_object_create(struct elisa_object **object, struct elisa_vm *vm, u32 flags, struct elisa_why *why);
/* Takes MEMORY over when it succeeds. */
int elisa_object_set_memory(struct elisa_object *object, struct elisa_memory *memory, struct elisa_why *why);
/* Whether it could have code of BYTES in all: to ask before they are copied. */
int elisa_object_check_code(const struct elisa_object *object, u64 bytes, struct elisa_why *why);
/* BLOB is a kernel's copy of BYTES that the manager gave: as struct elisa_ioc_code says. */
int elisa_object_set_code(struct elisa_object *object, const struct elisa_ioc_code *code, const void *blob, u64 bytes,
			  struct elisa_why *why);
/* Copies of the manager's code and data, which count for its VM, if it is in one; -ENOSPC. */
int elisa_object_charge(struct elisa_object *object, u64 bytes, struct elisa_why *why);
void elisa_object_uncharge(struct elisa_object *object, u64 bytes);
int elisa_object_publish(struct elisa_object *object, const char *name, struct elisa_why *why);
int elisa_object_grant(struct elisa_object *object, const struct elisa_ioc_grant *grant, struct elisa_why *why);
/* The grant of this place among OBJECT's; -ENOENT: it has no more. */
int elisa_object_grant_get(const struct elisa_object *object, unsigned int place, struct elisa_ioc_grant *grant);
/* The rights that VM has: 0, ELISA_RIGHT_READ or ELISA_RIGHT_WRITE. */
u32 elisa_object_rights(const struct elisa_object *object, const struct elisa_vm *vm);
/* The name is free, and calls return ERROR. */
void elisa_object_withdraw(struct elisa_object *object, int error);
/* The manager is gone: withdraws the object, or leaves those attached be, as it chose. The caller has a reference,
 * and puts it afterwards. */
void elisa_object_abandon(struct elisa_object *object);
/* The same, with the manager's reference. */
void elisa_object_close(struct elisa_object *object);
struct elisa_object *elisa_object_find(const char *name);
void elisa_object_get(struct elisa_object *object);
void elisa_object_put(struct elisa_object *object);

/* From any context. For the manager, if there is one. */
void elisa_object_event(struct elisa_object *object, const struct elisa_event *event);
/* What lies at ADDRESS inside, for messages: a name of its code, or of what every object has; NULL if there is none. */
const char *elisa_object_symbol(const struct elisa_object *object, u64 address, u32 *offset);

/* BYTES rounded up to a whole number of pages. */
static inline u64 elisa_whole_pages(u64 bytes)
{
	return (bytes + ELISA_PAGE - 1) & ~(ELISA_PAGE - 1);
}

#endif
