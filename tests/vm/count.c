// SPDX-License-Identifier: MIT
/* Known sequences between markers, each several times: an interrupt may come in one of them. */
#include "marker.h"

#define TIMES 10

int main(void)
{
	marker_name(1, "empty");
	marker_name(2, "thousand");
	marker_name(3, "cpuid");
	for (int i = 0; i < TIMES; i++) {
		marker_begin(1);
		marker_end(1);

		marker_begin(2);
		asm volatile(".rept 1000; nop; .endr");
		marker_end(2);

		marker_begin(3);
		asm volatile(".rept 20; xor %%eax, %%eax; cpuid; nop; .endr" : : : "eax", "ebx", "ecx", "edx");
		marker_end(3);
	}
	return 0;
}
