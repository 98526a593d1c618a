// SPDX-License-Identifier: MIT
#include "transport.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* Moves exactly LENGTH bytes before DEADLINE_MS (-1: no deadline). */
static int transfer(int fd, char *data, size_t length, bool out, int64_t deadline_ms)
{
	while (length > 0) {
		struct pollfd ready = { .fd = fd, .events = out ? POLLOUT : POLLIN };
		int64_t left = deadline_ms < 0 ? -1 : deadline_ms - now_ms();
		ssize_t n;

		if (deadline_ms >= 0 && left <= 0)
			return -ETIMEDOUT;
		n = poll(&ready, 1, (int)left);
		if (n == 0)
			return -ETIMEDOUT;
		if (n > 0)
			n = out ? write(fd, data, length) : read(fd, data, length);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EPIPE;
		data += n;
		length -= n;
	}
	return 0;
}

int stream_receive(int fd, struct message **received, int limit_ms)
{
	int64_t deadline = limit_ms < 0 ? -1 : now_ms() + limit_ms;
	struct message head, *message;
	int err;

	err = transfer(fd, (char *)&head, sizeof(head), false, deadline);
	if (err)
		return err;
	if (head.length > MESSAGE_MAX)
		return -EMSGSIZE;
	message = message_new(head.op, head.length);
	message->a = head.a;
	message->b = head.b;
	err = transfer(fd, message->data, head.length, false, deadline);
	if (err) {
		free(message);
		return err;
	}
	*received = message;
	return 0;
}

int stream_send(int fd, const struct message *message, int limit_ms)
{
	int64_t deadline = limit_ms < 0 ? -1 : now_ms() + limit_ms;

	return transfer(fd, (char *)message, sizeof(*message) + message->length, true, deadline);
}

int unix_connect(const char *path, int *fd)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int err;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (*fd < 0)
		return -errno;
	if (connect(*fd, (struct sockaddr *)&address, sizeof(address))) {
		err = -errno;
		close(*fd);
		return err;
	}
	return 0;
}
