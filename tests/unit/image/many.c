// SPDX-License-Identifier: MIT
/* One function too many. */
#include <elisa/object.h>

#define ONE(name)         \
	ELISA_ENTRY(name) \
	{                 \
		return 0; \
	}
#define FOUR(name) ONE(name##0) ONE(name##1) ONE(name##2) ONE(name##3)
#define SIXTEEN(name) FOUR(name##0) FOUR(name##1) FOUR(name##2) FOUR(name##3)
#define SIXTY_FOUR(name) SIXTEEN(name##0) SIXTEEN(name##1) SIXTEEN(name##2) SIXTEEN(name##3)

SIXTY_FOUR(a) SIXTY_FOUR(b) SIXTY_FOUR(c) SIXTY_FOUR(d) ONE(last)
