// SPDX-License-Identifier: MIT
/*
 * stock-get ADDRESS PORT BYTES SKIPPED COUNTED: what a get over TCP costs, of any server that speaks memcached's text
 * protocol: stores a value of BYTES, and gets it SKIPPED times and then COUNTED times, each time once the last answer
 * is there. Region "gets by TCP" has those that are counted.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "marker.h"
#include "program.h"

#define KEY "bench:00000:0000"
#define BYTES_MAX 4096

static int file;
static char set[BYTES_MAX + 64], wanted[BYTES_MAX + 64], got[BYTES_MAX + 64];

static void tell(const char *text, size_t bytes)
{
	if (send(file, text, bytes, 0) != (ssize_t)bytes)
		die("send: %s", strerror(errno));
}

/* The next answer has to be this one. */
static void hear(const char *answer, size_t bytes)
{
	for (size_t there = 0; there < bytes;) {
		ssize_t more = recv(file, got + there, bytes - there, 0);

		if (more <= 0)
			die("recv: %s", more ? strerror(errno) : "the server has closed");
		there += (size_t)more;
	}
	if (memcmp(got, answer, bytes) != 0)
		die("another answer: %.80s", got);
}

int main(int count, char **arguments)
{
	static const char get[] = "get " KEY "\r\n", stored[] = "STORED\r\n";
	struct sockaddr_in address = { .sin_family = AF_INET };
	unsigned long bytes, skipped, counted;
	size_t set_bytes, wanted_bytes;
	char value[BYTES_MAX + 1] = "";
	int one = 1;

	if (count != 6 || inet_pton(AF_INET, arguments[1], &address.sin_addr) != 1)
		die("stock-get ADDRESS PORT BYTES SKIPPED COUNTED");
	address.sin_port = htons((uint16_t)number(arguments[2]));
	bytes = number(arguments[3]);
	skipped = number(arguments[4]);
	counted = number(arguments[5]);
	if (bytes > BYTES_MAX)
		die("at most %d bytes", BYTES_MAX);
	memset(value, 'v', bytes);
	set_bytes = (size_t)snprintf(set, sizeof(set), "set " KEY " 0 0 %lu\r\n%s\r\n", bytes, value);
	wanted_bytes = (size_t)snprintf(wanted, sizeof(wanted), "VALUE " KEY " 0 %lu\r\n%s\r\nEND\r\n", bytes, value);
	file = socket(AF_INET, SOCK_STREAM, 0);
	if (file < 0 || connect(file, (struct sockaddr *)&address, sizeof(address)))
		die("%s: %s", arguments[1], strerror(errno));
	setsockopt(file, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	tell(set, set_bytes);
	hear(stored, sizeof(stored) - 1);
	marker_name(21, "gets by TCP");
	for (unsigned long i = 0; i < skipped + counted; i++) {
		if (i == skipped)
			marker_begin(21);
		tell(get, sizeof(get) - 1);
		hear(wanted, wanted_bytes);
	}
	marker_end(21);
	printf("%lu gets\n", counted);
	return 0;
}
