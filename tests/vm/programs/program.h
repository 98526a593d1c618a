/* SPDX-License-Identifier: MIT */
/* What the clients in the VM tests have in common: they end with one line, and 1, at the first wrong result. */
#ifndef PROGRAM_H
#define PROGRAM_H

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../../lib/elisa.h"

__attribute__((noreturn, format(printf, 1, 2))) static inline void die(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(1);
}

static inline unsigned long number(const char *text)
{
	char *end;
	unsigned long result = strtoul(text, &end, 0);

	if (!*text || *end)
		die("not a number: %s", text);
	return result;
}

/* SCHEME: gate, vmcall, or direct=FILE */
static inline struct elisa_attachment *attach(const char *name, const char *scheme)
{
	struct elisa_attachment *attachment;
	int error;

	if (!strncmp(scheme, "direct=", 7))
		error = elisa_attach_direct(&attachment, name, scheme + 7);
	else if (!strcmp(scheme, "gate"))
		error = elisa_attach(&attachment, name, ELISA_BY_GATE);
	else if (!strcmp(scheme, "vmcall"))
		error = elisa_attach(&attachment, name, ELISA_BY_VMCALL);
	else
		die("no scheme %s", scheme);
	if (error)
		die("attach %s: %s: %s", name, strerror(-error), elisa_reason());
	return attachment;
}

static inline struct elisa_function find(struct elisa_attachment *attachment, const char *name)
{
	struct elisa_function function;
	int error = elisa_function_find(attachment, name, &function);

	if (error)
		die("function %s: %s: %s", name, strerror(-error), elisa_reason());
	return function;
}

static inline void expect(const char *what, long got, long wanted)
{
	if (got != wanted)
		die("%s: %ld (%s), expected %ld; %s", what, got, got < 0 ? strerror((int)-got) : "", wanted,
		    elisa_reason());
}

#endif
