// SPDX-License-Identifier: MIT
/*
 * hostile-calls NAME: calls each function of the object `hostile`, which is not vetted, in a process of its own: the
 * code may take that along. Then nop must work. Prints `tried N contained N`.
 */
#include <sys/wait.h>
#include <unistd.h>

#include "../../../include/uapi/elisa/layout.h"
#include "../../vm/programs/program.h"

#define SECRET 0x5ec2e75ec2e75ec2
#define G 0x40000000ul

static struct elisa_attachment *attachment;
static unsigned long tried, contained;

enum outcome { FAILED = 10, WORKED, LEAKED };

static int try(const char *name, uint64_t a0, uint64_t a1)
{
	struct elisa_function function = find(attachment, name);
	int status = 0;

	switch (fork()) {
	case -1:
		die("fork: %s", strerror(errno));
	case 0: {
		long result = elisa_call2(&function, a0, a1);

		_exit((uint64_t)result == SECRET ? LEAKED : result < 0 && result > -4096 ? FAILED : WORKED);
	}
	}
	wait(&status);
	tried++;
	status = WIFEXITED(status) ? WEXITSTATUS(status) : FAILED;
	contained += status != LEAKED;
	return status;
}

/* It must not have worked. */
static void refused(const char *name, uint64_t a0, uint64_t a1)
{
	int status = try(name, a0, a1);

	if (status != FAILED) {
		printf("BREACH %s %#lx %#lx: %d\n", name, a0, a1, status);
		contained -= status != LEAKED;
	}
}

int main(int count, char **arguments)
{
	struct elisa_function nop;

	if (count < 2)
		die("hostile-calls NAME");
	attachment = attach(arguments[1], "gate");
	nop = find(attachment, "nop");
	expect("nop", elisa_call0(&nop), 0);
	for (unsigned int i = 0; i < 512; i += 8) {
		refused("peek", ELISA_LIST_OFFSET + 8 * i, 0);
		refused("poke", ELISA_LIST_OFFSET + 8 * i, 0x1234501e);
	}
	refused("poke", ELISA_GATE_OFFSET, 0);
	refused("poke", ELISA_GATE_OFFSET + ELISA_ENTER, 0);
	refused("peek", ELISA_GATE_OFFSET, 0);
	refused("poke", ELISA_INFO_OFFSET, 0);
	refused("poke", ELISA_CODE_OFFSET, 0);
	refused("peek", ELISA_STACK_OFFSET - 8, 0);
	refused("peek", ELISA_STACK_OFFSET + ELISA_STACK_SIZE, 0);
	refused("peek", 2 * G, 0);
	refused("peek", 95 * G, 0);
	refused("peek", 127 * G, 0);
	for (unsigned int slot = 0; slot < 512; slot += slot < 64 || slot > 250 ? 1 : 8)
		try("leave", slot, 0);
	for (unsigned int offset = 0; offset < 4096; offset += 61)
		try("jump", offset, 0);
	for (unsigned int i = 0; i < 8; i++)
		try("stackless", ELISA_BASE + ELISA_LIST_OFFSET + 8 * i, 0);
	refused("stackless", 0, 0);
	refused("frame", 0x4141414141414141, 0);
	refused("forever", 0, 0);
	expect("nop afterwards", elisa_call0(&nop), 0);
	printf("tried %lu contained %lu\n", tried, contained);
	elisa_detach(attachment);
	return 0;
}
