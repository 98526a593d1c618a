// SPDX-License-Identifier: MIT
/*
 * call-bench NAME SCHEME [LOOPS]: what a call of the object `nop` costs. Regions: "first call" (of this thread, and
 * perhaps of this vCPU), "second call", "null calls" and "plain calls" (LOOPS of each, in loops of the same shape:
 * their difference by LOOPS is what a call costs more than one of an ordinary function), "single call", "system calls"
 * (LOOPS of getppid), "attach".
 */
#include <sys/syscall.h>
#include <unistd.h>

#include "marker.h"
#include "program.h"

__attribute__((noipa)) static long plain(const struct elisa_function *function)
{
	(void)function;
	return 0;
}

int main(int count, char **arguments)
{
	unsigned long loops = count > 3 ? number(arguments[3]) : 100;
	struct elisa_attachment *attachment;
	struct elisa_function nop;
	long wrong = 0, result;

	if (count < 3)
		die("call-bench NAME gate|vmcall|direct=FILE [LOOPS]");
	marker_name(7, "attach");
	marker_begin(7);
	attachment = attach(arguments[1], arguments[2]);
	marker_end(7);
	nop = find(attachment, "nop");
	marker_name(1, "first call");
	marker_name(2, "second call");
	marker_name(3, "null calls");
	marker_name(4, "single call");
	marker_name(5, "plain calls");
	marker_name(6, "system calls");

	marker_begin(1);
	result = elisa_call0(&nop);
	marker_end(1);
	expect("first call", result, 0);
	marker_begin(2);
	result = elisa_call0(&nop);
	marker_end(2);
	expect("second call", result, 0);
	expect("plain call", plain(&nop), 0); /* touches what the loop touches */

	marker_begin(3);
	for (unsigned long i = 0; i < loops; i++)
		wrong |= elisa_call0(&nop);
	marker_end(3);
	marker_begin(4);
	result = elisa_call0(&nop);
	marker_end(4);
	marker_begin(5);
	for (unsigned long i = 0; i < loops; i++)
		wrong |= plain(&nop);
	marker_end(5);
	expect("calls", wrong, 0);
	expect("single call", result, 0);
	syscall(SYS_getppid);
	marker_begin(6);
	for (unsigned long i = 0; i < loops; i++)
		syscall(SYS_getppid);
	marker_end(6);
	elisa_detach(attachment);
	printf("%lu calls\n", loops);
	return 0;
}
