// SPDX-License-Identifier: MIT
/*
 * elisa-tap: a TAP device whose cable leads into a port of the virtual switch, so that programs which use sockets reach
 * other VMs without a VM exit; on the host the same is the switch's uplink.
 */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "join.h"
#include "statistics.h"
#include "tap.h"

#define AGAIN_FIRST_MS 50 /* how long it waits for a switch that has gone, twice as long each time */
#define AGAIN_MOST_MS 5000
#define LOOK_MS 1000
#define RING 1024 /* as many as the kernel queues for the device the other way: a window of TCP finds room */

enum scheme { AUTOMATIC, GATE, VMCALL };

static struct options {
	struct tap tap;
	struct port_options port;
	enum scheme scheme;
	unsigned int verbose, interval_s;
	bool keep_address, wait;
} options = { .tap.queues = 1, .port.flags = VSWITCH_ALL_MULTICAST, .port.rx_slots = RING };

static volatile sig_atomic_t stop, show;
static int stop_fd;

static void on_stop(int signal)
{
	uint64_t one = 1;

	(void)signal;
	stop = 1;
	if (write(stop_fd, &one, sizeof(one)) < 0)
		return; /* it is readable as it is */
}

static void on_show(int signal)
{
	(void)signal;
	show = 1;
}

static unsigned long parse_number(struct argp_state *state, const char *text, unsigned long least, unsigned long most)
{
	unsigned long number;
	char *end;

	errno = 0;
	number = strtoul(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || number < least || number > most)
		argp_error(state, "not a number from %lu to %lu: %s", least, most, text);
	return number;
}

static void parse_address(struct argp_state *state, const char *text)
{
	uint8_t *mac = options.port.mac;
	int end = 0;

	if (!strcmp(text, "keep")) {
		options.keep_address = true;
		return;
	}
	if (sscanf(text, "%2" SCNx8 ":%2" SCNx8 ":%2" SCNx8 ":%2" SCNx8 ":%2" SCNx8 ":%2" SCNx8 "%n", &mac[0], &mac[1],
		   &mac[2], &mac[3], &mac[4], &mac[5], &end) != 6 ||
	    text[end])
		argp_error(state, "not an address like 02:00:00:00:00:01, or \"keep\": %s", text);
	if (mac[0] & 1)
		argp_error(state, "the address of a group, not of a device: %s", text);
}

static void parse_scheme(struct argp_state *state, const char *text)
{
	if (!strcmp(text, "gate"))
		options.scheme = GATE;
	else if (!strcmp(text, "vmcall"))
		options.scheme = VMCALL;
	else
		argp_error(state, "--scheme gate or vmcall, not %s", text);
}

static error_t parse(int key, char *text, struct argp_state *state)
{
	switch (key) {
	case 'd':
		if (!*text || strlen(text) >= sizeof(options.tap.name))
			argp_error(state, "the name of a device has 1 to %zu characters", sizeof(options.tap.name) - 1);
		strcpy(options.tap.name, text);
		return 0;
	case 'o':
		options.port.object = text;
		return 0;
	case 'n':
		if (strlen(text) >= VSWITCH_NAME_MAX)
			argp_error(state, "the name of a port has at most %d characters", VSWITCH_NAME_MAX - 1);
		options.port.name = text;
		return 0;
	case 'a':
		parse_address(state, text);
		return 0;
	case 'm':
		options.port.mtu = (uint16_t)parse_number(state, text, 68, 9000);
		return 0;
	case 'q':
		options.tap.queues = (unsigned int)parse_number(state, text, 1, VSWITCH_QUEUES_MAX);
		return 0;
	case 'r':
		options.port.rx_slots = (uint32_t)parse_number(state, text, 1, VSWITCH_RING_MAX);
		if (options.port.rx_slots & (options.port.rx_slots - 1))
			argp_error(state, "a ring has a power of two of places, not %s", text);
		return 0;
	case 's':
		parse_scheme(state, text);
		return 0;
	case 'b':
		options.port.flags |= VSWITCH_BIND;
		return 0;
	case 'p':
		options.port.flags |= VSWITCH_PROMISCUOUS;
		return 0;
	case 'w':
		options.wait = true;
		return 0;
	case 'i':
		options.interval_s = (unsigned int)parse_number(state, text, 1, 86400);
		return 0;
	case 'v':
		options.verbose++;
		return 0;
	case ARGP_KEY_ARG:
		argp_usage(state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option option_list[] = {
	{ "device", 'd', "NAME", 0, "the TAP device, made unless it is there (elisa%d)", 0 },
	{ "object", 'o', "NAME", 0, "the switch (vswitch)", 0 },
	{ "name", 'n', "NAME", 0, "of the port (the switch gives one)", 0 },
	{ "address", 'a', "MAC", 0, "of device and port; \"keep\": the device's (the switch gives one)", 0 },
	{ "mtu", 'm', "BYTES", 0, "up to 9000 (1500)", 0 },
	{ "queues", 'q', "N", 0, "of the device, and of the port each way; a thread each (1)", 0 },
	{ "ring", 'r', "PLACES", 0, "packets that may wait in each queue, a power of two (1024)", 0 },
	{ "scheme", 's', "SCHEME", 0, "gate, or vmcall: the host executes the switch (on the host vmcall, else gate)",
	  0 },
	{ "bind", 'b', 0, 0, "the port is for the device's own address only: not for an uplink, or a bridge", 0 },
	{ "promiscuous", 'p', 0, 0, "get what goes to others too; if the manager allows it", 0 },
	{ "wait", 'w', 0, 0, "if there is no switch yet, wait for it", 0 },
	{ "interval", 'i', "SECONDS", 0, "print statistics that often; SIGUSR1 prints them once", 0 },
	{ "verbose", 'v', 0, 0, "print statistics at the end; twice: failures to reach the switch again, too", 0 },
	{ 0 },
};

/* Attaches and opens; where the gate cannot be, as on the host, through the host's kernel. */
static int reach(struct port **port)
{
	int error;

	options.port.scheme = options.scheme == VMCALL ? ELISA_BY_VMCALL : ELISA_BY_GATE;
	error = port_open(port, &options.port);
	if (error == -EOPNOTSUPP && options.scheme == AUTOMATIC) {
		options.port.scheme = ELISA_BY_VMCALL;
		error = port_open(port, &options.port);
	}
	return error;
}

static void complain(int error, const char *reason)
{
	fprintf(stderr, "elisa-tap: %s: %s%s%s (%s)\n", options.port.object ? options.port.object : "vswitch",
		port_error(error), *reason ? ": " : "", reason, strerrorname_np(-error));
}

/* The device gets what the switch has answered, which is asked for if it has to be reached again. */
static int adopt(const struct port *port)
{
	const struct vswitch_config *config = &port->config;
	static char name[VSWITCH_NAME_MAX];
	static bool again;
	uint8_t mac[6];

	if (tap_set_mtu(&options.tap, config->mtu) || tap_address(&options.tap, mac) ||
	    (memcmp(mac, config->mac, 6) && tap_set_address(&options.tap, config->mac)))
		return -1;
	memcpy(options.port.mac, config->mac, 6);
	memcpy(name, config->name, sizeof(name) - 1);
	options.port.name = name;
	printf("ready device=%s port=%u name=%s address=%02x:%02x:%02x:%02x:%02x:%02x mtu=%u queues=%u scheme=%s%s\n",
	       options.tap.name, config->port, name, config->mac[0], config->mac[1], config->mac[2], config->mac[3],
	       config->mac[4], config->mac[5], config->mtu, options.tap.queues,
	       options.port.scheme == ELISA_BY_GATE ? "gate" : "vmcall", again ? " again" : "");
	again = true;
	return 0;
}

/* Until there is a port, or it is to end: NULL. */
static struct port *reach_again(void)
{
	struct pollfd ready = { .fd = stop_fd, .events = POLLIN };
	struct port *port;

	for (int pause_ms = AGAIN_FIRST_MS; !stop; pause_ms *= 2) {
		int error = reach(&port);

		if (!error)
			return port;
		if (options.verbose > 1)
			complain(error, elisa_reason());
		pause_ms = pause_ms < AGAIN_MOST_MS ? pause_ms : AGAIN_MOST_MS;
		poll(&ready, 1, pause_ms);
	}
	return NULL;
}

static struct port *reach_first(void)
{
	struct port *port;
	int error = reach(&port);

	if (!error)
		return port;
	complain(error, elisa_reason());
	return options.wait && error == -ENOENT ? reach_again() : NULL;
}

static struct join join;

static void tick(const struct vswitch_counters *counters)
{
	static unsigned int seconds;

	if (!show && (!options.interval_s || ++seconds % options.interval_s))
		return;
	show = 0;
	statistics_print(&join.counts, counters);
}

/* Carries until it is to end, through deaths of the switch. 0, or 1 if the device is gone. */
static int carry(struct port *port)
{
	struct vswitch_counters counters;

	while (port) {
		int error = adopt(port);

		if (!error)
			error = tap_set_link(&options.tap, true);
		if (error) {
			port_close(port);
			return 1;
		}
		error = join_run(&join, port);
		if (!error && options.verbose && !port_counters(port, &counters))
			statistics_print(&join.counts, &counters);
		if (join.device_error)
			fprintf(stderr, "elisa-tap: TAP device %s: %s\n", options.tap.name,
				strerror(join.device_error));
		else if (error)
			complain(error, "");
		if (error && !join.device_error)
			tap_set_link(&options.tap, false);
		port_close(port);
		if (!error || join.device_error)
			return error != 0;
		fprintf(stderr, "elisa-tap: trying again\n");
		port = reach_again();
	}
	return 0;
}

static void take_signals(void)
{
	struct sigaction action = { .sa_handler = on_stop };

	stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	action.sa_handler = on_show;
	sigaction(SIGUSR1, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

int main(int count, char **arguments)
{
	static const struct argp argp = {
		option_list, parse, NULL, "Joins a TAP device with a port of the virtual switch, until SIGTERM.",
		NULL,        NULL,  NULL
	};
	struct port *port = NULL;
	int status = 1;

	argp_parse(&argp, count, arguments, 0, NULL, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	take_signals();
	if (!options.tap.name[0])
		strcpy(options.tap.name, "elisa%d");
	if (tap_open(&options.tap))
		return 1;
	options.port.rx_queues = options.port.tx_queues = options.tap.queues;
	if (!options.keep_address || !tap_address(&options.tap, options.port.mac))
		port = reach_first();
	join = (struct join){ .devices = options.tap.fd,
			      .queues = options.tap.queues,
			      .stop = &stop,
			      .stop_fd = stop_fd,
			      .limit_ms = LOOK_MS,
			      .tick = tick };
	if (port)
		status = carry(port);
	else if (stop)
		status = 0;
	tap_close(&options.tap);
	return status;
}
