// SPDX-License-Identifier: MIT
/* Manages one object: `elisa-manager --code FILE --name NAME` until SIGTERM. Its events are lines of standard output.
 */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <elisa.h>

#define GRANTS_MAX 16

struct grant {
	enum elisa_whom whom;
	uint32_t id;
	enum elisa_rights rights;
};

static struct options {
	const char *code, *name;
	size_t memory_bytes, huge, extra_bytes;
	uint64_t value;
	unsigned int flags;
	int answer; /* 0, or what to refuse with */
	struct grant grant[GRANTS_MAX];
	unsigned int grants;
	int background;
} options = { .memory_bytes = 4096 };

static volatile sig_atomic_t stop;

static void on_signal(int signal)
{
	(void)signal;
	stop = 1;
}

static uint64_t parse_number(struct argp_state *state, const char *text, uint64_t most)
{
	uint64_t number;
	char *end;

	errno = 0;
	number = strtoull(text, &end, 0);
	if (errno || *text < '0' || *text > '9' || number > most)
		argp_error(state, "not a number up to %lu: %s", most, text);
	if (*end && (strchr("KMG", *end) == NULL || end[1]))
		argp_error(state, "not a number: %s", text);
	if (*end) {
		unsigned int shift = *end == 'K' ? 10 : *end == 'M' ? 20 : 30;

		if (number > most >> shift)
			argp_error(state, "too large: %s", text);
		number <<= shift;
	}
	return number;
}

/* all | vm:N | pid:N | uid:N, then perhaps :ro */
static void parse_grant(struct argp_state *state, const char *text)
{
	static const struct {
		const char *word;
		enum elisa_whom whom;
	} kinds[] = { { "vm:", ELISA_VM }, { "pid:", ELISA_PID }, { "uid:", ELISA_UID } };
	struct grant *grant = &options.grant[options.grants];

	if (options.grants++ == GRANTS_MAX)
		argp_error(state, "more than %d grants", GRANTS_MAX);
	if (!strcmp(text, "all") || !strcmp(text, "all:ro")) {
		*grant = (struct grant){ ELISA_ALL, 0, text[3] ? ELISA_READ : ELISA_WRITE };
		return;
	}
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const char *number = text + strlen(kinds[i].word);
		unsigned long id;
		char *end;

		if (strncmp(text, kinds[i].word, (size_t)(number - text)) != 0)
			continue;
		id = strtoul(number, &end, 10);
		if (*number < '0' || *number > '9' || id >= UINT32_MAX || (*end && strcmp(end, ":ro") != 0))
			break;
		*grant = (struct grant){ kinds[i].whom, (uint32_t)id, *end ? ELISA_READ : ELISA_WRITE };
		return;
	}
	argp_error(state, "not a grant (all, vm:N, pid:N, uid:N, each perhaps with :ro): %s", text);
}

static void parse_ask(struct argp_state *state, const char *text)
{
	options.flags |= ELISA_OBJECT_ASK;
	if (!strcmp(text, "accept"))
		options.answer = 0;
	else if (!strcmp(text, "refuse"))
		options.answer = -EACCES;
	else if (!strncmp(text, "refuse=", 7))
		options.answer = -(int)parse_number(state, text + 7, 4095);
	else
		argp_error(state, "--ask accept, refuse or refuse=ERRNO");
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
		options.memory_bytes = parse_number(state, text, SIZE_MAX);
		return 0;
	case 'h':
		options.huge = parse_number(state, text, SIZE_MAX);
		return 0;
	case 'g':
		parse_grant(state, text);
		return 0;
	case 'a':
		parse_ask(state, text);
		return 0;
	case 'v':
		options.value = parse_number(state, text, UINT64_MAX);
		return 0;
	case 'e':
		options.extra_bytes = parse_number(state, text, SIZE_MAX / 2);
		return 0;
	case 'V':
		options.flags |= ELISA_OBJECT_VETTED;
		return 0;
	case 'o':
		options.flags |= ELISA_OBJECT_OUTLIVE;
		return 0;
	case 'd':
		options.flags |= ELISA_OBJECT_DIRECT;
		return 0;
	case 'x':
		options.flags |= ELISA_OBJECT_EXCHANGE;
		return 0;
	case 'b':
		options.background = 1;
		return 0;
	case ARGP_KEY_END:
		if (!options.code || !options.name)
			argp_error(state, "--code and --name are needed");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option option_list[] = {
	{ "code", 'c', "FILE", 0, "trusted code, built with pkg-config elisa-sub", 0 },
	{ "name", 'n', "NAME", 0, "publish the object as NAME", 0 },
	{ "memory", 'm', "BYTES", 0, "the object's memory; K, M and G are understood (4K)", 0 },
	{ "huge", 'h', "SIZE", 0, "of pages of 2M or 1G", 0 },
	{ "grant", 'g', "WHOM", 0, "who may attach: all, vm:N, pid:N or uid:N, each perhaps with :ro (nobody)", 0 },
	{ "vetted", 'V', 0, 0, "the code is part of the host's trusted base", 0 },
	{ "ask", 'a', "ANSWER", 0, "decide at each attach: accept, refuse or refuse=ERRNO", 0 },
	{ "value", 'v', "N", 0, "what the code finds in info->value; with --ask", 0 },
	{ "extra", 'e', "BYTES", 0, "memory of its own for each attachment; with --ask", 0 },
	{ "direct", 'd', 0, 0, "clients may map the memory instead of calling: no isolation", 0 },
	{ "exchange", 'x', 0, 0, "clients may share buffers with the calls of all others", 0 },
	{ "outlive", 'o', 0, 0, "clients go on when this program dies", 0 },
	{ "background", 'b', 0, 0, "return when the object is published, and go on in the background", 0 },
	{ 0 },
};

static int say(void)
{
	fprintf(stderr, "elisa-manager: %s\n", elisa_reason());
	return 1;
}

static int offer(struct elisa_object *object)
{
	void *address;
	int error;

	error = elisa_object_load(object, options.code);
	if (!error && options.memory_bytes)
		error = elisa_object_memory(object, options.memory_bytes, options.huge, &address);
	for (unsigned int i = 0; i < options.grants && !error; i++)
		error = elisa_object_grant(object, options.grant[i].whom, options.grant[i].id, options.grant[i].rights);
	return error ? error : elisa_object_publish(object, options.name);
}

/* Memory that an attachment has of its own stays mapped here as long as it lives. */
struct extra {
	struct extra *next;
	uint32_t attachment;
	void *address;
};
static struct extra *extras;

static void *make_extra(uint32_t attachment)
{
	struct extra *extra = malloc(sizeof(*extra));
	void *at = mmap(NULL, options.extra_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (!extra || at == MAP_FAILED) {
		free(extra);
		return NULL;
	}
	*extra = (struct extra){ .next = extras, .attachment = attachment, .address = at };
	extras = extra;
	return at;
}

static void free_extra(uint32_t attachment)
{
	for (struct extra **at = &extras; *at; at = &(*at)->next) {
		struct extra *extra = *at;

		if (extra->attachment != attachment)
			continue;
		munmap(extra->address, options.extra_bytes);
		*at = extra->next;
		free(extra);
		return;
	}
}

/* A client that goes before its answer is no error of ours: say so, and go on. */
static void answer(struct elisa_object *object, const struct elisa_object_event *event)
{
	void *extra = NULL;
	int error;

	if (options.answer) {
		error = elisa_object_refuse(object, event, options.answer);
	} else if (options.extra_bytes && !(extra = make_extra(event->attachment))) {
		error = elisa_object_refuse(object, event, -ENOMEM);
	} else {
		error = elisa_object_accept(object, event, options.value, extra, options.extra_bytes);
		if (error)
			free_extra(event->attachment);
	}
	if (error)
		say();
}

static void print(const struct elisa_object_event *event)
{
	static const char *const words[] = { "?", "attach", "detach", "abort", "revoke" };

	printf("%s attachment=%u vm=%u", words[event->kind <= ELISA_REVOKED ? event->kind : 0], event->attachment,
	       event->vm);
	if (event->pid != UINT32_MAX)
		printf(" pid=%u uid=%u", event->pid, event->uid);
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

/*
 * Goes on in a child, as the object's memory has to be that of the process that lives on. The parent waits for a byte,
 * which says that the object is published, or for the child's end, and ends with its exit code.
 */
static int enter_background(void)
{
	int ends[2], status;
	pid_t child;
	char byte;

	if (pipe2(ends, O_CLOEXEC) || (child = fork()) < 0) {
		perror("elisa-manager: --background");
		exit(1);
	}
	if (child) {
		close(ends[1]);
		if (read(ends[0], &byte, 1) == 1)
			exit(0);
		exit(waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : 1);
	}
	setsid();
	close(ends[0]);
	return ends[1];
}

/* No terminal any more, and nobody who reads events. */
static void say_published(int end)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = 0; fd <= 2 && null >= 0; fd++)
		dup2(null, fd);
	if (write(end, "", 1) != 1)
		exit(1);
	close(end);
}

int main(int count, char **arguments)
{
	static const struct argp argp = { option_list, parse, NULL, "Publishes an object until SIGTERM.",
					  NULL,        NULL,  NULL };
	struct sigaction action = { .sa_handler = on_signal };
	struct elisa_object_event event;
	struct elisa_object *object;
	int error, background = -1;

	argp_err_exit_status = 2; /* as that of elisactl */
	argp_parse(&argp, count, arguments, 0, NULL, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	if (options.background)
		background = enter_background();
	error = elisa_object_create(&object, options.flags);
	if (error)
		return say();
	error = offer(object);
	if (error) {
		elisa_object_destroy(object);
		return say();
	}
	puts("ready");
	if (background >= 0)
		say_published(background);
	/* The limit is for a signal that comes between the look at `stop` and the wait. */
	while (!stop) {
		error = elisa_object_next_event(object, &event, 500);
		if (error == -EAGAIN || error == -EINTR)
			continue;
		if (error)
			break;
		print(&event);
		if (event.kind == ELISA_ATTACHED && (options.flags & ELISA_OBJECT_ASK))
			answer(object, &event);
		else if (event.kind == ELISA_DETACHED)
			free_extra(event.attachment);
	}
	if (!error || error == -EAGAIN || error == -EINTR)
		error = elisa_object_withdraw(object);
	elisa_object_destroy(object);
	return error ? say() : 0;
}
