/* SPDX-License-Identifier: MIT */
/* What the subcommands have in common. */
#ifndef ELISACTL_H
#define ELISACTL_H

#include <argp.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../include/uapi/elisa/elisa.h"

/* How the program ends. */
enum { DONE = 0, FAILED = 1, WRONG_WORDS = 2, NO_SUCH = 3 };

struct command {
	const char *words; /* "vm list" */
	const char *summary;
	/* WORDS[0] is what it is called in messages. Its own argp parses the rest, and answers --help. */
	int (*run)(int count, char **words);
	const char *alias; /* an older name, or NULL */
};

/* All, in the order in which help shows them; the last has no words. */
extern const struct command elisactl_commands[];

int elisactl_doctor(int count, char **words);
int elisactl_vm_list(int count, char **words);
int elisactl_object_list(int count, char **words);
int elisactl_object_show(int count, char **words);
int elisactl_object_publish(int count, char **words);
int elisactl_object_withdraw(int count, char **words);
int elisactl_grant(int count, char **words);
int elisactl_revoke(int count, char **words);
int elisactl_attach_list(int count, char **words);
int elisactl_stat(int count, char **words);
int elisactl_top(int count, char **words);
int elisactl_events(int count, char **words);
int elisactl_log(int count, char **words);

/* --- main.c */

/* --json was given; for the child parser below, which every command has that shows something. */
extern bool elisactl_json;
extern const struct argp_child elisactl_json_option[];
/* For argp_parse(): no options of its own, and no arguments. */
error_t elisactl_no_arguments(int key, char *text, struct argp_state *state);
/* A number from 0 on in TEXT, or it ends the program: WHAT is not one. */
uint64_t elisactl_number(struct argp_state *state, const char *what, const char *text, uint64_t most);
void elisactl_print_json(json_object *value, bool pretty); /* and releases it */

/* --- device.c, and where unit tests have no device: tests/unit/elisactl/fake.c */

int elisactl_device_open(void);
int elisactl_device_ask(int fd, unsigned long command, void *argument);
bool elisactl_msr(uint32_t index, uint64_t *value); /* false: it cannot be read */
/* CPUID, and what stands before /proc, /sys, /dev and /lib: "" but in tests. */
void elisactl_cpuid(uint32_t leaf, uint32_t registers[4]);
extern const char *elisactl_root;

/* --- ask.c */

/* A descriptor of the device, or -1 after a line on stderr. */
int elisactl_open(void);
/* Prints a line on stderr about the last error, with the kernel's reason if it gives one: NO_SUCH or FAILED. */
int elisactl_fail(int fd, const char *what);

/* All entries of a kind that the host's module lists. */
struct listing {
	struct elisa_ioc_list *entry;
	size_t count, room;
};

/* The entries after *CURSOR, if that is not NULL, which is left at the last. DONE, or FAILED after a line on stderr. */
int elisactl_list(int fd, uint32_t kind, uint64_t *cursor, struct listing *listing);
void elisactl_listing_free(struct listing *listing);
/* The published object of this name, or NULL. */
const struct elisa_ioc_list *elisactl_object_of(const struct listing *objects, const char *name);

/* --- table.c */

#define COLUMNS_MAX 16

/* Rows of text, whose columns become as wide as they need. */
struct table {
	const char *const *titles; /* one that begins with ">" is of numbers: to the right */
	char *(*rows)[COLUMNS_MAX];
	size_t count, columns;
};

void elisactl_table_init(struct table *table, const char *const *titles);
/* The next cell, row by row. */
void elisactl_table_add(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* LINES: at most so many rows; END: what ends a line. */
void elisactl_table_print(const struct table *table, size_t lines, const char *end);
void elisactl_table_free(struct table *table);

/* --- words.c: what the kernel's numbers are called. Static, or in the caller's buffer. */

#define WORD_MAX 64
const char *elisactl_size(char word[WORD_MAX], uint64_t bytes);
const char *elisactl_error(char word[WORD_MAX], uint32_t error);
const char *elisactl_flags(char word[WORD_MAX], uint32_t flags);
const char *elisactl_grantee(char word[WORD_MAX], const struct elisa_ioc_list *grant);
const char *elisactl_symbol(char word[WORD_MAX + 16], const struct elisa_ioc_list *abort);
const char *elisactl_time(char word[WORD_MAX], uint64_t time_ns);
const char *elisactl_state(char word[WORD_MAX], const struct elisa_ioc_list *entry);
const char *elisactl_rights(uint32_t rights);
const char *elisactl_scheme(uint32_t scheme);
const char *elisactl_event(uint32_t event);
const char *elisactl_abort(unsigned int kind); /* of ELISA_ABORTS */
json_object *elisactl_flags_json(uint32_t flags);
json_object *elisactl_aborts_json(const struct elisa_ioc_list *entry);

#endif
