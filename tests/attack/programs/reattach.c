// SPDX-License-Identifier: MIT
/*
 * reattach NAME: attaches to an object that comes and goes, calls `spin` and `check` until a call fails, and begins
 * anew, until it is killed. Prints how often it was let in, now and then, and ends with a line of what should not be.
 */
#include <unistd.h>

#include "../../vm/programs/program.h"

/* What a call of an object that is taken away may return. */
static int is_end(long error)
{
	return error == -ESHUTDOWN || error == -ECANCELED || error == -EINTR || error == -ENOTCONN || error == -ETIME;
}

int main(int count, char **arguments)
{
	unsigned long in = 0, calls = 0;

	if (count < 2)
		die("reattach NAME");
	for (;;) {
		struct elisa_attachment *attachment;
		struct elisa_function spin, check;
		long result = 0;

		if (elisa_attach(&attachment, arguments[1], ELISA_BY_GATE)) {
			usleep(500);
			continue;
		}
		if (!elisa_function_find(attachment, "spin", &spin) &&
		    !elisa_function_find(attachment, "check", &check)) {
			in++;
			while (result >= 0) {
				result = elisa_call0(&spin);
				if (result > 0)
					die("spin: %ld", result);
				if (!result) {
					result = elisa_call0(&check);
					if (result >= 0 && result != 1)
						die("check: %ld", result);
				}
				calls++;
			}
			if (!is_end(result))
				die("after %lu calls: %s", calls, strerrorname_np((int)-result));
		}
		elisa_detach(attachment);
		printf("in %lu calls %lu\n", in, calls);
		fflush(stdout);
	}
}
