/* SPDX-License-Identifier: MIT */
/* The switch's manager: elisa-vswitch. */
#ifndef VSWITCH_MANAGER_H
#define VSWITCH_MANAGER_H

#include <stdbool.h>
#include <stdint.h>

#include <elisa.h>

#include "view.h"

#define RULES_MAX 256

/* Who a rule is about, in the words of grants. */
struct rule {
	enum elisa_whom whom;
	uint32_t id;
	uint64_t value; /* VSWITCH_VALUE_*, and an address */
};

struct rules {
	struct rule rule[RULES_MAX];
	unsigned int count;
	uint64_t all; /* for whoever attaches */
};

/* all | vm:N | pid:N | uid:N; `end` is where it ends. NULL, or what is wrong with it. */
const char *rule_parse(const char *text, struct rule *rule, const char **end);

/* Six bytes with colons. Not of a group, not zero. */
const char *address_parse(const char *text, uint64_t *address);

/* NULL, or what is wrong: too many. */
const char *rules_add(struct rules *rules, const struct rule *rule);

/* What a client is told: all rules that are about it. */
uint64_t rules_value(const struct rules *rules, const struct elisa_object_event *event);

/* The object's memory before anybody has attached. So many ports, in all and of one attachment. */
void state_prepare(struct vswitch_state *state, uint32_t ports, uint32_t ports_each, uint32_t buckets,
		   uint32_t ageing_s);

/* The clock: seconds since the switch began. */
void state_tick(struct vswitch_state *state, uint64_t seconds);

/* Its ports are anybody's to take. */
void state_gone(struct vswitch_state *state, uint32_t attachment);

/* What there is to see, as JSON; the caller's to free. NULL: no memory. */
char *state_report(const struct vswitch_state *state, const char *name);

/* A socket that gives the report to whoever connects. -errno. */
int report_listen(const char *name);
void report_answer(int listener, const struct vswitch_state *state, const char *name);
void report_close(int listener, const char *name);

/* The other end: asks, and prints. An exit code. */
int show(const char *name, bool json);

#endif
