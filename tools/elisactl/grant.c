// SPDX-License-Identifier: MIT
/* Who may attach to an object that somebody has published. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "elisactl.h"

static const char *name, *whom;
static bool revoking;
static struct elisa_ioc_grant grant = { .size = sizeof(grant), .rights = ELISA_RIGHT_WRITE };

/* all | vm:N | pid:N | uid:N, of a grant then perhaps :ro */
static void parse_whom(struct argp_state *state, char *text)
{
	static const char *const kinds[] = { "all", "vm", "pid", "uid" };
	char *rights, *number;

	whom = strdup(text);
	rights = strrchr(text, ':');
	if (rights && (!strcmp(rights, ":ro") || !strcmp(rights, ":rw"))) {
		if (revoking)
			argp_error(state, "a grant is revoked as a whole: %.*s", (int)(rights - text), text);
		if (rights[2] == 'o')
			grant.rights = ELISA_RIGHT_READ;
		*rights = 0;
	}
	number = strchr(text, ':');
	if (number)
		*number++ = 0;
	for (grant.kind = ELISA_GRANT_ALL; grant.kind <= ELISA_GRANT_UID; grant.kind++)
		if (!strcmp(text, kinds[grant.kind]))
			break;
	if (grant.kind > ELISA_GRANT_UID || (grant.kind == ELISA_GRANT_ALL) != !number)
		argp_error(state, "%s is nobody: say all, vm:N, pid:N or uid:N%s", whom,
			   revoking ? "" : ", each perhaps with :ro");
	if (number)
		grant.id = (uint32_t)elisactl_number(state, text, number, UINT32_MAX);
}

static error_t parse(int key, char *text, struct argp_state *state)
{
	switch (key) {
	case ARGP_KEY_ARG:
		if (state->arg_num == 0)
			name = text;
		else if (state->arg_num == 1)
			parse_whom(state, text);
		else
			argp_error(state, "one word too many: %s", text);
		return 0;
	case ARGP_KEY_END:
		if (state->arg_num < 2)
			argp_error(state, "the name of an object and whom are needed");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* The kernel takes back what nobody has; a person who mistypes wants to know. */
static int check_granted(int fd)
{
	struct listing grants;
	bool found = false;

	if (elisactl_list(fd, ELISA_LIST_GRANT, NULL, &grants))
		return FAILED;
	for (size_t i = 0; i < grants.count; i++) {
		const struct elisa_ioc_list *each = &grants.entry[i];

		found |=
			!strncmp(each->name, name, ELISA_NAME_MAX) && each->grant == grant.kind && each->id == grant.id;
	}
	elisactl_listing_free(&grants);
	if (found)
		return DONE;
	fprintf(stderr, "elisactl: %s is not granted to %s (`elisactl object show %s` says to whom)\n", name, whom,
		name);
	return NO_SUCH;
}

static int change(void)
{
	struct elisa_ioc_open open = { .size = sizeof(open) };
	int fd, result = DONE;

	if (strlen(name) >= sizeof(open.name)) {
		fprintf(stderr, "elisactl: there is no object %s\n", name);
		return NO_SUCH;
	}
	memcpy(open.name, name, strlen(name));
	fd = elisactl_open();
	if (fd < 0)
		return FAILED;
	if (elisactl_device_ask(fd, ELISA_IOC_OPEN, &open))
		result = elisactl_fail(fd, revoking ? "revoke" : "grant");
	if (!result && revoking)
		result = check_granted(fd);
	if (!result && elisactl_device_ask(fd, ELISA_IOC_GRANT, &grant))
		result = elisactl_fail(fd, revoking ? "revoke" : "grant");
	close(fd);
	return result;
}

int elisactl_grant(int count, char **words)
{
	static const struct argp argp = {
		NULL,
		parse,
		"NAME WHOM",
		"Lets WHOM attach to the object NAME: all, vm:N, pid:N (of a VMM) or uid:N (of its owner), and with :ro its "
		"calls cannot write the object. Replaces what was granted to the same. On the host.",
		NULL,
		NULL,
		NULL
	};

	argp_parse(&argp, count, words, 0, NULL, NULL);
	return change();
}

int elisactl_revoke(int count, char **words)
{
	static const struct argp argp = {
		NULL,        parse,
		"NAME WHOM", "Takes a grant back: all, vm:N, pid:N or uid:N. Those who are attached stay. On the host.",
		NULL,        NULL,
		NULL
	};

	revoking = true;
	grant.rights = 0;
	argp_parse(&argp, count, words, 0, NULL, NULL);
	return change();
}
