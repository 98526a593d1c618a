// SPDX-License-Identifier: MIT
#include "guess.h"

#include <string.h>

#define LONGEST 31

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* How many letters have to be put in, taken out, changed, or swapped with the next (Damerau and Levenshtein). */
static size_t distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
	size_t table[LONGEST + 1][LONGEST + 1];

	if (a_length > LONGEST || b_length > LONGEST)
		return LONGEST;
	for (size_t i = 0; i <= a_length; i++)
		for (size_t j = 0; j <= b_length; j++) {
			if (!i || !j) {
				table[i][j] = i + j;
				continue;
			}
			table[i][j] = least(table[i - 1][j - 1] + (a[i - 1] != b[j - 1]),
					    least(table[i - 1][j], table[i][j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				table[i][j] = least(table[i][j], table[i - 2][j - 2] + 1);
		}
	return table[a_length][b_length];
}

static bool is_near(const char *a, size_t a_length, const char *b, size_t b_length)
{
	/* Of a short word a single letter: else everything is near. */
	return distance(a, a_length, b, b_length) <= (a_length < 4 ? 1 : 2);
}

bool elisactl_is_near(const char *typed, const char *words)
{
	size_t one = strcspn(typed, " "), first = strcspn(words, " ");

	return is_near(typed, strlen(typed), words, strlen(words)) || is_near(typed, one, words, strlen(words)) ||
	       (words[first] && !typed[one] && is_near(typed, one, words, first)) ||
	       (words[first] && is_near(typed, strlen(typed), words + first + 1, strlen(words + first + 1)));
}
