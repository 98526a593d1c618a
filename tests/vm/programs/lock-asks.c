// SPDX-License-Identifier: MIT
/* lock-asks NAME WRITABLE: has the object `asker` ask for locks that lie outside of its memory, then for one within. */
#include "program.h"

int main(int count, char **arguments)
{
	static const uint64_t outside[] = { 1 << 20, 1ul << 30, 1ul << 40,         8, 4, -8ul,
					    -4096ul, 1ul << 63, 0x7ffffffffffffff8 };
	struct elisa_attachment *attachment;
	struct elisa_function ask;

	if (count != 3)
		die("lock-asks NAME WRITABLE");
	attachment = attach(arguments[1], "gate");
	ask = find(attachment, "ask");
	for (unsigned int i = 0; i < sizeof(outside) / sizeof(outside[0]); i++)
		expect("asked for what is no lock", elisa_call1(&ask, outside[i]), 0);
	for (uint64_t bit = 12; bit < 64; bit++)
		expect("asked for a lock outside", elisa_call1(&ask, 1ul << bit), 0);
	expect("asked for the lock", elisa_call1(&ask, 0), (long)number(arguments[2]));
	elisa_detach(attachment);
	puts("asked");
	return 0;
}
