// SPDX-License-Identifier: MIT
/* elisactl: see and steer what the module holds. Here the words find their command; each group of them is a file. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "elisactl.h"
#include "guess.h"

bool elisactl_json;

const struct command elisactl_commands[] = {
	{ "doctor", "can this host or VM run ELISA, and if not, what to do", elisactl_doctor, NULL },
	{ "vm list", "virtual machines", elisactl_vm_list, NULL },
	{ "object list", "objects", elisactl_object_list, NULL },
	{ "object show", "one object: its grants and attachments", elisactl_object_show, NULL },
	{ "object publish", "start a manager of a new object", elisactl_object_publish, NULL },
	{ "object withdraw", "end an object: its clients' calls fail from then on", elisactl_object_withdraw, NULL },
	{ "grant", "let a VM attach to an object", elisactl_grant, NULL },
	{ "revoke", "take a grant back", elisactl_revoke, NULL },
	{ "attach list", "attachments: which VM has which object", elisactl_attach_list, NULL },
	{ "stat", "calls, time inside, aborts: totals, VMs, objects", elisactl_stat, NULL },
	{ "top", "the same, live", elisactl_top, NULL },
	{ "events", "what has happened: attach, detach, abort ...", elisactl_events, NULL },
	{ "log", "the last calls that were ended from outside, and where", elisactl_log, "abort list" },
	{ NULL, NULL, NULL, NULL },
};

static error_t parse_json(int key, char *text, struct argp_state *state)
{
	(void)text, (void)state;
	if (key != 'j')
		return ARGP_ERR_UNKNOWN;
	elisactl_json = true;
	return 0;
}

static const struct argp_option json_options[] = { { "json", 'j', 0, 0, "print JSON", 0 }, { 0 } };
static const struct argp json_argp = { json_options, parse_json, NULL, NULL, NULL, NULL, NULL };
const struct argp_child elisactl_json_option[] = { { &json_argp, 0, NULL, 0 }, { 0 } };

error_t elisactl_no_arguments(int key, char *text, struct argp_state *state)
{
	if (key == ARGP_KEY_ARG)
		argp_error(state, "one word too many: %s", text);
	return ARGP_ERR_UNKNOWN;
}

uint64_t elisactl_number(struct argp_state *state, const char *what, const char *text, uint64_t most)
{
	unsigned long long number;
	char *end;

	errno = 0;
	number = strtoull(text, &end, 10);
	if (errno || end == text || *end || strchr(text, '-') || number > most)
		argp_error(state, "%s is not a number up to %llu: %s", what, (unsigned long long)most, text);
	return number;
}

void elisactl_print_json(json_object *value, bool pretty)
{
	puts(json_object_to_json_string_ext(value, (pretty ? JSON_C_TO_STRING_PRETTY : JSON_C_TO_STRING_PLAIN) |
							   JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(value);
}

/* GROUP: only those commands whose first word it is; NULL: all. */
static void print_commands(FILE *to, const char *group)
{
	for (const struct command *command = elisactl_commands; command->words; command++)
		if (!group || !strncmp(command->words, group, strlen(group)))
			fprintf(to, "  %-16s %s\n", command->words, command->summary);
	if (!group)
		fprintf(to, "  %-16s %s\n", "help COMMAND", "how to use it");
}

static void print_help(FILE *to)
{
	fputs("Usage: elisactl [--json] COMMAND [WORDS]\n\nCommands:\n", to);
	print_commands(to, NULL);
	fputs("\nIn a VM: doctor, object publish, and stat, which shows what its driver holds. See elisactl(1).\n", to);
}

static const char *joined(char words[64], int count, char **from)
{
	snprintf(words, 64, "%s%s%s", from[0], count > 1 ? " " : "", count > 1 ? from[1] : "");
	return words;
}

/* The command that the first words name, and how many they are. */
static const struct command *find(int count, char **from, int *used)
{
	char words[64];

	for (*used = count < 2 ? 1 : 2; *used; --*used) {
		joined(words, *used, from);
		for (const struct command *command = elisactl_commands; command->words; command++)
			if (!strcmp(words, command->words) || (command->alias && !strcmp(words, command->alias)))
				return command;
	}
	return NULL;
}

static bool is_group(const char *word)
{
	for (const struct command *command = elisactl_commands; command->words; command++) {
		const char *space = strchr(command->words, ' ');

		if (space && strlen(word) == (size_t)(space - command->words) &&
		    !strncmp(command->words, word, strlen(word)))
			return true;
	}
	return false;
}

static int refuse(int count, char **from)
{
	const char *group = is_group(from[0]) ? from[0] : NULL;
	bool guessed = false;
	char words[64];

	if (group && count < 2)
		fprintf(stderr, "elisactl: %s: what of it?\n", group);
	else
		fprintf(stderr, "elisactl: no command \"%s\"\n", joined(words, group ? 2 : 1, from));
	for (const struct command *command = elisactl_commands; command->words; command++) {
		if ((group && count < 2) || !elisactl_is_near(joined(words, count, from), command->words))
			continue;
		fprintf(stderr, guessed ? "  %s\n" : "\nDid you mean\n  %s\n", command->words);
		guessed = true;
	}
	fputs("\nCommands:\n", stderr);
	print_commands(stderr, group);
	return WRONG_WORDS;
}

static int run(int count, char **from)
{
	int used;
	const struct command *command = find(count, from, &used);
	char name[80];

	if (!command && count > 1 && is_group(from[0]) && (!strcmp(from[1], "--help") || !strcmp(from[1], "-?"))) {
		printf("Commands:\n");
		print_commands(stdout, from[0]);
		return DONE;
	}
	if (!command)
		return refuse(count, from);
	snprintf(name, sizeof(name), "elisactl %s", command->words);
	from[used - 1] = name;
	return command->run(count - used + 1, from + used - 1);
}

static int help(int count, char **from)
{
	static char option[] = "--help";
	char *words[4];
	int used = 0;

	if (!count) {
		print_help(stdout);
		return DONE;
	}
	for (; used < count && used < 2; used++)
		words[used] = from[used];
	words[used] = option;
	words[used + 1] = NULL;
	return run(used + 1, words);
}

static int first; /* the first word of the command */

static error_t parse(int key, char *text, struct argp_state *state)
{
	(void)text;
	switch (key) {
	case '?':
		print_help(stdout);
		exit(DONE);
	case 'V':
		puts(argp_program_version);
		exit(DONE);
	case ARGP_KEY_ARG:
		first = state->next - 1;
		state->next = state->argc; /* the rest is the command's */
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int main(int count, char **words)
{
	static const struct argp_option options[] = {
		{ "help", '?', 0, 0, "the list of commands", 0 },
		{ "usage", '?', 0, OPTION_ALIAS, NULL, 0 },
		{ "version", 'V', 0, 0, "the version", 0 },
		{ 0 },
	};
	static const struct argp argp = { options, parse, "COMMAND [WORDS]", NULL, elisactl_json_option, NULL, NULL };
	static char name[] = "elisactl";

	argp_program_version = "elisactl " ELISA_VERSION;
	argp_err_exit_status = WRONG_WORDS;
	words[0] = name;
	argp_parse(&argp, count, words, ARGP_IN_ORDER | ARGP_NO_HELP, NULL, NULL);
	if (!first) {
		print_help(stderr);
		return WRONG_WORDS;
	}
	if (!strcmp(words[first], "help"))
		return help(count - first - 1, words + first + 1);
	return run(count - first, words + first);
}
