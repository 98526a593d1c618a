// SPDX-License-Identifier: MIT
/* Totals, and what VMs and objects have done; again and again if an interval is given. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "usage.h"

static double interval_s;
static uint64_t times = 1;

static error_t parse(int key, char *text, struct argp_state *state)
{
	if (key != ARGP_KEY_ARG)
		return ARGP_ERR_UNKNOWN;
	switch (state->arg_num) {
	case 0:
		interval_s = elisactl_seconds(state, text);
		times = UINT64_MAX;
		return 0;
	case 1:
		times = elisactl_number(state, "COUNT", text, UINT32_MAX);
		return 0;
	default:
		argp_error(state, "one word too many: %s", text);
		return 0;
	}
}

static json_object *rows_json(const struct row *rows, size_t count, uint32_t kind)
{
	json_object *array = json_object_new_array();

	for (const struct row *row = rows; row < rows + count; row++) {
		json_object *object;

		if (row->entry->kind != kind)
			continue;
		object = json_object_new_object();
		json_object_object_add(object, "id", json_object_new_uint64(row->entry->id));
		if (kind != ELISA_LIST_OBJECT)
			json_object_object_add(object, "vm", json_object_new_uint64(row->entry->vm));
		if (kind != ELISA_LIST_VM)
			json_object_object_add(object, "name", json_object_new_string(row->entry->name));
		json_object_object_add(object, "calls", json_object_new_uint64(row->entry->calls));
		json_object_object_add(object, "calls_since", json_object_new_uint64(row->since));
		json_object_object_add(object, "calls_per_s", json_object_new_double(row->per_second));
		json_object_object_add(object, "inside", row->inside < 0 ? NULL : json_object_new_double(row->inside));
		json_object_object_add(object, "aborts", json_object_new_uint64(row->entry->aborts));
		json_object_object_add(object, "aborts_by", elisactl_aborts_json(row->entry));
		json_object_array_add(array, object);
	}
	return array;
}

static void print(const struct usage *now, const struct row *rows, size_t count)
{
	const struct elisa_ioc_stats *totals = &now->totals;
	const struct {
		const char *name;
		uint64_t value;
	} lines[] = {
		{ "objects", totals->objects },
		{ "attachments", totals->attachments },
		{ "vms", totals->vms },
		{ "vcpus", totals->vcpus },
		{ "pinned_pages", totals->pinned_pages },
		{ "allocated_pages", totals->allocated_pages },
	};
	json_object *object = json_object_new_object();

	for (unsigned int i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		json_object_object_add(object, lines[i].name, json_object_new_uint64(lines[i].value));
		if (!elisactl_json)
			printf("%-16s %llu\n", lines[i].name, (unsigned long long)lines[i].value);
	}
	if (now->lists) {
		json_object_object_add(object, "by_vm", rows_json(rows, count, ELISA_LIST_VM));
		json_object_object_add(object, "by_object", rows_json(rows, count, ELISA_LIST_OBJECT));
		json_object_object_add(object, "by_attachment", rows_json(rows, count, ELISA_LIST_ATTACHMENT));
	}
	if (!elisactl_json && count) {
		putchar('\n');
		elisactl_usage_print(rows, count, SIZE_MAX, "\n");
	}
	if (elisactl_json)
		elisactl_print_json(json_object_get(object), !interval_s);
	json_object_put(object);
	fflush(stdout);
}

int elisactl_stat(int count, char **words)
{
	static const struct argp argp = {
		NULL,
		parse,
		"[INTERVAL [COUNT]]",
		"Shows totals, and for each VM, object and attachment its calls, its share of time inside, and its aborts by "
		"reason; every INTERVAL seconds, with the calls since the last time. The VMs do not notice. In a VM: the "
		"totals of its driver.",
		elisactl_json_option,
		NULL,
		NULL
	};
	struct usage before = { 0 }, now;
	int fd, result = DONE;

	argp_parse(&argp, count, words, 0, NULL, NULL);
	fd = elisactl_open();
	if (fd < 0)
		return FAILED;
	for (uint64_t i = 0; i < times; i++) {
		struct row *rows;
		size_t used;

		if (i && !elisactl_json)
			putchar('\n');
		if (i && !elisactl_sleep(interval_s))
			break;
		result = elisactl_usage_get(fd, &now);
		if (result)
			break;
		used = elisactl_usage_rows(&now, i ? &before : NULL, &rows);
		print(&now, rows, used);
		free(rows);
		elisactl_usage_free(&before);
		before = now;
	}
	elisactl_usage_free(&before);
	close(fd);
	return result;
}
