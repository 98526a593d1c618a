// SPDX-License-Identifier: MIT
/* The gate page, its check, and the entry page. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <elisa/layout.h>

#include "check.h"
#include "entry.h"
#include "gate.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const unsigned int slot = 4;

/* Bytes written over a gate page for `slot`. */
struct patch {
	unsigned int offset, bytes;
	uint8_t with[24];
};

#define PATCH(at, ...)                                                                                   \
	{                                                                                                \
		.offset = at, .bytes = sizeof((const uint8_t[]){ __VA_ARGS__ }), .with = { __VA_ARGS__ } \
	}

struct bad_page {
	const char *name;
	enum gate_rule rule;
	struct patch patch;
};

static void fill_patched(uint8_t *page, const struct patch *patch)
{
	elisa_gate_fill(page, slot);
	memcpy(page + patch->offset, patch->with, patch->bytes);
}

static void test_usable_slots_pass(void **state)
{
	struct gate_report report;
	unsigned int count = 0;

	(void)state;
	for (unsigned int s = elisa_slot_next(0); s; s = elisa_slot_next(s)) {
		assert_true(elisa_slot_usable(s));
		if (!gate_check_generator(elisa_gate_fill, s, &report))
			fail_msg("slot %u: %s: %s", s, gate_rule_name(report.findings[0].rule),
				 report.findings[0].text);
		count++;
	}
	assert_int_equal(count, 112);
}

static void test_other_slots_are_rejected(void **state)
{
	struct gate_report report;

	(void)state;
	for (unsigned int s = 1; s < 256; s++) {
		if (!elisa_slot_usable(s)) {
			assert_false(gate_check_generator(elisa_gate_fill, s, &report));
			assert_true(gate_report_has(&report, GATE_STORE) || gate_report_has(&report, GATE_READ) ||
				    gate_report_has(&report, GATE_TRANSFER));
		}
	}
}

static void test_slots_out_of_range(void **state)
{
	(void)state;
	assert_false(elisa_slot_usable(0));
	assert_false(elisa_slot_usable(256));
	assert_false(elisa_slot_usable(~0u));
	assert_int_equal(elisa_slot_next(255), 0);
	assert_int_equal(elisa_slot_next(1000), 0);
	assert_true(elisa_slot_usable(slot));
}

/* Offsets in the generated page: unlock 0, LEA 7, MOV CL 10, VMFUNC 12; lock 0xff3, LEA 0xffa, VMFUNC 0xffd. */
static const struct bad_page bad_pages[] = {
	{ "no unlock", GATE_ENTER, PATCH(0, 0xcc) },
	{ "no lock", GATE_RETURN, PATCH(0xff3, 0x0f, 0x1f, 0x80, 0, 0, 0, 0) },
	{ "unlock in place of the lock", GATE_RETURN, PATCH(0xff9, ELISA_EPTP_OPEN) },
	/* A guest that lands on the unlock brings its own ECX. */
	{ "unlock after the constants", GATE_TARGET,
	  PATCH(0x0, 0x8d, 0x0c, 0x40, 0xb1, 0x04, 0xc6, 0x05, 0x14, 0xf0, 0xcc, 0xcc, ELISA_EPTP_OPEN, 0x0f, 0x01,
		0xd4) },
	{ "no constants", GATE_TARGET, PATCH(0x7, 0x90, 0x90, 0x90, 0x90, 0x90) },
	{ "indirect jump", GATE_OPEN, PATCH(0xa, 0xff, 0xe0) },
	{ "jump to the next instruction", GATE_OPEN, PATCH(0xa, 0xeb, 0x00) },
	{ "jump out of the page", GATE_OPEN, PATCH(0x7, 0xe9, 0, 0, 1, 0) },
	{ "conditional jump", GATE_OPEN, PATCH(0xa, 0x74, 0x10) },
	{ "fault while unlocked", GATE_OPEN, PATCH(0xa, 0x0f, 0x0b) },
	{ "system call while unlocked", GATE_OPEN, PATCH(0xa, 0x0f, 0x05) },
	{ "wrong slot to VMFUNC", GATE_TARGET, PATCH(0xb, 5) },
	{ "EAX changed", GATE_TARGET, PATCH(0xa, 0x31, 0xc0) },
	{ "EAX not 0", GATE_TARGET, PATCH(0xa, 0xb0, 0x04) },
	{ "unlocks another slot", GATE_STORE, PATCH(0x2, 0x21) },
	{ "makes the slot something else", GATE_STORE, PATCH(0x6, 0x5e) },
	{ "stores two bytes", GATE_STORE, PATCH(0x0, 0x66, 0xc7, 0x05) },
	{ "stores through a segment", GATE_STORE, PATCH(0x100, 0x64, 0xc6, 0x05, 0, 0, 0, 0, 0xcc) },
	{ "stores through a register", GATE_STORE, PATCH(0x100, 0x88, 0x07) },
	{ "locked read-modify-write", GATE_STORE, PATCH(0x100, 0x0f, 0xba, 0x2f, 0x01) },
	{ "x87 store", GATE_STORE, PATCH(0x100, 0xdd, 0x17) },
	{ "SSE store", GATE_STORE, PATCH(0x100, 0x0f, 0x29, 0x07) },
	{ "state save", GATE_STORE, PATCH(0x100, 0x0f, 0xae, 0x27) },
	{ "string store", GATE_STORE, PATCH(0x100, 0xf3, 0xaa) },
	{ "masked store, address not among the operands", GATE_STORE, PATCH(0x100, 0x66, 0x0f, 0xf7, 0xc1) },
	{ "push", GATE_STORE, PATCH(0x100, 0x50) },
	{ "pushfq", GATE_STORE, PATCH(0x100, 0x9c) },
	{ "enter", GATE_STORE, PATCH(0x100, 0xc8, 0x10, 0x00, 0x00) },
	{ "call", GATE_STORE, PATCH(0x100, 0xe8, 0, 0, 0, 0) },
	{ "store in the middle of a constant", GATE_STORE, PATCH(0x100, 0xb8, 0x88, 0x07, 0x90, 0x90) },
	{ "load", GATE_READ, PATCH(0x100, 0x48, 0x8b, 0x07) },
	{ "pop", GATE_READ, PATCH(0x100, 0x5b) },
	{ "leave", GATE_READ, PATCH(0x100, 0xc9) },
	{ "ret", GATE_READ, PATCH(0x100, 0xc3) },
	{ "iretq", GATE_READ, PATCH(0x100, 0x48, 0xcf) },
	{ "jump through memory", GATE_READ, PATCH(0x100, 0xff, 0x27) },
	{ "transaction", GATE_TRANSFER, PATCH(0x100, 0xc7, 0xf8, 0, 0, 0, 0) },
	{ "enclave", GATE_TRANSFER, PATCH(0x100, 0x0f, 0x01, 0xd7) },
	{ "VMFUNC of the unlocked slot elsewhere", GATE_LANDING, PATCH(0xc, 0x90, 0x0f, 0x01, 0xd4) },
	{ "a second unlock, that runs off", GATE_OPEN,
	  PATCH(0x100, 0xc6, 0x05, 0x19, 0xef, 0xcc, 0xcc, ELISA_EPTP_OPEN) },
	{ "code between the sequences", GATE_CONSTANT, PATCH(0x100, 0x90) },
	{ "a host's address", GATE_CONSTANT, PATCH(0x800, 0x00, 0xf0, 0x34, 0x12, 0x80, 0x88, 0xff, 0xff) },
	{ "a host's value in the sequence", GATE_CONSTANT,
	  PATCH(0xa, 0xba, 0x00, 0xf0, 0x34, 0x12, 0xb1, 0x04, 0x0f, 0x01, 0xd4) },
	{ "returns with an ECX that code brings along", GATE_RETURN, PATCH(0xffa, 0x90, 0x90, 0x90) },
	{ "returns to slot 1", GATE_RETURN, PATCH(0xffa, 0x8d, 0x48, 0x01) },
	{ "returns before the end of the page", GATE_RETURN, PATCH(0xffa, 0x8d, 0x08, 0x0f, 0x01, 0xd4, 0x90) },
	{ "return cut off by the end of the page", GATE_RETURN, PATCH(0xffd, 0x90, 0x0f, 0x01) },
};

static void test_bad_pages(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(bad_pages); i++) {
		struct gate_report report;
		uint8_t page[ELISA_PAGE];

		fill_patched(page, &bad_pages[i].patch);
		assert_false(gate_check(page, slot, &report));
		if (!gate_report_has(&report, bad_pages[i].rule))
			fail_msg("%s: rejected by \"%s\" at 0x%x, not by \"%s\"", bad_pages[i].name,
				 gate_rule_name(report.findings[0].rule), report.findings[0].offset,
				 gate_rule_name(bad_pages[i].rule));
	}
}

/* movb $open, slot; xor eax, eax; mov $slot, %ecx; vmfunc: the middles of the constants store through a guest's
 * registers. */
static void test_obvious_sequence(void **state)
{
	static const struct patch patch = PATCH(7, 0x31, 0xc0, 0xb9, 4, 0, 0, 0, 0x0f, 0x01, 0xd4);
	struct gate_report report;
	uint8_t page[ELISA_PAGE];

	(void)state;
	fill_patched(page, &patch);
	assert_false(gate_check(page, slot, &report));
	assert_true(gate_report_has(&report, GATE_STORE));
	assert_false(gate_report_has(&report, GATE_TARGET));
}

/* The published prototype saves the flags and a register on the stack before it looks up where to go. */
static void test_prototype(void **state)
{
	static const struct patch patch = PATCH(0, 0x9c, 0x51, 0x50, 0x48, 0xc7, 0xc0, 0, 0, 0, 0, 0x48, 0xc7, 0xc1, 4,
						0, 0, 0, 0x0f, 0x01, 0xd4);
	struct gate_report report;
	uint8_t page[ELISA_PAGE];

	(void)state;
	fill_patched(page, &patch);
	assert_false(gate_check(page, slot, &report));
	assert_true(gate_report_has(&report, GATE_STORE));
	assert_int_equal(report.findings[1].rule, GATE_STORE);
	assert_int_equal(report.findings[1].offset, 0);
	assert_non_null(strstr(report.findings[1].text, "pushf"));
}

static void test_page_of_another_slot(void **state)
{
	struct gate_report report;
	uint8_t page[ELISA_PAGE];

	(void)state;
	elisa_gate_fill(page, elisa_slot_next(slot));
	assert_false(gate_check(page, slot, &report));
	assert_true(gate_report_has(&report, GATE_STORE));
}

static void fill_differently(uint8_t *page, unsigned int s)
{
	static uint8_t calls;

	elisa_gate_fill(page, s);
	page[0x800] = ++calls;
}

static void test_impure_generator(void **state)
{
	struct gate_report report;

	(void)state;
	assert_false(gate_check_generator(fill_differently, slot, &report));
	assert_true(gate_report_has(&report, GATE_PURE));
}

static void test_entry_pages(void **state)
{
	(void)state;
	for (unsigned int s = 1; s < 256; s++) {
		for (unsigned int kind = 0; kind < 4; kind++) {
			uint8_t page[ELISA_PAGE];
			bool vetted = kind & 1, verw = kind & 2;
			unsigned int steps;
			const char *why;

			elisa_entry_fill(page, s, vetted, verw);
			steps = entry_check(page, s, vetted, &why);
			if (!steps)
				fail_msg("slot %u, kind %u: %s", s, kind, why);
			/* What a call costs: the way in and out, without the function. */
			assert_int_equal(steps, 31 + vetted + verw);
		}
	}
}

static void test_bad_entry_pages(void **state)
{
	uint8_t page[ELISA_PAGE];
	const char *why;

	(void)state;
	elisa_entry_fill(page, slot, true, false);
	assert_int_equal(entry_check(page, slot + 1, true, &why), 0);
	assert_string_equal(why, "leaves the slot unlocked");
	elisa_entry_fill(page, slot, false, false);
	assert_int_equal(entry_check(page, slot + 1, false, &why), 0);
	assert_string_equal(why, "leaves for elsewhere");
	assert_int_equal(entry_check(page, slot, true, &why), 0);
	elisa_gate_fill(page, slot);
	assert_int_equal(entry_check(page, slot, true, &why), 0);
}

/* Puts other bytes in the place of those that the page has once. */
static void exchange(uint8_t *page, const uint8_t *from, const uint8_t *to, size_t bytes)
{
	unsigned int found = 0;

	for (unsigned int offset = ELISA_ENTER; offset + bytes <= ELISA_PAGE; offset++) {
		if (memcmp(page + offset, from, bytes))
			continue;
		memcpy(page + offset, to, bytes);
		found++;
	}
	assert_int_equal(found, 1);
}

static void test_weak_entry_pages(void **state)
{
	static const struct {
		const char *why;
		size_t bytes;
		uint8_t from[4], to[4];
	} list[] = {
		/* popfq, before incq: pop %rax */
		{ "leaves without a call, or without clean flags", 3, { 0x9d, 0x48, 0xff }, { 0x58, 0x48, 0xff } },
		/* xor %r11d, %r11d: nopl (%rax) */
		{ "leaves something of the function's in a register", 3, { 0x45, 0x31, 0xdb }, { 0x0f, 0x1f, 0x00 } },
	};
	uint8_t page[ELISA_PAGE];
	const char *why;

	(void)state;
	for (unsigned int i = 0; i < COUNT(list); i++) {
		elisa_entry_fill(page, slot, true, true);
		exchange(page, list[i].from, list[i].to, list[i].bytes);
		assert_int_equal(entry_check(page, slot, true, &why), 0);
		assert_string_equal(why, list[i].why);
	}
}

/* verw of a null selector, just before the stack is the caller's again. */
static void test_entry_clears_buffers(void **state)
{
	static const uint8_t verw[] = { 0x0f, 0x00, 0x2d };

	(void)state;
	for (unsigned int vetted = 0; vetted < 2; vetted++) {
		unsigned int end = vetted ? ELISA_PAGE : ELISA_RETURN, offset = end - (vetted ? 7 : 10) - 14;
		uint8_t page[ELISA_PAGE];
		int32_t distance;

		elisa_entry_fill(page, slot, vetted, true);
		assert_memory_equal(page + offset, verw, sizeof(verw));
		memcpy(&distance, page + offset + sizeof(verw), sizeof(distance));
		assert_int_equal(ELISA_GATE_OFFSET + offset + 7 + distance,
				 ELISA_INFO_OFFSET + offsetof(struct elisa_info, unused));
	}
}

static void test_entry_is_pure(void **state)
{
	uint8_t page[ELISA_PAGE], again[ELISA_PAGE];

	(void)state;
	memset(again, 0, sizeof(again));
	elisa_entry_fill(page, slot, true, true);
	elisa_entry_fill(again, slot, true, true);
	assert_memory_equal(page, again, sizeof(page));
}

static void test_entry_refuses(void **state)
{
	/* mov $-ENOSYS, %rax; ret */
	static const uint8_t expected[] = { 0x48, 0xc7, 0xc0, 0xda, 0xff, 0xff, 0xff, 0xc3 };
	uint64_t offset = elisa_entry_refuse() - ELISA_GATE;

	(void)state;
	for (unsigned int kind = 0; kind < 4; kind++) {
		uint8_t page[ELISA_PAGE];

		elisa_entry_fill(page, slot, kind & 1, kind & 2);
		assert_true(offset < ELISA_PAGE - sizeof(expected));
		assert_memory_equal(page + offset, expected, sizeof(expected));
	}
}

static void test_entry_state(void **state)
{
	static const uint8_t load_rsp[] = { 0x48, 0x8b, 0x25 };

	(void)state;
	for (unsigned int kind = 0; kind < 4; kind++) {
		bool vetted = kind & 1;
		unsigned int end = vetted ? ELISA_PAGE : ELISA_RETURN, live = end - (vetted ? 7 : 10);
		uint8_t page[ELISA_PAGE];

		elisa_entry_fill(page, slot, vetted, kind & 2);
		/* mov %rsp to the frame is 7 bytes, lea 7, and six pushes 10 */
		assert_int_equal(elisa_entry_state(vetted, ELISA_ENTER), ELISA_ENTRY_LIVE);
		assert_int_equal(elisa_entry_state(vetted, ELISA_ENTER + 7), ELISA_ENTRY_RSP_SAVED);
		assert_int_equal(elisa_entry_state(vetted, ELISA_ENTER + 22), ELISA_ENTRY_RSP_SAVED);
		assert_int_equal(elisa_entry_state(vetted, ELISA_ENTER + 24), ELISA_ENTRY_SAVED);
		assert_int_equal(elisa_entry_state(vetted, elisa_entry_refuse() - ELISA_GATE), ELISA_ENTRY_SAVED);
		assert_memory_equal(page + live - 7, load_rsp, sizeof(load_rsp));
		assert_int_equal(elisa_entry_state(vetted, live - 7), ELISA_ENTRY_SAVED);
		assert_int_equal(elisa_entry_state(vetted, live), ELISA_ENTRY_LIVE);
		assert_int_equal(elisa_entry_state(vetted, end - 3), ELISA_ENTRY_LIVE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_usable_slots_pass),    cmocka_unit_test(test_other_slots_are_rejected),
		cmocka_unit_test(test_slots_out_of_range),   cmocka_unit_test(test_bad_pages),
		cmocka_unit_test(test_obvious_sequence),     cmocka_unit_test(test_prototype),
		cmocka_unit_test(test_page_of_another_slot), cmocka_unit_test(test_impure_generator),
		cmocka_unit_test(test_entry_pages),          cmocka_unit_test(test_bad_entry_pages),
		cmocka_unit_test(test_entry_is_pure),        cmocka_unit_test(test_entry_refuses),
		cmocka_unit_test(test_entry_state),          cmocka_unit_test(test_weak_entry_pages),
		cmocka_unit_test(test_entry_clears_buffers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
