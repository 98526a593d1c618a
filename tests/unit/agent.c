// SPDX-License-Identifier: MIT
/* The agent's parts, on the build machine: what travels, what runs, what is waited for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "file.h"
#include "job.h"
#include "transport.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The agent's own ends the program when memory does. */
struct message *message_new(uint32_t op, uint32_t length)
{
	struct message *message = calloc(1, sizeof(*message) + length + 4);

	assert_non_null(message);
	message->op = op;
	message->length = length;
	return message;
}

static void message_travels(void **state)
{
	struct message *sent = message_new(7, 5), *received;
	int ends[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	sent->a = 1;
	sent->b = 2;
	memcpy(sent->data, "hello", 5);
	assert_int_equal(stream_send(ends[0], sent, 100), 0);
	assert_int_equal(stream_receive(ends[1], &received, 100), 0);
	assert_int_equal(received->op, 7);
	assert_int_equal(received->a, 1);
	assert_int_equal(received->b, 2);
	assert_int_equal(received->length, 5);
	assert_string_equal(received->data, "hello");
	free(sent);
	free(received);
	close(ends[0]);
	close(ends[1]);
}

static void half_a_message_times_out(void **state)
{
	struct message *received;
	uint32_t half[] = { 7, 1, 2, 100 };
	int ends[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	assert_int_equal(stream_receive(ends[1], &received, 10), -ETIMEDOUT);
	assert_int_equal(write(ends[0], half, sizeof(half)), sizeof(half));
	assert_int_equal(stream_receive(ends[1], &received, 10), -ETIMEDOUT);
	close(ends[0]);
	assert_int_equal(stream_receive(ends[1], &received, 1000), -EPIPE);
	close(ends[1]);
}

static void oversized_message_is_refused(void **state)
{
	struct message *received;
	uint32_t head[] = { 7, 1, 2, MESSAGE_MAX + 1 };
	int ends[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	assert_int_equal(write(ends[0], head, sizeof(head)), sizeof(head));
	assert_int_equal(stream_receive(ends[1], &received, 10), -EMSGSIZE);
	close(ends[0]);
	close(ends[1]);
}

static void write_file(const char *path, const char *text)
{
	struct message *reply = file_write(path, text, strlen(text), 0600, 0);

	assert_int_equal(reply->op, 0);
	free(reply);
}

static void only_whole_lines_match(void **state)
{
	char path[] = "/tmp/testbed-unit-XXXXXX";
	struct message *reply;

	(void)state;
	close(mkstemp(path));
	write_file(path, "one\r\ntwo\nthr");
	reply = file_expect(path, "^t", 0, 0);
	assert_int_equal(reply->op, 0);
	assert_string_equal(reply->data, "two");
	assert_int_equal(reply->a, 9);
	free(reply);
	reply = file_expect(path, "^t", 9, 0);
	assert_int_equal(reply->op, ETIMEDOUT);
	free(reply);
	reply = file_expect(path, "^one$", 0, 0);
	assert_string_equal(reply->data, "one");
	free(reply);
	reply = file_expect(path, "(", 0, 0);
	assert_int_equal(reply->op, EINVAL);
	free(reply);
	unlink(path);
}

static void files_are_read_in_parts(void **state)
{
	char path[] = "/tmp/testbed-unit-XXXXXX";
	struct message *reply;
	char *text = calloc(1, 200001);

	(void)state;
	close(mkstemp(path));
	memset(text, 'x', 200000);
	memcpy(text + 100000, "middle", 6);
	write_file(path, text);
	reply = file_read(path, 100000, 6);
	assert_string_equal(reply->data, "middle");
	free(reply);
	reply = file_read(path, 0, UINT32_MAX);
	assert_int_equal(reply->length, 200000);
	assert_memory_equal(reply->data, text, 200000);
	free(reply);
	reply = file_read(path, 300000, 10);
	assert_int_equal(reply->length, 0);
	free(reply);
	unlink(path);
	reply = file_read(path, 0, 10);
	assert_int_equal(reply->op, ENOENT);
	free(reply);
	free(text);
}

static void job_ends(void **state)
{
	struct message *reply = job_spawn("echo out; echo err >&2; exit 5");
	uint32_t id = reply->a, out_length;

	(void)state;
	assert_int_equal(reply->op, 0);
	free(reply);
	reply = job_wait(id, 5000);
	assert_int_equal(reply->op, 0);
	assert_int_equal(reply->a, 5);
	memcpy(&out_length, reply->data, sizeof(out_length));
	assert_int_equal(out_length, 4);
	assert_string_equal(reply->data + 4, "out\nerr\n");
	free(reply);
	reply = job_wait(id, 0);
	assert_int_equal(reply->op, ESRCH);
	free(reply);
}

/* Whether the process with this stat file ends within 5 s. Whoever adopted it may not have reaped it. */
static int is_dead_soon(const char *stat_path)
{
	int dead = 0;

	for (int tries = 0; !dead && tries < 1000; tries++) {
		struct message *reply = file_read(stat_path, 0, 200);

		dead = reply->op == ENOENT || reply->op == ESRCH || strstr(reply->data, ") Z ");
		free(reply);
		usleep(5000);
	}
	return dead;
}

static void job_is_killed_with_its_children(void **state)
{
	struct message *reply = job_spawn("sleep 1000 & echo $!; wait");
	uint32_t id = reply->a;
	char path[64];

	(void)state;
	free(reply);
	snprintf(path, sizeof(path), "/run/testbed/%u.out", id);
	reply = file_expect(path, "^[0-9]+$", 0, 5000);
	assert_int_equal(reply->op, 0);
	snprintf(path, sizeof(path), "/proc/%s/stat", reply->data);
	free(reply);
	reply = job_wait(id, 10);
	assert_int_equal(reply->op, ETIMEDOUT);
	free(reply);
	free(job_kill(id, 9));
	reply = job_wait(id, 5000);
	assert_int_equal(reply->a, 256 + 9);
	free(reply);
	assert_true(is_dead_soon(path));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(message_travels),
		cmocka_unit_test(half_a_message_times_out),
		cmocka_unit_test(oversized_message_is_refused),
		cmocka_unit_test(only_whole_lines_match),
		cmocka_unit_test(files_are_read_in_parts),
		cmocka_unit_test(job_ends),
		cmocka_unit_test(job_is_killed_with_its_children),
	};

	if (job_init()) {
		printf("cannot write to /run/testbed: not root\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
