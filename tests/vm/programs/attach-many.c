// SPDX-License-Identifier: MIT
/*
 * attach-many PREFIX SCHEME COUNT: attaches to the objects PREFIX0, PREFIX1, ... (each a `nop`) at once, then calls
 * each. Says how many there are, and why the next one was refused.
 */
#include "program.h"

int main(int count, char **arguments)
{
	struct elisa_attachment **attachments;
	unsigned long wanted, got;
	int error = 0;

	if (count < 4)
		die("attach-many PREFIX gate|vmcall COUNT");
	wanted = number(arguments[3]);
	attachments = calloc(wanted, sizeof(*attachments));
	for (got = 0; got < wanted; got++) {
		char name[64];

		snprintf(name, sizeof(name), "%s%lu", arguments[1], got);
		error = elisa_attach(&attachments[got], name,
				     strcmp(arguments[2], "vmcall") ? ELISA_BY_GATE : ELISA_BY_VMCALL);
		if (error)
			break;
	}
	for (unsigned long i = 0; i < got; i++) {
		struct elisa_function echo = find(attachments[i], "echo");

		expect("echo", elisa_call1(&echo, i + 1), (long)(i + 1));
	}
	printf("attached %lu\n", got);
	if (error)
		printf("refused %lu: %s: %s\n", got, strerror(-error), elisa_reason());
	for (unsigned long i = 0; i < got; i++)
		elisa_detach(attachments[i]);
	free(attachments);
	return 0;
}
