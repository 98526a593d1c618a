// SPDX-License-Identifier: MIT
/*
 * marker begin NAME, marker end NAME: count between two commands of a shell.
 * What is counted includes this program's own end and start.
 */
#include "marker.h"

#include <stdio.h>
#include <string.h>

#define COMMAND_REGIONS 8

/* The region is part of the instruction, so there is one instruction for each. */
#define EACH_REGION(do_it) do_it(128) do_it(129) do_it(130) do_it(131) do_it(132) do_it(133) do_it(134) do_it(135)
#define BEGIN_CASE(region)                 \
	case region:                       \
		marker_name(region, name); \
		marker_begin(region);      \
		break;
#define END_CASE(region)            \
	case region:                \
		marker_end(region); \
		break;

/* One name always gets one region; two names of one sum must not be open at once. */
static int region_of(const char *name)
{
	unsigned int sum = 0;

	while (*name)
		sum += (unsigned char)*name++;
	return 128 + sum % COMMAND_REGIONS;
}

int main(int argc, char **argv)
{
	const char *name = argc == 3 ? argv[2] : "";

	if (argc == 3 && !strcmp(argv[1], "begin")) {
		switch (region_of(name)) {
			EACH_REGION(BEGIN_CASE)
		}
		return 0;
	}
	if (argc == 3 && !strcmp(argv[1], "end")) {
		switch (region_of(name)) {
			EACH_REGION(END_CASE)
		}
		return 0;
	}
	fprintf(stderr, "usage: marker begin NAME | marker end NAME\n");
	return 2;
}
