// SPDX-License-Identifier: MIT
/* call-one NAME FUNCTION ARGUMENT: one call; prints its result. */
#include "program.h"

int main(int count, char **arguments)
{
	struct elisa_attachment *attachment;
	struct elisa_function function;

	if (count != 4)
		die("call-one NAME FUNCTION ARGUMENT");
	attachment = attach(arguments[1], "gate");
	function = find(attachment, arguments[2]);
	printf("result %ld\n", elisa_call1(&function, number(arguments[3])));
	elisa_detach(attachment);
	return 0;
}
