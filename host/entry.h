/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The entry page of sub contexts: page G there. The gate lets a vCPU in at ELISA_ENTER and nowhere else; the page takes
 * it to the function that it asked for and back out. entry.S has the code, this is how the host makes a page of it.
 */
#ifndef ELISA_HOST_ENTRY_H
#define ELISA_HOST_ENTRY_H

#include "types.h"

/*
 * Fill @page with the entry page for sub slot @slot, 1 to 255. @vetted: the context maps the list, locks its slot
 * itself and returns to the default context; otherwise it returns through its gate. @verw: clear the CPU's buffers on
 * the way out. The result depends on nothing but the arguments.
 */
void elisa_entry_fill(u8 *page, unsigned int slot, bool vetted, bool verw);

/* What an unused entry of elisa_info.functions must hold: the address inside of a function that returns -ENOSYS. */
u64 elisa_entry_refuse(void);

/* Where the caller's RSP, RBX, RBP and R12 to R15 are while a vCPU is in a sub context. */
enum elisa_entry_state {
	ELISA_ENTRY_LIVE,      /* all in their registers */
	ELISA_ENTRY_RSP_SAVED, /* RSP in the frame (ELISA_FRAME_RSP), the others in their registers */
	ELISA_ENTRY_SAVED,     /* all in the frame */
};

/*
 * The state before the instruction at byte @offset of the entry page is carried out. For any RIP outside of the entry
 * page but in the sub context it is ELISA_ENTRY_SAVED, and in a gate always ELISA_ENTRY_LIVE. On the way out only RSP
 * has to be fetched from the frame, as the function has preserved the others, and the last instructions are LIVE again:
 * there, an abort would be no gain, as the call is over.
 */
enum elisa_entry_state elisa_entry_state(bool vetted, unsigned int offset);

#endif
