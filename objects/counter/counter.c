// SPDX-License-Identifier: MIT
/* A counter that all attachments share, and one that each has of its own. */
#include <elisa/object.h>

static ELISA_SHARED uint64_t total;
static uint64_t own;

/* The total after it. */
ELISA_ENTRY(add, uint64_t n)
{
	__atomic_fetch_add(&own, n, __ATOMIC_RELAXED);
	return (long)__atomic_add_fetch(&total, n, __ATOMIC_RELAXED);
}

ELISA_ENTRY(read)
{
	return (long)__atomic_load_n(&total, __ATOMIC_RELAXED);
}

ELISA_ENTRY(read_own)
{
	return (long)__atomic_load_n(&own, __ATOMIC_RELAXED);
}
