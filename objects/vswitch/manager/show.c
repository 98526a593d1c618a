// SPDX-License-Identifier: MIT
/* elisa-vswitch --show: asks the manager of a switch, and prints what it says, as it is or as a table. */
#include <errno.h>
#include <json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "manager.h"
#include "report.h"

#define REPORT_MAX (4u << 20)

static int ask(const char *name, char **report)
{
	struct sockaddr_un address;
	int error = report_address(name, &address), fd;
	size_t bytes = 0;
	ssize_t some;
	char *text;

	if (error)
		return error;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	text = calloc(1, REPORT_MAX + 1);
	if (!text)
		error = -ENOMEM;
	else if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
		error = -errno;
	while (!error && bytes < REPORT_MAX && (some = read(fd, text + bytes, REPORT_MAX - bytes)) != 0) {
		if (some > 0)
			bytes += (size_t)some;
		else if (errno != EINTR)
			error = -errno;
	}
	close(fd);
	if (error)
		free(text);
	else
		*report = text;
	return error;
}

static const char *text_of(struct json_object *object, const char *name)
{
	struct json_object *value;

	return json_object_object_get_ex(object, name, &value) ? json_object_get_string(value) : "?";
}

/* The drops that there are, on lines of their own. */
static void print_drops(struct json_object *port, const char *which)
{
	struct json_object *drops;

	if (!json_object_object_get_ex(port, which, &drops))
		return;
	json_object_object_foreach(drops, why, count)
	{
		if (json_object_get_int64(count))
			printf("      %s %s: %s\n", which, why, json_object_get_string(count));
	}
}

static void print_table(struct json_object *report)
{
	struct json_object *ports;

	printf("%s: %s seconds, %s of %s addresses\n", text_of(report, "name"), text_of(report, "seconds"),
	       text_of(report, "addresses"), text_of(report, "addresses_max"));
	printf("%4s  %-16s %-17s %10s %5s %14s %14s %12s %9s\n", "port", "name", "mac", "attachment", "mtu", "received",
	       "sent", "flooded", "notified");
	if (!json_object_object_get_ex(report, "ports", &ports))
		return;
	for (size_t i = 0; i < json_object_array_length(ports); i++) {
		struct json_object *port = json_object_array_get_idx(ports, i);

		printf("%4s  %-16s %-17s %10s %5s %14s %14s %12s %9s\n", text_of(port, "port"), text_of(port, "name"),
		       text_of(port, "mac"), text_of(port, "attachment"), text_of(port, "mtu"),
		       text_of(port, "rx_packets"), text_of(port, "tx_packets"), text_of(port, "flooded"),
		       text_of(port, "notified"));
		print_drops(port, "rx_drops");
		print_drops(port, "tx_drops");
	}
}

int show(const char *name, bool json)
{
	struct json_object *report;
	char *text = NULL;
	int error = ask(name, &text);

	if (error) {
		fprintf(stderr, "elisa-vswitch: no manager of %s answers here: %s\n", name, strerror(-error));
		return 1;
	}
	report = json_tokener_parse(text);
	if (!report) {
		fprintf(stderr, "elisa-vswitch: the manager of %s has not said it all\n", name);
		free(text);
		return 1;
	}
	if (json)
		puts(text);
	else
		print_table(report);
	json_object_put(report);
	free(text);
	return 0;
}
