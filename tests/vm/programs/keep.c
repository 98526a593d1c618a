// SPDX-License-Identifier: MIT
/*
 * keep NAME COUNT: attaches to NAME by VMCALL; another process shares a buffer for it, and ends; then shares COUNT
 * itself, says so, and keeps them for ever.
 */
#include <sys/wait.h>
#include <unistd.h>

#include "program.h"

#define PAGE 4096

static void share_elsewhere(struct elisa_attachment *attachment, void *memory)
{
	struct elisa_function nop = find(attachment, "nop");
	uint32_t buffer;
	int status;

	if (!fork()) {
		expect("share elsewhere", elisa_share(attachment, memory, PAGE, 0, &buffer), 0);
		_exit(buffer != 0);
	}
	expect("wait", wait(&status) < 0, 0);
	expect("the other process", status, 0);
	usleep(50000);
	expect("call", elisa_call0(&nop), 0);
	expect("unshare what is gone", elisa_unshare(attachment, 0), 0);
}

int main(int count, char **arguments)
{
	struct elisa_attachment *attachment;
	unsigned long buffers;
	uint32_t buffer;
	char *memory;

	if (count < 3)
		die("keep NAME COUNT");
	buffers = number(arguments[2]);
	memory = aligned_alloc(PAGE, buffers * PAGE);
	attachment = attach(arguments[1], "vmcall");
	share_elsewhere(attachment, memory);
	for (unsigned long i = 0; i < buffers; i++)
		expect("share", elisa_share(attachment, memory + i * PAGE, PAGE, 0, &buffer), 0);
	puts("shared");
	fflush(stdout);
	for (;;)
		pause();
}
