// SPDX-License-Identifier: MIT
/*
 * meeting NAME SCHEME COMMAND, of the object of that name:
 *   sit PAGES [TIMES]      shares memory with all, says where first, and prints the text in it each time it is woken
 *   say OWNER INDEX TEXT   writes the text there, and wakes its owner
 *   linger OWNER INDEX TURNS   writes the first byte all the time until it is gone
 *   count TIMES TURNS      prints how many calls were not ended for holding the lock too long
 *   places                 shares as many as it may
 *   wake OWNER TIMES
 */
#include <sys/mman.h>

#include "program.h"

#define PAGE 4096

static unsigned char *memory(size_t pages)
{
	void *memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		die("no memory");
	return memory;
}

static void sit(struct elisa_attachment *attachment, unsigned long pages, unsigned long times)
{
	unsigned char *shared = memory(pages);
	uint32_t first, buffer;
	int error;

	expect("share", elisa_share(attachment, shared, pages * PAGE, ELISA_BUFFER_EXCHANGE, &first), 0);
	for (unsigned long i = 1; i < times; i++)
		expect("share again", elisa_share(attachment, shared, pages * PAGE, ELISA_BUFFER_EXCHANGE, &buffer), 0);
	printf("sits %u %u\n", elisa_attachment_number(attachment), first - 0x100);
	fflush(stdout);
	for (;;) {
		error = elisa_wait(attachment, -1);
		if (error)
			die("wait: %s", elisa_reason());
		printf("woken: %.200s\n", shared);
		fflush(stdout);
	}
}

static void say(struct elisa_attachment *attachment, unsigned long owner, unsigned long index, const char *text)
{
	struct elisa_function put = find(attachment, "put"), get = find(attachment, "get");
	struct elisa_function wake = find(attachment, "wake");

	for (unsigned long i = 0; i <= strlen(text); i++) {
		expect("put", elisa_call4(&put, owner, index, i, (unsigned char)text[i]), 0);
		expect("get", elisa_call3(&get, owner, index, i), (unsigned char)text[i]);
	}
	expect("wake", elisa_call1(&wake, owner), 0);
}

/* Until it is gone: each call ends well, or finds nothing. */
static void linger(const struct elisa_function *function, unsigned long owner, unsigned long index, unsigned long turns)
{
	unsigned long calls = 0;
	long result;

	puts("lingers");
	fflush(stdout);
	while ((result = elisa_call3(function, owner, index, turns)) == (long)turns)
		calls++;
	expect("linger", result, -EINVAL);
	printf("lingered %lu\n", calls);
}

static void places(struct elisa_attachment *attachment)
{
	struct elisa_function serial = find(attachment, "serial"), get = find(attachment, "get");
	uint32_t owner = elisa_attachment_number(attachment), buffer[16], more;
	unsigned char *shared = memory(17);
	long first;

	for (unsigned int i = 0; i < 16; i++) {
		expect("share one of 16",
		       elisa_share(attachment, shared + i * PAGE, PAGE, ELISA_BUFFER_EXCHANGE, &buffer[i]), 0);
		shared[i * PAGE] = (unsigned char)(i + 1);
		expect("get", elisa_call3(&get, owner, buffer[i] - 0x100, 0), i + 1);
	}
	expect("one too many", elisa_share(attachment, shared, PAGE, ELISA_BUFFER_EXCHANGE, &more), -ENOSPC);
	expect("beyond its end", elisa_call3(&get, owner, buffer[0] - 0x100, PAGE), -EINVAL);
	expect("of somebody else", elisa_call3(&get, owner + 1, buffer[0] - 0x100, 0), -EINVAL);
	expect("of no index", elisa_call3(&get, owner, 256, 0), -EINVAL);
	expect("of a wild index", elisa_call3(&get, owner, -1ul, 0), -EINVAL);
	first = elisa_call2(&serial, owner, buffer[0] - 0x100);
	expect("unshare", elisa_unshare(attachment, buffer[0]), 0);
	expect("unshare again", elisa_unshare(attachment, buffer[0]), -ENOENT);
	expect("after that", elisa_call3(&get, owner, buffer[0] - 0x100, 0), -EINVAL);
	expect("share again", elisa_share(attachment, shared, PAGE, ELISA_BUFFER_EXCHANGE, &more), 0);
	if (elisa_call2(&serial, owner, more - 0x100) <= first)
		die("the serial of a second sharing is no other");
	expect("read-only",
	       elisa_share(attachment, shared, PAGE, ELISA_BUFFER_EXCHANGE | ELISA_BUFFER_READ_ONLY, &more),
	       -EOPNOTSUPP);
}

int main(int count, char **arguments)
{
	struct elisa_attachment *attachment;
	struct elisa_function function;
	const char *command;

	if (count < 4)
		die("meeting NAME SCHEME COMMAND ...");
	attachment = attach(arguments[1], arguments[2]);
	command = arguments[3];
	if (!strcmp(command, "sit") && (count == 5 || count == 6)) {
		sit(attachment, number(arguments[4]), count == 6 ? number(arguments[5]) : 1);
	} else if (!strcmp(command, "say") && count == 7) {
		say(attachment, number(arguments[4]), number(arguments[5]), arguments[6]);
	} else if (!strcmp(command, "linger") && count == 7) {
		function = find(attachment, "linger");
		linger(&function, number(arguments[4]), number(arguments[5]), number(arguments[6]));
	} else if (!strcmp(command, "count") && count == 6) {
		unsigned long done = 0;

		function = find(attachment, "count");
		for (unsigned long i = 0; i < number(arguments[4]); i++) {
			long result = elisa_call1(&function, number(arguments[5]));

			if (result < 0 && result != -ECANCELED) /* held for too long, as it was not let run */
				die("count: %s", strerror((int)-result));
			done += result >= 0;
		}
		printf("%lu\n", done);
	} else if (!strcmp(command, "repaired") && count == 4) {
		function = find(attachment, "repaired");
		printf("%ld\n", elisa_call0(&function));
	} else if (!strcmp(command, "wake") && count == 6) {
		function = find(attachment, "wake");
		for (unsigned long i = 0; i < number(arguments[5]); i++)
			expect("wake", elisa_call1(&function, number(arguments[4])), 0);
	} else if (!strcmp(command, "places")) {
		places(attachment);
	} else {
		die("no such command, or another number of arguments");
	}
	elisa_detach(attachment);
	return 0;
}
