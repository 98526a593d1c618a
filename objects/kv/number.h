/* SPDX-License-Identifier: MIT */
/* Values that are counted with: decimal digits. */
#ifndef ELISA_KV_NUMBER_H
#define ELISA_KV_NUMBER_H

#include "memory.h"

#define NUMBER_MAX 64 /* bytes of a value that can be counted with */

static inline int is_space(uint8_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Digits, perhaps between spaces. 0, or -EDOM. */
static inline int number_parse(const uint8_t *text, uint32_t bytes, uint64_t *number)
{
	uint32_t at = 0, begin;
	uint64_t sum = 0;

	while (at < bytes && is_space(text[at]))
		at++;
	for (begin = at; at < bytes && text[at] >= '0' && text[at] <= '9'; at++) {
		if (__builtin_mul_overflow(sum, 10, &sum) || __builtin_add_overflow(sum, text[at] - '0', &sum))
			return -EDOM;
	}
	if (at == begin || (at < bytes && !is_space(text[at])))
		return -EDOM;
	*number = sum;
	return 0;
}

static inline uint32_t number_print(uint64_t number, uint8_t *text)
{
	uint32_t bytes = 1, i;

	for (uint64_t rest = number; rest >= 10; rest /= 10)
		bytes++;
	for (i = bytes; i; number /= 10)
		text[--i] = (uint8_t)('0' + number % 10);
	return bytes;
}

#endif
