// SPDX-License-Identifier: MIT
/* limited KIB PROGRAM ARGUMENTS...: as nobody, with RLIMIT_MEMLOCK of KIB. */
#include <sys/resource.h>
#include <unistd.h>

#include "program.h"

#define NOBODY 65534

int main(int count, char **arguments)
{
	struct rlimit limit;

	if (count < 3)
		die("limited KIB PROGRAM ARGUMENTS...");
	limit.rlim_cur = limit.rlim_max = number(arguments[1]) << 10;
	if (setrlimit(RLIMIT_MEMLOCK, &limit) || setgid(NOBODY) || setuid(NOBODY))
		die("%s", strerror(errno));
	execv(arguments[2], arguments + 2);
	die("%s: %s", arguments[2], strerror(errno));
}
