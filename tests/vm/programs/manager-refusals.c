// SPDX-License-Identifier: MIT
/* manager-refusals: each bad input of a manager on the host, straight by ioctl, is refused for its own sake. */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../../include/uapi/elisa/elisa.h"
#include "program.h"

#define SIZES_BYTES (2 * ELISA_PAGE)
#define BLOB_BYTES (2 * ELISA_CODE_MAX)

static int open_device(void)
{
	int fd = open("/dev/elisa", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		die("/dev/elisa: %s", strerror(errno));
	return fd;
}

static int object(void)
{
	struct elisa_ioc_create create = { .size = sizeof(create) };
	int fd = open_device();

	if (ioctl(fd, ELISA_IOC_CREATE, &create))
		die("no object: %s", strerror(errno));
	return fd;
}

static void tried(const char *what, int fd, unsigned long command, void *argument, int wanted)
{
	int error = ioctl(fd, command, argument) ? errno : 0;

	if (error != wanted)
		die("%s: %s, expected %s", what, strerror(error), strerror(wanted));
}

/* Shorter than its own size's field, or longer than a page, though there is nothing but zeros. */
static void sizes(void)
{
	static const struct {
		uint32_t size;
		int error;
	} list[] = { { 0, EINVAL },          { 3, EINVAL }, { 4, 0 }, { ELISA_PAGE, 0 }, { ELISA_PAGE + 8, EINVAL },
		     { SIZES_BYTES, EINVAL } };
	static union {
		uint32_t size;
		uint64_t words[SIZES_BYTES / 8];
	} structure;
	int fd = open_device();

	for (unsigned int i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		memset(&structure, 0, sizeof(structure));
		structure.size = list[i].size;
		tried("a structure's size", fd, ELISA_IOC_STATS, &structure, list[i].error);
	}
	/* Of a caller built when there was more in it, or less. */
	memset(&structure, 0, sizeof(structure));
	structure.size = ELISA_PAGE;
	tried("a longer structure's number", fd, _IOWR(ELISA_IOCTL, 33, char[ELISA_PAGE]), &structure, 0);
	structure.size = 8;
	tried("a shorter structure's number", fd, _IOWR(ELISA_IOCTL, 33, char[8]), &structure, 0);
	tried("another number", fd, _IOWR(ELISA_IOCTL, 63, char[8]), &structure, ENOTTY);
	structure.size = ELISA_PAGE;
	structure.words[ELISA_PAGE / 8 - 1] = 1;
	tried("a structure with something that is not known", fd, ELISA_IOC_STATS, &structure, E2BIG);
	close(fd);
}

static void grants(void)
{
	static const uint32_t kinds[] = { 4, 5, 8, 1u << 16, 1u << 31, ~0u }, rights[] = { 2, 4, 7, 1u << 31, ~0u };
	struct elisa_ioc_grant grant = { .size = sizeof(grant), .rights = ELISA_RIGHT_READ };
	int fd = object();

	tried("a grant", fd, ELISA_IOC_GRANT, &grant, 0);
	for (unsigned int i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		grant.kind = kinds[i];
		tried("a kind of grant that there is not", fd, ELISA_IOC_GRANT, &grant, EINVAL);
	}
	grant.kind = ELISA_GRANT_ALL;
	for (unsigned int i = 0; i < sizeof(rights) / sizeof(rights[0]); i++) {
		grant.rights = rights[i];
		tried("rights that there are not", fd, ELISA_IOC_GRANT, &grant, EINVAL);
	}
	close(fd);
}

static void offer(const char *what, struct elisa_ioc_code code, int wanted)
{
	int fd = object();

	tried(what, fd, ELISA_IOC_CODE, &code, wanted);
	close(fd);
}

/* One thing wrong with each. The blob is as long as any of them says. */
static void codes(void)
{
	struct elisa_function_entry *blob =
		mmap(NULL, BLOB_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const struct elisa_ioc_code good = {
		.size = sizeof(good), .functions = 1, .code_bytes = ELISA_PAGE, .blob = (uintptr_t)blob
	};
	struct elisa_ioc_code bad;

	if (blob == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	strcpy(blob->name, "f");
	blob->address = ELISA_BASE + ELISA_CODE_OFFSET;
	offer("code", good, 0);
	bad = good;
	bad.code_bytes = ELISA_CODE_MAX + ELISA_PAGE;
	offer("too much code", bad, EINVAL);
	bad = good;
	bad.rodata_bytes = ELISA_RODATA_MAX + ELISA_PAGE;
	offer("too many constants", bad, EINVAL);
	bad = good;
	bad.data_bytes = ELISA_DATA_MAX + ELISA_PAGE;
	offer("too much data", bad, EINVAL);
	bad = good;
	bad.data_bytes = 1;
	offer("a part of a page", bad, EINVAL);
	bad = good;
	bad.code_bytes = 0;
	offer("no code", bad, EINVAL);
	bad = good;
	bad.functions = 0;
	offer("no function", bad, EINVAL);
	bad = good;
	bad.functions = ELISA_FUNCTIONS_MAX + 1;
	offer("too many functions", bad, EINVAL);
	bad = good;
	bad.symbols = ELISA_SYMBOLS_MAX + 1;
	offer("too many symbols", bad, EINVAL);
	bad = good;
	bad.reserved = 1;
	offer("a reserved field", bad, EINVAL);
}

int main(void)
{
	sizes();
	grants();
	codes();
	puts("refused");
	return 0;
}
