// SPDX-License-Identifier: MIT
/* elisactl: see what the module holds. Each group of subcommands is a file of its own. */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "elisactl.h"

#define DEVICE "/dev/elisa"

static bool json;
static char words[64]; /* of the subcommand */

int elisactl_open(void)
{
	int fd = open(DEVICE, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		fprintf(stderr, "elisactl: " DEVICE ": %s%s\n", strerror(errno),
			errno == ENOENT ? " (is elisa.ko, or in a VM elisa_guest.ko, loaded?)" : "");
	return fd;
}

int elisactl_fail(int fd, const char *what)
{
	struct elisa_ioc_reason why = { .size = sizeof(why) };
	int error = errno;

	if (ioctl(fd, ELISA_IOC_REASON, &why) || !why.text[0])
		snprintf(why.text, sizeof(why.text), "%s", strerror(error));
	fprintf(stderr, "elisactl: %s: %.*s\n", what, (int)sizeof(why.text), why.text);
	return 1;
}

static error_t parse(int key, char *text, struct argp_state *state)
{
	size_t used = strlen(words);

	switch (key) {
	case 'j':
		json = true;
		return 0;
	case ARGP_KEY_ARG:
		snprintf(words + used, sizeof(words) - used, "%s%s", used ? " " : "", text);
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_usage(state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int main(int count, char **arguments)
{
	static const struct argp_option options[] = { { "json", 'j', 0, 0, "print JSON", 0 }, { 0 } };
	static const struct argp argp = {
		options,
		parse,
		"stat\nvm list\nobject list\nattach list\nabort list",
		"Shows what ELISA's module holds at this moment. In a VM, only `stat`: what its driver holds.",
		NULL,
		NULL,
		NULL,
	};

	argp_parse(&argp, count, arguments, 0, NULL, NULL);
	if (!strcmp(words, elisactl_stat.words))
		return elisactl_stat.run(&elisactl_stat, json);
	for (unsigned int i = 0; i < ELISACTL_LISTS; i++) {
		if (!strcmp(words, elisactl_lists[i].words))
			return elisactl_lists[i].run(&elisactl_lists[i], json);
	}
	fprintf(stderr, "elisactl: no command \"%s\" (elisactl --help)\n", words);
	return 1;
}
