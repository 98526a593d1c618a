// SPDX-License-Identifier: MIT
/*
 * vmm ATTACK OBJECT [COUNT [SEED]]: a VMM that means harm, with a guest of its own. Prints what it has tried and how
 * much of that was contained, and how often the vCPU was inside at that moment.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attacks.h"

static struct machine machine;

static void each(const struct change *changes, unsigned long count)
{
	unsigned int kinds = 0;

	while (changes[kinds].name)
		kinds++;
	for (unsigned long i = 0; i < count; i++)
		attempt(machine.cpu, changes + i % kinds);
}

static void registers(struct machine *of, unsigned long count)
{
	(void)of;
	each(register_changes, count);
}

static void state(struct machine *of, unsigned long count)
{
	unsigned long waited = 0;

	each(state_changes, count);
	for (unsigned long i = 0; i < 20; i++)
		waited += attempt_late_nmi(of->cpu);
	if (!waited)
		attempt_over("an NMI held back", "none has waited for a call");
}

static void faults(struct machine *of, unsigned long count)
{
	for (unsigned long i = 0; i < count; i++)
		attempt_fault(of->cpu, i % 9);
}

static const struct {
	const char *name;
	unsigned int cpus;
	void (*attack)(struct machine *machine, unsigned long count);
} attacks[] = {
	{ "registers", 1, registers },    { "faults", 1, faults },          { "state", 1, state },
	{ "slots", 2, attack_slots },     { "buffers", 2, attack_buffers }, { "mixed", 2, attack_mixed },
	{ "entries", 1, attack_entries }, { "spaces", 1, attack_spaces },   { "hole", 2, attack_hole },
	{ "crowd", 1, attack_crowd },     { "early", 2, attack_early },
};

/* Those that make their machines themselves. */
static const struct {
	const char *name;
	void (*attack)(const char *object, unsigned long count);
} others[] = {
	{ "lives", attack_lives },         { "roots", attack_roots },     { "copies", attack_copies },
	{ "scattered", attack_scattered }, { "orphans", attack_orphans }, { "refusals", attack_refusals },
	{ "signals", attack_signals },
};

int main(int count, char **arguments)
{
	const char *name, *object;
	unsigned long attempts;

	if (count < 3)
		die("vmm ATTACK OBJECT [COUNT [SEED]]");
	name = arguments[1];
	object = arguments[2];
	attempts = count > 3 ? strtoul(arguments[3], NULL, 0) : 1;
	seed = count > 4 ? strtoul(arguments[4], NULL, 0) : 1;
	if (!strcmp(name, "none"))
		return 0;
	if (!strcmp(name, "steady")) {
		machine_create(&machine, 1);
		attack_steady(&machine, object, attempts);
	}
	for (unsigned int i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (!strcmp(name, others[i].name))
			others[i].attack(object, attempts);
	if (!strncmp(name, "struck-", 7))
		attack_struck(object, attempts, name + 7);
	for (unsigned int i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++)
		if (!strcmp(name, attacks[i].name)) {
			attempt_begin(&machine, object, attacks[i].cpus);
			attacks[i].attack(&machine, attempts);
		}
	printf("tried %lu contained %lu inside %lu refused %lu revoked %lu of %lu seed %lu\n", tried, contained,
	       insides, refused, revoked, to_revoke, seed);
	return 0;
}
