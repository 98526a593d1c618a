// SPDX-License-Identifier: MIT
/*
 * vmm ATTACK OBJECT [COUNT [SEED]]: a VMM that means harm, with a guest of its own. Prints what it has tried and how
 * much of that was contained, and how often the vCPU was inside at that moment.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attempt.h"

static struct machine machine;

static void each(const struct change *changes, unsigned long count)
{
	unsigned int kinds = 0;

	while (changes[kinds].name)
		kinds++;
	for (unsigned long i = 0; i < count; i++)
		attempt(machine.cpu, changes + i % kinds);
}

static void look(unsigned long count)
{
	for (unsigned long i = 0; i < count; i++)
		attempt(machine.cpu, register_changes);
}

int main(int count, char **arguments)
{
	unsigned long attempts;

	if (count < 3)
		die("vmm ATTACK OBJECT [COUNT [SEED]]");
	attempts = count > 3 ? strtoul(arguments[3], NULL, 0) : 1;
	seed = count > 4 ? strtoul(arguments[4], NULL, 0) : 1;
	attempt_begin(&machine, arguments[2], 1);
	if (!strcmp(arguments[1], "look"))
		look(attempts);
	else if (!strcmp(arguments[1], "registers"))
		each(register_changes, attempts);
	else if (!strcmp(arguments[1], "state"))
		each(state_changes, attempts);
	printf("tried %lu contained %lu inside %lu refused %lu seed %lu\n", tried, contained, insides, refused, seed);
	return 0;
}
