// SPDX-License-Identifier: MIT
/* Questions to the kernel. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "elisactl.h"

int elisactl_open(void)
{
	int fd = elisactl_device_open();

	if (fd < 0)
		fprintf(stderr, "elisactl: /dev/elisa: %s%s\n", strerror(errno),
			errno == ENOENT || errno == ENXIO || errno == ENODEV
				? " (is elisa.ko, or in a VM elisa_guest.ko, loaded? `elisactl doctor` looks)"
			: errno == EACCES ? " (are you root?)"
					  : "");
	return fd;
}

int elisactl_fail(int fd, const char *what)
{
	struct elisa_ioc_reason why = { .size = sizeof(why) };
	int error = errno;

	if (error == ENOTTY)
		snprintf(why.text, sizeof(why.text), "only the host can do this, or an older module is loaded");
	else if (elisactl_device_ask(fd, ELISA_IOC_REASON, &why) || !why.text[0])
		snprintf(why.text, sizeof(why.text), "%s", strerror(error));
	fprintf(stderr, "elisactl: %s: %.*s\n", what, (int)sizeof(why.text), why.text);
	return error == ENOENT || error == ESRCH ? NO_SUCH : FAILED;
}

int elisactl_list(int fd, uint32_t kind, uint64_t *cursor, struct listing *listing)
{
	struct elisa_ioc_list entry = { .size = sizeof(entry), .kind = kind, .cursor = cursor ? *cursor : 0 };

	*listing = (struct listing){ 0 };
	while (!elisactl_device_ask(fd, ELISA_IOC_LIST, &entry)) {
		if (listing->count == listing->room) {
			size_t room = listing->room ? 2 * listing->room : 16;
			struct elisa_ioc_list *larger = realloc(listing->entry, room * sizeof(*larger));

			if (!larger) {
				fputs("elisactl: out of memory\n", stderr);
				elisactl_listing_free(listing);
				return FAILED;
			}
			listing->entry = larger;
			listing->room = room;
		}
		listing->entry[listing->count++] = entry;
		if (cursor)
			*cursor = entry.cursor;
	}
	if (errno == ENOENT)
		return DONE;
	elisactl_fail(fd, "list");
	elisactl_listing_free(listing);
	return FAILED;
}

void elisactl_listing_free(struct listing *listing)
{
	free(listing->entry);
	*listing = (struct listing){ 0 };
}

const struct elisa_ioc_list *elisactl_object_of(const struct listing *objects, const char *name)
{
	for (size_t i = 0; i < objects->count; i++)
		if (name[0] && !strncmp(objects->entry[i].name, name, ELISA_NAME_MAX))
			return &objects->entry[i];
	return NULL;
}
