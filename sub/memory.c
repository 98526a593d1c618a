// SPDX-License-Identifier: MIT
/* What the compiler may call of itself. Not through elisa/object.h: a copy that is recognised as one would call itself.
 */
#include <stddef.h>

void *memcpy(void *to, const void *from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);

void *memcpy(void *to, const void *from, size_t bytes)
{
	void *result = to;

	asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
	return result;
}

/* Backwards by hand, as the direction flag would not be given back by a call that is aborted. */
void *memmove(void *to, const void *from, size_t bytes)
{
	volatile char *destination = to;
	const volatile char *source = from;

	if ((size_t)to - (size_t)from >= bytes)
		return memcpy(to, from, bytes);
	while (bytes--)
		destination[bytes] = source[bytes];
	return to;
}

void *memset(void *to, int value, size_t bytes)
{
	void *result = to;

	asm volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(value) : "memory");
	return result;
}

int memcmp(const void *a, const void *b, size_t bytes)
{
	const volatile unsigned char *left = a, *right = b;

	for (size_t i = 0; i < bytes; i++) {
		int difference = left[i] - right[i];

		if (difference)
			return difference;
	}
	return 0;
}
