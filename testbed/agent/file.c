// SPDX-License-Identifier: MIT
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define EXPECT_POLL_MS 5

struct message *file_read(const char *path, uint32_t offset, uint32_t most)
{
	struct message *reply = NULL;
	uint32_t room = 65536;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int err;

	if (fd < 0)
		return message_new(errno, 0);
	reply = message_new(0, room);
	reply->length = 0;
	while (reply->length < most) {
		uint32_t want =
			most - reply->length < room - reply->length ? most - reply->length : room - reply->length;
		ssize_t n = pread(fd, reply->data + reply->length, want, offset + reply->length);

		if (n < 0) {
			err = errno;
			free(reply);
			close(fd);
			return message_new(err, 0);
		}
		if (n == 0)
			break;
		reply->length += n;
		if (reply->length == room && room < most) {
			struct message *larger = message_new(0, room * 2);

			memcpy(larger->data, reply->data, reply->length);
			larger->length = reply->length;
			free(reply);
			reply = larger;
			room *= 2;
		}
	}
	reply->data[reply->length] = 0;
	close(fd);
	return reply;
}

struct message *file_write(const char *path, const char *data, uint32_t length, uint32_t mode, int append)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (append ? O_APPEND : O_TRUNC), mode);
	int err = 0;

	if (fd < 0)
		return message_new(errno, 0);
	while (length > 0) {
		ssize_t n = write(fd, data, length);

		if (n < 0) {
			err = errno;
			break;
		}
		data += n;
		length -= n;
	}
	/* The umask must not have a say, nor an older file's mode. */
	if (!err && fchmod(fd, mode))
		err = errno;
	if (close(fd) && !err)
		err = errno;
	return message_new(err, 0);
}

/* The first whole line of TEXT that matches, or NULL. Lines are cut at their newline. */
static char *matching_line(char *text, const regex_t *regex, char **rest)
{
	char *newline;

	for (; (newline = strchr(text, '\n')); text = newline + 1) {
		*newline = 0;
		if (newline > text && newline[-1] == '\r')
			newline[-1] = 0;
		*rest = newline + 1;
		if (!regexec(regex, text, 0, NULL, 0))
			return text;
	}
	return NULL;
}

struct message *file_expect(const char *path, const char *pattern, uint32_t offset, uint32_t limit_ms)
{
	struct message *text, *reply;
	regex_t regex;
	char *line, *rest;

	if (regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB))
		return message_new(EINVAL, 0);
	for (uint32_t waited = 0;; waited += EXPECT_POLL_MS) {
		text = file_read(path, offset, MESSAGE_MAX / 4);
		line = text->op ? NULL : matching_line(text->data, &regex, &rest);
		if (line || waited >= limit_ms)
			break;
		free(text);
		nanosleep(&(struct timespec){ .tv_nsec = EXPECT_POLL_MS * 1000000 }, NULL);
	}
	regfree(&regex);
	reply = message_new(line ? 0 : ETIMEDOUT, line ? strlen(line) : 0);
	if (line) {
		memcpy(reply->data, line, reply->length);
		reply->a = offset + (rest - text->data);
	}
	free(text);
	return reply;
}
