// SPDX-License-Identifier: MIT
#include "console.h"
#include "transport.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define DETACH 0x1d /* Ctrl-] */

/* Passes on what there is to read. *END: the source ended, or the user wants out. */
static int pass(int from, int to, bool typed, bool *end)
{
	char data[512];
	ssize_t n = read(from, data, sizeof(data));

	if (n < 0)
		return -errno;
	*end = n == 0;
	if (typed && memchr(data, DETACH, n)) {
		n = (char *)memchr(data, DETACH, n) - data;
		*end = true;
	}
	for (ssize_t done = 0; done < n;) {
		ssize_t written = write(to, data + done, n - done);

		if (written < 0)
			return -errno;
		done += written;
	}
	return 0;
}

static int join(int peer)
{
	struct pollfd ready[] = { { .fd = 0, .events = POLLIN }, { .fd = peer, .events = POLLIN } };
	bool end = false;
	int err = 0;

	while (!end && !err) {
		if (poll(ready, 2, -1) < 0)
			return -errno;
		if (ready[1].revents)
			err = pass(peer, 1, false, &end);
		if (!end && !err && ready[0].revents)
			err = pass(0, peer, true, &end);
	}
	return err;
}

int console_join(const char *path)
{
	struct termios before, raw;
	bool terminal = !tcgetattr(0, &before);
	int peer, err;

	err = unix_connect(path, &peer);
	if (err)
		return err;
	printf("(Enter for a prompt, Ctrl-] to leave)\r\n");
	fflush(stdout);
	if (terminal) {
		raw = before;
		cfmakeraw(&raw);
		tcsetattr(0, TCSADRAIN, &raw);
	}
	err = join(peer);
	if (terminal)
		tcsetattr(0, TCSADRAIN, &before);
	close(peer);
	return err;
}
