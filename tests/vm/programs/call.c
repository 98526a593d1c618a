// SPDX-License-Identifier: MIT
/* call OBJECT FUNCTION TIMES [ARGUMENT...]: calls it so often, and prints each result in a line. */
#include "program.h"

int main(int count, char **arguments)
{
	struct elisa_attachment *attachment;
	struct elisa_function function;
	unsigned long a[5] = { 0 };

	if (count < 4 || count > 9)
		die("call OBJECT FUNCTION TIMES [ARGUMENT...]");
	attachment = attach(arguments[1], "gate");
	function = find(attachment, arguments[2]);
	for (int i = 4; i < count; i++)
		a[i - 4] = number(arguments[i]);
	for (unsigned long i = number(arguments[3]); i; i--)
		printf("%ld\n", elisa_call(&function, a[0], a[1], a[2], a[3], a[4]));
	elisa_detach(attachment);
	return 0;
}
