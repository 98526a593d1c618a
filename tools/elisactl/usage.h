/* SPDX-License-Identifier: MIT */
/* What VMs and objects have done, at one moment and since another. */
#ifndef USAGE_H
#define USAGE_H

#include "elisactl.h"

struct usage {
	struct elisa_ioc_stats totals;
	bool lists; /* false in a guest, whose driver knows only totals */
	struct listing vms, objects, attachments;
	double seconds; /* when it was taken */
};

/* One VM, one object, or one VM's use of one object. */
struct row {
	const struct elisa_ioc_list *entry; /* of the usage that it was made from */
	char what[2 * ELISA_NAME_MAX];
	uint64_t since;    /* calls since the usage before, or 0 */
	double per_second; /* likewise */
	/* The share of the VM's time that was inside, by samples; since the usage before if there is one. < 0: unknown.
	 */
	double inside;
};

/* DONE, or FAILED after a line on stderr. */
int elisactl_usage_get(int fd, struct usage *usage);
void elisactl_usage_free(struct usage *usage);
/* VMs, objects, then attachments; BEFORE may be NULL. Release it with free(). */
size_t elisactl_usage_rows(const struct usage *now, const struct usage *before, struct row **rows);
/* As a table; only the first LINES rows. */
void elisactl_usage_print(const struct row *rows, size_t count, size_t lines, const char *end);
/* Waits, or returns false: a signal has asked to end. */
bool elisactl_sleep(double seconds);
double elisactl_seconds(struct argp_state *state, const char *text);

#endif
