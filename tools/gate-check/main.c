// SPDX-License-Identifier: MIT
/*
 * gate-check: proves the gate pages. Without arguments those of the generator, all of them, as a part of the build;
 * with a file the one in it.
 */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <elisa/layout.h>

#include "check.h"
#include "entry.h"
#include "gate.h"

#define SLOTS 256 /* sub slots: 1 to 255 */

struct arguments {
	const char *file;
	unsigned int slot;
	bool table, dump;
};

static const struct argp_option options[] = {
	{ "table", 't', NULL, 0, "Print the table of slots that pass, for host/gate.c", 0 },
	{ "dump", 'd', "SLOT", 0, "Write the gate page of SLOT to the standard output", 0 },
	{ 0 },
};

static bool parse_slot(const char *text, unsigned int *slot)
{
	char *end;
	unsigned long value = strtoul(text, &end, 0);

	*slot = value;
	return *text && !*end && value > 0 && value < SLOTS;
}

static error_t parse(int key, char *text, struct argp_state *state)
{
	struct arguments *arguments = state->input;

	switch (key) {
	case 't':
		arguments->table = true;
		return 0;
	case 'd':
		arguments->dump = true;
		if (!parse_slot(text, &arguments->slot))
			argp_error(state, "SLOT is 1 to 255");
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num == 0)
			arguments->file = text;
		else if (state->arg_num > 1 || !parse_slot(text, &arguments->slot))
			argp_error(state, "SLOT is 1 to 255");
		return 0;
	case ARGP_KEY_END:
		if (state->arg_num == 1)
			argp_error(state, "FILE needs a SLOT");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void print_report(FILE *to, unsigned int slot, const struct gate_report *report)
{
	for (size_t i = 0; i < report->count && i < sizeof(report->findings) / sizeof(report->findings[0]); i++) {
		const struct gate_finding *finding = &report->findings[i];

		fprintf(to, "slot %u, offset 0x%03x: %s: \"%s\" %s\n", slot, finding->offset,
			gate_rule_name(finding->rule), finding->text, gate_rule_text(finding->rule));
	}
}

static int check_file(const char *name, unsigned int slot)
{
	struct gate_report report;
	uint8_t page[ELISA_PAGE];
	FILE *file = fopen(name, "rb");
	size_t bytes;

	if (!file) {
		fprintf(stderr, "gate-check: %s: %s\n", name, strerror(errno));
		return EXIT_FAILURE;
	}
	bytes = fread(page, 1, sizeof(page), file);
	if (bytes == sizeof(page) && fgetc(file) != EOF)
		bytes = 0;
	fclose(file);
	if (bytes != sizeof(page)) {
		fprintf(stderr, "gate-check: %s is not one page of 4096 bytes\n", name);
		return EXIT_FAILURE;
	}
	if (gate_check(page, slot, &report)) {
		printf("%s: a gate for slot %u\n", name, slot);
		return EXIT_SUCCESS;
	}
	print_report(stdout, slot, &report);
	return EXIT_FAILURE;
}

/* All gate pages: exactly those in the table pass. */
static unsigned int check_gates(unsigned int *usable)
{
	unsigned int wrong = elisa_slot_usable(0);

	if (wrong)
		fprintf(stderr, "slot 0 is in the table of host/gate.c, and is the default context's\n");
	for (unsigned int slot = 1; slot < SLOTS; slot++) {
		struct gate_report report;
		bool passes = gate_check_generator(elisa_gate_fill, slot, &report);

		*usable += passes;
		if (passes == elisa_slot_usable(slot))
			continue;
		wrong++;
		if (passes)
			fprintf(stderr, "slot %u passes, and is not in the table of host/gate.c\n", slot);
		else
			print_report(stderr, slot, &report);
	}
	return wrong;
}

static unsigned int check_entries(void)
{
	unsigned int wrong = 0;

	for (unsigned int slot = 1; slot < SLOTS; slot++) {
		for (unsigned int kind = 0; kind < 4; kind++) {
			bool vetted = kind & 1, verw = kind & 2;
			uint8_t page[ELISA_PAGE];
			const char *why;

			elisa_entry_fill(page, slot, vetted, verw);
			if (entry_check(page, slot, vetted, &why))
				continue;
			fprintf(stderr, "entry page of slot %u%s%s: %s\n", slot, vetted ? ", vetted" : "",
				verw ? ", verw" : "", why);
			wrong++;
		}
	}
	return wrong;
}

static int check_all(void)
{
	unsigned int usable = 0, wrong = check_gates(&usable) + check_entries();

	if (wrong)
		return EXIT_FAILURE;
	printf("gate pages: %u of %u slots pass\n", usable, (unsigned int)SLOTS - 1);
	return EXIT_SUCCESS;
}

static int print_table(void)
{
	uint32_t usable[SLOTS / 32] = {};

	for (unsigned int slot = 1; slot < SLOTS; slot++) {
		struct gate_report report;

		if (gate_check_generator(elisa_gate_fill, slot, &report))
			usable[slot / 32] |= 1u << slot % 32;
	}
	for (unsigned int i = 0; i < SLOTS / 32; i++)
		printf("%s0x%08x,", i ? " " : "\t", usable[i]);
	putchar('\n');
	return EXIT_SUCCESS;
}

static int dump(unsigned int slot)
{
	uint8_t page[ELISA_PAGE];

	elisa_gate_fill(page, slot);
	return fwrite(page, sizeof(page), 1, stdout) == 1 && fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int count, char **values)
{
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "[FILE SLOT]",
		.doc = "Prove that a gate page has no way through it but the intended one.\v"
		       "Without arguments all pages of the generator are checked, against its table of usable slots. "
		       "FILE is one page of 4096 bytes, the gate of sub slot SLOT.",
	};
	struct arguments arguments = {};

	argp_parse(&argp, count, values, 0, NULL, &arguments);
	if (arguments.table)
		return print_table();
	if (arguments.dump)
		return dump(arguments.slot);
	return arguments.file ? check_file(arguments.file, arguments.slot) : check_all();
}
