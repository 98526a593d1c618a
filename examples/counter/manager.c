// SPDX-License-Identifier: MIT
#include <elisa.h>
#include <stdio.h>
#include <unistd.h>

int main(void)
{
	struct elisa_object *object;

	if (elisa_object_offer(&object, "object.elf", "hits", 0, ELISA_WRITE))
		return fprintf(stderr, "%s\n", elisa_reason()), 1;
	pause();
}
