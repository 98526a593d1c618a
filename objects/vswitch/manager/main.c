// SPDX-License-Identifier: MIT
/*
 * elisa-vswitch: offers a virtual switch until SIGTERM, ticks its clock, gives clients their addresses, and frees the
 * ports of those that have gone. Its events are lines of standard output.
 */
#include <argp.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "manager.h"

#define GRANTS_MAX 64
#define TICK_MS 500
#define EVENTS_MAX 64 /* at a time */

static struct options {
	const char *code, *name;
	uint32_t ports, ports_each, ageing_s, buckets;
	uint64_t memory_bytes;
	unsigned int flags;
	struct rule grant[GRANTS_MAX];
	unsigned int grants;
	bool show, json;
} options = {
	.name = "vswitch",
	.ports = VSWITCH_PORTS_MAX,
	.ports_each = VSWITCH_PORTS_EACH_DEFAULT,
	.ageing_s = 300,
	.buckets = VSWITCH_BUCKETS_DEFAULT,
	.flags = ELISA_OBJECT_VETTED | ELISA_OBJECT_ASK | ELISA_OBJECT_EXCHANGE,
};
static struct rules rules;

static volatile sig_atomic_t stop;

static void on_signal(int signal)
{
	(void)signal;
	stop = 1;
}

static uint64_t number(struct argp_state *state, const char *text, uint64_t least, uint64_t most)
{
	char *end;
	uint64_t value;

	errno = 0;
	value = strtoull(text, &end, 0);
	if (errno || end == text || *end || *text == '-' || value < least || value > most)
		argp_error(state, "not a number from %lu to %lu: %s", least, most, text);
	return value;
}

/* WHOM, or WHOM=ADDRESS if there is to be one. */
static struct rule rule_of(struct argp_state *state, const char *text, bool address)
{
	struct rule rule;
	const char *end, *wrong = rule_parse(text, &rule, &end);

	if (!wrong && address)
		wrong = *end == '=' ? address_parse(end + 1, &rule.value) : "no =ADDRESS";
	else if (!wrong && *end)
		wrong = "there is more than whom it is about";
	if (wrong)
		argp_error(state, "%s: %s", text, wrong);
	return rule;
}

static void add_rule(struct argp_state *state, struct rule rule, uint64_t value)
{
	const char *wrong;

	if (rule.whom == ELISA_ALL && rule.value)
		argp_error(state, "an address is one client's, not everybody's");
	rule.value |= value;
	wrong = rules_add(&rules, &rule);
	if (wrong)
		argp_error(state, "%s", wrong);
}

static void add_grant(struct argp_state *state, const char *text)
{
	if (options.grants == GRANTS_MAX)
		argp_error(state, "more than %d grants", GRANTS_MAX);
	options.grant[options.grants++] = rule_of(state, text, false);
}

/* As many as the memory holds: a power of two. */
static void size_table(struct argp_state *state)
{
	if (!options.memory_bytes)
		return;
	if (options.memory_bytes < vswitch_state_bytes(16))
		argp_error(state, "a switch takes %lu bytes of memory at least", vswitch_state_bytes(16));
	options.buckets = VSWITCH_BUCKETS_MAX;
	while (vswitch_state_bytes(options.buckets) > options.memory_bytes)
		options.buckets /= 2;
}

static error_t parse(int key, char *text, struct argp_state *state)
{
	switch (key) {
	case 'c':
		options.code = text;
		return 0;
	case 'n':
		options.name = text;
		return 0;
	case 'm':
		options.memory_bytes = number(state, text, 0, 1ull << 30);
		return 0;
	case 'p':
		options.ports = (uint32_t)number(state, text, 1, VSWITCH_PORTS_MAX);
		return 0;
	case 'e':
		options.ports_each = (uint32_t)number(state, text, 1, VSWITCH_PORTS_MAX);
		return 0;
	case 'a':
		options.ageing_s = (uint32_t)number(state, text, 0, 1000000);
		return 0;
	case 'b':
		add_rule(state, rule_of(state, text, true), VSWITCH_VALUE_BIND);
		return 0;
	case 's':
		add_rule(state, (struct rule){ .whom = ELISA_ALL }, VSWITCH_VALUE_BIND);
		return 0;
	case 'P':
		add_rule(state, rule_of(state, text, false), VSWITCH_VALUE_PROMISCUOUS);
		return 0;
	case 'g':
		add_grant(state, text);
		return 0;
	case 'o':
		options.flags |= ELISA_OBJECT_OUTLIVE;
		return 0;
	case 'u':
		options.flags &= ~(unsigned int)ELISA_OBJECT_VETTED;
		return 0;
	case 'S':
		options.show = true;
		return 0;
	case 'j':
		options.json = true;
		return 0;
	case ARGP_KEY_END:
		size_table(state);
		if (!options.code && !options.show)
			argp_error(state, "--code or --show is needed");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option option_list[] = {
	{ "code", 'c', "FILE", 0, "the switch's trusted code: vswitch.elf", 0 },
	{ "name", 'n', "NAME", 0, "of the object (vswitch)", 0 },
	{ "memory", 'm', "BYTES", 0, "of the object: what ports leave is for addresses (room for 8192)", 0 },
	{ "ports", 'p', "N", 0, "at most so many ports at once (64)", 0 },
	{ "ports-each", 'e', "N", 0, "at most so many of them of one VM, or process of the host (8)", 0 },
	{ "ageing", 'a', "SECONDS", 0, "addresses that were not seen for so long are forgotten (300); 0: never", 0 },
	{ "grant", 'g', "WHOM", 0, "who may attach: all, vm:N, pid:N or uid:N (nobody)", 0 },
	{ "bind", 'b', "WHOM=ADDRESS", 0, "its port has this address, and sends from no other", 0 },
	{ "strict", 's', 0, 0, "every port sends from the address that it was opened with only", 0 },
	{ "promiscuous", 'P', "WHOM", 0, "may ask for what goes to others", 0 },
	{ "outlive", 'o', 0, 0, "clients go on when this program dies", 0 },
	{ "unvetted", 'u', 0, 0, "the code is not part of the host's trusted base; for managers in a VM", 0 },
	{ "show", 'S', 0, 0, "prints ports and counters of the switch that is managed here", 1 },
	{ "json", 'j', 0, 0, "as JSON", 1 },
	{ 0 },
};

static int say(void)
{
	fprintf(stderr, "elisa-vswitch: %s\n", elisa_reason());
	return 1;
}

static int offer(struct elisa_object *object, struct vswitch_state **state)
{
	size_t bytes = options.memory_bytes ? options.memory_bytes : vswitch_state_bytes(options.buckets);
	void *address = NULL;
	int error;

	error = elisa_object_load(object, options.code);
	if (!error)
		error = elisa_object_memory(object, bytes, 0, &address);
	for (unsigned int i = 0; i < options.grants && !error; i++)
		error = elisa_object_grant(object, options.grant[i].whom, options.grant[i].id, ELISA_WRITE);
	if (error)
		return error;
	*state = address;
	state_prepare(*state, options.ports, options.ports_each, options.buckets, options.ageing_s);
	return elisa_object_publish(object, options.name);
}

static void print(const struct elisa_object_event *event, uint64_t value)
{
	static const char *const words[] = { "?", "attach", "detach", "abort", "revoke" };

	printf("%s attachment=%u vm=%u", words[event->kind <= ELISA_REVOKED ? event->kind : 0], event->attachment,
	       event->vm);
	if (event->pid != UINT32_MAX)
		printf(" pid=%u uid=%u", event->pid, event->uid);
	if (event->kind == ELISA_ATTACHED)
		printf(" value=%#lx", value);
	if (event->kind == ELISA_ABORTED)
		printf(" error=%d exit=\"%s\" address=%#lx symbol=%s+%#x", event->error,
		       elisa_exit_name(event->exit_reason), event->address, event->symbol[0] ? event->symbol : "?",
		       event->offset);
	if (event->kind == ELISA_REVOKED)
		printf(" buffer=%u", event->buffer);
	if (event->lost)
		printf(" lost=%lu", event->lost);
	putchar('\n');
}

/* A client that goes before its answer is no error of ours. */
static void handle_event(struct elisa_object *object, struct vswitch_state *state,
			 const struct elisa_object_event *event)
{
	uint64_t value = rules_value(&rules, event);

	print(event, value);
	if (event->kind == ELISA_ATTACHED && elisa_object_accept(object, event, value, NULL, 0))
		say();
	else if (event->kind == ELISA_DETACHED)
		state_gone(state, event->attachment);
}

/* Those that wait, but not so many that there is no time for all else. */
static int handle_events(struct elisa_object *object, struct vswitch_state *state)
{
	struct elisa_object_event event;
	int error = 0;

	for (unsigned int i = 0; i < EVENTS_MAX && !stop && !error; i++) {
		error = elisa_object_next_event(object, &event, 0);
		if (!error)
			handle_event(object, state, &event);
	}
	return error == -EAGAIN || error == -EINTR ? 0 : error;
}

static uint64_t seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec;
}

static int serve(struct elisa_object *object, struct vswitch_state *state)
{
	struct pollfd files[2] = { { .fd = elisa_object_fd(object), .events = POLLIN }, { .events = POLLIN } };
	uint64_t begin = seconds();
	int error = 0;

	files[1].fd = report_listen(options.name);
	if (files[1].fd < 0)
		fprintf(stderr, "elisa-vswitch: --show will not work: %s\n", strerror(-files[1].fd));
	puts("ready");
	while (!stop && !error) {
		int count = poll(files, 2, TICK_MS);

		state_tick(state, seconds() - begin);
		if (count <= 0)
			continue;
		if (files[0].revents)
			error = handle_events(object, state);
		if (files[1].revents)
			report_answer(files[1].fd, state, options.name);
	}
	report_close(files[1].fd, options.name);
	return error;
}

int main(int count, char **arguments)
{
	static const struct argp argp = { option_list, parse, NULL, "Offers a virtual switch until SIGTERM.",
					  NULL,        NULL,  NULL };
	struct sigaction action = { .sa_handler = on_signal };
	struct vswitch_state *state = NULL;
	struct elisa_object *object;
	int error;

	argp_parse(&argp, count, arguments, 0, NULL, NULL);
	if (options.show)
		return show(options.name, options.json);
	setvbuf(stdout, NULL, _IOLBF, 0);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	if (elisa_object_create(&object, options.flags))
		return say();
	error = offer(object, &state);
	if (!error)
		error = serve(object, state);
	if (error)
		say();
	elisa_object_destroy(object);
	return error ? 1 : 0;
}
