// SPDX-License-Identifier: MIT
/* What calls cost, and whether memory and buffers are where they should be. */
#include <elisa/object.h>

ELISA_ENTRY(nop)
{
	return 0;
}

ELISA_ENTRY(echo, uint64_t value)
{
	return (long)value;
}

/* All five arguments, each in its place. */
ELISA_ENTRY(five, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4)
{
	return (long)(a0 + 10 * a1 + 100 * a2 + 1000 * a3 + 10000 * a4);
}

/* Adds to a byte of the object's memory: its former value, or -EINVAL. With 0 it only reads. */
ELISA_ENTRY(touch, uint64_t offset, uint64_t add)
{
	volatile uint8_t *byte = elisa_memory(info, offset, 1);
	uint8_t old;

	if (!byte)
		return -EINVAL;
	old = *byte;
	if (add)
		*byte = (uint8_t)(old + add);
	return old;
}

/* The sum of the bytes in a range of a buffer, or -EINVAL. */
ELISA_ENTRY(sum, uint64_t buffer, uint64_t offset, uint64_t bytes)
{
	const volatile uint8_t *at = elisa_buffer(info, buffer, offset, bytes);
	long total = 0;

	if (!at)
		return -EINVAL;
	for (uint64_t i = 0; i < bytes; i++)
		total += at[i];
	return total;
}

/* Fills a range of a buffer with a byte: 0, or -EINVAL. */
ELISA_ENTRY(fill, uint64_t buffer, uint64_t offset, uint64_t bytes, uint64_t value)
{
	volatile uint8_t *at = elisa_buffer(info, buffer, offset, bytes);

	if (!at)
		return -EINVAL;
	for (uint64_t i = 0; i < bytes; i++)
		at[i] = (uint8_t)value;
	return 0;
}

/* What the host says of the caller: 0 the manager's value, 1 bytes of memory, 2 of memory of its own, 3 writable. */
ELISA_ENTRY(about, uint64_t what)
{
	switch (what) {
	case 0:
		return (long)info->value;
	case 1:
		return (long)info->memory.bytes;
	case 2:
		return (long)info->extra.bytes;
	case 3:
		return info->writable;
	default:
		return -EINVAL;
	}
}
