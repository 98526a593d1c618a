// SPDX-License-Identifier: MIT
/*
 * attach-rounds NAME SCHEME ROUNDS [BUFFERS]: attaches to the object `nop`, calls, detaches. With BUFFERS, that many
 * pages are shared, summed, and given back: by elisa_unshare() in even rounds, by detaching in odd ones.
 */
#include "program.h"

#define PAGE 4096

static void share_all(struct elisa_attachment *attachment, unsigned long buffers, unsigned char *pages, int unshare)
{
	struct elisa_function sum = find(attachment, "sum");
	uint32_t buffer[64];

	for (unsigned long i = 0; i < buffers; i++) {
		expect("share", elisa_share(attachment, pages + i * PAGE, PAGE, 0, &buffer[i]), 0);
		expect("sum", elisa_call3(&sum, buffer[i], 0, 10), (long)(10 * (i + 1)));
	}
	for (unsigned long i = 0; unshare && i < buffers; i++)
		expect("unshare", elisa_unshare(attachment, buffer[i]), 0);
}

int main(int count, char **arguments)
{
	unsigned long buffers = count > 4 ? number(arguments[4]) : 0, rounds;
	unsigned char *pages = NULL;

	if (count < 4 || buffers > 64)
		die("attach-rounds NAME SCHEME ROUNDS [BUFFERS, up to 64]");
	rounds = number(arguments[3]);
	if (buffers && !(pages = aligned_alloc(PAGE, buffers * PAGE)))
		die("no memory");
	for (unsigned long i = 0; i < buffers; i++)
		memset(pages + i * PAGE, (int)i + 1, PAGE);
	for (unsigned long round = 0; round < rounds; round++) {
		struct elisa_attachment *attachment = attach(arguments[1], arguments[2]);
		struct elisa_function echo = find(attachment, "echo"), five = find(attachment, "five");

		expect("echo", elisa_call1(&echo, round), (long)round);
		expect("five", elisa_call(&five, 1, 2, 3, 4, 5), 54321);
		if (buffers)
			share_all(attachment, buffers, pages, round % 2 == 0);
		elisa_detach(attachment);
	}
	free(pages);
	printf("%lu rounds\n", rounds);
	return 0;
}
