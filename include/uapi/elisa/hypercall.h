/* SPDX-License-Identifier: MIT */
/*
 * Between guest driver and host module: VMCALL with RAX = ELISA_HYPERCALL, RBX = guest-physical address of a struct
 * elisa_request that crosses no page. RAX comes back 0 when the request was read and answered (its own result is in
 * .error), else a negative errno; a host without the module gives KVM's -1000.
 *
 * Calls by VMCALL come from user space instead: RAX = ELISA_HYPERCALL_CALL, ECX = the slot that attaching gave, R10 =
 * function's index, arguments in RSI, RDX, R11, R8, R9; the result is in RAX.
 */
#ifndef ELISA_HYPERCALL_H
#define ELISA_HYPERCALL_H

#include "elisa.h"

#define ELISA_HYPERCALL 0x454c4953
#define ELISA_HYPERCALL_CALL 0x454c4954
#define ELISA_HYPERCALL_VERSION 1

enum elisa_op {
	ELISA_OP_HELLO,          /* hello: the first; checks that this VM and its kernel can be served */
	ELISA_OP_INTERRUPT,      /* interrupt: how the driver wants to be told that a client of it is to be woken */
	ELISA_OP_BYE,            /* the driver goes: releases everything of this VM */
	ELISA_OP_MEMORY,         /* memory: names memory of this VM, piece by piece */
	ELISA_OP_MEMORY_RELEASE, /* memory.id: of memory that was not handed on */

	ELISA_OP_CREATE,        /* create; gives id of the object */
	ELISA_OP_OBJECT_MEMORY, /* id, memory.id: handed on */
	ELISA_OP_OBJECT_CODE,   /* id, code; memory.id holds the blob, and stays the caller's */
	ELISA_OP_PUBLISH,       /* id, publish */
	ELISA_OP_GRANT,         /* id, grant */
	ELISA_OP_EVENT,         /* id; gives event, or -EAGAIN */
	ELISA_OP_ANSWER,        /* id, answer, memory.id (0: none): handed on */
	ELISA_OP_WITHDRAW,      /* id */
	ELISA_OP_OBJECT_CLOSE,  /* id: what the manager's death does. -EINPROGRESS: ask again */

	ELISA_OP_ATTACH,   /* attach; gives id. -EINPROGRESS: ask ELISA_OP_ATTACHED until it says something else */
	ELISA_OP_ATTACHED, /* id; gives attach */
	ELISA_OP_FUNCTION, /* id, function */
	ELISA_OP_SHARE,    /* id, share, memory.id: handed on */
	ELISA_OP_UNSHARE,  /* id, unshare */
	ELISA_OP_DETACH,   /* id */
};

struct elisa_extent {
	__u64 gpa;
	__u64 bytes;
};

#define ELISA_EXTENTS_MAX (ELISA_PAGE / sizeof(struct elisa_extent))

struct elisa_request {
	__u32 size; /* of this structure */
	__u32 op;
	__s32 error; /* out */
	__u32 id;    /* in or out: of an object, or of an attachment */
	struct {
		__u32 id;      /* in; out of ELISA_OP_MEMORY, which makes a new one for 0 */
		__u32 extents; /* how many this piece has */
		__u64 gpa;     /* a page of struct elisa_extent, in order */
	} memory;
	union {
		struct {
			__u32 version;
			__u32 vm;               /* out: this VM's number */
			__u32 user_cs, user_ss; /* what a client's code runs with: restored when a call is aborted */
			__u64 base; /* out: start of the guest-physical addresses that are used inside, for messages */
		} hello;
		struct {
			__u64 address; /* of the message-signalled interrupt; 0: none any more */
			__u32 data;
			__u32 reserved;
		} interrupt;
		struct elisa_ioc_create create;
		struct elisa_ioc_code code; /* .blob is not used */
		struct elisa_ioc_publish publish;
		struct elisa_ioc_grant grant;
		struct elisa_event event;
		struct elisa_ioc_answer answer; /* .address is not used */
		struct elisa_ioc_attach attach;
		struct elisa_ioc_function function;
		struct elisa_ioc_share share; /* .address is not used */
		struct elisa_ioc_unshare unshare;
	};
	char reason[ELISA_REASON_MAX]; /* out: why .error */
};

#endif
