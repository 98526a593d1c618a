// SPDX-License-Identifier: MIT
/* Whether ELISA can run here, requirement by requirement: of a host in host.c, of a VM in guest.c. */
#include "doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

static enum { UNDECIDED, HOST, GUEST } place;
static unsigned int missing;
static json_object *notes;

void elisactl_note(const char *name, enum need need, enum answer answer, const char *remedy, const char *format, ...)
{
	static const char *const words[] = { [NO] = "no", [YES] = "yes", [UNKNOWN] = "unknown" };
	json_object *note = json_object_new_object();
	char detail[256];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(detail, sizeof(detail), format, arguments);
	va_end(arguments);
	missing += answer == NO && need == NEEDED;
	json_object_object_add(note, "name", json_object_new_string(name));
	json_object_object_add(note, "needed", json_object_new_boolean(need == NEEDED));
	json_object_object_add(note, "answer", json_object_new_string(words[answer]));
	json_object_object_add(note, "detail", json_object_new_string(detail));
	json_object_object_add(note, "remedy", answer == NO ? json_object_new_string(remedy) : NULL);
	json_object_array_add(notes, note);
	if (elisactl_json)
		return;
	printf("%-8s %-28s %s\n", words[answer], name, detail);
	if (answer == NO)
		printf("%-8s %s%s\n", "", need == NEEDED ? "-> " : "-> (not needed) ", remedy);
}

/* modinfo would look in the same place. */
static bool is_installed(const char *module)
{
	struct utsname system;
	char path[512], file[64];

	uname(&system);
	snprintf(path, sizeof(path), "/lib/modules/%s/modules.dep", system.release);
	snprintf(file, sizeof(file), "/%s.ko", module);
	return elisactl_file_has(path, file) == YES;
}

void elisactl_doctor_module(const char *name)
{
	char path[64], title[32], remedy[160];
	bool enforced;

	snprintf(path, sizeof(path), "/sys/module/%s", name);
	snprintf(title, sizeof(title), "%s.ko", name);
	if (elisactl_exists(path)) {
		elisactl_note(title, NEEDED, YES, "", "loaded");
		return;
	}
	if (is_installed(name))
		elisactl_note(title, NEEDED, YES, "", "not loaded yet, but installed for this kernel: modprobe %s",
			      name);
	else {
		snprintf(remedy, sizeof(remedy),
			 "load it with insmod, or install the package %s and this kernel's headers",
			 !strcmp(name, "elisa") ? "elisa-dkms" : "elisa-guest-dkms");
		elisactl_note(title, NEEDED, NO, remedy, "neither loaded nor installed for this kernel");
	}
	enforced = elisactl_file_has("/sys/module/module/parameters/sig_enforce", "Y") == YES;
	elisactl_note("unsigned modules", NEEDED, enforced ? UNKNOWN : YES, "", "%s",
		      enforced ? "refused: sign it with a key that this kernel trusts (dkms and mokutil do)"
			       : "allowed");
}

void elisactl_doctor_device(const char *module)
{
	int fd = elisactl_device_open();

	if (fd >= 0) {
		close(fd);
		elisactl_note("/dev/elisa", NEEDED, YES, "", "may be opened");
	} else if (elisactl_exists("/dev/elisa")) {
		elisactl_note("/dev/elisa", NEEDED, NO,
			      "become root, or let a udev rule give it a group; whoever may open it may attach",
			      "this user may not open it");
	} else {
		elisactl_note("/dev/elisa", NEEDED, UNKNOWN, "", "there when %s.ko is loaded", module);
	}
}

void elisactl_doctor_memory(void)
{
	struct rlimit limit;
	char word[WORD_MAX];

	if (getrlimit(RLIMIT_MEMLOCK, &limit))
		elisactl_note("memory that may be pinned", WANTED, UNKNOWN, "", "RLIMIT_MEMLOCK cannot be read");
	else if (!geteuid() || limit.rlim_cur == RLIM_INFINITY)
		elisactl_note("memory that may be pinned", WANTED, YES, "", "no limit");
	else
		elisactl_note("memory that may be pinned", WANTED, limit.rlim_cur < 1 << 20 ? NO : YES,
			      "raise RLIMIT_MEMLOCK (ulimit -l, limits.conf): objects and buffers are charged to it",
			      "%s", elisactl_size(word, limit.rlim_cur));
}

static error_t parse(int key, char *text, struct argp_state *state)
{
	if (key != ARGP_KEY_ARG)
		return ARGP_ERR_UNKNOWN;
	if (place)
		argp_error(state, "one word too many: %s", text);
	if (strcmp(text, "host") && strcmp(text, "guest"))
		argp_error(state, "host or guest, not %s", text);
	place = text[0] == 'h' ? HOST : GUEST;
	return 0;
}

int elisactl_doctor(int count, char **words)
{
	static const struct argp argp = {
		NULL,
		parse,
		"[host|guest]",
		"Says of each thing that ELISA needs whether it is there, and what to do if not. A VM of KVM is looked at as a "
		"guest, unless elisa.ko is loaded in it; everything else as a host. Exit code 1: something needed is missing.",
		elisactl_json_option,
		NULL,
		NULL
	};
	struct utsname system;

	argp_parse(&argp, count, words, 0, NULL, NULL);
	notes = json_object_new_array();
	if (!place)
		place = !strcmp(elisactl_hypervisor(), "KVMKVMKVM") && !elisactl_exists("/sys/module/elisa") ? GUEST
													     : HOST;
	uname(&system);
	if (!elisactl_json)
		printf("As a %s, with Linux %s:\n\n", place == HOST ? "host" : "guest", system.release);
	if (place == HOST)
		elisactl_doctor_host();
	else
		elisactl_doctor_guest();
	if (elisactl_json) {
		json_object *whole = json_object_new_object();

		json_object_object_add(whole, "place", json_object_new_string(place == HOST ? "host" : "guest"));
		json_object_object_add(whole, "missing", json_object_new_int((int)missing));
		json_object_object_add(whole, "requirements", notes);
		elisactl_print_json(whole, true);
	} else {
		if (missing)
			printf("\n%u needed %s missing.\n", missing, missing == 1 ? "thing is" : "things are");
		else
			puts("\nNothing that is needed is known to be missing.");
		json_object_put(notes);
	}
	return missing ? FAILED : DONE;
}
