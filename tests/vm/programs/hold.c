// SPDX-License-Identifier: MIT
/*
 * hold NAME [until-error]: attaches to NAME, says so, calls its first function now and then, for ever or until a call
 * returns an error, which it prints by name.
 */
#include <unistd.h>

#include "program.h"

int main(int count, char **arguments)
{
	struct elisa_attachment *attachment;
	struct elisa_function function;
	long result;

	if (count < 2)
		die("hold NAME [until-error]");
	attachment = attach(arguments[1], "gate");
	if (elisa_function_find(attachment, "nop", &function) && elisa_function_find(attachment, "read", &function))
		die("neither nop nor read: %s", elisa_reason());
	result = elisa_call0(&function);
	if (result < 0)
		die("first call: %s", strerrorname_np((int)-result));
	puts("attached");
	fflush(stdout);
	do {
		usleep(10000);
		result = elisa_call0(&function);
	} while (count < 3 || result >= 0);
	printf("error %s\n", strerrorname_np((int)-result));
	elisa_detach(attachment);
	return 0;
}
