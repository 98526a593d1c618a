// SPDX-License-Identifier: MIT
/*
 * elisa-kv: publishes a shared cache until SIGTERM. It says who may attach and which name spaces each sees, ticks the
 * clock, and prints statistics. An attachment's row (state.h) is its VM's: a VM that attaches again finds its own name
 * space as it was; when the row goes to another VM, that is emptied.
 */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include <elisa.h>

#define ELISA_TEST /* nothing of the trusted code runs here: only the layout of its memory */
#include "state.h"

#define GRANTS_MAX 64
#define TICK_MS 200

/* A name space for some, or (SPACE is KV_OWN) the right to attach. */
struct grant {
	enum elisa_whom whom;
	uint32_t id;
	uint32_t space;
	int writable;
};

static struct options {
	const char *code, *name;
	size_t memory_bytes, huge;
	unsigned int flags, stats_s;
	struct grant grant[GRANTS_MAX];
	unsigned int grants;
	char names[KV_SPACES][KV_SPACE_NAME];
} options = { .name = "kv", .memory_bytes = 64 << 20, .flags = ELISA_OBJECT_VETTED | ELISA_OBJECT_ASK };

static volatile sig_atomic_t stop;

static struct kv_state *state;
static uint32_t row_vm[KV_ROWS]; /* VM + 1 */
static uint32_t row_users[KV_ROWS];
static struct attached {
	struct attached *next;
	uint32_t attachment, row;
} * attached;

static void on_signal(int signal)
{
	(void)signal;
	stop = 1;
}

static uint64_t parse_size(struct argp_state *argp, const char *text, uint64_t most)
{
	unsigned int shift = 0;
	uint64_t number;
	char *end;

	errno = 0;
	number = strtoull(text, &end, 0);
	if (*end && strchr("KMG", *end) && !end[1])
		shift = *end == 'K' ? 10 : *end == 'M' ? 20 : 30;
	else if (*end)
		argp_error(argp, "not a number: %s", text);
	if (errno || *text < '0' || *text > '9' || number > most >> shift)
		argp_error(argp, "not a number up to %lu: %s", most, text);
	return number << shift;
}

static uint32_t space_number(struct argp_state *argp, const char *name)
{
	if (!*name || strlen(name) >= KV_SPACE_NAME)
		argp_error(argp, "a name space's name has 1 to %d bytes: %s", KV_SPACE_NAME - 1, name);
	if (!strcmp(name, "own"))
		return KV_OWN;
	for (uint32_t space = 1; space < KV_SPACES; space++) {
		if (!options.names[space][0])
			strcpy(options.names[space], name);
		if (!strcmp(options.names[space], name))
			return space;
	}
	argp_error(argp, "more than %d name spaces", KV_SPACES - 1);
	return 0;
}

/* all | vm:N | pid:N | uid:N: the text after it, or NULL. */
static char *parse_whom(struct argp_state *argp, char *text, struct grant *grant)
{
	static const struct {
		const char *word;
		enum elisa_whom whom;
	} words[] = { { "vm:", ELISA_VM }, { "pid:", ELISA_PID }, { "uid:", ELISA_UID } };

	if (!strncmp(text, "all", 3) && (!text[3] || text[3] == '=')) {
		grant->whom = ELISA_ALL;
		return text + 3;
	}
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t bytes = strlen(words[i].word);
		unsigned long id;
		char *end;

		if (strncmp(text, words[i].word, bytes))
			continue;
		id = strtoul(text + bytes, &end, 10);
		if (text[bytes] < '0' || text[bytes] > '9' || id >= UINT32_MAX || (*end && *end != '='))
			break;
		grant->whom = words[i].whom;
		grant->id = (uint32_t)id;
		return end;
	}
	argp_error(argp, "not all, vm:N, pid:N or uid:N: %s", text);
	return NULL;
}

/* WHOM, or WHOM=NAME:ro|rw */
static void parse_grant(struct argp_state *argp, char *text, int space)
{
	struct grant *grant = &options.grant[options.grants];
	char *rest, *rights;

	if (options.grants++ == GRANTS_MAX)
		argp_error(argp, "more than %d grants", GRANTS_MAX);
	rest = parse_whom(argp, text, grant);
	if (!space) {
		if (*rest)
			argp_error(argp, "--grant all, vm:N, pid:N or uid:N");
		grant->writable = 1;
		return;
	}
	rights = *rest ? strrchr(rest, ':') : NULL;
	if (!rights || (strcmp(rights, ":ro") && strcmp(rights, ":rw")))
		argp_error(argp, "--space WHOM=NAME:ro or WHOM=NAME:rw");
	*rights = 0;
	grant->writable = rights[2] == 'w';
	grant->space = space_number(argp, rest + 1);
	if (grant->space == KV_OWN)
		argp_error(argp, "each has its own name space anyway");
}

static error_t parse(int key, char *text, struct argp_state *argp)
{
	switch (key) {
	case 'c':
		options.code = text;
		return 0;
	case 'n':
		options.name = text;
		return 0;
	case 'm':
		options.memory_bytes = parse_size(argp, text, SIZE_MAX);
		if (options.memory_bytes < KV_BYTES_MIN)
			argp_error(argp, "at least 1M of memory");
		return 0;
	case 'h':
		options.huge = parse_size(argp, text, SIZE_MAX);
		return 0;
	case 'g':
	case 's':
		parse_grant(argp, text, key == 's');
		return 0;
	case 'i':
		options.stats_s = (unsigned int)parse_size(argp, text, UINT32_MAX);
		return 0;
	case 'o':
		options.flags |= ELISA_OBJECT_OUTLIVE;
		return 0;
	case 'd':
		options.flags |= ELISA_OBJECT_DIRECT;
		return 0;
	case 'U':
		options.flags &= ~(unsigned int)ELISA_OBJECT_VETTED;
		return 0;
	case ARGP_KEY_END:
		if (!options.code)
			argp_error(argp, "--code is needed");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option option_list[] = {
	{ "code", 'c', "FILE", 0, "the cache's trusted code, kv.elf", 0 },
	{ "name", 'n', "NAME", 0, "publish the object as NAME (kv)", 0 },
	{ "memory", 'm', "BYTES", 0, "all that it takes; K, M and G are understood (64M)", 0 },
	{ "huge", 'h', "SIZE", 0, "of pages of 2M or 1G", 0 },
	{ "grant", 'g', "WHOM", 0, "who may attach: all, vm:N, pid:N or uid:N (nobody)", 0 },
	{ "space", 's', "WHOM=NAME:RIGHTS", 0, "who sees a shared name space, ro or rw", 0 },
	{ "stats", 'i', "SECONDS", 0, "print statistics so often", 0 },
	{ "outlive", 'o', 0, 0, "clients go on when this program dies; nothing expires any more then", 0 },
	{ "direct", 'd', 0, 0, "clients may map the memory instead of calling: no isolation", 0 },
	{ "unvetted", 'U', 0, 0, "the code is no part of the host's trusted base: calls cost more", 0 },
	{ 0 },
};

static int say(void)
{
	fprintf(stderr, "elisa-kv: %s\n", elisa_reason());
	return 1;
}

static uint64_t monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int offer(struct elisa_object *object)
{
	uint64_t secret[2];
	void *address;
	int error = elisa_object_load(object, options.code);

	if (!error)
		error = elisa_object_memory(object, options.memory_bytes, options.huge, &address);
	if (error)
		return error;
	if (getrandom(secret, sizeof(secret), 0) != sizeof(secret)) {
		fprintf(stderr, "elisa-kv: no random numbers: %s\n", strerror(errno));
		exit(1);
	}
	state = address;
	state->unix_base = (uint64_t)time(NULL) - 2;
	memcpy(state->names, options.names, sizeof(options.names));
	error = kv_state_init(state, options.memory_bytes, options.memory_bytes < 16 << 20 ? 6 : KV_PAGE_SHIFT, secret);
	if (error) {
		fprintf(stderr, "elisa-kv: %zu bytes are too few\n", options.memory_bytes);
		exit(1);
	}
	for (unsigned int i = 0; i < options.grants && !error; i++) {
		const struct grant *grant = &options.grant[i];

		error = elisa_object_grant(object, grant->whom, grant->id, ELISA_WRITE);
	}
	return error ? error : elisa_object_publish(object, options.name);
}

static int grant_is_for(const struct grant *grant, const struct elisa_object_event *event)
{
	switch (grant->whom) {
	case ELISA_ALL:
		return 1;
	case ELISA_VM:
		return grant->id == event->vm;
	case ELISA_PID:
		return grant->id == event->pid;
	default:
		return grant->id == event->uid;
	}
}

/* The VM's row: the one that it has, one that nobody ever had, or one whose VM has detached. -1: there is none. */
static int row_of(uint32_t vm)
{
	int found = -1;

	for (int row = 1; row < KV_ROWS; row++) {
		if (row_vm[row] == vm + 1)
			return row;
		if (!row_vm[row] && (found < 0 || row_vm[found]))
			found = row;
		else if (!row_users[row] && found < 0)
			found = row;
	}
	return found;
}

static void answer(struct elisa_object *object, const struct elisa_object_event *event)
{
	struct attached *new = malloc(sizeof(*new));
	int row = row_of(event->vm);

	if (!new || row < 0) {
		free(new);
		if (elisa_object_refuse(object, event, new ? -ENOSPC : -ENOMEM))
			say();
		return;
	}
	if (row_vm[row] != event->vm + 1) {
		kv_space_clear(&state->spaces[KV_SPACES + row]);
		memset(&state->rows[row], 0, sizeof(state->rows[row]));
		state->rows[row].vm = event->vm;
		state->rows[row].read = state->rows[row].write = 1 << KV_OWN;
		row_vm[row] = event->vm + 1;
	}
	for (unsigned int i = 0; i < options.grants; i++) {
		const struct grant *grant = &options.grant[i];

		if (!grant_is_for(grant, event))
			continue;
		state->rows[row].read |= 1ull << grant->space;
		state->rows[row].write |= (uint64_t)grant->writable << grant->space;
	}
	if (elisa_object_accept(object, event, KV_VALUE(row), NULL, 0)) {
		free(new);
		say(); /* it has gone before its answer */
		return;
	}
	*new = (struct attached){ attached, event->attachment, (uint32_t)row };
	attached = new;
	row_users[row]++;
	printf("attach attachment=%u vm=%u row=%d\n", event->attachment, event->vm, row);
}

static void detach(const struct elisa_object_event *event)
{
	for (struct attached **at = &attached; *at; at = &(*at)->next) {
		struct attached *this = *at;

		if (this->attachment != event->attachment)
			continue;
		row_users[this->row]--;
		*at = this->next;
		free(this);
		break;
	}
	printf("detach attachment=%u vm=%u\n", event->attachment, event->vm);
}

static void print_stats(void)
{
	struct kv_stats all = { 0 };

	kv_state_stats(state, &all);
	printf("stats items=%lu bytes=%lu limit=%lu evictions=%lu reclaimed=%lu repairs=%lu\n", all.items, all.bytes,
	       all.limit_bytes, all.evictions, all.reclaimed, all.repairs);
	for (int row = 0; row < KV_ROWS; row++) {
		const struct kv_stats *stats = &state->rows[row].stats;

		if (row_vm[row])
			printf("stats vm=%u hits=%lu misses=%lu stores=%lu retried=%lu\n", row_vm[row] - 1,
			       stats->get_hits, stats->get_misses, stats->stores, stats->retried);
	}
}

static void handle(struct elisa_object *object, const struct elisa_object_event *event)
{
	if (event->kind == ELISA_ATTACHED)
		answer(object, event);
	else if (event->kind == ELISA_DETACHED)
		detach(event);
	else if (event->kind == ELISA_ABORTED)
		printf("abort attachment=%u vm=%u error=%d exit=\"%s\" symbol=%s+%#x\n", event->attachment, event->vm,
		       event->error, elisa_exit_name(event->exit_reason), event->symbol[0] ? event->symbol : "?",
		       event->offset);
}

/* Until the signal. The clock is right to a tick, also while events come. */
static int serve(struct elisa_object *object)
{
	uint64_t begin_ms = monotonic_ms(), stats_ms = begin_ms;
	struct elisa_object_event event;

	while (!stop) {
		int error = elisa_object_next_event(object, &event, TICK_MS);
		uint64_t now_ms = monotonic_ms();

		__atomic_store_n(&state->seconds, (uint32_t)((now_ms - begin_ms) / 1000 + 2), __ATOMIC_RELAXED);
		if (!error)
			handle(object, &event);
		else if (error != -EAGAIN && error != -EINTR)
			return error;
		if (options.stats_s && now_ms - stats_ms >= options.stats_s * 1000ull) {
			print_stats();
			stats_ms = now_ms;
		}
	}
	return 0;
}

int main(int count, char **arguments)
{
	static const struct argp argp = { option_list, parse, NULL, "Publishes a cache for all VMs until SIGTERM.",
					  NULL,        NULL,  NULL };
	struct sigaction action = { .sa_handler = on_signal };
	struct elisa_object *object;
	int error;

	argp_parse(&argp, count, arguments, 0, NULL, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	if (elisa_object_create(&object, options.flags))
		return say();
	error = offer(object);
	if (error) {
		elisa_object_destroy(object);
		return say();
	}
	puts("ready");
	error = serve(object);
	print_stats();
	if (!error)
		error = elisa_object_withdraw(object);
	elisa_object_destroy(object);
	return error ? say() : 0;
}
