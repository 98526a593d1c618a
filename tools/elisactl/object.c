// SPDX-License-Identifier: MIT
/* One object: shown, made, ended. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "list.h"

#define MANAGER "elisa-manager"

static const char *name; /* the word of show and withdraw */

static error_t parse_name(int key, char *text, struct argp_state *state)
{
	switch (key) {
	case ARGP_KEY_ARG:
		if (name)
			argp_error(state, "one word too many: %s", text);
		name = text;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which object? NAME is needed");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* What belongs to an object: of all, those that say so. */
static void keep(struct listing *listing, uint32_t object)
{
	size_t kept = 0;

	for (size_t i = 0; i < listing->count; i++)
		if (listing->entry[i].object == object)
			listing->entry[kept++] = listing->entry[i];
	listing->count = kept;
}

static json_object *grant_json(const struct elisa_ioc_list *grant)
{
	json_object *object = json_object_new_object();
	char word[WORD_MAX];

	json_object_object_add(object, "whom", json_object_new_string(elisactl_grantee(word, grant)));
	json_object_object_add(object, "rights", json_object_new_string(elisactl_rights(grant->flags)));
	return object;
}

static void show_json(const struct elisa_ioc_list *object, const struct listing *grants,
		      const struct listing *attachments)
{
	json_object *shown = elisactl_object_json(object), *array = json_object_new_array();

	for (size_t i = 0; i < grants->count; i++)
		json_object_array_add(array, grant_json(&grants->entry[i]));
	json_object_object_add(shown, "grants", array);
	array = json_object_new_array();
	for (size_t i = 0; i < attachments->count; i++)
		json_object_array_add(array, elisactl_attachment_json(&attachments->entry[i]));
	json_object_object_add(shown, "attached", array);
	elisactl_print_json(shown, true);
}

static void show(const struct elisa_ioc_list *object, const struct listing *grants, const struct listing *attachments)
{
	char word[WORD_MAX];

	printf("name         %.*s\n", ELISA_NAME_MAX - 1, object->name);
	printf("id           %u\n", object->id);
	printf("state        %s\n", elisactl_state(word, object));
	if (object->vm)
		printf("manager      in vm %u\n", object->vm);
	else
		printf("manager      pid %u, uid %u\n", object->pid, object->uid);
	printf("options      %s\n", elisactl_flags(word, object->flags));
	printf("memory       %s\n", elisactl_size(word, object->memory_bytes));
	printf("tables       %s\n", elisactl_size(word, object->allocated_bytes));
	printf("functions    %u\n", object->functions);
	printf("calls        %llu\n", (unsigned long long)object->calls);
	printf("aborts       %llu", (unsigned long long)object->aborts);
	for (unsigned int kind = 0; kind < ELISA_ABORTS; kind++)
		if (object->aborts_by[kind])
			printf(", %s %llu", elisactl_abort(kind), (unsigned long long)object->aborts_by[kind]);
	printf("\ngrants       ");
	for (size_t i = 0; i < grants->count; i++)
		printf("%s%s%s", i ? ", " : "", elisactl_grantee(word, &grants->entry[i]),
		       grants->entry[i].flags == ELISA_RIGHT_READ ? ":ro" : "");
	printf("%s\nattachments  %zu\n", grants->count ? "" : "nobody", attachments->count);
	if (attachments->count) {
		putchar('\n');
		elisactl_show(&elisactl_attachments, attachments);
	}
}

static int no_object(void)
{
	fprintf(stderr, "elisactl: there is no object %s (`elisactl object list` shows all)\n", name);
	return NO_SUCH;
}

int elisactl_object_show(int count, char **words)
{
	static const struct argp argp = {
		NULL, parse_name, "NAME", "Shows one object. On the host.", elisactl_json_option, NULL, NULL
	};
	struct listing objects, grants = { 0 }, attachments = { 0 };
	const struct elisa_ioc_list *object;
	int fd, result;

	argp_parse(&argp, count, words, 0, NULL, NULL);
	fd = elisactl_open();
	if (fd < 0)
		return FAILED;
	result = elisactl_list(fd, ELISA_LIST_OBJECT, NULL, &objects);
	object = result ? NULL : elisactl_object_of(&objects, name);
	if (!result && !object)
		result = no_object();
	if (!result)
		result = elisactl_list(fd, ELISA_LIST_GRANT, NULL, &grants);
	if (!result)
		result = elisactl_list(fd, ELISA_LIST_ATTACHMENT, NULL, &attachments);
	close(fd);
	if (!result) {
		keep(&grants, object->id);
		keep(&attachments, object->id);
		(elisactl_json ? show_json : show)(object, &grants, &attachments);
	}
	elisactl_listing_free(&attachments);
	elisactl_listing_free(&grants);
	elisactl_listing_free(&objects);
	return result;
}

int elisactl_object_withdraw(int count, char **words)
{
	static const struct argp argp = {
		NULL,
		parse_name,
		"NAME",
		"Ends an object, whoever manages it: its name is free, and its clients' calls return ESHUTDOWN. On the host.",
		NULL,
		NULL,
		NULL
	};
	struct elisa_ioc_open open = { .size = sizeof(open) };
	const struct elisa_ioc_list *object;
	struct listing objects;
	int fd, result = DONE;

	argp_parse(&argp, count, words, 0, NULL, NULL);
	if (strlen(name) >= sizeof(open.name))
		return no_object();
	memcpy(open.name, name, strlen(name));
	fd = elisactl_open();
	if (fd < 0)
		return FAILED;
	if (elisactl_list(fd, ELISA_LIST_OBJECT, NULL, &objects)) {
		close(fd);
		return FAILED;
	}
	object = elisactl_object_of(&objects, name);
	if (elisactl_device_ask(fd, ELISA_IOC_OPEN, &open) || elisactl_device_ask(fd, ELISA_IOC_WITHDRAW, NULL))
		result = elisactl_fail(fd, "object withdraw");
	else if (object && object->vm)
		printf("%s is withdrawn; its manager in VM %u still runs\n", name, object->vm);
	else if (object)
		printf("%s is withdrawn; its manager, process %u, still runs and keeps the memory\n", name,
		       object->pid);
	elisactl_listing_free(&objects);
	close(fd);
	return result;
}

/* All its words are the manager's, which says what is wrong with them. */
int elisactl_object_publish(int count, char **words)
{
	static char program[] = MANAGER;
	char beside[4096];
	ssize_t length;
	char *slash;

	if (count < 2) {
		fputs("elisactl: object publish: an object needs at least --code FILE and --name NAME "
		      "(`elisactl help object publish`)\n",
		      stderr);
		return WRONG_WORDS;
	}
	words[0] = program;
	execvp(MANAGER, words);
	/* Not in the path, as in a build tree copied by hand: then beside this program. */
	length = readlink("/proc/self/exe", beside, sizeof(beside) - sizeof(MANAGER) - 1);
	beside[length < 0 ? 0 : length] = 0;
	slash = strrchr(beside, '/');
	if (errno == ENOENT && slash) {
		strcpy(slash + 1, MANAGER);
		execv(beside, words);
	}
	fprintf(stderr, "elisactl: " MANAGER ": %s\n", strerror(errno));
	return FAILED;
}
