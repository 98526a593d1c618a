// SPDX-License-Identifier: MIT
/*
 * The testbed's hands in the emulated host and in each guest: runs commands,
 * moves files, waits for output. One request at a time, in order.
 *
 * agent port        in the emulated host: the emulator's I/O ports
 * agent stream PATH in a guest: a virtio-serial port
 * agent fd N        on a real machine: an inherited socket
 *
 * agent console PATH joins a terminal with a guest's console, for people.
 */
#include "console.h"
#include "file.h"
#include "job.h"
#include "transport.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include <unistd.h>

#define PEERS 64

/* Connections of OP_RELAY, kept open: QEMU's socket serves one client at a time. */
struct peer {
	char path[108]; /* "" : free */
	int fd;
};

static struct peer peers[PEERS];

struct message *message_new(uint32_t op, uint32_t length)
{
	/* A NUL behind the data, and room for the port's last word. */
	struct message *message = malloc(sizeof(*message) + length + 4);

	if (!message) {
		fprintf(stderr, "agent: no memory for a message of %u bytes\n", length);
		exit(1);
	}
	*message = (struct message){ .op = op, .length = length };
	memset(message->data + length, 0, 4);
	return message;
}

/* Where the string at the start of DATA ends and the bytes behind it begin; NULL if it has no end. */
static const char *behind_string(const struct message *request)
{
	const char *end = memchr(request->data, 0, request->length);

	return end ? end + 1 : NULL;
}

static void peer_close(struct peer *peer)
{
	close(peer->fd);
	peer->path[0] = 0;
}

static int peer_open(const char *path, struct peer **opened)
{
	struct peer *peer, *unused = NULL;
	int err;

	for (peer = peers; peer < peers + PEERS; peer++) {
		if (!strcmp(peer->path, path)) {
			*opened = peer;
			return 0;
		}
		if (!peer->path[0])
			unused = peer;
	}
	if (!unused)
		return -EMFILE;
	if (strlen(path) >= sizeof(unused->path))
		return -ENAMETOOLONG;
	err = unix_connect(path, &unused->fd);
	if (err)
		return err;
	strcpy(unused->path, path);
	*opened = unused;
	return 0;
}

static struct message *relay(const struct message *request)
{
	const char *inner = behind_string(request);
	struct message *answer, *reply, *copy;
	struct peer *peer = NULL;
	uint32_t length;
	int err;

	if (!inner || request->data + request->length - inner < (ptrdiff_t)sizeof(*copy))
		return message_new(EINVAL, 0);
	length = request->data + request->length - inner;
	err = peer_open(request->data, &peer);
	if (err)
		return message_new(-err, 0);
	copy = message_new(0, length); /* the request may not be aligned where it is */
	memcpy(copy, inner, length);
	copy->length = length - sizeof(*copy);
	err = stream_send(peer->fd, copy, request->b);
	free(copy);
	if (!err)
		err = stream_receive(peer->fd, &answer, request->b);
	if (err) {
		/* An answer that comes too late must not answer the next request. */
		peer_close(peer);
		return message_new(-err, 0);
	}
	length = sizeof(*answer) + answer->length;
	reply = message_new(0, length);
	memcpy(reply->data, answer, length);
	free(answer);
	return reply;
}

static struct message *forget(const struct message *request)
{
	for (struct peer *peer = peers; peer < peers + PEERS; peer++)
		if (peer->path[0] && !strcmp(peer->path, request->data))
			peer_close(peer);
	return message_new(0, 0);
}

static struct message *hello(void)
{
	struct utsname name;
	struct message *reply;

	uname(&name);
	reply = message_new(0, strlen(name.release));
	reply->a = getpid();
	memcpy(reply->data, name.release, reply->length);
	return reply;
}

static struct message *answer(const struct message *request)
{
	const char *second = behind_string(request);

	switch (request->op) {
	case OP_HELLO:
		return hello();
	case OP_SPAWN:
		return job_spawn(request->data);
	case OP_WAIT:
		return job_wait(request->a, request->b);
	case OP_KILL:
		return job_kill(request->a, request->b);
	case OP_READ:
		return file_read(request->data, request->a, request->b);
	case OP_WRITE:
		return second ? file_write(request->data, second, request->data + request->length - second, request->a,
					   request->b)
			      : message_new(EINVAL, 0);
	case OP_EXPECT:
		return second ? file_expect(request->data, second, request->a, request->b) : message_new(EINVAL, 0);
	case OP_RELAY:
		return relay(request);
	case OP_CLOSE:
		return forget(request);
	default:
		return message_new(EOPNOTSUPP, 0);
	}
}

static void serve_port(void)
{
	for (;;) {
		struct message *request = port_receive();
		struct message *reply = answer(request);

		port_send(reply);
		free(request);
		free(reply);
	}
}

static int serve_stream(int fd)
{
	for (;;) {
		struct message *request, *reply;
		int err = stream_receive(fd, &request, -1);

		if (err)
			return err;
		reply = answer(request);
		err = stream_send(fd, reply, -1);
		free(request);
		free(reply);
		if (err)
			return err;
	}
}

/* The virtio-serial driver makes the node before the port behind it works: waits, up to 5 s. */
static int open_stream(const char *path)
{
	int fd;

	for (int tries = 0; tries < 1000; tries++) {
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd >= 0 || (errno != ENXIO && errno != ENOENT && errno != ENODEV))
			break;
		usleep(5000);
	}
	return fd < 0 ? -errno : fd;
}

/*
 * A machine without a source of randomness makes the first process that asks
 * for some spin for a second. Nothing here is secret, so any bytes will do; the
 * kernel has mixed in what tells this machine from others.
 */
static void seed_random(void)
{
	struct {
		struct rand_pool_info info;
		uint32_t words[8];
	} seed = { .info = { .entropy_count = 256, .buf_size = sizeof(seed.words) } };
	int fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	ioctl(fd, RNDADDENTROPY, &seed);
	close(fd);
}

int main(int argc, char **argv)
{
	int fd, err;

	signal(SIGPIPE, SIG_IGN);
	err = job_init();
	if (err) {
		fprintf(stderr, "agent: /run/testbed: %s\n", strerror(-err));
		return 1;
	}
	if (argc == 2 && !strcmp(argv[1], "port")) {
		err = port_open();
		if (!err) {
			seed_random();
			serve_port();
		}
	} else if (argc == 3 && !strcmp(argv[1], "stream")) {
		seed_random();
		fd = open_stream(argv[2]);
		/* A virtio-serial port reads as ended while nobody is connected to QEMU's socket. */
		while (fd >= 0 && (err = serve_stream(fd)) == -EPIPE)
			usleep(10000);
		err = fd < 0 ? fd : err;
	} else if (argc == 3 && !strcmp(argv[1], "fd")) {
		err = serve_stream(atoi(argv[2]));
		if (err == -EPIPE) /* the harness is done */
			return 0;
	} else if (argc == 3 && !strcmp(argv[1], "console")) {
		err = console_join(argv[2]);
		if (!err)
			return 0;
	} else {
		fprintf(stderr, "usage: agent port | stream PATH | fd N | console PATH\n");
		return 2;
	}
	fprintf(stderr, "agent: %s: %s\n", argv[1], strerror(-err));
	return 1;
}
