// SPDX-License-Identifier: MIT
/* Who gets which address, and may do what. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manager.h"

const char *rule_parse(const char *text, struct rule *rule, const char **end)
{
	static const struct {
		const char *name;
		enum elisa_whom whom;
	} kinds[] = { { "vm:", ELISA_VM }, { "pid:", ELISA_PID }, { "uid:", ELISA_UID } };

	*rule = (struct rule){ .whom = ELISA_ALL };
	if (!strncmp(text, "all", 3)) {
		*end = text + 3;
		return NULL;
	}
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		size_t length = strlen(kinds[i].name);
		unsigned long id;
		char *after;

		if (strncmp(text, kinds[i].name, length))
			continue;
		id = strtoul(text + length, &after, 10);
		if (after == text + length || text[length] < '0' || text[length] > '9' || id >= UINT32_MAX)
			return "not a number of 32 bits";
		rule->whom = kinds[i].whom;
		rule->id = (uint32_t)id;
		*end = after;
		return NULL;
	}
	return "not one of all, vm:N, pid:N, uid:N";
}

const char *address_parse(const char *text, uint64_t *address)
{
	uint8_t mac[6];
	int length = 0;

	if (sscanf(text, "%2" SCNx8 ":%2" SCNx8 ":%2" SCNx8 ":%2" SCNx8 ":%2" SCNx8 ":%2" SCNx8 "%n", &mac[0], &mac[1],
		   &mac[2], &mac[3], &mac[4], &mac[5], &length) != 6 ||
	    length != 17 || text[17])
		return "not an address like 02:00:00:00:00:01";
	*address = address_load(mac);
	if (!*address || *address & VSWITCH_GROUP)
		return "not the address of one station";
	return NULL;
}

const char *rules_add(struct rules *rules, const struct rule *rule)
{
	if (rule->whom == ELISA_ALL) {
		rules->all |= rule->value;
		return NULL;
	}
	if (rules->count == RULES_MAX)
		return "too many rules";
	rules->rule[rules->count++] = *rule;
	return NULL;
}

static bool is_about(const struct rule *rule, const struct elisa_object_event *event)
{
	switch (rule->whom) {
	case ELISA_VM:
		return event->vm == rule->id;
	case ELISA_PID:
		return event->pid == rule->id;
	case ELISA_UID:
		return event->uid == rule->id;
	default:
		return false;
	}
}

/* Of two addresses the first one counts. */
uint64_t rules_value(const struct rules *rules, const struct elisa_object_event *event)
{
	uint64_t value = rules->all;

	for (unsigned int i = 0; i < rules->count; i++) {
		uint64_t mine = rules->rule[i].value;

		if (!is_about(&rules->rule[i], event))
			continue;
		if (value & VSWITCH_ADDRESS_MASK)
			mine &= ~VSWITCH_ADDRESS_MASK;
		value |= mine;
	}
	return value;
}
