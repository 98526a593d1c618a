// SPDX-License-Identifier: GPL-2.0-only
#include "why.h"

#include <linux/kernel.h>

int elisa_refuse(struct elisa_why *why, int error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(why->text, sizeof(why->text), format, arguments);
	va_end(arguments);
	return error;
}
