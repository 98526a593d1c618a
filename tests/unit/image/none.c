// SPDX-License-Identifier: MIT
/* Offers nothing. */
#include <elisa/object.h>

long nothing(void);
long nothing(void)
{
	return 0;
}
