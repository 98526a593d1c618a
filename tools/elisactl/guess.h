/* SPDX-License-Identifier: MIT */
#ifndef GUESS_H
#define GUESS_H

#include <stdbool.h>

/* Whether somebody who typed TYPED may have meant the command WORDS: a slip or two away from it, or from its first
 * word. */
bool elisactl_is_near(const char *typed, const char *words);

#endif
