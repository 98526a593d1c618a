// SPDX-License-Identifier: MIT
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

#define FILE_MAX (64 << 20) /* far more than the parts may have together, with symbols */

/* A copy, so that the file cannot change between check and use. */
static int read_whole(const char *path, void **data, size_t *size)
{
	struct stat status;
	ssize_t got = 0;
	int error = 0, fd;

	*size = 0;
	*data = NULL;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return elisa_fail(-errno, "%s: %s", path, strerror(errno));
	if (fstat(fd, &status))
		error = elisa_fail(-errno, "%s: %s", path, strerror(errno));
	else if (!S_ISREG(status.st_mode) || status.st_size > FILE_MAX)
		error = elisa_fail(-EFBIG, "%s: not a file of a reasonable size", path);
	else if (!(*data = malloc(status.st_size + 1)))
		error = elisa_fail(-ENOMEM, "%s: no memory", path);
	if (error)
		goto close;
	do {
		*size += got;
		got = read(fd, (char *)*data + *size, status.st_size - *size);
	} while (got > 0);
	if (got < 0) {
		error = elisa_fail(-errno, "%s: %s", path, strerror(errno));
		free(*data);
	}
close:
	close(fd);
	return error;
}

int elisa_image_read(const char *path, struct elisa_image *image)
{
	char reason[160];
	size_t size;
	void *data;
	int error;

	error = read_whole(path, &data, &size);
	if (error)
		return error;
	error = elisa_image_parse(data, size, image, reason, sizeof(reason));
	if (error) {
		memset(image, 0, sizeof(*image));
		free(data);
		return elisa_fail(error, "%s: %s", path, reason);
	}
	return 0;
}

void elisa_image_free(struct elisa_image *image)
{
	free((void *)image->file);
	memset(image, 0, sizeof(*image));
}
