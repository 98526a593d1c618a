/* SPDX-License-Identifier: MIT */
/*
 * libelisa: share objects between virtual machines, and call the code that guards them.
 *
 * A *manager* (a process on the host, or in a VM) makes an object: memory, trusted code, a name. A *client* (a process
 * in a VM) attaches to it by name and calls its functions; nothing else of the object is in its reach.
 *
 * Functions return 0 or -errno, unless they say otherwise; nothing is changed after an error. elisa_reason() then says
 * in one line what was wrong. All sizes are in bytes. Functions may be called from any thread; one object or attachment
 * is not to be closed while another thread uses it. Descriptors are close-on-exec.
 */
#ifndef ELISA_H
#define ELISA_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Why the last call of this library failed in this thread: one line, valid until the next failure. Never NULL. */
const char *elisa_reason(void);

/* --- managers */

struct elisa_object;

enum {
	ELISA_OBJECT_VETTED =
		1 << 0,            /* the code is part of the host's trusted base: host root only; calls are cheaper */
	ELISA_OBJECT_ASK = 1 << 1, /* attaching waits for elisa_object_accept() or elisa_object_refuse() */
	ELISA_OBJECT_OUTLIVE = 1 << 2,  /* when the manager dies, clients go on; else their calls return -ESHUTDOWN */
	ELISA_OBJECT_DIRECT = 1 << 3,   /* clients that may write may map the memory instead: no isolation at all */
	ELISA_OBJECT_EXCHANGE = 1 << 4, /* clients may share buffers with the calls of all attachments */
};

enum elisa_whom {
	ELISA_ALL,
	ELISA_VM,  /* by the number that events show */
	ELISA_PID, /* by the process of its VMM; managers on the host only */
	ELISA_UID, /* by the owner of its VMM; managers on the host only */
};

enum elisa_rights {
	ELISA_NONE = 0, /* takes a grant back; those attached stay */
	ELISA_READ = 1,
	ELISA_WRITE = 3,
};

enum elisa_event_kind {
	ELISA_ATTACHED = 1, /* of an object with ELISA_OBJECT_ASK: answer it */
	ELISA_DETACHED = 2,
	ELISA_ABORTED = 3, /* a call was ended from outside */
	ELISA_REVOKED = 4, /* a buffer is shared no more: the VM's memory under it has changed */
};

struct elisa_object_event {
	enum elisa_event_kind kind;
	uint32_t attachment; /* its number */
	uint32_t vm;
	uint32_t pid, uid;    /* of the VMM; in a VM both are 0xffffffff */
	int error;            /* aborted: what the call returned */
	uint32_t exit_reason; /* aborted: the CPU's basic exit reason */
	uint64_t address;     /* aborted: where the call was */
	uint64_t lost;        /* events dropped before this one */
	uint32_t buffer;      /* revoked: its number */
	uint32_t offset;      /* aborted: of the address in the function below */
	char symbol[64];      /* aborted: of the trusted code; empty if its file has no symbols */
};

/* What a basic exit reason is called; "other" if it has no name here. Static. */
const char *elisa_exit_name(uint32_t reason);

/* A new object, without a name yet. Errors: those of open("/dev/elisa"), EPERM (VETTED and not root on the host). */
int elisa_object_create(struct elisa_object **object, unsigned int flags);

/*
 * Trusted code from an ELF file built with `pkg-config --cflags --libs elisa-sub`. Each thing that can be wrong with
 * the file has an errno and a reason of its own (lib/image.h).
 */
int elisa_object_load(struct elisa_object *object, const char *path);

/*
 * The object's memory, zero apart from what the code initialises (its ELISA_SHARED variables, which come first): the
 * address of at least `bytes`, rounded up to pages of the size HUGE (0, 2 MiB or 1 GiB). It is pinned, charged to
 * RLIMIT_MEMLOCK, and the object's. After elisa_object_load(), once. Errors: ENOMEM (huge pages: none are reserved),
 * EBUSY (it has memory), EINVAL (a size that is no page's, or nothing to allocate), those of the kernel.
 */
int elisa_object_memory(struct elisa_object *object, size_t bytes, size_t huge, void **address);

/* The manager's view of a variable that the code declared with ELISA_SHARED. Errors: ENOENT. */
int elisa_object_shared(struct elisa_object *object, const char *variable, void **address);

/* From now on clients may attach, if a grant lets them. Errors: EEXIST (the name is taken), ENAMETOOLONG, EINVAL. */
int elisa_object_publish(struct elisa_object *object, const char *name);

/* Who may attach, and may the functions it calls write? The id is that of the VM, process or user; of ELISA_ALL: 0. */
int elisa_object_grant(struct elisa_object *object, enum elisa_whom whom, uint32_t id, enum elisa_rights rights);

/* All of the above in one: create, load, memory, grant to all, publish. */
int elisa_object_offer(struct elisa_object **object, const char *path, const char *name, size_t bytes,
		       enum elisa_rights rights);

/* The next event; waits up to `limit_ms` (-1: for ever). Errors: EAGAIN (none came). */
int elisa_object_next_event(struct elisa_object *object, struct elisa_object_event *event, int limit_ms);

/*
 * Lets the client in that the event is about. Its calls find `value` in struct elisa_info, and `bytes` of memory of its
 * own at `address`: page-aligned, made by the caller, the object's from now on; or NULL and 0. Errors: ENOENT (it has
 * gone).
 */
int elisa_object_accept(struct elisa_object *object, const struct elisa_object_event *event, uint64_t value,
			void *address, size_t bytes);

/* Sends it away: its elisa_attach() fails with `error`, a negative errno. */
int elisa_object_refuse(struct elisa_object *object, const struct elisa_object_event *event, int error);

/* The name is free, and calls of clients return -ESHUTDOWN. The memory stays the manager's to read. */
int elisa_object_withdraw(struct elisa_object *object);

/* For poll(): readable when an event waits. */
int elisa_object_fd(const struct elisa_object *object);

/* Withdraws it and unmaps its memory. NULL is allowed. */
void elisa_object_destroy(struct elisa_object *object);

/* --- clients */

struct elisa_attachment;

enum elisa_scheme {
	ELISA_BY_GATE,   /* no VM exit */
	ELISA_BY_VMCALL, /* the host executes the function, in a VM exit: to compare with */
	ELISA_BY_DIRECT, /* the process itself executes it, on memory it can write: elisa_attach_direct() */
};

/* A function to call. Filled by elisa_function_find(), usable by all threads until its attachment is closed. */
struct elisa_function {
	uint32_t slot;
	uint32_t index;
	long enter; /* where each thread keeps the address to go to, from its thread pointer */
	struct elisa_attachment *attachment;
};

/*
 * Connects to the object that is published as `name`. Errors: ENOENT (no such object), EACCES (no grant), what the
 * manager refused with, ENOSPC (too many attachments), EOPNOTSUPP (what the CPU, host or kernel lacks: elisa_reason()),
 * EEXIST (something of this process lies where the gate belongs), EINVAL.
 *
 * After fork() the child may call what its parent could: the attachment is open until both have closed it. Buffers stay
 * those of the parent's memory. After exec() nothing is left.
 */
int elisa_attach(struct elisa_attachment **attachment, const char *name, enum elisa_scheme scheme);

/*
 * The same without any isolation: maps the object's memory, and the code of the same ELF file, into this process. One
 * at a time: else EBUSY. Locks of the object work with those of all others; but nobody takes one from code that cannot
 * be stopped, as long as this VM has the object attached so.
 */
int elisa_attach_direct(struct elisa_attachment **attachment, const char *name, const char *path);

/* Errors: ENOENT (the object offers no such function). */
int elisa_function_find(struct elisa_attachment *attachment, const char *name, struct elisa_function *function);

/*
 * Calls the function with its arguments, and returns what it returned, or a negative errno if the call was ended:
 * ESHUTDOWN (the object is gone), ETIME (it took too long), EFAULT and EILSEQ (it touched what it may not, or raised an
 * exception), EINTR (the VM was to see an event, or its VMM changed its state), ECANCELED (it did what only a VM exit
 * can do, or its lock, or others' memory, was taken from it), ENOTCONN (detached), EPERM (this process may not mask
 * interrupts), and what elisa_call(3) has besides.
 *
 * The thread's first call asks the kernel for the right to mask interrupts, which the thread then keeps: a process that
 * calls can reach the VM's I/O ports. Later calls enter the kernel no more, and take no lock.
 */
long elisa_call(const struct elisa_function *function, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4);

/* The same, for functions that take fewer arguments; those not named here hold whatever the registers held. */
long elisa_call0(const struct elisa_function *function);
long elisa_call1(const struct elisa_function *function, uint64_t a0);
long elisa_call2(const struct elisa_function *function, uint64_t a0, uint64_t a1);
long elisa_call3(const struct elisa_function *function, uint64_t a0, uint64_t a1, uint64_t a2);
long elisa_call4(const struct elisa_function *function, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3);

/*
 * Shares pages of this process with the functions called through this attachment: `*buffer` is the number to hand to
 * them. Page-aligned, no file's private or read-only mapping; the pages are pinned until elisa_unshare(). Errors:
 * EINVAL (not page-aligned, or nothing; unknown flags), EFAULT (not mapped, or not writable), E2BIG, ENOSPC (64 are
 * shared), ENOMEM, EBUSY (the VM's memory is being logged), EOPNOTSUPP (the scheme has no such buffers).
 */
int elisa_share(struct elisa_attachment *attachment, void *address, size_t bytes, unsigned int flags, uint32_t *buffer);
enum {
	ELISA_BUFFER_READ_ONLY = 1 << 0, /* the functions may not write it */
	/* Calls of the object's other attachments reach it too: its number counts from 0x100 on. At most 64 MiB, 16 of
	 * an attachment. Errors: EOPNOTSUPP (the object is not made for it). */
	ELISA_BUFFER_EXCHANGE = 1 << 1,
};

/* After it no call reaches the buffer any more, whichever it began with. Errors: ENOENT. */
int elisa_unshare(struct elisa_attachment *attachment, uint32_t buffer);

/*
 * Waits until a function that another client has called wakes this one (elisa_notify() in trusted code), or for
 * LIMIT_MS
 * (-1: for ever). It may return for nothing: look again for what is waited for. Errors: ETIMEDOUT, EINTR.
 *
 * Nothing is lost if the client first says in shared memory that it is about to wait, then looks once more, then waits.
 */
int elisa_wait(struct elisa_attachment *attachment, int limit_ms);

/* For poll(): readable when elisa_wait() would return at once, which then forgets it. */
int elisa_attachment_fd(const struct elisa_attachment *attachment);

/* Its number, which trusted code finds in struct elisa_info. */
uint32_t elisa_attachment_number(const struct elisa_attachment *attachment);

/* May the functions write the object's memory? */
int elisa_attachment_writable(const struct elisa_attachment *attachment);

/* No call may be under way or follow. NULL is allowed. */
void elisa_detach(struct elisa_attachment *attachment);

#ifdef __cplusplus
}
#endif
#endif
