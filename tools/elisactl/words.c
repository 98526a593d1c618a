// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "elisactl.h"

#define WORDS(list) (sizeof(list) / sizeof(list[0]))

static const char *word_of(const char *const *words, size_t count, size_t number)
{
	return number < count && words[number] ? words[number] : "?";
}

const char *elisactl_size(char word[WORD_MAX], uint64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double size = (double)bytes;
	size_t unit = 0;

	while (size >= 1024 && unit + 1 < WORDS(units)) {
		size /= 1024;
		unit++;
	}
	/* As exact as three digits are. */
	snprintf(word, WORD_MAX, "%.*f %s", unit && size < 10 && size * 10 != (int)size * 10 ? 1 : 0, size,
		 units[unit]);
	return word;
}

const char *elisactl_error(char word[WORD_MAX], uint32_t error)
{
	const char *name = error < 4096 ? strerrorname_np((int)error) : NULL;

	if (name)
		snprintf(word, WORD_MAX, "%s", name);
	else
		snprintf(word, WORD_MAX, "%u", error);
	return word;
}

static const char *const flags[] = { "vetted", "ask", "outlive", "direct", "exchange" };

const char *elisactl_flags(char word[WORD_MAX], uint32_t set)
{
	size_t used = 0;

	snprintf(word, WORD_MAX, "-");
	for (size_t i = 0; i < WORDS(flags); i++)
		if (set >> i & 1)
			used += (size_t)snprintf(word + used, WORD_MAX - used, "%s%s", used ? "," : "", flags[i]);
	return word;
}

json_object *elisactl_flags_json(uint32_t set)
{
	json_object *array = json_object_new_array();

	for (size_t i = 0; i < WORDS(flags); i++)
		if (set >> i & 1)
			json_object_array_add(array, json_object_new_string(flags[i]));
	return array;
}

const char *elisactl_grantee(char word[WORD_MAX], const struct elisa_ioc_list *grant)
{
	static const char *const kinds[] = { "all", "vm", "pid", "uid" };

	if (grant->grant == ELISA_GRANT_ALL)
		snprintf(word, WORD_MAX, "all");
	else
		snprintf(word, WORD_MAX, "%s:%u", word_of(kinds, WORDS(kinds), grant->grant), grant->id);
	return word;
}

const char *elisactl_symbol(char word[WORD_MAX + 16], const struct elisa_ioc_list *abort)
{
	if (abort->symbol[0])
		snprintf(word, WORD_MAX + 16, "%.*s+%#x", ELISA_NAME_MAX - 1, abort->symbol, abort->offset);
	else
		snprintf(word, WORD_MAX + 16, "%#llx", (unsigned long long)abort->address);
	return word;
}

/* The kernel counts from boot, sleep included; people want to know what o'clock it was. */
const char *elisactl_time(char word[WORD_MAX], uint64_t time_ns)
{
	struct timespec now, up;
	int64_t when_ns;
	struct tm broken;
	time_t seconds;
	size_t used;

	clock_gettime(CLOCK_REALTIME, &now);
	clock_gettime(CLOCK_BOOTTIME, &up);
	when_ns = (now.tv_sec - up.tv_sec) * 1000000000 + now.tv_nsec - up.tv_nsec + (int64_t)time_ns;
	seconds = when_ns / 1000000000;
	used = strftime(word, WORD_MAX, "%F %T", localtime_r(&seconds, &broken));
	snprintf(word + used, WORD_MAX - used, ".%03d", (int)(when_ns % 1000000000 / 1000000));
	return word;
}

const char *elisactl_state(char word[WORD_MAX], const struct elisa_ioc_list *entry)
{
	switch (entry->state) {
	case 0:
		return entry->kind == ELISA_LIST_OBJECT && !entry->name[0] ? "not published" : "alive";
	case EINPROGRESS:
		return "asking";
	case ESHUTDOWN:
		return "withdrawn";
	default:
		return elisactl_error(word, entry->state);
	}
}

const char *elisactl_rights(uint32_t rights)
{
	return rights == ELISA_RIGHT_WRITE ? "rw" : rights == ELISA_RIGHT_READ ? "ro" : "-";
}

const char *elisactl_scheme(uint32_t scheme)
{
	static const char *const words[] = { "gate", "vmcall", "direct" };

	return word_of(words, WORDS(words), scheme);
}

const char *elisactl_event(uint32_t event)
{
	static const char *const words[] = { NULL, "attach", "detach", "abort", "revoke", "publish", "withdraw" };

	return word_of(words, WORDS(words), event);
}

const char *elisactl_abort(unsigned int kind)
{
	static const char *const words[] = {
		[ELISA_ABORT_TIME] = "time",         [ELISA_ABORT_FAULT] = "fault",
		[ELISA_ABORT_INSTRUCTION] = "instr", [ELISA_ABORT_VMFUNC] = "vmfunc",
		[ELISA_ABORT_INTERRUPTED] = "intr",  [ELISA_ABORT_EXIT] = "exit",
		[ELISA_ABORT_GONE] = "gone",
	};

	_Static_assert(WORDS(words) == ELISA_ABORTS, "each has a name");
	return words[kind];
}

json_object *elisactl_aborts_json(const struct elisa_ioc_list *entry)
{
	json_object *object = json_object_new_object();

	for (unsigned int kind = 0; kind < ELISA_ABORTS; kind++)
		json_object_object_add(object, elisactl_abort(kind), json_object_new_uint64(entry->aborts_by[kind]));
	return object;
}
