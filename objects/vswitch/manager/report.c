// SPDX-License-Identifier: MIT
/*
 * What there is to see of a switch. Nothing is stopped for it, and each word is read once: numbers that belong together
 * may be of different moments.
 */
#include <errno.h>
#include <json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "manager.h"
#include "report.h"

const char *const drop_names[VSWITCH_DROPS] = {
	[VSWITCH_DROP_FULL] = "full",       [VSWITCH_DROP_SIZE] = "size",     [VSWITCH_DROP_WHERE] = "where",
	[VSWITCH_DROP_SPOOFED] = "spoofed", [VSWITCH_DROP_POSTED] = "posted", [VSWITCH_DROP_LOCAL] = "local",
	[VSWITCH_DROP_CLOSED] = "closed",
};

static void put(struct json_object *object, const char *name, uint64_t value)
{
	json_object_object_add(object, name, json_object_new_uint64(value));
}

static struct json_object *drops(const uint64_t *counters)
{
	struct json_object *object = json_object_new_object();

	for (unsigned int why = 0; why < VSWITCH_DROPS; why++)
		put(object, drop_names[why], counters[why]);
	return object;
}

static struct json_object *port_report(const struct vswitch_state *state, uint32_t number)
{
	const struct vswitch_port *port = &state->ports[number];
	struct json_object *object = json_object_new_object();
	struct vswitch_counters counters;
	char text[VSWITCH_NAME_MAX + 1];
	uint32_t flags = VSWITCH_READ(port->flags);
	uint8_t mac[6];

	vswitch_port_counters(port, &counters);
	snprintf(text, sizeof(text), "%.*s", VSWITCH_NAME_MAX - 1, port->name);
	put(object, "port", number);
	json_object_object_add(object, "name", json_object_new_string(text));
	address_store(mac, VSWITCH_READ(port->address));
	snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	json_object_object_add(object, "mac", json_object_new_string(text));
	put(object, "attachment", VSWITCH_READ(port->claimed) - 1);
	put(object, "vm", VSWITCH_READ(port->vm));
	put(object, "mtu", VSWITCH_READ(port->mtu));
	put(object, "rx_queues", VSWITCH_READ(port->rx_queues));
	put(object, "tx_queues", VSWITCH_READ(port->tx_queues));
	json_object_object_add(object, "open", json_object_new_boolean(vswitch_port_open(state, number)));
	json_object_object_add(object, "bound", json_object_new_boolean(flags & VSWITCH_BIND));
	json_object_object_add(object, "promiscuous", json_object_new_boolean(flags & VSWITCH_PROMISCUOUS));
	put(object, "rx_packets", counters.rx_packets);
	put(object, "rx_bytes", counters.rx_bytes);
	put(object, "tx_packets", counters.tx_packets);
	put(object, "tx_bytes", counters.tx_bytes);
	put(object, "flooded", counters.flooded);
	put(object, "notified", counters.notified);
	json_object_object_add(object, "rx_drops", drops(counters.rx_drops));
	json_object_object_add(object, "tx_drops", drops(counters.tx_drops));
	return object;
}

static uint64_t addresses(const struct vswitch_state *state)
{
	uint64_t count = 0;

	for (uint32_t bucket = 0; bucket < state->buckets; bucket++) {
		for (unsigned int way = 0; way < VSWITCH_WAYS; way++) {
			uint64_t entry = VSWITCH_READ(state->table[bucket][way]);

			count += entry && !entry_old(state, entry);
		}
	}
	return count;
}

char *state_report(const struct vswitch_state *state, const char *name)
{
	struct json_object *report = json_object_new_object(), *ports = json_object_new_array();
	char *text;

	json_object_object_add(report, "name", json_object_new_string(name));
	put(report, "seconds", VSWITCH_READ(state->seconds));
	put(report, "ports_max", state->ports_max);
	put(report, "ports_each", state->ports_each);
	put(report, "ageing_s", (uint64_t)state->age_limit << state->age_shift);
	put(report, "addresses", addresses(state));
	put(report, "addresses_max", (uint64_t)state->buckets * VSWITCH_WAYS);
	for (uint32_t number = 0; number < VSWITCH_PORTS_MAX; number++) {
		if (VSWITCH_READ(state->ports[number].claimed))
			json_object_array_add(ports, port_report(state, number));
	}
	json_object_object_add(report, "ports", ports);
	text = strdup(json_object_to_json_string_ext(report, JSON_C_TO_STRING_PRETTY));
	json_object_put(report);
	return text;
}

int report_address(const char *name, struct sockaddr_un *address)
{
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strchr(name, '/') || strlen(name) + sizeof(REPORT_PATH) > sizeof(address->sun_path))
		return -ENAMETOOLONG;
	snprintf(address->sun_path, sizeof(address->sun_path), REPORT_PATH, name);
	return 0;
}

int report_listen(const char *name)
{
	struct sockaddr_un address;
	int listener, error = report_address(name, &address);
	mode_t mask;

	if (error)
		return error;
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener < 0)
		return -errno;
	/* Whoever owns the name in the kernel owns it here: what is left is a dead manager's. */
	unlink(address.sun_path);
	mask = umask(0177);
	error = bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 8) ? -errno : 0;
	umask(mask);
	if (!error)
		return listener;
	close(listener);
	return error;
}

/* Whoever asks and does not read gets no more than its socket holds. */
void report_answer(int listener, const struct vswitch_state *state, const char *name)
{
	int asks = accept4(listener, NULL, NULL, SOCK_CLOEXEC), room = 1 << 20;
	struct timeval limit = { .tv_sec = 1 };
	char *text;

	if (asks < 0)
		return;
	setsockopt(asks, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	setsockopt(asks, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	text = state_report(state, name);
	if (text)
		send(asks, text, strlen(text), MSG_NOSIGNAL);
	free(text);
	close(asks);
}

void report_close(int listener, const char *name)
{
	struct sockaddr_un address;

	if (listener < 0)
		return;
	if (!report_address(name, &address))
		unlink(address.sun_path);
	close(listener);
}
