// SPDX-License-Identifier: MIT
/* indices NAME: calls the object `nop` by indices of functions that there are not: the low eight bits are all that
 * counts. */
#include "program.h"

int main(int count, char **arguments)
{
	struct elisa_attachment *attachment;
	struct elisa_function echo, other;

	if (count != 2)
		die("indices NAME");
	attachment = attach(arguments[1], "gate");
	echo = find(attachment, "echo");
	expect("echo", elisa_call1(&echo, 4711), 4711);
	for (unsigned int bit = 8; bit < 32; bit++) {
		other = echo;
		other.index |= 1u << bit;
		expect("echo, a bit more", elisa_call1(&other, bit), bit);
		other.index = 0xff | 1u << bit;
		expect("a function that there is not", elisa_call1(&other, bit), -ENOSYS);
	}
	for (other.index = 100; other.index < 256; other.index++)
		expect("an unused index", elisa_call1(&other, 1), -ENOSYS);
	elisa_detach(attachment);
	puts("masked");
	return 0;
}
