/* SPDX-License-Identifier: MIT */
/* What the subcommands have in common. */
#ifndef ELISACTL_H
#define ELISACTL_H

#include <stdbool.h>
#include <stdint.h>

#include "../../include/uapi/elisa/elisa.h"

struct command {
	const char *words; /* "vm list" */
	const char *help;
	/* 0, or 1 after a line on stderr. */
	int (*run)(const struct command *command, bool json);
	uint32_t kind; /* ELISA_LIST_*, of a list */
};

extern const struct command elisactl_stat;
#define ELISACTL_LISTS 4
extern const struct command elisactl_lists[ELISACTL_LISTS];

/* A descriptor of the device, or -1 after a line on stderr. */
int elisactl_open(void);

/* Prints a line on stderr, with the kernel's reason for the last error if it gives one. Returns 1. */
int elisactl_fail(int fd, const char *what);

#endif
