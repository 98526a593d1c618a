// SPDX-License-Identifier: MIT
/* Errors and their reasons, and the few calls of the kernel that all parts make. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "internal.h"

static _Thread_local char reason[256];

const char *elisa_reason(void)
{
	return reason;
}

int elisa_fail(int error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(reason, sizeof(reason), format, arguments);
	va_end(arguments);
	return error;
}

int elisa_ioctl(int fd, unsigned long request, void *argument)
{
	struct elisa_ioc_reason why = { .size = sizeof(why) };
	int error;

	if (!ioctl(fd, request, argument))
		return 0;
	error = -errno;
	if (ioctl(fd, ELISA_IOC_REASON, &why) || !why.text[0])
		return elisa_fail(error, "%s: %s", ELISA_DEVICE, strerror(-error));
	return elisa_fail(error, "%.*s", (int)sizeof(why.text), why.text);
}

int elisa_open(int flags)
{
	int fd = open(ELISA_DEVICE, O_RDWR | O_CLOEXEC | flags);

	if (fd >= 0)
		return fd;
	return elisa_fail(-errno, "%s: %s%s", ELISA_DEVICE, strerror(errno),
			  errno == ENOENT ? " (is elisa.ko, or in a VM elisa_guest.ko, loaded?)" : "");
}

int elisa_name(char to[ELISA_NAME_MAX], const char *name)
{
	size_t length = strlen(name);

	if (!length)
		return elisa_fail(-EINVAL, "a name is empty");
	if (length >= ELISA_NAME_MAX)
		return elisa_fail(-ENAMETOOLONG, "the name %.16s... has more than %d bytes", name, ELISA_NAME_MAX - 1);
	memset(to, 0, ELISA_NAME_MAX);
	memcpy(to, name, length);
	return 0;
}
