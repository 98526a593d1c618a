// SPDX-License-Identifier: MIT
/*
 * refusals NAME: hands the driver each bad input of a client, straight by ioctl, and prints what it says, a line for
 * each. Exits with 1 if one was accepted. NAME is an object `nop` that can be attached to.
 */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../../include/uapi/elisa/elisa.h"
#include "program.h"

static int accepted;

static void report(int fd, const char *what, long result)
{
	struct elisa_ioc_reason why = { .size = sizeof(why) };
	int error = errno;

	if (result != -1) {
		printf("ACCEPTED %s\n", what);
		accepted = 1;
		return;
	}
	if (ioctl(fd, ELISA_IOC_REASON, &why))
		why.text[0] = 0;
	printf("%s: %s: %.*s\n", what, strerrorname_np(error), (int)sizeof(why.text), why.text);
}

static int open_device(void)
{
	int fd = open("/dev/elisa", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		die("/dev/elisa: %s", strerror(errno));
	return fd;
}

static void try_attach(const char *what, struct elisa_ioc_attach attach)
{
	int fd = open_device();

	report(fd, what, ioctl(fd, ELISA_IOC_ATTACH, &attach));
	close(fd);
}

static void attaches(const char *name)
{
	struct elisa_ioc_attach good = { .size = sizeof(good) }, bad;

	snprintf(good.name, sizeof(good.name), "%s", name);
	bad = good;
	strcpy(bad.name, "nobody-has-this-name");
	try_attach("attach: no such object", bad);
	bad = good;
	bad.name[0] = 0;
	try_attach("attach: no name", bad);
	bad = good;
	memset(bad.name, 'x', sizeof(bad.name));
	try_attach("attach: a name without end", bad);
	bad = good;
	bad.scheme = 7;
	try_attach("attach: no such scheme", bad);
	bad = good;
	bad.size = 4;
	try_attach("attach: too small a structure", bad);
	bad = good;
	bad.size = 1 << 20;
	try_attach("attach: too large a structure", bad);
}

/* All zeros: only the size is wrong. */
static void sizes(void)
{
	static union {
		uint32_t size;
		char bytes[2 * ELISA_PAGE];
	} structure;
	static const uint32_t wrong[] = { 0, 4, sizeof(struct elisa_ioc_stats) - 1, ELISA_PAGE + 1, sizeof(structure) };
	int fd = open_device();

	for (unsigned int i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		structure.size = wrong[i];
		report(fd, "a structure's size", ioctl(fd, ELISA_IOC_STATS, &structure));
	}
	close(fd);
}

static void unattached(void)
{
	struct elisa_ioc_function function = { .size = sizeof(function), .name = "nop" };
	struct elisa_ioc_share share = { .size = sizeof(share), .bytes = ELISA_PAGE };
	struct elisa_ioc_unshare unshare = { .size = sizeof(unshare) };
	int fd = open_device();

	report(fd, "unattached: function", ioctl(fd, ELISA_IOC_FUNCTION, &function));
	report(fd, "unattached: share", ioctl(fd, ELISA_IOC_SHARE, &share));
	report(fd, "unattached: unshare", ioctl(fd, ELISA_IOC_UNSHARE, &unshare));
	report(fd, "unattached: publish", ioctl(fd, ELISA_IOC_PUBLISH, NULL));
	report(fd, "no such ioctl", ioctl(fd, _IO(ELISA_IOCTL, 99), NULL));
	report(fd, "attach: no structure", ioctl(fd, ELISA_IOC_ATTACH, NULL));
	close(fd);
}

static void try_share(int fd, const char *what, uint64_t address, uint64_t bytes, uint32_t flags, uint32_t reserved)
{
	struct elisa_ioc_share share = {
		.size = sizeof(share),
		.flags = flags,
		.address = address,
		.bytes = bytes,
		.reserved = reserved,
	};

	report(fd, what, ioctl(fd, ELISA_IOC_SHARE, &share));
}

static void shares(int fd)
{
	char *page = mmap(NULL, ELISA_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *constant = mmap(NULL, ELISA_PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct elisa_ioc_unshare unshare = { .size = sizeof(unshare), .buffer = 5 };
	uint64_t at = (uintptr_t)page;

	try_share(fd, "share: not aligned", at + 1, ELISA_PAGE, 0, 0);
	try_share(fd, "share: a part of a page", at, 100, 0, 0);
	try_share(fd, "share: nothing", at, 0, 0, 0);
	try_share(fd, "share: unknown flag", at, ELISA_PAGE, 0x80, 0);
	try_share(fd, "share: reserved field", at, ELISA_PAGE, 0, 1);
	try_share(fd, "share: the null page", 0, ELISA_PAGE, 0, 0);
	try_share(fd, "share: past the end of memory", at, -ELISA_PAGE, 0, 0);
	try_share(fd, "share: more than there may be", at, ELISA_BUFFER_MAX + ELISA_PAGE, 0, 0);
	try_share(fd, "share: the kernel", 0xffff888000000000, ELISA_PAGE, 0, 0);
	try_share(fd, "share: memory that may not be written", (uintptr_t)constant, ELISA_PAGE, 0, 0);
	report(fd, "unshare: no such buffer", ioctl(fd, ELISA_IOC_UNSHARE, &unshare));
	unshare.buffer = ~0u;
	report(fd, "unshare: far beyond", ioctl(fd, ELISA_IOC_UNSHARE, &unshare));
	munmap(page, ELISA_PAGE);
	munmap(constant, ELISA_PAGE);
}

static long try_mmap(int fd, uint64_t address, uint64_t bytes, int protection, int flags, uint64_t offset)
{
	void *at = mmap((void *)address, bytes, protection, flags, fd, (off_t)offset);

	if (at == MAP_FAILED)
		return -1;
	munmap(at, bytes);
	return 0;
}

/* As a linker does with code that it changes. */
static long make_writable(int fd)
{
	const size_t bytes = 3 * ELISA_PAGE;
	void *stub = mmap((void *)(ELISA_GATE - ELISA_PAGE), bytes, PROT_READ | PROT_EXEC,
			  MAP_SHARED | MAP_FIXED_NOREPLACE, fd, ELISA_MMAP_STUB);
	long result;
	int error;

	if (stub == MAP_FAILED)
		die("the stub: %s", strerror(errno));
	result = mprotect(stub, bytes, PROT_READ | PROT_WRITE);
	error = errno;
	munmap(stub, bytes);
	errno = error;
	return result;
}

static void mappings(int fd)
{
	const uint64_t stub = ELISA_GATE - ELISA_PAGE;

	report(fd, "mmap: the stub elsewhere", try_mmap(fd, 0, 3 * ELISA_PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, 0));
	report(fd, "mmap: a part of the stub",
	       try_mmap(fd, stub, ELISA_PAGE, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED_NOREPLACE, 0));
	report(fd, "mmap: too much",
	       try_mmap(fd, stub, 4 * ELISA_PAGE, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED_NOREPLACE, 0));
	report(fd, "mmap: the stub writable",
	       try_mmap(fd, stub, 3 * ELISA_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE, 0));
	report(fd, "mprotect: the stub writable", make_writable(fd));
	report(fd, "mmap: memory, not attached directly",
	       try_mmap(fd, 0, ELISA_PAGE, PROT_READ, MAP_SHARED, ELISA_MMAP_MEMORY));
	report(fd, "mmap: no such offset", try_mmap(fd, 0, ELISA_PAGE, PROT_READ, MAP_SHARED, 0x7000));
}

static void attached(const char *name)
{
	struct elisa_ioc_attach attach = { .size = sizeof(attach) };
	struct elisa_ioc_function function = { .size = sizeof(function), .name = "no-such-function" };
	struct elisa_ioc_create create = { .size = sizeof(create) };
	int fd = open_device();

	snprintf(attach.name, sizeof(attach.name), "%s", name);
	if (ioctl(fd, ELISA_IOC_ATTACH, &attach))
		die("attach %s: %s", name, strerror(errno));
	report(fd, "attach: twice", ioctl(fd, ELISA_IOC_ATTACH, &attach));
	report(fd, "create: an attachment", ioctl(fd, ELISA_IOC_CREATE, &create));
	report(fd, "function: no such", ioctl(fd, ELISA_IOC_FUNCTION, &function));
	memset(function.name, 'x', sizeof(function.name));
	report(fd, "function: a name without end", ioctl(fd, ELISA_IOC_FUNCTION, &function));
	shares(fd);
	mappings(fd);
	close(fd);
}

int main(int count, char **arguments)
{
	if (count != 2)
		die("refusals NAME");
	attaches(arguments[1]);
	sizes();
	unattached();
	attached(arguments[1]);
	return accepted;
}
