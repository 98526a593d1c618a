/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The gate page: the only page that is executable in a gate, and all that a guest can run there. A guest lands on any
 * byte of it with any registers, so the page is a constant for each slot, and tools/gate-check proves at build time,
 * for every slot that elisa_slot_usable() names, that there is no way through it but the intended one.
 *
 * Pure functions, without locks; kernel and user space.
 */
#ifndef ELISA_HOST_GATE_H
#define ELISA_HOST_GATE_H

#include "types.h"

/*
 * Fill @page with the gate page for sub slot @slot, 1 to 255. It depends on nothing but @slot. The page is safe only if
 * elisa_slot_usable(@slot).
 */
void elisa_gate_fill(u8 *page, unsigned int slot);

/* May @slot be used for a sub context? Its gate is then at ELISA_GATE_SLOT(@slot). False for 0 and for 256 and above.
 */
bool elisa_slot_usable(unsigned int slot);

/* The lowest usable slot above @slot, or 0 when there is none. Start with 0. */
unsigned int elisa_slot_next(unsigned int slot);

#endif
