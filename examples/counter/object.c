// SPDX-License-Identifier: MIT
#include <elisa/object.h>

static ELISA_SHARED uint64_t hits; /* one for all virtual machines */

ELISA_ENTRY(hit, uint64_t n)
{
	return n > 100 ? -EINVAL : (long)__atomic_add_fetch(&hits, n, __ATOMIC_RELAXED);
}
