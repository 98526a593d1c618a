// SPDX-License-Identifier: MIT
#include <elisa.h>
#include <stdio.h>

int main(void)
{
	struct elisa_attachment *attachment;
	struct elisa_function hit;

	if (elisa_attach(&attachment, "hits", ELISA_BY_GATE) || elisa_function_find(attachment, "hit", &hit))
		return fprintf(stderr, "%s\n", elisa_reason()), 1;
	printf("%ld hits\n", elisa_call1(&hit, 1));
	elisa_detach(attachment);
}
