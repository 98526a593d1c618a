// SPDX-License-Identifier: MIT
/* What has happened: what is kept of it, and as it happens. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../lib/elisa.h"
#include "list.h"
#include "usage.h"

#define LOOK_S 0.2 /* between looks for new events: the kernel does not say when there is one */

static bool follow;
static uint64_t newest = UINT64_MAX; /* how many of those that are kept */
static const char *object;
static uint32_t vm;
static volatile sig_atomic_t stop;

static error_t parse(int key, char *text, struct argp_state *state)
{
	switch (key) {
	case 'f':
		follow = true;
		return 0;
	case 'n':
		newest = elisactl_number(state, "-n", text, UINT32_MAX);
		return 0;
	case 'o':
		object = text;
		return 0;
	case 'v':
		vm = (uint32_t)elisactl_number(state, "--vm", text, UINT32_MAX);
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "one word too many: %s", text);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void on_signal(int signal)
{
	(void)signal;
	stop = 1;
}

static json_object *event_json(const struct elisa_ioc_list *event)
{
	json_object *shown = elisactl_abort_json(event);

	if (event->event != ELISA_EVENT_ABORT) {
		static const char *const of_aborts[] = { "exit_reason", "exit_number", "address", "symbol", "offset" };

		for (size_t i = 0; i < sizeof(of_aborts) / sizeof(of_aborts[0]); i++)
			json_object_object_del(shown, of_aborts[i]);
	}
	if (event->event == ELISA_EVENT_REVOKE)
		json_object_object_add(shown, "buffer", json_object_new_uint64(event->buffer));
	json_object_object_add(shown, "event", json_object_new_string(elisactl_event(event->event)));
	return shown;
}

static void print_event(const struct elisa_ioc_list *event)
{
	char word[WORD_MAX + 16], error[WORD_MAX];

	printf("%s  %-8s %.*s", elisactl_time(word, event->time_ns), elisactl_event(event->event), ELISA_NAME_MAX - 1,
	       event->name);
	if (event->event == ELISA_EVENT_PUBLISH || event->event == ELISA_EVENT_WITHDRAW)
		event->vm ? printf(" by VM %u", event->vm) : printf(" by pid %u", event->pid);
	else
		printf(" attachment %u of VM %u (pid %u)", event->id, event->vm, event->pid);
	if (event->event == ELISA_EVENT_ABORT)
		printf(": %s, %s at %s", elisactl_error(error, event->state), elisa_exit_name(event->exit_reason),
		       elisactl_symbol(word, event));
	else if (event->event == ELISA_EVENT_REVOKE)
		printf(": buffer %u", event->buffer);
	else if (event->state)
		printf(": %s", elisactl_error(error, event->state));
	putchar('\n');
}

static bool is_meant(const struct elisa_ioc_list *event)
{
	return (!object || !strncmp(event->name, object, ELISA_NAME_MAX)) && (!vm || event->vm == vm);
}

/* Leaves only those that were asked for. */
static void choose(struct listing *events)
{
	size_t kept = 0;

	for (size_t i = 0; i < events->count; i++)
		if (is_meant(&events->entry[i]))
			events->entry[kept++] = events->entry[i];
	events->count = kept;
	if (kept > newest) {
		memmove(events->entry, events->entry + kept - newest, newest * sizeof(*events->entry));
		events->count = newest;
	}
}

/* One line each while following: a reader has whole values. */
static void show(const struct listing *events)
{
	json_object *array;

	if (elisactl_json && !follow) {
		array = json_object_new_array();
		for (size_t i = 0; i < events->count; i++)
			json_object_array_add(array, event_json(&events->entry[i]));
		elisactl_print_json(array, true);
		return;
	}
	for (size_t i = 0; i < events->count; i++) {
		if (elisactl_json)
			elisactl_print_json(event_json(&events->entry[i]), false);
		else
			print_event(&events->entry[i]);
	}
}

/* More than the kernel keeps came between two looks. */
static void say_lost(uint64_t count)
{
	if (count)
		fprintf(stderr, "elisactl: events: %llu were lost\n", (unsigned long long)count);
}

static int follow_on(int fd, uint64_t cursor)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct listing events;
	int result = DONE;

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	newest = UINT64_MAX;
	while (!stop && !ferror(stdout)) {
		uint64_t last = cursor;

		elisactl_sleep(LOOK_S);
		result = elisactl_list(fd, ELISA_LIST_EVENT, &cursor, &events);
		if (result)
			break;
		say_lost(events.count ? events.entry[0].cursor - last - 1 : 0);
		choose(&events);
		show(&events);
		fflush(stdout);
		elisactl_listing_free(&events);
	}
	return result;
}

int elisactl_events(int count, char **words)
{
	static const struct argp_option options[] = {
		{ "follow", 'f', 0, 0, "go on with those that happen, until interrupted", 0 },
		{ "lines", 'n', "N", 0, "of those that have happened only the last N", 0 },
		{ "object", 'o', "NAME", 0, "only of this object", 0 },
		{ "vm", 'v', "N", 0, "only of this VM", 0 },
		{ 0 },
	};
	static const struct argp argp = {
		options,
		parse,
		NULL,
		"Shows the last 256 events: publish, withdraw, attach, detach, abort, revoke. With --follow and --json each is "
		"a line. On the host.",
		elisactl_json_option,
		NULL,
		NULL
	};
	struct listing events;
	uint64_t cursor = 0;
	int fd, result;

	argp_parse(&argp, count, words, 0, NULL, NULL);
	fd = elisactl_open();
	if (fd < 0)
		return FAILED;
	result = elisactl_list(fd, ELISA_LIST_EVENT, &cursor, &events);
	if (!result) {
		choose(&events);
		show(&events);
		fflush(stdout);
		elisactl_listing_free(&events);
		if (follow)
			result = follow_on(fd, cursor);
	}
	close(fd);
	return result;
}
