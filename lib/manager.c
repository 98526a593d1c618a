// SPDX-License-Identifier: MIT
/* The manager's end: a thin layer over the ioctls, and the memory. */
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

_Static_assert(ELISA_OBJECT_VETTED == ELISA_CREATE_VETTED && ELISA_OBJECT_ASK == ELISA_CREATE_ASK &&
		       ELISA_OBJECT_OUTLIVE == ELISA_CREATE_OUTLIVE && ELISA_OBJECT_DIRECT == ELISA_CREATE_DIRECT,
	       "flags are handed on as they are");
_Static_assert((int)ELISA_ALL == ELISA_GRANT_ALL && (int)ELISA_VM == ELISA_GRANT_VM &&
		       (int)ELISA_PID == ELISA_GRANT_PID && (int)ELISA_UID == ELISA_GRANT_UID &&
		       (int)ELISA_READ == ELISA_RIGHT_READ && (int)ELISA_WRITE == ELISA_RIGHT_WRITE,
	       "so are grants");
_Static_assert((int)ELISA_ATTACHED == ELISA_EVENT_ATTACH && (int)ELISA_DETACHED == ELISA_EVENT_DETACH &&
		       (int)ELISA_ABORTED == ELISA_EVENT_ABORT && (int)ELISA_REVOKED == ELISA_EVENT_REVOKE,
	       "and events");

struct elisa_object {
	int fd;
	struct elisa_image image;
	void *memory;
	size_t memory_bytes;
};

static size_t round_up(size_t bytes, size_t unit)
{
	return (bytes + unit - 1) & ~(unit - 1);
}

int elisa_object_create(struct elisa_object **object, unsigned int flags)
{
	struct elisa_ioc_create create = { .size = sizeof(create), .flags = flags };
	struct elisa_object *new;
	int error;

	new = calloc(1, sizeof(*new));
	if (!new)
		return elisa_fail(-ENOMEM, "no memory");
	new->fd = elisa_open(O_NONBLOCK);
	if (new->fd < 0) {
		error = new->fd;
		goto free;
	}
	error = elisa_ioctl(new->fd, ELISA_IOC_CREATE, &create);
	if (error)
		goto close;
	*object = new;
	return 0;

close:
	close(new->fd);
free:
	free(new);
	return error;
}

static char *append(char *to, const void *from, size_t bytes)
{
	return (char *)memcpy(to, from, bytes) + bytes;
}

/* Makes the blob of ELISA_IOC_CODE, to be freed, and says in CODE what it consists of. NULL without memory. */
static void *make_blob(const struct elisa_image *image, struct elisa_ioc_code *code)
{
	static const enum elisa_part parts[] = { ELISA_PART_CODE, ELISA_PART_RODATA, ELISA_PART_DATA };
	struct elisa_function_entry *symbols;
	char *blob, *to;
	size_t bytes;

	if (elisa_image_symbols(image, &symbols, &code->symbols))
		return NULL;
	code->functions = image->functions;
	code->code_bytes = image->part[ELISA_PART_CODE].bytes;
	code->rodata_bytes = image->part[ELISA_PART_RODATA].bytes;
	code->data_bytes = image->part[ELISA_PART_DATA].bytes;
	bytes = elisa_code_blob_bytes(code);
	blob = bytes ? malloc(bytes) : NULL; /* the image has been checked: it adds up */
	if (blob) {
		to = append(blob, image->table, image->functions * sizeof(*symbols));
		to = append(to, symbols, code->symbols * sizeof(*symbols));
		for (unsigned int i = 0; i < 3; i++) {
			elisa_image_copy(image, parts[i], to);
			to += image->part[parts[i]].bytes;
		}
	}
	code->blob = (uintptr_t)blob;
	free(symbols);
	return blob;
}

int elisa_object_load(struct elisa_object *object, const char *path)
{
	struct elisa_ioc_code code = { .size = sizeof(code) };
	struct elisa_image image = { 0 };
	void *blob;
	int error;

	error = elisa_image_read(path, &image);
	if (error)
		return error;
	blob = make_blob(&image, &code);
	if (!blob) {
		error = elisa_fail(-ENOMEM, "%s: no memory", path);
		goto free;
	}
	error = elisa_ioctl(object->fd, ELISA_IOC_CODE, &code);
	free(blob);
	if (error)
		goto free;
	elisa_image_free(&object->image);
	object->image = image;
	return 0;

free:
	elisa_image_free(&image);
	return error;
}

/* Shared memory of `bytes`, of huge pages if so wanted. */
static int make_memory(size_t bytes, size_t huge, void **address)
{
	int flags = MFD_CLOEXEC, error = 0, fd;

	if (huge)
		flags |= MFD_HUGETLB | (__builtin_ctzl(huge) << MFD_HUGE_SHIFT);
	fd = memfd_create("elisa", flags);
	if (fd < 0)
		return elisa_fail(-errno, "no memory of pages of %zu bytes: %s", huge, strerror(errno));
	if (ftruncate(fd, (off_t)bytes)) {
		error = elisa_fail(-errno, "no memory of %zu bytes: %s", bytes, strerror(errno));
		goto close;
	}
	*address = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (*address == MAP_FAILED)
		error = elisa_fail(-errno, "no memory of %zu bytes: %s%s", bytes, strerror(errno),
				   huge ? " (are huge pages reserved?)" : "");
close:
	close(fd);
	return error;
}

int elisa_object_memory(struct elisa_object *object, size_t bytes, size_t huge, void **address)
{
	const struct elisa_segment *shared = &object->image.part[ELISA_PART_SHARED];
	struct elisa_ioc_memory memory = { .size = sizeof(memory) };
	void *at;
	int error;

	if (object->memory)
		return elisa_fail(-EBUSY, "the object has memory already");
	if (huge && huge != ELISA_2M && huge != ELISA_1G)
		return elisa_fail(-EINVAL, "pages have 4 KiB, 2 MiB or 1 GiB");
	if (bytes < shared->bytes)
		bytes = shared->bytes;
	if (!bytes || bytes > ELISA_MEMORY_MAX)
		return elisa_fail(-EINVAL, "an object's memory has 1 byte to %lu GiB", ELISA_MEMORY_MAX / ELISA_1G);
	bytes = round_up(bytes, huge ? huge : ELISA_PAGE);
	error = make_memory(bytes, huge, &at);
	if (error)
		return error;
	elisa_image_copy(&object->image, ELISA_PART_SHARED, at);
	memory.address = (uintptr_t)at;
	memory.bytes = bytes;
	error = elisa_ioctl(object->fd, ELISA_IOC_MEMORY, &memory);
	if (error) {
		munmap(at, bytes);
		return error;
	}
	object->memory = at;
	object->memory_bytes = bytes;
	*address = at;
	return 0;
}

int elisa_object_shared(struct elisa_object *object, const char *variable, void **address)
{
	uint64_t offset;

	if (!object->memory || elisa_image_symbol(&object->image, variable, &offset) ||
	    (offset -= ELISA_BASE + ELISA_MEMORY_OFFSET) >= object->image.part[ELISA_PART_SHARED].bytes)
		return elisa_fail(-ENOENT, "no shared variable %s", variable);
	*address = (char *)object->memory + offset;
	return 0;
}

int elisa_object_publish(struct elisa_object *object, const char *name)
{
	struct elisa_ioc_publish publish = { .size = sizeof(publish) };
	int error = elisa_name(publish.name, name);

	return error ? error : elisa_ioctl(object->fd, ELISA_IOC_PUBLISH, &publish);
}

int elisa_object_grant(struct elisa_object *object, enum elisa_whom whom, uint32_t id, enum elisa_rights rights)
{
	struct elisa_ioc_grant grant = { .size = sizeof(grant), .kind = whom, .id = id, .rights = rights };

	return elisa_ioctl(object->fd, ELISA_IOC_GRANT, &grant);
}

int elisa_object_offer(struct elisa_object **object, const char *path, const char *name, size_t bytes,
		       enum elisa_rights rights)
{
	struct elisa_object *new;
	void *address;
	int error;

	error = elisa_object_create(&new, 0);
	if (error)
		return error;
	error = elisa_object_load(new, path);
	if (!error && (bytes || new->image.part[ELISA_PART_SHARED].bytes))
		error = elisa_object_memory(new, bytes, 0, &address);
	if (!error)
		error = elisa_object_grant(new, ELISA_ALL, 0, rights);
	if (!error)
		error = elisa_object_publish(new, name);
	if (error) {
		elisa_object_destroy(new);
		return error;
	}
	*object = new;
	return 0;
}

int elisa_object_next_event(struct elisa_object *object, struct elisa_object_event *event, int limit_ms)
{
	struct pollfd waiting = { .fd = object->fd, .events = POLLIN };
	struct elisa_event got;
	ssize_t bytes;
	int ready;

	ready = poll(&waiting, 1, limit_ms);
	if (ready <= 0)
		return elisa_fail(ready ? -errno : -EAGAIN, "no event: %s", strerror(ready ? errno : EAGAIN));
	bytes = read(object->fd, &got, sizeof(got));
	if (bytes != sizeof(got))
		return elisa_fail(bytes < 0 ? -errno : -EIO, "no event");
	*event = (struct elisa_object_event){
		.kind = got.kind,
		.attachment = got.attachment,
		.vm = got.vm,
		.pid = got.pid,
		.uid = got.uid,
		.error = got.error,
		.exit_reason = got.exit_reason,
		.address = got.address,
		.lost = got.lost,
		.buffer = got.buffer,
		.offset = got.offset,
	};
	memcpy(event->symbol, got.symbol, sizeof(event->symbol));
	return 0;
}

int elisa_object_accept(struct elisa_object *object, const struct elisa_object_event *event, uint64_t value,
			void *address, size_t bytes)
{
	struct elisa_ioc_answer answer = {
		.size = sizeof(answer),
		.attachment = event->attachment,
		.value = value,
		.address = (uintptr_t)address,
		.bytes = bytes,
	};

	return elisa_ioctl(object->fd, ELISA_IOC_ANSWER, &answer);
}

int elisa_object_refuse(struct elisa_object *object, const struct elisa_object_event *event, int error)
{
	struct elisa_ioc_answer answer = { .size = sizeof(answer), .attachment = event->attachment, .error = error };

	if (error >= 0)
		return elisa_fail(-EINVAL, "a refusal is a negative errno");
	return elisa_ioctl(object->fd, ELISA_IOC_ANSWER, &answer);
}

int elisa_object_withdraw(struct elisa_object *object)
{
	return elisa_ioctl(object->fd, ELISA_IOC_WITHDRAW, NULL);
}

int elisa_object_fd(const struct elisa_object *object)
{
	return object->fd;
}

void elisa_object_destroy(struct elisa_object *object)
{
	if (!object)
		return;
	close(object->fd);
	if (object->memory)
		munmap(object->memory, object->memory_bytes);
	elisa_image_free(&object->image);
	free(object);
}
