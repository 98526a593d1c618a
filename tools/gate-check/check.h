/* SPDX-License-Identifier: MIT */
/*
 * Proves that a gate page has no way through it but the intended one, whatever byte a guest lands on and whatever its
 * registers hold. A guest lands with the slot locked, in user mode, on a page that cannot be read, where nothing but
 * the EPTP list can be read or written and nothing else can be executed: a fault, an exit or a fetch from elsewhere
 * ends the call.
 */
#ifndef GATE_CHECK_H
#define GATE_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum gate_rule {
	GATE_STORE,    /* something writes memory other than the unlock and the lock of the page's own slot */
	GATE_READ,     /* something reads memory: the list holds host physical addresses */
	GATE_TRANSFER, /* something that the check does not know, or that transfers control in ways it does not follow
			*/
	GATE_OPEN,     /* between unlock and VMFUNC is something other than constants for registers */
	GATE_TARGET,   /* VMFUNC finds the slot unlocked without EAX = 0 and ECX = slot, both constants of the page */
	GATE_LANDING,  /* VMFUNC of the unlocked slot goes on elsewhere than at the entry */
	GATE_ENTER,    /* the page does not begin with the unlock sequence */
	GATE_RETURN,   /* at ELISA_RETURN the slot is not locked, or the way to the default context is not the intended
			  one */
	GATE_CONSTANT, /* something in the page is neither a part of the two sequences nor int3, or not a small constant
			*/
	GATE_PURE,     /* the generator made two different pages for one slot */
	GATE_RULES,
};

struct gate_finding {
	enum gate_rule rule;
	unsigned int offset; /* of the instruction in the page */
	char text[96];
};

struct gate_report {
	size_t count; /* all, also those for which there was no room */
	struct gate_finding findings[64];
};

const char *gate_rule_name(enum gate_rule rule);
const char *gate_rule_text(enum gate_rule rule);

/* Was @rule broken? */
bool gate_report_has(const struct gate_report *report, enum gate_rule rule);

/* Check the @page of 4096 bytes for @slot. The report says all that is wrong; true when nothing is. */
bool gate_check(const uint8_t *page, unsigned int slot, struct gate_report *report);

/* The same for a page of the generator, which has to make the same one every time. */
bool gate_check_generator(void (*fill)(uint8_t *page, unsigned int slot), unsigned int slot,
			  struct gate_report *report);

/*
 * Follow the entry page from ELISA_ENTER to its VMFUNC. Returns the instructions carried out, without those of the
 * function called, or 0 with @why set when the page is not laid out as the gate, the host and the stub expect.
 */
unsigned int entry_check(const uint8_t *page, unsigned int slot, bool vetted, const char **why);

#endif
