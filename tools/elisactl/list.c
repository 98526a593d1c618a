// SPDX-License-Identifier: MIT
/* The lists: each a table for people, and all that the kernel says for programs. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../../lib/elisa.h"
#include "list.h"

static void add_number(json_object *object, const char *name, uint64_t value)
{
	json_object_object_add(object, name, json_object_new_uint64(value));
}

static void add_text(json_object *object, const char *name, const char *text)
{
	json_object_object_add(object, name, json_object_new_string_len(text, (int)strnlen(text, ELISA_NAME_MAX)));
}

static void add_use(json_object *object, const struct elisa_ioc_list *entry)
{
	add_number(object, "calls", entry->calls);
	add_number(object, "aborts", entry->aborts);
	json_object_object_add(object, "aborts_by", elisactl_aborts_json(entry));
	add_number(object, "samples_inside", entry->samples_inside);
	add_number(object, "allocated_bytes", entry->allocated_bytes);
}

static void add_state(json_object *object, const struct elisa_ioc_list *entry)
{
	char word[WORD_MAX];

	add_number(object, "state", entry->state);
	add_text(object, "status", elisactl_state(word, entry));
}

static json_object *vm_json(const struct elisa_ioc_list *entry)
{
	json_object *object = json_object_new_object();

	add_number(object, "id", entry->id);
	add_number(object, "pid", entry->pid);
	add_number(object, "uid", entry->uid);
	add_state(object, entry);
	add_number(object, "vcpus", entry->vcpus);
	add_number(object, "attachments", entry->attachments);
	add_use(object, entry);
	add_number(object, "samples", entry->samples);
	add_number(object, "vcpu_bytes", entry->vcpu_bytes);
	return object;
}

json_object *elisactl_object_json(const struct elisa_ioc_list *entry)
{
	json_object *object = json_object_new_object();

	add_number(object, "id", entry->id);
	add_text(object, "name", entry->name);
	add_number(object, "vm", entry->vm);
	add_number(object, "pid", entry->pid);
	add_number(object, "uid", entry->uid);
	add_number(object, "flags", entry->flags);
	json_object_object_add(object, "options", elisactl_flags_json(entry->flags));
	add_number(object, "functions", entry->functions);
	add_number(object, "attachments", entry->attachments);
	add_state(object, entry);
	add_number(object, "memory_bytes", entry->memory_bytes);
	add_use(object, entry);
	return object;
}

json_object *elisactl_attachment_json(const struct elisa_ioc_list *entry)
{
	json_object *object = json_object_new_object();

	add_number(object, "id", entry->id);
	add_text(object, "name", entry->name);
	add_number(object, "vm", entry->vm);
	add_number(object, "pid", entry->pid);
	add_number(object, "uid", entry->uid);
	add_number(object, "object", entry->object);
	add_number(object, "flags", entry->flags);
	add_text(object, "rights", elisactl_rights(entry->flags));
	add_text(object, "scheme", elisactl_scheme(entry->scheme));
	add_number(object, "vcpus", entry->vcpus);
	add_state(object, entry);
	add_use(object, entry);
	add_number(object, "vcpu_bytes", entry->vcpu_bytes);
	return object;
}

json_object *elisactl_abort_json(const struct elisa_ioc_list *entry)
{
	json_object *object = json_object_new_object();
	char word[WORD_MAX];

	add_number(object, "time_ns", entry->time_ns);
	add_number(object, "id", entry->id);
	add_text(object, "name", entry->name);
	add_number(object, "object", entry->object);
	add_number(object, "vm", entry->vm);
	add_number(object, "pid", entry->pid);
	add_number(object, "uid", entry->uid);
	add_number(object, "state", entry->state);
	add_text(object, "error", elisactl_error(word, entry->state));
	add_text(object, "exit_reason", elisa_exit_name(entry->exit_reason));
	add_number(object, "exit_number", entry->exit_reason);
	add_number(object, "address", entry->address);
	add_text(object, "symbol", entry->symbol);
	add_number(object, "offset", entry->offset);
	return object;
}

static void vm_row(struct table *table, const struct elisa_ioc_list *entry)
{
	char word[WORD_MAX];

	elisactl_table_add(table, "%u", entry->id);
	elisactl_table_add(table, "%u", entry->pid);
	elisactl_table_add(table, "%u", entry->uid);
	elisactl_table_add(table, "%u", entry->vcpus);
	elisactl_table_add(table, "%u", entry->attachments);
	elisactl_table_add(table, "%llu", (unsigned long long)entry->calls);
	elisactl_table_add(table, "%llu", (unsigned long long)entry->aborts);
	elisactl_table_add(table, "%s", elisactl_size(word, entry->allocated_bytes + entry->vcpu_bytes));
	elisactl_table_add(table, "%s", elisactl_state(word, entry));
}

static void object_row(struct table *table, const struct elisa_ioc_list *entry)
{
	char word[WORD_MAX];

	elisactl_table_add(table, "%u", entry->id);
	elisactl_table_add(table, "%.*s", ELISA_NAME_MAX - 1, entry->name[0] ? entry->name : "-");
	if (entry->vm)
		elisactl_table_add(table, "vm %u", entry->vm);
	else
		elisactl_table_add(table, "pid %u", entry->pid);
	elisactl_table_add(table, "%u", entry->uid);
	elisactl_table_add(table, "%s", elisactl_size(word, entry->memory_bytes));
	elisactl_table_add(table, "%u", entry->functions);
	elisactl_table_add(table, "%u", entry->attachments);
	elisactl_table_add(table, "%llu", (unsigned long long)entry->calls);
	elisactl_table_add(table, "%llu", (unsigned long long)entry->aborts);
	elisactl_table_add(table, "%s", elisactl_state(word, entry));
	elisactl_table_add(table, "%s", elisactl_flags(word, entry->flags));
}

static void attachment_row(struct table *table, const struct elisa_ioc_list *entry)
{
	char word[WORD_MAX];

	elisactl_table_add(table, "%u", entry->id);
	elisactl_table_add(table, "%.*s", ELISA_NAME_MAX - 1, entry->name[0] ? entry->name : "-");
	elisactl_table_add(table, "%u", entry->vm);
	elisactl_table_add(table, "%u", entry->pid);
	elisactl_table_add(table, "%s", elisactl_rights(entry->flags));
	elisactl_table_add(table, "%s", elisactl_scheme(entry->scheme));
	elisactl_table_add(table, "%u", entry->vcpus);
	elisactl_table_add(table, "%llu", (unsigned long long)entry->calls);
	elisactl_table_add(table, "%llu", (unsigned long long)entry->aborts);
	elisactl_table_add(table, "%s", elisactl_size(word, entry->allocated_bytes + entry->vcpu_bytes));
	elisactl_table_add(table, "%s", elisactl_state(word, entry));
}

static void abort_row(struct table *table, const struct elisa_ioc_list *entry)
{
	char word[WORD_MAX + 16];

	elisactl_table_add(table, "%s", elisactl_time(word, entry->time_ns));
	elisactl_table_add(table, "%u", entry->vm);
	elisactl_table_add(table, "%u", entry->pid);
	elisactl_table_add(table, "%.*s", ELISA_NAME_MAX - 1, entry->name);
	elisactl_table_add(table, "%u", entry->id);
	elisactl_table_add(table, "%s", elisactl_error(word, entry->state));
	elisactl_table_add(table, "%s", elisa_exit_name(entry->exit_reason));
	elisactl_table_add(table, "%s", elisactl_symbol(word, entry));
}

static const char *const vm_titles[] = { ">ID",    ">PID",    ">UID",    ">VCPUS", ">ATTACHED",
					 ">CALLS", ">ABORTS", ">MEMORY", "STATE",  NULL };
static const char *const object_titles[] = { ">ID",       "NAME",   "MANAGER", ">UID",  ">MEMORY", ">FUNCTIONS",
					     ">ATTACHED", ">CALLS", ">ABORTS", "STATE", "OPTIONS", NULL };
static const char *const attachment_titles[] = { ">ID",    "OBJECT", ">VM",     ">PID",    "RIGHTS", "SCHEME",
						 ">VCPUS", ">CALLS", ">ABORTS", ">MEMORY", "STATE",  NULL };
static const char *const abort_titles[] = { "TIME",     ">VM",  ">PID", "OBJECT", ">ATTACHMENT",
					    "RETURNED", "EXIT", "AT",   NULL };

const struct kind elisactl_vms = { ELISA_LIST_VM, vm_titles, vm_row, vm_json };
const struct kind elisactl_objects = { ELISA_LIST_OBJECT, object_titles, object_row, elisactl_object_json };
const struct kind elisactl_attachments = { ELISA_LIST_ATTACHMENT, attachment_titles, attachment_row,
					   elisactl_attachment_json };
const struct kind elisactl_aborts = { ELISA_LIST_ABORT, abort_titles, abort_row, elisactl_abort_json };

void elisactl_show(const struct kind *kind, const struct listing *listing)
{
	json_object *array;
	struct table table;

	if (elisactl_json) {
		array = json_object_new_array();
		for (size_t i = 0; i < listing->count; i++)
			json_object_array_add(array, kind->json(&listing->entry[i]));
		elisactl_print_json(array, true);
		return;
	}
	elisactl_table_init(&table, kind->titles);
	for (size_t i = 0; i < listing->count; i++)
		kind->row(&table, &listing->entry[i]);
	elisactl_table_print(&table, SIZE_MAX, "\n");
	elisactl_table_free(&table);
}

static int list(int count, char **words, const char *text, const struct kind *kind)
{
	const struct argp argp = { NULL, elisactl_no_arguments, NULL, text, elisactl_json_option, NULL, NULL };
	struct listing listing;
	int fd, result;

	argp_parse(&argp, count, words, 0, NULL, NULL);
	fd = elisactl_open();
	if (fd < 0)
		return FAILED;
	result = elisactl_list(fd, kind->kind, NULL, &listing);
	close(fd);
	if (result)
		return result;
	elisactl_show(kind, &listing);
	elisactl_listing_free(&listing);
	return DONE;
}

int elisactl_vm_list(int count, char **words)
{
	return list(count, words, "Shows the virtual machines that ELISA serves. On the host.", &elisactl_vms);
}

int elisactl_object_list(int count, char **words)
{
	return list(count, words, "Shows all objects. On the host.", &elisactl_objects);
}

int elisactl_attach_list(int count, char **words)
{
	return list(count, words, "Shows which VM is attached to which object. On the host.", &elisactl_attachments);
}

int elisactl_log(int count, char **words)
{
	return list(count, words,
		    "Shows the last 64 calls that were ended from outside: what they returned, which VM exit ended "
		    "them, and where in the trusted code they were. On the host.",
		    &elisactl_aborts);
}
