// SPDX-License-Identifier: MIT
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor.h"

static const char *below_root(const char *path)
{
	static char whole[4096];

	snprintf(whole, sizeof(whole), "%s%s", elisactl_root, path);
	return whole;
}

bool elisactl_exists(const char *path)
{
	return !access(below_root(path), F_OK);
}

FILE *elisactl_file(const char *path)
{
	return fopen(below_root(path), "re");
}

const char *elisactl_line(const char *path)
{
	static char line[256];
	FILE *file = elisactl_file(path);
	bool read;

	if (!file)
		return NULL;
	read = fgets(line, sizeof(line), file);
	fclose(file);
	if (!read)
		return NULL;
	line[strcspn(line, "\n")] = 0;
	return line;
}

enum answer elisactl_file_has(const char *path, const char *text)
{
	FILE *file = elisactl_file(path);
	enum answer answer = NO;
	size_t room = 0;
	char *line = NULL;

	if (!file)
		return UNKNOWN;
	while (answer == NO && getline(&line, &room, file) >= 0)
		answer = strstr(line, text) ? YES : NO;
	free(line);
	fclose(file);
	return answer;
}

static bool has_word(char *text, const char *word)
{
	char *rest = text;

	for (char *each; (each = strsep(&rest, " \t\n"));)
		if (!strcmp(each, word))
			return true;
	return false;
}

enum answer elisactl_cpu_has(const char *field, const char *word)
{
	FILE *file = elisactl_file("/proc/cpuinfo");
	enum answer answer = UNKNOWN;
	size_t room = 0, length = strlen(field);
	char *line = NULL;

	if (!file)
		return UNKNOWN;
	while (answer == UNKNOWN && getline(&line, &room, file) >= 0) {
		char *colon = strchr(line, ':');

		if (colon && !strncmp(line, field, length) &&
		    strspn(line + length, " \t") + length == (size_t)(colon - line))
			answer = has_word(colon + 1, word) ? YES : NO;
	}
	free(line);
	fclose(file);
	return answer;
}

const char *elisactl_hypervisor(void)
{
	static char signature[13];
	uint32_t registers[4];

	elisactl_cpuid(1, registers);
	signature[0] = 0;
	if (registers[2] >> 31) {
		elisactl_cpuid(0x40000000, registers);
		memcpy(signature, &registers[1], 12);
	}
	return signature;
}
