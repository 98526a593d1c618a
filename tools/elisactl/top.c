// SPDX-License-Identifier: MIT
/* The same, live: a full screen on a terminal that can, else one table after another. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "usage.h"

/* What terminals since the VT220 understand: another screen, no wrapped lines, no cursor; and back. */
#define ENTER "\033[?1049h\033[?7l\033[?25l"
#define LEAVE "\033[?25h\033[?7h\033[?1049l"
#define HOME "\033[H"
#define LINE_END "\033[K\n" /* the rest of the line is cleared */
#define SCREEN_END "\033[J"
#define HEAD_LINES 4 /* above the rows: totals, keys, an empty one, titles */

static double interval_s = 1;
static uint64_t times = UINT64_MAX;
static int order = 'c'; /* the key that chose it */
static bool full;       /* screen */
static struct termios terminal;
static volatile sig_atomic_t stop;

static error_t parse(int key, char *text, struct argp_state *state)
{
	switch (key) {
	case 'd':
		interval_s = elisactl_seconds(state, text);
		return 0;
	case 'n':
		times = elisactl_number(state, "-n", text, UINT32_MAX);
		return 0;
	case 's':
		if (strcmp(text, "calls") && strcmp(text, "inside") && strcmp(text, "aborts"))
			argp_error(state, "rows are sorted by calls, inside or aborts, not by %s", text);
		order = text[0];
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

static void leave(void)
{
	tcsetattr(STDIN_FILENO, TCSANOW, &terminal);
	fputs(LEAVE, stdout);
	fflush(stdout);
}

/* Keys come at once, and are not shown; line ends and signals stay as they are. */
static void enter(void)
{
	const char *kind = getenv("TERM");
	struct sigaction action = { .sa_handler = on_signal };
	struct termios keys;

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	if (!isatty(STDOUT_FILENO) || !kind || !*kind || !strcmp(kind, "dumb") || tcgetattr(STDIN_FILENO, &terminal))
		return;
	full = true;
	keys = terminal;
	keys.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	tcsetattr(STDIN_FILENO, TCSANOW, &keys);
	fputs(ENTER, stdout);
}

static double weight(const struct row *row)
{
	return order == 'a' ? (double)row->entry->aborts : order == 'i' ? row->inside : row->per_second;
}

static int compare(const void *a, const void *b)
{
	const struct row *left = a, *right = b;
	double difference = weight(right) - weight(left);

	if (difference != 0)
		return difference > 0 ? 1 : -1;
	if (left->entry->kind != right->entry->kind)
		return left->entry->kind < right->entry->kind ? -1 : 1;
	return left->entry->id < right->entry->id ? -1 : left->entry->id > right->entry->id;
}

static size_t screen_lines(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_row)
		return 24;
	return size.ws_row;
}

static void show(const struct usage *now, const struct usage *before)
{
	const char *end = full ? LINE_END : "\n";
	char pinned[WORD_MAX], own[WORD_MAX], clock[WORD_MAX];
	struct row *rows;
	size_t count = elisactl_usage_rows(now, before, &rows), lines = SIZE_MAX;
	time_t seconds = time(NULL);
	struct tm broken;

	qsort(rows, count, sizeof(*rows), compare);
	strftime(clock, sizeof(clock), "%T", localtime_r(&seconds, &broken));
	if (full)
		fputs(HOME, stdout);
	printf("elisactl top  %s  %u VMs, %u vCPUs, %u objects, %u attachments; %s pinned, %s own%s", clock,
	       now->totals.vms, now->totals.vcpus, now->totals.objects, now->totals.attachments,
	       elisactl_size(pinned, now->totals.pinned_pages * 4096),
	       elisactl_size(own, now->totals.allocated_pages * 4096), end);
	if (full) {
		printf("q ends; sorted by%s%s%s (c calls, i inside, a aborts)%s%s", order == 'c' ? " calls" : "",
		       order == 'i' ? " time inside" : "", order == 'a' ? " aborts" : "", end, end);
		lines = screen_lines();
		lines = lines > HEAD_LINES + 1 ? lines - HEAD_LINES - 1 : 1;
	}
	elisactl_usage_print(rows, count, lines, end);
	fputs(full ? SCREEN_END : "\n", stdout);
	fflush(stdout);
	free(rows);
}

/* Until it is time for the next look: true; false: a key asks to see the same in another order, or for the end. */
static bool wait_for_time(void)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	char key;

	if (!full) {
		elisactl_sleep(interval_s);
		return true;
	}
	if (poll(&input, 1, (int)(interval_s * 1000)) <= 0)
		return true;
	if (read(STDIN_FILENO, &key, 1) != 1 || key == 'q')
		stop = 1;
	else if (strchr("cia", key))
		order = key;
	return false;
}

/* NEWER is the first look. Both are released. */
static int go_on(int fd, struct usage *newer)
{
	struct usage older = { 0 }, next;
	bool second = false;
	uint64_t shown = 1;
	int result = DONE;

	show(newer, NULL);
	while (shown < times && !stop) {
		if (wait_for_time() && !stop) {
			result = elisactl_usage_get(fd, &next);
			if (result)
				break;
			elisactl_usage_free(&older);
			older = *newer;
			*newer = next;
			second = true;
			shown++;
		}
		if (!stop)
			show(newer, second ? &older : NULL);
	}
	elisactl_usage_free(&older);
	return result;
}

int elisactl_top(int count, char **words)
{
	static const struct argp_option options[] = {
		{ "delay", 'd', "SECONDS", 0, "how often (1)", 0 },
		{ "count", 'n', "N", 0, "end after so many times", 0 },
		{ "sort", 's', "WHAT", 0, "by calls, inside or aborts (calls)", 0 },
		{ 0 },
	};
	static const struct argp argp = {
		options,
		parse,
		NULL,
		"Shows, every second, what calls most: VMs, objects and attachments, on the whole screen. Keys: q ends, c, i "
		"and a sort. Without a terminal, or on one that is called dumb, one table after another. On the host.",
		NULL,
		NULL,
		NULL
	};
	struct usage usage;
	int fd, result;

	argp_parse(&argp, count, words, 0, NULL, NULL);
	fd = elisactl_open();
	if (fd < 0)
		return FAILED;
	result = elisactl_usage_get(fd, &usage);
	if (!result && !usage.lists) {
		fputs("elisactl: top: a guest knows only totals: `elisactl stat`\n", stderr);
		result = FAILED;
	} else if (!result) {
		enter();
		result = go_on(fd, &usage);
		if (full)
			leave();
		elisactl_usage_free(&usage);
	}
	close(fd);
	return result;
}
