/* SPDX-License-Identifier: MIT */
/*
 * Where everything lies inside: the addresses that gate and sub contexts have in common with the host module, the guest
 * driver, the library and trusted code. Usable from C and from assembly.
 *
 * Inside there is one window of virtual addresses, [ELISA_BASE, ELISA_BASE + ELISA_SPAN). It is the same in every VM
 * and every process, so that one attachment serves them all and trusted code is linked once.
 */
#ifndef ELISA_LAYOUT_H
#define ELISA_LAYOUT_H

#ifdef __ASSEMBLER__
#define ELISA__UL(x) x
#else
#include <linux/types.h>
#define ELISA__UL(x) x##UL
#endif

#define ELISA_PAGE ELISA__UL(0x1000)
#define ELISA_2M ELISA__UL(0x200000)
#define ELISA_1G ELISA__UL(0x40000000)

/* Above 4 GiB: compatibility mode cannot reach it. Below 2^47: canonical with four and five levels. */
#define ELISA_BASE ELISA__UL(0x200000000000)
#define ELISA_SPAN (ELISA__UL(128) * ELISA_1G)

/* The first GiB: the gate, and what belongs to an attachment, a vCPU, or the object's code. Offsets from ELISA_BASE. */
/* The vCPU's EPTP list. Its distance from the gate page is a part of the code there: int3, and register operands. */
#define ELISA_LIST_OFFSET ELISA__UL(0x00ccf000)
#define ELISA_GATE_OFFSET ELISA__UL(0x34000000) /* page G: the gate page in gates, the entry page in sub contexts */
#define ELISA_INFO_OFFSET ELISA__UL(0x34002000) /* struct elisa_info, read-only */
#define ELISA_EXCHANGE_TABLE_OFFSET ELISA__UL(0x34003000) /* struct elisa_exchange[ELISA_EXCHANGES_MAX], read-only */
#define ELISA_STACK_OFFSET ELISA__UL(0x34201000)          /* lowest byte; the page below it is not mapped */
#define ELISA_STACK_SIZE ELISA__UL(0x2000)
#define ELISA_CODE_OFFSET ELISA__UL(0x35000000) /* execute-only */
#define ELISA_CODE_MAX ELISA__UL(0x1000000)
#define ELISA_RODATA_OFFSET ELISA__UL(0x36000000)
#define ELISA_RODATA_MAX ELISA__UL(0x1000000)
#define ELISA_DATA_OFFSET ELISA__UL(0x37000000) /* an attachment's own copy of the code's writable data */
#define ELISA_DATA_MAX ELISA__UL(0x1000000)

/* Whole GiBs. */
#define ELISA_MEMORY_OFFSET (ELISA__UL(1) * ELISA_1G) /* the object's memory, shared by all attachments */
#define ELISA_MEMORY_MAX (ELISA__UL(63) * ELISA_1G)
#define ELISA_EXTRA_OFFSET (ELISA__UL(64) * ELISA_1G) /* memory that the manager gave this attachment alone */
#define ELISA_EXTRA_MAX (ELISA__UL(16) * ELISA_1G)
#define ELISA_BUFFER_OFFSET (ELISA__UL(96) * ELISA_1G) /* buffers that the client has shared */
#define ELISA_BUFFER_MAX (ELISA__UL(16) * ELISA_1G)
#define ELISA_EXCHANGE_OFFSET (ELISA__UL(112) * ELISA_1G) /* buffers that clients share with all attachments */
#define ELISA_EXCHANGE_MAX (ELISA__UL(16) * ELISA_1G)

/* Pages G-1 and G+1 exist in the client's process only, and are the guest driver's. */
#define ELISA_GATE (ELISA_BASE + ELISA_GATE_OFFSET)
#define ELISA_STUB_BYTES 6 /* cli; xor eax,eax; vmfunc: the last bytes of page G-1 */
#define ELISA_STUB (ELISA_GATE - ELISA_STUB_BYTES)
#define ELISA_LANDING (ELISA_GATE + ELISA_PAGE)

/*
 * Offsets within page G. Unlocked and switched by the gate, a vCPU goes on in the entry page at ELISA_ENTER; code that
 * is not vetted returns through the gate at ELISA_RETURN; both go home from the very end of the page.
 */
#define ELISA_ENTER 0x0f
#define ELISA_RETURN 0xff3

/* Entries of the EPTP list: 0 is the default context, s a sub context, ELISA_GATE_SLOT(s) its gate. */
#define ELISA_SLOTS 512
#define ELISA_GATE_SLOT(s) (256 + (s))
#define ELISA_EPTP_OPEN 0x1e   /* lowest byte: write-back, four levels, no accessed/dirty flags */
#define ELISA_EPTP_LOCKED 0xcc /* memory type 4 does not exist: VMFUNC fails */

/*
 * The top of a vCPU's stack, from its end downwards: where the entry keeps what the caller wants back. The host reads
 * it when it aborts a call.
 */
#define ELISA_FRAME_RSP 8
#define ELISA_FRAME_CALLS 16 /* counts calls, for statistics and to see that one has ended */
#define ELISA_FRAME_RBX 24
#define ELISA_FRAME_RBP 32
#define ELISA_FRAME_R12 40
#define ELISA_FRAME_R13 48
#define ELISA_FRAME_R14 56
#define ELISA_FRAME_R15 64

/*
 * Who a lock's holder is: the number that the host wrote into the lowest word of the vCPU's stack for this attachment,
 * and the low half of its count of calls. A lock's word is that, 0, or ELISA_LOCK_DEAD: taken by the host from a holder
 * that does not go on. A waiter asks the host for that now and then: VMCALL with RAX = ELISA_LOCK_WAIT, RDI = the
 * lock's address, in the object's memory, RSI = the number of its attachment; all registers stay.
 *
 * Nobody can stop code that is mapped directly: a lock is its attachment's as long as that lives, by ELISA_LOCK_OF(its
 * number). Only of such code, which is not inside, RSI is looked at.
 */
#define ELISA_LOCK_OWNER_OFFSET ELISA_STACK_OFFSET
#define ELISA_LOCK_DEAD ELISA__UL(0xffffffffffffffff)
#define ELISA_LOCK_WAIT 0x454c4955
#define ELISA_LOCK_OF(attachment) ((__u64)(attachment) + 1) /* below 2^32: no vCPU's; not 0 */

/*
 * Wakes the client of another attachment of the same object: VMCALL with RAX = ELISA_NOTIFY, RDI = its number, RSI
 * as above; all registers stay. A number that there is not, or not any more, is nothing to wake.
 */
#define ELISA_NOTIFY 0x454c4956

#define ELISA_FUNCTIONS_MAX 256
#define ELISA_BUFFERS_MAX 64
#define ELISA_EXCHANGES_MAX 256 /* of an object, by all its attachments */
#define ELISA_EXCHANGES_EACH 16 /* of them, by one */
#define ELISA_EXCHANGE_BYTES (ELISA_EXCHANGE_MAX / ELISA_EXCHANGES_MAX)
#define ELISA_EXCHANGE_FIRST 0x100 /* what such a buffer's number is counted from, where buffers have numbers */

#ifndef __ASSEMBLER__

struct elisa_range {
	__u64 address; /* inside */
	__u64 bytes;   /* 0: there is none */
};

/* A buffer that its client has shared with all attachments of an object. */
struct elisa_exchange {
	struct elisa_range range;
	__u32 attachment; /* whose it is: never the number of another one again */
	__u32 reserved;
	__u64 serial; /* of this sharing: never that of another one again */
};

/* What the host tells trusted code about an attachment; first argument of every function offered. One page, read-only.
 */
struct elisa_info {
	__u64 value; /* given by the manager */
	__u32 vm;    /* which VM calls */
	__u32 attachment;
	__u32 writable; /* the object's memory may be written */
	__u32 reserved;
	struct elisa_range memory, extra, data;
	__u8 unused[936];
	struct elisa_range exchange; /* the table of struct elisa_exchange */
	struct elisa_range buffers[ELISA_BUFFERS_MAX];
	__u64 functions[ELISA_FUNCTIONS_MAX]; /* addresses; the entry refuses those not used */
};

#define ELISA_INFO_FUNCTIONS 2048

_Static_assert(sizeof(struct elisa_info) == ELISA_PAGE, "the info page is one page");
_Static_assert(__builtin_offsetof(struct elisa_info, functions) == ELISA_INFO_FUNCTIONS, "the entry reads this");

#else
#define ELISA_INFO_FUNCTIONS 2048
#endif
#endif
