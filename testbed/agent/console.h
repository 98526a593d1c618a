/* SPDX-License-Identifier: MIT */
#ifndef TESTBED_CONSOLE_H
#define TESTBED_CONSOLE_H

/* Joins this terminal with the socket at PATH until Ctrl-] or its end. 0 or -errno. */
int console_join(const char *path);

#endif
