// SPDX-License-Identifier: MIT
/*
 * Trusted code as part of an ordinary program, called with any numbers: what elisa/object.h gives it, against a model
 * of each, and the functions of nop, on buffers that are not a byte too large.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define ELISA_TEST
#include "../../objects/nop/nop.c"

#define OPERATIONS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *data;
	size_t size;
};

static void require(bool holds)
{
	if (!holds)
		abort();
}

static uint8_t next_byte(struct input *input)
{
	if (!input->size)
		return 0;
	input->size--;
	return *input->data++;
}

/* Any number, and often one that lies near an end: of 64 bits, of 63, of @size, of the buffers. */
static uint64_t next_number(struct input *input, uint64_t size)
{
	const uint64_t near[] = { 0, size, 1ull << 63, ELISA_BUFFERS_MAX, 1ull << 32, -size };
	uint8_t how = next_byte(input);
	uint64_t value = 0;

	if (how < 6 * 32)
		return near[how / 32] + (how % 32) - 16;
	for (unsigned int i = 0; i < how % 8u + 1; i++)
		value = value << 8 | next_byte(input);
	return value;
}

/* @result is what the header says of @bytes at @offset of @range. Calculated with numbers that cannot overflow. */
static void check_range(const struct elisa_range *range, uint64_t offset, uint64_t bytes, const void *result)
{
	bool within = (unsigned __int128)offset + bytes <= range->bytes;

	require((uintptr_t)result == (within ? range->address + offset : 0));
}

static void check_mask(uint64_t index, uint64_t size)
{
	require(elisa_index_mask(index, size) == (index < size ? ~0ull : 0));
}

/* No memory is behind these: only what is calculated is looked at. */
static void any_range(struct input *input)
{
	struct elisa_range range;
	uint64_t offset, bytes;

	range.bytes = next_number(input, 100) & ~(1ull << 63); /* as much as the host could have */
	range.address = next_number(input, range.bytes);
	offset = next_number(input, range.bytes);
	bytes = next_number(input, range.bytes - offset);
	if (range.address > ~range.bytes || !range.bytes)
		return;
	check_range(&range, offset, bytes, elisa_within(&range, offset, bytes));
	check_mask(offset, range.bytes);
}

static void check_lock(struct elisa_lock *lock, struct elisa_info *info, uint8_t how)
{
	uint64_t before = lock->word, own;
	int error;

	info->attachment = how >> 2 & 3;
	own = elisa_lock_owner(info);
	require(own && own != ELISA_LOCK_DEAD);
	switch (how & 3) {
	case 0:
		error = elisa_trylock(lock, info);
		if (before && before != ELISA_LOCK_DEAD) {
			require(error == -EBUSY && lock->word == before);
		} else {
			require(error == (before ? -EOWNERDEAD : 0) && lock->word == own);
		}
		break;
	case 1:
		error = elisa_unlock(lock, info);
		require(error == (before == own ? 0 : -EOWNERDEAD));
		require(lock->word == (before == own ? 0 : before));
		break;
	case 2: /* the host, at its request */
		if (before)
			lock->word = ELISA_LOCK_DEAD;
		break;
	default:
		require(elisa_index_mask(how, 16) == (how < 16 ? ~0ull : 0));
	}
}

static void call(struct input *input, const struct elisa_info *info, uint64_t size)
{
	uint64_t number = next_number(input, size), offset = next_number(input, size);
	uint64_t bytes = next_number(input, size - offset), value = next_number(input, size);
	const struct elisa_range *range = number < ELISA_BUFFERS_MAX ? &info->buffers[number] : NULL;
	bool within = range && (unsigned __int128)offset + bytes <= range->bytes && range->address;
	void *at = elisa_buffer(info, number, offset, bytes);

	require((uintptr_t)at == (within ? range->address + offset : 0));
	require(fill(info, number, offset, bytes, value) == (within ? 0 : -EINVAL));
	require(sum(info, number, offset, bytes) == (within ? (long)(bytes * (value & 0xff)) : -EINVAL));
	require((touch(info, offset, value) == -EINVAL) == (offset >= info->memory.bytes));
	about(info, number);
	five(info, number, offset, bytes, value, size);
	if (within && bytes) {
		elisa_zero(at, bytes);
		elisa_copy(at, at, bytes);
		require(!memchr(at, 1, bytes));
	}
}

/* As the host gives it: an address only with a size. */
static struct elisa_range allocate(uint64_t bytes)
{
	void *memory = bytes ? calloc(1, bytes) : NULL;

	require(!bytes || memory);
	return (struct elisa_range){ (uintptr_t)memory, bytes };
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	struct elisa_info info = {};
	struct elisa_lock lock = { 0 };
	uint64_t bytes[2];

	bytes[0] = next_byte(&input) * 16;
	bytes[1] = next_byte(&input);
	info.buffers[0] = allocate(bytes[0]);
	info.buffers[ELISA_BUFFERS_MAX - 1] = allocate(bytes[1]);
	info.memory = allocate(bytes[1]);
	for (unsigned int i = 0; i < OPERATIONS_MAX && input.size; i++) {
		any_range(&input);
		check_lock(&lock, &info, next_byte(&input));
		call(&input, &info, bytes[i & 1]);
	}
	free((void *)info.buffers[0].address);
	free((void *)info.buffers[ELISA_BUFFERS_MAX - 1].address);
	free((void *)info.memory.address);
	return 0;
}
