/* SPDX-License-Identifier: MIT */
/*
 * /dev/elisa, the same on a host and in a guest.
 *
 * An open file becomes an object (its manager's end) by ELISA_IOC_CREATE or an attachment (a client's end; on a
 * host by VMCALL's scheme only) by ELISA_IOC_ATTACH, once; closing the last descriptor of it releases all that belongs
 * to it, however the process ended.
 *
 * Every structure begins with its size, so that it can grow; reserved fields and unknown flags must be zero (EINVAL).
 * After an error ELISA_IOC_REASON says what was wrong in one line, which the kernel's log has too.
 */
#ifndef ELISA_UAPI_H
#define ELISA_UAPI_H

#include <linux/ioctl.h>
#include <linux/types.h>

#include "layout.h"

#define ELISA_NAME_MAX 64 /* of an object or function, with the final zero */
#define ELISA_REASON_MAX 128

/* --- managers */

#define ELISA_CREATE_VETTED (1 << 0)  /* code of the host's trusted base: host root only */
#define ELISA_CREATE_ASK (1 << 1)     /* attaching waits for ELISA_IOC_ANSWER */
#define ELISA_CREATE_OUTLIVE (1 << 2) /* when the manager dies clients go on; else their calls return -ESHUTDOWN */
#define ELISA_CREATE_DIRECT \
	(1 << 3) /* ELISA_SCHEME_DIRECT is allowed: whoever may write the object can do anything to its memory */

#define ELISA_CREATE_EXCHANGE (1 << 4) /* clients may share buffers with all attachments */

struct elisa_ioc_create {
	__u32 size;
	__u32 flags;
};

/* Memory of the calling process, which becomes the object's: pinned, and charged to RLIMIT_MEMLOCK. Once, page-aligned.
 */
struct elisa_ioc_memory {
	__u32 size;
	__u32 reserved;
	__u64 address;
	__u64 bytes;
};

struct elisa_function_entry {
	char name[ELISA_NAME_MAX];
	__u64 address; /* inside, within the code */
};

#define ELISA_SYMBOLS_MAX 4096

/*
 * Trusted code, copied: one blob of the functions' table (struct elisa_function_entry[functions]), a table of all
 * names in the code by rising address (struct elisa_function_entry[symbols], to say where a call was aborted), then,
 * each a multiple of a page, code, constants and the initial data of every attachment, which are linked for their
 * places in layout.h.
 */
struct elisa_ioc_code {
	__u32 size;
	__u32 functions;
	__u64 blob; /* address */
	__u64 code_bytes, rodata_bytes, data_bytes;
	__u32 symbols;
	__u32 reserved;
};

/* Bytes of the blob; 0 if its parts do not add up, or are too large. */
static inline __u64 elisa_code_blob_bytes(const struct elisa_ioc_code *code)
{
	if (!code->functions || code->functions > ELISA_FUNCTIONS_MAX || code->symbols > ELISA_SYMBOLS_MAX ||
	    !code->code_bytes || code->code_bytes > ELISA_CODE_MAX || code->rodata_bytes > ELISA_RODATA_MAX ||
	    code->data_bytes > ELISA_DATA_MAX ||
	    (code->code_bytes | code->rodata_bytes | code->data_bytes) % ELISA_PAGE)
		return 0;
	return (code->functions + (__u64)code->symbols) * sizeof(struct elisa_function_entry) + code->code_bytes +
	       code->rodata_bytes + code->data_bytes;
}

struct elisa_ioc_publish {
	__u32 size;
	__u32 reserved;
	char name[ELISA_NAME_MAX];
};

/*
 * An object that is published already, for root of the host to grant and withdraw: the file has no events, and closing
 * it changes nothing.
 */
struct elisa_ioc_open {
	__u32 size;
	__u32 reserved;
	char name[ELISA_NAME_MAX];
};

#define ELISA_GRANT_ALL 0
#define ELISA_GRANT_VM 1  /* by the number that events and lists show */
#define ELISA_GRANT_PID 2 /* by the process of its VMM, which must exist; managers on the host only */
#define ELISA_GRANT_UID 3 /* by the owner of its VMM; managers on the host only */
#define ELISA_RIGHT_READ 1
#define ELISA_RIGHT_WRITE 3

struct elisa_ioc_grant {
	__u32 size;
	__u32 kind;
	__u32 id;
	__u32 rights; /* 0 revokes: it concerns later attaches, those attached stay */
};

#define ELISA_EVENT_ATTACH 1 /* with ELISA_CREATE_ASK: answer it */
#define ELISA_EVENT_DETACH 2
#define ELISA_EVENT_ABORT 3  /* a call was ended from outside */
#define ELISA_EVENT_REVOKE 4 /* a buffer is shared no more: the memory under it has changed */
/* In ELISA_LIST_EVENT only, where ELISA_EVENT_ATTACH says that one has attached. */
#define ELISA_EVENT_PUBLISH 5
#define ELISA_EVENT_WITHDRAW 6

/* read() gives whole events; poll() says when there is one. */
struct elisa_event {
	__u32 size;
	__u32 kind;
	__u32 attachment;
	__u32 vm;
	__u32 pid, uid;    /* of the VMM; in a guest both are 0xffffffff */
	__s32 error;       /* abort: what the call returned */
	__u32 exit_reason; /* abort: the SDM's basic exit reason, or 0xffff */
	__u64 address;     /* abort: where the call was, inside */
	__u64 lost;        /* events that were dropped before this one */
	__u32 buffer;      /* revoke: its number */
	__u32 offset;      /* abort: of the address in the symbol below, which is empty if there is none */
	char symbol[ELISA_NAME_MAX];
};

struct elisa_ioc_answer {
	__u32 size;
	__u32 attachment;
	__s32 error; /* 0 accepts; else a negative errno */
	__u32 reserved;
	__u64 value;          /* struct elisa_info.value */
	__u64 address, bytes; /* memory of its own, as in ELISA_IOC_MEMORY; 0 bytes: none */
};

/* --- clients */

#define ELISA_SCHEME_GATE 0
#define ELISA_SCHEME_VMCALL 1 /* the host executes the function */
#define ELISA_SCHEME_DIRECT 2 /* the object's memory is mapped into the guest */

struct elisa_ioc_attach {
	__u32 size;
	__u32 scheme;
	char name[ELISA_NAME_MAX];
	/* out */
	__u32 slot; /* of the sub context; VMCALL: what to call by */
	__u32 functions;
	__u32 writable;
	__u32 attachment;
	__u64 memory_bytes;
	__u64 memory_gpa; /* direct: where the driver finds the object's memory */
	__u32 by_ioctl;   /* functions are called by ELISA_IOC_CALL */
	__u32 vm;         /* direct: what trusted code is told of the attachment, in struct elisa_info */
	__u64 value;
};

struct elisa_ioc_function {
	__u32 size;
	__u32 index; /* out */
	char name[ELISA_NAME_MAX];
};

#define ELISA_SHARE_READ_ONLY (1 << 0) /* trusted code may not write it */
#define ELISA_SHARE_EXCHANGE (1 << 1)  /* also calls of other attachments reach it; ELISA_CREATE_EXCHANGE */

struct elisa_ioc_share {
	__u32 size;
	__u32 flags;
	__u64 address, bytes; /* page-aligned */
	__u32 buffer;         /* out: its number, an index of struct elisa_info.buffers; with ELISA_SHARE_EXCHANGE
				 ELISA_EXCHANGE_FIRST + an index of the exchange's table */
	__u32 reserved;
};

struct elisa_ioc_unshare {
	__u32 size;
	__u32 buffer;
};

/* On a host, where the kernel executes the function of ELISA_SCHEME_VMCALL for a process. */
struct elisa_ioc_call {
	__u32 size;
	__u32 function;
	__u64 arguments[5];
	__s64 result; /* out */
};

/*
 * Trusted code wakes a client by elisa_notify(): then poll() says that its attachment's file is readable, and read()
 * gives how many times (__u64), and forgets them. It may be woken for nothing.
 *
 * mmap() of an attachment: at offset ELISA_MMAP_STUB the three pages from G-1 to G+1, which must lie at their address
 * (layout.h); at ELISA_MMAP_MEMORY, with ELISA_SCHEME_DIRECT, the object's memory.
 */
#define ELISA_MMAP_STUB 0x0
#define ELISA_MMAP_MEMORY 0x100000

/* --- anyone */

struct elisa_ioc_reason {
	__u32 size;
	__u32 reserved;
	char text[ELISA_REASON_MAX];
};

/* What the whole module holds at this moment. In a guest, what this VM's driver holds. */
struct elisa_ioc_stats {
	__u32 size;
	__u32 objects, attachments, vms, vcpus;
	__u32 reserved;
	__u64 pinned_pages;    /* pages of others that are kept in memory */
	__u64 allocated_pages; /* pages of our own */
};

#define ELISA_LIST_VM 1
#define ELISA_LIST_OBJECT 2
#define ELISA_LIST_ATTACHMENT 3
#define ELISA_LIST_ABORT 4 /* the last calls that were ended from outside, oldest first */
#define ELISA_LIST_EVENT 5 /* the last events of all objects, likewise */
#define ELISA_LIST_GRANT 6 /* who may attach: id, grant, object, name, and ELISA_RIGHT_* in flags */

/* Why calls were ended from outside, as they are counted. */
enum elisa_abort_kind {
	ELISA_ABORT_TIME,        /* it took too long (ETIME) */
	ELISA_ABORT_FAULT,       /* it touched what it may not, or raised an exception (EFAULT) */
	ELISA_ABORT_INSTRUCTION, /* an exception that the host intercepts (EILSEQ) */
	ELISA_ABORT_VMFUNC,      /* a VMFUNC that led nowhere (EPERM) */
	ELISA_ABORT_INTERRUPTED, /* the VM was to see an event, or its VMM has changed its state (EINTR) */
	ELISA_ABORT_EXIT,        /* another exit, or its lock or others' memory was taken from it (ECANCELED) */
	ELISA_ABORT_GONE,        /* object or attachment went */
	ELISA_ABORTS,
};

/* One entry after another: start with cursor 0, hand the same structure back; ENOENT ends the list. Host only. */
struct elisa_ioc_list {
	__u32 size;
	__u32 kind;
	__u64 cursor;
	__u32 id;
	__u32 vm;       /* attachment, VM */
	__u32 pid, uid; /* VM; object: of its manager */
	__u32 object;   /* attachment */
	__u32 flags;    /* object: as created; attachment: ELISA_RIGHT_* */
	__u32 functions;
	__u32 attachments;
	__u32 vcpus; /* VM, attachment: that have called */
	__u32 state; /* 0 alive, else the errno that calls get, positive */
	__u64 memory_bytes;
	__u64 allocated_bytes; /* host memory that it takes, apart from its vCPUs' */
	__u64 vcpu_bytes;      /* host memory that all its vCPUs take together */
	__u64 calls;
	__u64 aborts;
	char name[ELISA_NAME_MAX]; /* of the object */
	/* Of attachments, objects and VMs, also at once for all that they have. */
	__u64 aborts_by[ELISA_ABORTS];
	/* Exits by interrupts of the host, which come anyway: in all (of a VM), and that found a call inside. */
	__u64 samples, samples_inside;
	/* The rest is of aborts and events: id is the attachment, state the errno that the call returned, or 0. */
	__u32 event; /* ELISA_EVENT_* */
	__u32 buffer;
	__u64 time_ns; /* since the host has booted */
	__u64 address; /* as in struct elisa_event */
	__u32 exit_reason;
	__u32 offset;
	char symbol[ELISA_NAME_MAX];
	__u32 scheme; /* attachment: ELISA_SCHEME_* */
	__u32 grant;  /* ELISA_GRANT_*, whose id is that of struct elisa_ioc_grant */
};

#define ELISA_IOCTL 0xe1
#define ELISA_IOC_CREATE _IOW(ELISA_IOCTL, 0, struct elisa_ioc_create)
#define ELISA_IOC_MEMORY _IOW(ELISA_IOCTL, 1, struct elisa_ioc_memory)
#define ELISA_IOC_CODE _IOW(ELISA_IOCTL, 2, struct elisa_ioc_code)
#define ELISA_IOC_PUBLISH _IOW(ELISA_IOCTL, 3, struct elisa_ioc_publish)
#define ELISA_IOC_GRANT _IOW(ELISA_IOCTL, 4, struct elisa_ioc_grant)
#define ELISA_IOC_ANSWER _IOW(ELISA_IOCTL, 5, struct elisa_ioc_answer)
#define ELISA_IOC_WITHDRAW _IO(ELISA_IOCTL, 6) /* attached ones get -ESHUTDOWN, the name is free */
#define ELISA_IOC_OPEN _IOW(ELISA_IOCTL, 7, struct elisa_ioc_open)
#define ELISA_IOC_ATTACH _IOWR(ELISA_IOCTL, 16, struct elisa_ioc_attach)
#define ELISA_IOC_FUNCTION _IOWR(ELISA_IOCTL, 17, struct elisa_ioc_function)
#define ELISA_IOC_THREAD _IO(ELISA_IOCTL, 18) /* lets the calling thread mask interrupts (IOPL 3) */
#define ELISA_IOC_SHARE _IOWR(ELISA_IOCTL, 19, struct elisa_ioc_share)
#define ELISA_IOC_UNSHARE _IOW(ELISA_IOCTL, 20, struct elisa_ioc_unshare)
#define ELISA_IOC_CALL _IOWR(ELISA_IOCTL, 21, struct elisa_ioc_call)
#define ELISA_IOC_REASON _IOWR(ELISA_IOCTL, 32, struct elisa_ioc_reason)
#define ELISA_IOC_STATS _IOWR(ELISA_IOCTL, 33, struct elisa_ioc_stats)
#define ELISA_IOC_LIST _IOWR(ELISA_IOCTL, 34, struct elisa_ioc_list)

#endif
