// SPDX-License-Identifier: MIT
#include "guess.h"

#include <string.h>

#define LONGEST 31

/* How many letters have to be put in, taken out or changed (Levenshtein). */
static size_t distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
	size_t row[LONGEST + 1];

	if (a_length > LONGEST || b_length > LONGEST)
		return LONGEST;
	for (size_t j = 0; j <= b_length; j++)
		row[j] = j;
	for (size_t i = 1; i <= a_length; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b_length; j++) {
			size_t change = diagonal + (a[i - 1] != b[j - 1]), least = row[j - 1] + 1;

			diagonal = row[j];
			if (row[j] + 1 < least)
				least = row[j] + 1;
			row[j] = change < least ? change : least;
		}
	}
	return row[b_length];
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
