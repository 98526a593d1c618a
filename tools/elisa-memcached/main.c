// SPDX-License-Identifier: MIT
/*
 * elisa-memcached: serves the memcached protocol on a socket of this VM from the shared cache. Each thread has its own
 * slot and its own epoll; a connection stays with the thread that has accepted it.
 */
#include <argp.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "session.h"

#define EVENTS 64
#define INPUT_MIN 4096
#define INPUT_MAX (KV_VALUE_MAX + GET_LINE_MAX + 16)
#define THREADS_MAX 32
#define READS_MAX 16 /* of one connection before the others' turn */
#define CONNECTIONS_MAX (1 << 20)
#define ACCEPT_AGAIN_MS 100 /* when it could not be done */

struct server_stats server_stats;

static struct options {
	const char *object, *space, *address, *path, *direct;
	unsigned int port, threads, connections;
	enum elisa_scheme scheme;
} options = {
	.object = "kv", .space = "own", .address = "127.0.0.1", .port = 11211, .threads = 1, .connections = 1024
};

static struct kv kv;
static unsigned int space;
static int listener;

struct connection {
	int fd;
	uint32_t events;
	struct session session;
	char *input;
	size_t bytes, room;
	size_t sent; /* of the output */
};

static void die(const char *what, long error)
{
	fprintf(stderr, "elisa-memcached: %s: %s\n", what, error ? strerror((int)-error) : elisa_reason());
	exit(1);
}

static void connection_close(struct connection *connection)
{
	close(connection->fd);
	free(connection->session.out.data);
	free(connection->input);
	free(connection);
	__atomic_fetch_sub(&server_stats.connections, 1, __ATOMIC_RELAXED);
}

static void connection_open(int epoll, int fd, const struct kv_client *client)
{
	struct connection *connection = NULL;
	struct epoll_event event;
	int one = 1;

	if (__atomic_add_fetch(&server_stats.connections, 1, __ATOMIC_RELAXED) > options.connections ||
	    !(connection = calloc(1, sizeof(*connection)))) {
		static const char full[] = "ERROR Too many open connections\r\n";

		(void)!send(fd, full, sizeof(full) - 1, MSG_NOSIGNAL);
		close(fd);
		__atomic_fetch_sub(&server_stats.connections, 1, __ATOMIC_RELAXED);
		return;
	}
	__atomic_fetch_add(&server_stats.total_connections, 1, __ATOMIC_RELAXED);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	connection->fd = fd;
	connection->events = EPOLLIN;
	connection->session.kv = client;
	connection->session.space = space;
	event = (struct epoll_event){ .events = EPOLLIN, .data.ptr = connection };
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		connection_close(connection);
}

/* False: no more can be accepted for now, though there may be some. */
static bool accept_all(int epoll, const struct kv_client *client)
{
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0)
			connection_open(epoll, fd, client);
		else if (errno == EAGAIN)
			return true;
		else if (errno != ECONNABORTED && errno != EINTR)
			return false; /* no files, no memory */
	}
}

/* Whether this thread hears of clients that connect. */
static bool listen_here(int epoll, bool here)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLEXCLUSIVE };

	return !epoll_ctl(epoll, here ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, listener, &event);
}

/* Room for more input: false if there is no memory. What is there already is as much as a command may have. */
static bool input_grow(struct connection *connection)
{
	size_t wanted = connection->bytes + INPUT_MIN;
	char *grown;

	if (connection->session.need + 16 > wanted)
		wanted = connection->session.need + 16;
	if (wanted <= connection->room)
		return true;
	if (wanted > INPUT_MAX)
		wanted = INPUT_MAX;
	wanted = wanted < 2 * connection->room && 2 * connection->room < INPUT_MAX ? 2 * connection->room : wanted;
	grown = realloc(connection->input, wanted);
	if (!grown)
		return false;
	connection->input = grown;
	connection->room = wanted;
	return true;
}

/* Sends what there is: false if the connection has failed. */
static bool output_send(struct connection *connection)
{
	struct buffer *out = &connection->session.out;

	while (connection->sent < out->bytes) {
		ssize_t sent =
			send(connection->fd, out->data + connection->sent, out->bytes - connection->sent, MSG_NOSIGNAL);

		if (sent < 0)
			return errno == EAGAIN || errno == EINTR;
		connection->sent += (size_t)sent;
	}
	connection->sent = out->bytes = 0;
	if (out->room > OUTPUT_PAUSE) { /* after a large value */
		free(out->data);
		*out = (struct buffer){ 0 };
	}
	return !out->failed;
}

static void input_run(struct connection *connection)
{
	size_t done = session_run(&connection->session, connection->input, connection->bytes);

	connection->bytes -= done;
	memmove(connection->input, connection->input + done, connection->bytes);
	if (!connection->bytes && connection->room > 16 * INPUT_MIN) {
		free(connection->input);
		connection->input = NULL;
		connection->room = 0;
	}
}

/* More input: 1; 0: there is none now; -1: the connection ends. */
static int input_take(struct connection *connection)
{
	ssize_t got;

	if (!input_grow(connection) || connection->room == connection->bytes)
		return -1;
	got = recv(connection->fd, connection->input + connection->bytes, connection->room - connection->bytes, 0);
	if (got < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	connection->bytes += (size_t)got;
	return got ? 1 : -1;
}

/* All that is to be done now, but for what is the others' turn first: false if the connection ends. */
static bool serve(struct connection *connection)
{
	struct session *session = &connection->session;

	for (int reads = 0;; reads++) {
		int taken;

		if (!output_send(connection))
			return false;
		if (session->out.bytes)
			return true;
		if (session->quit)
			return false;
		if (reads == READS_MAX)
			return true;
		taken = session->paused ? 1 : input_take(connection);
		if (taken <= 0)
			return !taken;
		input_run(connection);
	}
}

/* A paused one has all that it needs but room for its answers. */
static uint32_t events_wanted(const struct connection *connection)
{
	return connection->session.out.bytes || connection->session.paused ? EPOLLOUT : EPOLLIN;
}

static void serve_event(int epoll, struct connection *connection, uint32_t events)
{
	uint32_t wanted;

	if (events & EPOLLERR || !serve(connection)) {
		connection_close(connection);
		return;
	}
	wanted = events_wanted(connection);
	if (wanted != connection->events) {
		struct epoll_event event = { .events = wanted, .data.ptr = connection };

		connection->events = wanted;
		epoll_ctl(epoll, EPOLL_CTL_MOD, connection->fd, &event);
	}
}

static void *work(void *argument)
{
	struct epoll_event events[EVENTS];
	int epoll = *(int *)argument;
	struct kv_client client;
	int error = kv_client_init(&client, &kv, KV_VALUE_MAX);
	bool here = true;

	if (error)
		die("sharing memory with the cache", 0);
	for (;;) {
		int count = epoll_wait(epoll, events, EVENTS, here ? -1 : ACCEPT_AGAIN_MS);

		if (!here)
			here = listen_here(epoll, true);
		for (int i = 0; i < count; i++) {
			if (events[i].data.ptr)
				serve_event(epoll, events[i].data.ptr, events[i].events);
			else if (!accept_all(epoll, &client))
				here = !listen_here(epoll, false);
		}
	}
	return NULL;
}

static void listen_at(void)
{
	struct sockaddr_un local = { .sun_family = AF_UNIX };
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)options.port) };
	int one = 1, error;

	listener = socket(options.path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (listener < 0)
		die("socket", -errno);
	if (options.path) {
		strcpy(local.sun_path, options.path);
		unlink(options.path);
		error = bind(listener, (struct sockaddr *)&local, sizeof(local));
	} else {
		setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		inet_pton(AF_INET, options.address, &address.sin_addr);
		error = bind(listener, (struct sockaddr *)&address, sizeof(address));
	}
	if (error || listen(listener, 1024))
		die(options.path ? options.path : options.address, -errno);
}

/* 1 to MOST, in decimal; 0: it is not. */
static unsigned int parse_number(const char *text, unsigned long most)
{
	unsigned long number;
	char *end;

	errno = 0;
	number = strtoul(text, &end, 10);
	return *text < '0' || *text > '9' || *end || errno || number > most ? 0 : (unsigned int)number;
}

static error_t parse(int key, char *text, struct argp_state *argp)
{
	struct in_addr unused;

	switch (key) {
	case 'o':
		options.object = text;
		return 0;
	case 'S':
		options.space = text;
		return 0;
	case 'l':
		options.address = text;
		if (inet_pton(AF_INET, text, &unused) != 1)
			argp_error(argp, "not an IPv4 address: %s", text);
		return 0;
	case 's':
		options.path = text;
		if (strlen(text) >= sizeof(((struct sockaddr_un *)0)->sun_path))
			argp_error(argp, "too long for a socket: %s", text);
		return 0;
	case 'p':
		options.port = parse_number(text, 65535);
		if (!options.port)
			argp_error(argp, "not a port: %s", text);
		return 0;
	case 't':
		options.threads = parse_number(text, THREADS_MAX);
		if (!options.threads)
			argp_error(argp, "1 to %d threads", THREADS_MAX);
		return 0;
	case 'c':
		options.connections = parse_number(text, CONNECTIONS_MAX);
		if (!options.connections)
			argp_error(argp, "1 to %d connections", CONNECTIONS_MAX);
		return 0;
	case 'V':
		options.scheme = ELISA_BY_VMCALL;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option option_list[] = {
	{ "object", 'o', "NAME", 0, "the cache that this VM attaches to (kv)", 0 },
	{ "space", 'S', "NAME", 0, "the name space that is served: own, or a shared one (own)", 0 },
	{ "listen", 'l', "ADDRESS", 0, "IPv4 address (127.0.0.1)", 0 },
	{ "port", 'p', "PORT", 0, "TCP port (11211)", 0 },
	{ "unix-socket", 's', "PATH", 0, "a local socket instead of a TCP port", 0 },
	{ "threads", 't', "N", 0, "threads (1)", 0 },
	{ "conn-limit", 'c', "N", 0, "connections at once (1024)", 0 },
	{ "vmcall", 'V', 0, 0, "by VM exits, to compare with", 0 },
	{ 0 },
};

/* Clients, once they are accepted, may take all files: what threads need of those is made before the first runs. */
static void start_threads(void)
{
	static int epoll[THREADS_MAX];
	pthread_t thread;

	for (unsigned int i = 0; i < options.threads; i++) {
		epoll[i] = epoll_create1(EPOLL_CLOEXEC);
		if (epoll[i] < 0 || !listen_here(epoll[i], true))
			die("epoll", -errno);
	}
	puts("ready");
	fflush(stdout);
	for (unsigned int i = 1; i < options.threads; i++) {
		int error = pthread_create(&thread, NULL, work, &epoll[i]);

		if (error)
			die("thread", -error);
	}
	work(&epoll[0]);
}

int main(int count, char **arguments)
{
	static const struct argp argp = {
		option_list, parse, NULL, "Serves the memcached protocol from a cache that VMs share.", NULL, NULL, NULL
	};
	struct rlimit files = { 0, 0 };
	struct kv_client client;
	long number;

	argp_parse(&argp, count, arguments, 0, NULL, NULL);
	signal(SIGPIPE, SIG_IGN); /* also of standard output: who reads it may have gone */
	getrlimit(RLIMIT_NOFILE, &files);
	if (files.rlim_cur < options.connections + 64) {
		files.rlim_cur = files.rlim_max < options.connections + 64 ? files.rlim_max : options.connections + 64;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	if (kv_open(&kv, options.object, options.scheme, NULL) || kv_client_init(&client, &kv, 4096))
		die(options.object, 0);
	number = kv_client_space(&client, options.space);
	if (number < 0)
		die(options.space, number);
	space = (unsigned int)number;
	server_stats.start_s = (uint64_t)time(NULL);
	server_stats.threads = options.threads;
	listen_at();
	start_threads();
	return 0;
}
