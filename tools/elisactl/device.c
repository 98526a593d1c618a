// SPDX-License-Identifier: MIT
/* The machine that the tool runs on. */
#include <cpuid.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "elisactl.h"

const char *elisactl_root = "";

int elisactl_device_open(void)
{
	return open("/dev/elisa", O_RDWR | O_CLOEXEC);
}

int elisactl_device_ask(int fd, unsigned long command, void *argument)
{
	return ioctl(fd, command, argument);
}

void elisactl_cpuid(uint32_t leaf, uint32_t registers[4])
{
	__cpuid(leaf, registers[0], registers[1], registers[2], registers[3]);
}

bool elisactl_msr(uint32_t index, uint64_t *value)
{
	int fd = open("/dev/cpu/0/msr", O_RDONLY | O_CLOEXEC);
	bool read = fd >= 0 && pread(fd, value, sizeof(*value), index) == sizeof(*value);

	if (fd >= 0)
		close(fd);
	return read;
}
