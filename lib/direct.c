// SPDX-License-Identifier: MIT
/*
 * Direct mapping: the same binary that runs inside runs in the client, at the same addresses. What the host would map
 * there is mapped by us, so nothing is isolated from anything.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "internal.h"

struct elisa_direct {
	struct elisa_image image;
	struct elisa_info *info; /* not constant here: buffers come and go */
	uint64_t memory_bytes;
};

static atomic_flag taken = ATOMIC_FLAG_INIT; /* the addresses are the same for all */

/* Maps at an address within the window, or says what is in the way. */
static int map(uint64_t offset, size_t bytes, int protection, int flags, int fd, off_t from)
{
	void *wanted = (void *)(ELISA_BASE + offset);
	void *at = mmap(wanted, bytes, protection, flags | MAP_FIXED_NOREPLACE, fd, from);

	if (at == MAP_FAILED)
		return elisa_fail(-errno, "cannot map %zu bytes at %p: %s", bytes, wanted, strerror(errno));
	if (at != wanted) {
		munmap(at, bytes);
		return elisa_fail(-EEXIST, "something of this process lies at %p", wanted);
	}
	return 0;
}

static int map_anonymous(uint64_t offset, size_t bytes)
{
	return map(offset, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static int map_part(const struct elisa_image *image, enum elisa_part part, int protection)
{
	uint64_t offset = elisa_image_offset(part), bytes = image->part[part].bytes;
	void *at = (void *)(ELISA_BASE + offset);
	int error;

	if (!bytes)
		return 0;
	error = map_anonymous(offset, bytes);
	if (error)
		return error;
	elisa_image_copy(image, part, at);
	if (mprotect(at, bytes, protection)) {
		error = elisa_fail(-errno, "mprotect: %s", strerror(errno));
		munmap(at, bytes);
	}
	return error;
}

static void unmap_part(const struct elisa_image *image, enum elisa_part part)
{
	if (image->part[part].bytes)
		munmap((void *)(ELISA_BASE + elisa_image_offset(part)), image->part[part].bytes);
}

static int map_info(struct elisa_direct *direct, const struct elisa_ioc_attach *attach)
{
	uint64_t data_bytes = direct->image.part[ELISA_PART_DATA].bytes;
	struct elisa_info *info = (void *)(ELISA_BASE + ELISA_INFO_OFFSET);
	int error;

	error = map_anonymous(ELISA_INFO_OFFSET, sizeof(*info));
	if (error)
		return error;
	info->value = attach->value;
	info->vm = attach->vm;
	info->attachment = attach->attachment;
	info->writable = attach->writable;
	if (attach->memory_bytes)
		info->memory = (struct elisa_range){ ELISA_BASE + ELISA_MEMORY_OFFSET, attach->memory_bytes };
	if (data_bytes)
		info->data = (struct elisa_range){ ELISA_BASE + ELISA_DATA_OFFSET, data_bytes };
	for (uint32_t i = 0; i < direct->image.functions; i++)
		info->functions[i] = elisa_image_entry(&direct->image, i).address;
	direct->info = info;
	return 0;
}

/*
 * The two words of a vCPU's stack where trusted code reads who holds a lock. They are the same for all threads: among
 * these it is only known that somebody holds it, which is enough as nobody takes it away.
 */
static int map_stack(const struct elisa_ioc_attach *attach)
{
	uint64_t word = ELISA_LOCK_OF(attach->attachment);
	char *stack = (char *)(ELISA_BASE + ELISA_STACK_OFFSET);
	int error;

	error = map_anonymous(ELISA_STACK_OFFSET, ELISA_STACK_SIZE);
	if (error)
		return error;
	*(uint32_t *)(stack + ELISA_LOCK_OWNER_OFFSET - ELISA_STACK_OFFSET) = (uint32_t)(word >> 32);
	*(uint32_t *)(stack + ELISA_STACK_SIZE - ELISA_FRAME_CALLS) = (uint32_t)word;
	return 0;
}

static void unmap_stack(void)
{
	munmap((void *)(ELISA_BASE + ELISA_STACK_OFFSET), ELISA_STACK_SIZE);
}

static int map_memory(struct elisa_direct *direct, int fd, const struct elisa_ioc_attach *attach)
{
	int error;

	if (!attach->memory_bytes)
		return 0;
	error = map(ELISA_MEMORY_OFFSET, attach->memory_bytes, attach->writable ? PROT_READ | PROT_WRITE : PROT_READ,
		    MAP_SHARED, fd, ELISA_MMAP_MEMORY);
	if (!error)
		direct->memory_bytes = attach->memory_bytes;
	return error;
}

int elisa_direct_map(struct elisa_direct **direct, int fd, const struct elisa_ioc_attach *attach, const char *path)
{
	struct elisa_direct *new;
	int error;

	if (atomic_flag_test_and_set(&taken))
		return elisa_fail(-EBUSY, "this process has an object mapped directly already");
	new = calloc(1, sizeof(*new));
	if (!new) {
		error = elisa_fail(-ENOMEM, "no memory");
		goto give_back;
	}
	error = elisa_image_read(path, &new->image);
	if (error)
		goto free;
	if (attach->memory_bytes < new->image.part[ELISA_PART_SHARED].bytes) {
		error = elisa_fail(-EINVAL, "%s is not this object's code: its shared data is larger than the object",
				   path);
		goto free_image;
	}
	error = map_memory(new, fd, attach);
	if (error)
		goto free_image;
	error = map_part(&new->image, ELISA_PART_CODE, PROT_READ | PROT_EXEC);
	if (error)
		goto unmap_memory;
	error = map_part(&new->image, ELISA_PART_RODATA, PROT_READ);
	if (error)
		goto unmap_code;
	error = map_part(&new->image, ELISA_PART_DATA, PROT_READ | PROT_WRITE);
	if (error)
		goto unmap_rodata;
	error = map_stack(attach);
	if (error)
		goto unmap_data;
	error = map_info(new, attach);
	if (error)
		goto unmap_stack;
	*direct = new;
	return 0;

unmap_stack:
	unmap_stack();
unmap_data:
	unmap_part(&new->image, ELISA_PART_DATA);
unmap_rodata:
	unmap_part(&new->image, ELISA_PART_RODATA);
unmap_code:
	unmap_part(&new->image, ELISA_PART_CODE);
unmap_memory:
	munmap((void *)(ELISA_BASE + ELISA_MEMORY_OFFSET), new->memory_bytes);
free_image:
	elisa_image_free(&new->image);
free:
	free(new);
give_back:
	atomic_flag_clear(&taken);
	return error;
}

void elisa_direct_unmap(struct elisa_direct *direct)
{
	if (!direct)
		return;
	munmap(direct->info, sizeof(*direct->info));
	unmap_stack();
	unmap_part(&direct->image, ELISA_PART_DATA);
	unmap_part(&direct->image, ELISA_PART_RODATA);
	unmap_part(&direct->image, ELISA_PART_CODE);
	munmap((void *)(ELISA_BASE + ELISA_MEMORY_OFFSET), direct->memory_bytes);
	elisa_image_free(&direct->image);
	free(direct);
	atomic_flag_clear(&taken);
}

int elisa_direct_find(const struct elisa_direct *direct, const char *name, uint32_t *index)
{
	int found = elisa_image_function(&direct->image, name);

	if (found < 0)
		return elisa_fail(-ENOENT, "no function %s", name);
	*index = (uint32_t)found;
	return 0;
}

int elisa_direct_share(struct elisa_direct *direct, void *address, size_t bytes, unsigned int flags, uint32_t *buffer)
{
	if (flags & ~(unsigned int)(ELISA_BUFFER_READ_ONLY | ELISA_BUFFER_EXCHANGE))
		return elisa_fail(-EINVAL, "unknown flags: %#x", flags);
	if (flags)
		return elisa_fail(-EOPNOTSUPP, "with direct mapping a buffer is neither read-only nor others'");
	if (!bytes || ((uintptr_t)address | bytes) % ELISA_PAGE)
		return elisa_fail(-EINVAL, "a buffer is whole pages");
	for (uint32_t i = 0; i < ELISA_BUFFERS_MAX; i++) {
		struct elisa_range *range = &direct->info->buffers[i];

		if (range->bytes)
			continue;
		*range = (struct elisa_range){ (uintptr_t)address, bytes };
		*buffer = i;
		return 0;
	}
	return elisa_fail(-ENOSPC, "%d buffers are shared already", ELISA_BUFFERS_MAX);
}

int elisa_direct_unshare(struct elisa_direct *direct, uint32_t buffer)
{
	if (buffer >= ELISA_BUFFERS_MAX || !direct->info->buffers[buffer].bytes)
		return elisa_fail(-ENOENT, "no buffer %u", buffer);
	direct->info->buffers[buffer] = (struct elisa_range){ 0 };
	return 0;
}
