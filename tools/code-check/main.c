// SPDX-License-Identifier: MIT
/* code-check: looks for what does not belong into trusted code, as a part of the build. */
#include <argp.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

struct arguments {
	char **files;
	int count;
};

static error_t parse(int key, char *text, struct argp_state *state)
{
	struct arguments *arguments = state->input;

	(void)text;
	switch (key) {
	case ARGP_KEY_ARGS:
		arguments->files = state->argv + state->next;
		arguments->count = state->argc - state->next;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "no FILE");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void print(const char *path, const struct code *code, const struct code_report *report)
{
	for (size_t i = 0; i < report->count && i < sizeof(report->findings) / sizeof(report->findings[0]); i++) {
		const struct code_finding *finding = &report->findings[i];
		const struct code_function *function = code_function_at(code, finding->offset);

		fprintf(stderr, "%s: error: %s+%#" PRIx64 ": %s: \"%s\" %s\n", path,
			function ? function->name : ".text", finding->offset - (function ? function->offset : 0),
			code_rule_name(finding->rule), finding->text, code_rule_text(finding->rule));
	}
	if (report->count > sizeof(report->findings) / sizeof(report->findings[0]))
		fprintf(stderr, "%s: error: %zu findings in all\n", path, report->count);
}

static bool check(const char *path)
{
	struct code_report report;
	struct loaded loaded;
	const char *reason;
	int error;

	if (code_load(path, &loaded, &reason)) {
		fprintf(stderr, "code-check: error: %s\n", reason);
		return false;
	}
	error = code_check(&loaded.code, &report);
	if (error)
		fprintf(stderr, "%s: error: %s\n", path, strerror(-error));
	else if (report.count)
		print(path, &loaded.code, &report);
	else
		printf("%s: %zu functions, %zu instructions\n", path, loaded.code.count, report.instructions);
	code_unload(&loaded);
	return !error && !report.count;
}

int main(int count, char **values)
{
	static const struct argp argp = {
		.parser = parse,
		.args_doc = "FILE...",
		.doc = "Look at every instruction of trusted code for what does not belong there.\v"
		       "A FILE is trusted code as an ELF file, built with the kit. What is found is named by function, offset and "
		       "rule: decode, target, indirect, segment, vector, flags, state, privileged, system, vm, unknown.",
	};
	struct arguments arguments = {};
	bool good = true;

	argp_parse(&argp, count, values, 0, NULL, &arguments);
	for (int i = 0; i < arguments.count; i++)
		good = check(arguments.files[i]) && good;
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
