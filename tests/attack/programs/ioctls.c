// SPDX-License-Identifier: MIT
/* ioctls NAME COUNT SEED: ioctls that are almost right, of an attached file, an unattached one and a manager's. */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../../include/uapi/elisa/elisa.h"
#include "../../vm/programs/program.h"

static uint64_t state;
static unsigned char *page;

static uint64_t next(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static uint64_t hostile(void)
{
	static const uint64_t list[] = { 0, 1, 4096, 0x7fffffff, 0xffffffff, 1ull << 47, ~0ull, ~0xfffull };
	uint64_t value = next();

	switch (value % 4) {
	case 0:
		return list[value >> 8 & 7];
	case 1:
		return (uintptr_t)page + (value >> 8 & 0x1fff);
	case 2:
		return value >> 8 & 15;
	default:
		return value;
	}
}

static const unsigned long commands[] = {
	ELISA_IOC_CREATE, ELISA_IOC_MEMORY,   ELISA_IOC_CODE,   ELISA_IOC_PUBLISH,  ELISA_IOC_GRANT,
	ELISA_IOC_ANSWER, ELISA_IOC_WITHDRAW, ELISA_IOC_ATTACH, ELISA_IOC_FUNCTION, ELISA_IOC_THREAD,
	ELISA_IOC_SHARE,  ELISA_IOC_UNSHARE,  ELISA_IOC_REASON, ELISA_IOC_STATS,    ELISA_IOC_LIST,
};

int main(int count, char **arguments)
{
	unsigned long calls, accepted = 0;
	int fds[3];

	if (count < 4)
		die("ioctls NAME COUNT SEED");
	calls = number(arguments[2]);
	state = number(arguments[3]) | 1;
	page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (unsigned int i = 0; i < 3; i++)
		fds[i] = open("/dev/elisa", O_RDWR);
	for (unsigned long i = 0; i < calls; i++) {
		unsigned long command = commands[next() % (sizeof(commands) / sizeof(commands[0]))];
		uint64_t words[64];
		unsigned int which = next() % 3;

		for (unsigned int word = 0; word < 64; word++)
			words[word] = hostile();
		words[0] = (words[0] >> 32 << 32) | (next() & 15 ? _IOC_SIZE(command) : (uint32_t)hostile());
		if (command == ELISA_IOC_ATTACH && next() & 1) {
			memset((char *)words + 4, 0, sizeof(struct elisa_ioc_attach) - 4);
			strcpy((char *)words + 8, arguments[1]);
		} else if (command == ELISA_IOC_SHARE && next() & 1) {
			struct elisa_ioc_share share = { .size = sizeof(share),
							 .address = (uintptr_t)page,
							 .bytes = 4096 };

			memcpy(words, &share, sizeof(share));
		}
		if (!(next() & 63))
			command ^= next() & 0xffff;
		accepted += ioctl(fds[which], command, next() & 31 ? (uintptr_t)words : hostile()) >= 0;
		if (!(next() & 63)) {
			close(fds[which]);
			fds[which] = open("/dev/elisa", O_RDWR);
		}
	}
	printf("tried %lu accepted %lu\n", calls, accepted);
	return 0;
}
