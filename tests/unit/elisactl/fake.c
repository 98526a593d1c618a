// SPDX-License-Identifier: MIT
/*
 * The tool without a device: what the kernel answers comes from a small world in here, and files are those below $FAKE.
 * $FAKE_GUEST: answers as a guest's driver does. Each change of the world is a line of $FAKE/said.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../../tools/elisactl/elisactl.h"

const char *elisactl_root = "/nowhere";

__attribute__((constructor)) static void find_root(void)
{
	if (getenv("FAKE"))
		elisactl_root = getenv("FAKE");
}

static const struct elisa_ioc_list vms[] = {
	{ .id = 1,
	  .vm = 1,
	  .pid = 100,
	  .uid = 64055,
	  .attachments = 2,
	  .vcpus = 2,
	  .calls = 1500,
	  .aborts = 3,
	  .aborts_by = { [ELISA_ABORT_TIME] = 1, [ELISA_ABORT_FAULT] = 2 },
	  .samples = 1000,
	  .samples_inside = 250,
	  .allocated_bytes = 2048,
	  .vcpu_bytes = 1 << 20 },
	{ .id = 2, .vm = 2, .pid = 200, .state = EADDRINUSE },
};

static const struct elisa_ioc_list objects[] = {
	{ .id = 3,
	  .name = "hits",
	  .pid = 50,
	  .flags = ELISA_CREATE_VETTED | ELISA_CREATE_EXCHANGE,
	  .functions = 4,
	  .attachments = 1,
	  .memory_bytes = 3 << 19,
	  .calls = 1000,
	  .aborts = 2,
	  .aborts_by = { [ELISA_ABORT_FAULT] = 2 },
	  .samples_inside = 200 },
	{ .id = 4, .name = "files", .vm = 2, .pid = 200, .functions = 1, .attachments = 1, .calls = 500 },
	{ .id = 5, .pid = 51, .state = ESHUTDOWN },
};

static const struct elisa_ioc_list attachments[] = {
	{ .id = 7,
	  .name = "hits",
	  .vm = 1,
	  .pid = 100,
	  .uid = 64055,
	  .object = 3,
	  .flags = ELISA_RIGHT_WRITE,
	  .vcpus = 2,
	  .calls = 1000,
	  .samples_inside = 200 },
	{ .id = 8,
	  .name = "files",
	  .vm = 1,
	  .pid = 100,
	  .object = 4,
	  .flags = ELISA_RIGHT_READ,
	  .state = EINPROGRESS,
	  .scheme = ELISA_SCHEME_VMCALL,
	  .calls = 500 },
};

static const struct elisa_ioc_list aborts[] = {
	{ .cursor = 1,
	  .event = ELISA_EVENT_ABORT,
	  .id = 7,
	  .name = "hits",
	  .object = 3,
	  .vm = 1,
	  .pid = 100,
	  .state = EFAULT,
	  .time_ns = 5000000000,
	  .address = 0x200035000010,
	  .exit_reason = 48,
	  .offset = 16,
	  .symbol = "add" },
};

static const struct elisa_ioc_list events[] = {
	{ .cursor = 10, .event = ELISA_EVENT_PUBLISH, .name = "hits", .object = 3, .pid = 50, .time_ns = 1000000000 },
	{ .cursor = 11, .event = ELISA_EVENT_ATTACH, .id = 7, .name = "hits", .object = 3, .vm = 1, .pid = 100 },
	{ .cursor = 12,
	  .event = ELISA_EVENT_ABORT,
	  .id = 7,
	  .name = "hits",
	  .object = 3,
	  .vm = 1,
	  .pid = 100,
	  .state = ETIME,
	  .exit_reason = 52,
	  .address = 0x200035000010 },
	{ .cursor = 13, .event = ELISA_EVENT_REVOKE, .id = 8, .name = "files", .object = 4, .vm = 1, .buffer = 9 },
	{ .cursor = 14, .event = ELISA_EVENT_DETACH, .id = 7, .name = "hits", .object = 3, .vm = 1, .pid = 100 },
};

static const struct elisa_ioc_list grants[] = {
	{ .cursor = 1, .grant = ELISA_GRANT_ALL, .object = 3, .name = "hits", .flags = ELISA_RIGHT_READ },
	{ .cursor = 2, .grant = ELISA_GRANT_UID, .id = 64055, .object = 3, .name = "hits", .flags = ELISA_RIGHT_WRITE },
	{ .cursor = 3, .grant = ELISA_GRANT_VM, .id = 1, .object = 4, .name = "files", .flags = ELISA_RIGHT_WRITE },
};

#define COUNT(list) (sizeof(list) / sizeof(list[0]))
static const struct {
	const struct elisa_ioc_list *entries;
	size_t count;
} lists[] = {
	[ELISA_LIST_VM] = { vms, COUNT(vms) },
	[ELISA_LIST_OBJECT] = { objects, COUNT(objects) },
	[ELISA_LIST_ATTACHMENT] = { attachments, COUNT(attachments) },
	[ELISA_LIST_ABORT] = { aborts, COUNT(aborts) },
	[ELISA_LIST_EVENT] = { events, COUNT(events) },
	[ELISA_LIST_GRANT] = { grants, COUNT(grants) },
};

static char opened[ELISA_NAME_MAX], why[ELISA_REASON_MAX];
static unsigned int looks; /* at VMs: at each they have called more */

static void say(const char *format, const char *name, unsigned int a, unsigned int b, unsigned int c)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/said", elisactl_root);
	file = fopen(path, "a");
	if (!file)
		return;
	fprintf(file, format, name, a, b, c);
	fclose(file);
}

static int refuse(int error, const char *text)
{
	snprintf(why, sizeof(why), "%s", text);
	errno = error;
	return -1;
}

static int list(struct elisa_ioc_list *entry)
{
	uint64_t cursor = entry->cursor;

	if (getenv("FAKE_GUEST"))
		return refuse(EOPNOTSUPP, "a guest has no list: it is the host's");
	if (!entry->kind || entry->kind >= COUNT(lists))
		return refuse(EINVAL, "no such list");
	if (entry->kind == ELISA_LIST_VM && !cursor)
		looks++;
	for (size_t i = 0; i < lists[entry->kind].count; i++) {
		const struct elisa_ioc_list *found = &lists[entry->kind].entries[i];
		uint64_t place = found->cursor ? found->cursor : found->id;
		uint32_t kind = entry->kind;

		if (place <= cursor)
			continue;
		*entry = *found;
		entry->size = sizeof(*entry);
		entry->kind = kind;
		entry->cursor = place;
		if (kind == ELISA_LIST_VM && entry->id == 1)
			entry->calls += 10 * looks;
		return 0;
	}
	return refuse(ENOENT, "");
}

static int open_object(const struct elisa_ioc_open *open)
{
	for (size_t i = 0; i < COUNT(objects); i++)
		if (open->name[0] && !strcmp(objects[i].name, open->name)) {
			memcpy(opened, open->name, sizeof(opened));
			return 0;
		}
	return refuse(ENOENT, "there is no such object");
}

int elisactl_device_open(void)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/dev/elisa", elisactl_root);
	return open(path, O_RDWR | O_CLOEXEC);
}

int elisactl_device_ask(int fd, unsigned long command, void *argument)
{
	struct elisa_ioc_grant *grant = argument;
	struct elisa_ioc_stats *stats = argument;

	(void)fd;
	switch (command) {
	case ELISA_IOC_LIST:
		return list(argument);
	case ELISA_IOC_STATS:
		*stats = (struct elisa_ioc_stats){ .size = sizeof(*stats), .objects = 3, .attachments = 2, .vms = 2 };
		stats->vcpus = 2;
		stats->pinned_pages = 384;
		stats->allocated_pages = 99;
		return 0;
	case ELISA_IOC_REASON:
		memcpy(((struct elisa_ioc_reason *)argument)->text, why, sizeof(why));
		return 0;
	case ELISA_IOC_OPEN:
		return getenv("FAKE_GUEST") ? refuse(ENOTTY, "") : open_object(argument);
	case ELISA_IOC_GRANT:
		if (grant->kind == ELISA_GRANT_PID && grant->id == 4242)
			return refuse(ESRCH, "there is no process 4242");
		say("grant %s kind=%u id=%u rights=%u\n", opened, grant->kind, grant->id, grant->rights);
		return 0;
	case ELISA_IOC_WITHDRAW:
		say("withdraw %s\n", opened, 0, 0, 0);
		return 0;
	default:
		return refuse(ENOTTY, "");
	}
}

/* The hypervisor's signature is a file, as the MSRs are: "INDEX VALUE" a line. */
void elisactl_cpuid(uint32_t leaf, uint32_t registers[4])
{
	const char *signature = getenv("FAKE_HYPERVISOR");

	memset(registers, 0, 4 * sizeof(*registers));
	if (leaf == 1)
		registers[2] = signature ? 1u << 31 : 0;
	else if (signature)
		memcpy(&registers[1], signature, strnlen(signature, 12));
}

bool elisactl_msr(uint32_t index, uint64_t *value)
{
	unsigned long long each;
	unsigned int found;
	char path[4096];
	bool read = false;
	FILE *file;

	snprintf(path, sizeof(path), "%s/msr", elisactl_root);
	file = fopen(path, "r");
	while (file && !read && fscanf(file, "%x %llx", &found, &each) == 2)
		read = found == index;
	if (file)
		fclose(file);
	*value = each;
	return read;
}
