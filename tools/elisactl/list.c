// SPDX-License-Identifier: MIT
/* The lists: each a table of columns, which are fields of the kernel's entries. */
#include <errno.h>
#include <json.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../../lib/elisa.h"
#include "elisactl.h"

struct column {
	const char *name;
	size_t offset;
	int width;
	enum { NUMBER, LONG_NUMBER, HEX, EXIT, TEXT } type;
};

#define FIELD(field) .name = #field, .offset = offsetof(struct elisa_ioc_list, field)
#define U32(field, columns) FIELD(field), .width = columns, .type = NUMBER
#define U64(field, columns) FIELD(field), .width = columns, .type = LONG_NUMBER
#define ADDRESS(field, columns) FIELD(field), .width = columns, .type = HEX
#define EXIT_REASON(field, columns) FIELD(field), .width = columns, .type = EXIT
#define STRING(field, columns) FIELD(field), .width = columns, .type = TEXT

static const struct column vm_columns[] = {
	{ U32(id, 5) },           { U32(pid, 8) },
	{ U32(uid, 8) },          { U32(vcpus, 6) },
	{ U32(attachments, 12) }, { U64(calls, 12) },
	{ U64(aborts, 8) },       { U64(allocated_bytes, 16) },
	{ U64(vcpu_bytes, 12) },  { 0 },
};

static const struct column object_columns[] = {
	{ U32(id, 5) },
	{ STRING(name, 20) },
	{ U32(vm, 5) },
	{ U32(pid, 8) },
	{ U32(uid, 8) },
	{ U32(flags, 6) },
	{ U32(functions, 10) },
	{ U32(attachments, 12) },
	{ U32(state, 6) },
	{ U64(memory_bytes, 14) },
	{ U64(allocated_bytes, 16) },
	{ 0 },
};

static const struct column attachment_columns[] = {
	{ U32(id, 5) },          { STRING(name, 20) },
	{ U32(vm, 5) },          { U32(object, 7) },
	{ U32(flags, 6) },       { U32(vcpus, 6) },
	{ U32(state, 6) },       { U64(calls, 12) },
	{ U64(aborts, 8) },      { U64(allocated_bytes, 16) },
	{ U64(vcpu_bytes, 12) }, { 0 },
};

static const struct column abort_columns[] = {
	{ U64(time_ns, 16) },
	{ U32(id, 5) },
	{ STRING(name, 20) },
	{ U32(vm, 5) },
	{ U32(pid, 8) },
	{ U32(state, 6) },
	{ EXIT_REASON(exit_reason, 20) },
	{ ADDRESS(address, 16) },
	{ STRING(symbol, 20) },
	{ U32(offset, 8) },
	{ 0 },
};

static const struct column *const columns_of[] = {
	[ELISA_LIST_VM] = vm_columns,
	[ELISA_LIST_OBJECT] = object_columns,
	[ELISA_LIST_ATTACHMENT] = attachment_columns,
	[ELISA_LIST_ABORT] = abort_columns,
};

static uint64_t value_of(const struct elisa_ioc_list *entry, const struct column *column)
{
	uint64_t value = 0;

	memcpy(&value, (const char *)entry + column->offset, column->type == NUMBER || column->type == EXIT ? 4 : 8);
	return value;
}

static void print_line(const struct elisa_ioc_list *entry, const struct column *columns)
{
	for (const struct column *column = columns; column->name; column++) {
		if (!entry)
			printf(column->type == TEXT || column->type == EXIT ? "%-*s" : "%*s", column->width,
			       column->name);
		else if (column->type == EXIT)
			printf("%-*s", column->width, elisa_exit_name(value_of(entry, column)));
		else if (column->type == HEX)
			printf("%#*lx", column->width, value_of(entry, column));
		else if (column->type == TEXT)
			printf("%-*.*s", column->width, ELISA_NAME_MAX, (const char *)entry + column->offset);
		else
			printf("%*lu", column->width, value_of(entry, column));
		fputs(column[1].name ? " " : "\n", stdout);
	}
}

static json_object *make_json(const struct elisa_ioc_list *entry, const struct column *columns)
{
	json_object *object = json_object_new_object();

	for (const struct column *column = columns; column->name; column++) {
		const char *text = (const char *)entry + column->offset;
		json_object *value;

		if (column->type == TEXT)
			value = json_object_new_string_len(text, (int)strnlen(text, ELISA_NAME_MAX));
		else if (column->type == EXIT)
			value = json_object_new_string(elisa_exit_name(value_of(entry, column)));
		else
			value = json_object_new_uint64(value_of(entry, column));
		json_object_object_add(object, column->name, value);
	}
	return object;
}

static int run(const struct command *command, bool json)
{
	struct elisa_ioc_list entry = { .size = sizeof(entry), .kind = command->kind };
	const struct column *columns = columns_of[command->kind];
	json_object *array;
	int fd, result = 0;

	fd = elisactl_open();
	if (fd < 0)
		return 1;
	array = json_object_new_array();
	if (!json)
		print_line(NULL, columns);
	while (!ioctl(fd, ELISA_IOC_LIST, &entry)) {
		if (json)
			json_object_array_add(array, make_json(&entry, columns));
		else
			print_line(&entry, columns);
	}
	if (errno != ENOENT)
		result = elisactl_fail(fd, command->words);
	else if (json)
		puts(json_object_to_json_string_ext(array, JSON_C_TO_STRING_PRETTY));
	json_object_put(array);
	close(fd);
	return result;
}

const struct command elisactl_lists[ELISACTL_LISTS] = {
	{ "vm list", "virtual machines that have come", run, ELISA_LIST_VM },
	{ "object list", "objects", run, ELISA_LIST_OBJECT },
	{ "attach list", "attachments", run, ELISA_LIST_ATTACHMENT },
	{ "abort list", "the last calls that were ended from outside", run, ELISA_LIST_ABORT },
};
