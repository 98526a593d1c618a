// SPDX-License-Identifier: MIT
/* Good with the kit's flags. Without one of them, the function `bad` is not. */
#include <elisa/object.h>

void __stack_chk_fail(void);
void __stack_chk_fail(void)
{
}

static ELISA_SHARED long (*volatile chosen)(long);
static ELISA_SHARED volatile struct {
	char bytes[32];
} left, right;

ELISA_ENTRY(bad, uint64_t n)
{
#if defined(POINTER)
	return chosen((long)n) + 1;
#elif defined(COPY)
	right = left;
	return (long)n;
#else
	volatile char room[64];

	room[n % sizeof(room)] = 1;
	return room[0];
#endif
}
