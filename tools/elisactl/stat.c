// SPDX-License-Identifier: MIT
#include <json.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "elisactl.h"

static int run(const struct command *command, bool json)
{
	struct elisa_ioc_stats stats = { .size = sizeof(stats) };
	int fd = elisactl_open();

	if (fd < 0)
		return 1;
	if (ioctl(fd, ELISA_IOC_STATS, &stats)) {
		int result = elisactl_fail(fd, command->words);

		close(fd);
		return result;
	}
	close(fd);

	const struct {
		const char *name;
		uint64_t value;
	} lines[] = {
		{ "objects", stats.objects },
		{ "attachments", stats.attachments },
		{ "vms", stats.vms },
		{ "vcpus", stats.vcpus },
		{ "pinned_pages", stats.pinned_pages },
		{ "allocated_pages", stats.allocated_pages },
	};
	json_object *object = json_object_new_object();

	for (unsigned int i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		if (json)
			json_object_object_add(object, lines[i].name, json_object_new_uint64(lines[i].value));
		else
			printf("%-16s %lu\n", lines[i].name, lines[i].value);
	}
	if (json)
		puts(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY));
	json_object_put(object);
	return 0;
}

const struct command elisactl_stat = { "stat", "totals", run, 0 };
