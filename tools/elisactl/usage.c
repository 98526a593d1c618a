// SPDX-License-Identifier: MIT
#include "usage.h"

#include <err.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int elisactl_usage_get(int fd, struct usage *usage)
{
	struct elisa_ioc_list probe = { .size = sizeof(probe), .kind = ELISA_LIST_VM };
	struct timespec now;

	*usage = (struct usage){ .totals.size = sizeof(usage->totals) };
	if (elisactl_device_ask(fd, ELISA_IOC_STATS, &usage->totals))
		return elisactl_fail(fd, "stat"), FAILED;
	clock_gettime(CLOCK_MONOTONIC, &now);
	usage->seconds = (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
	if (elisactl_device_ask(fd, ELISA_IOC_LIST, &probe) && errno == EOPNOTSUPP)
		return DONE;
	usage->lists = true;
	/* VMs last: their samples are those of an instant that is not before that of what is divided by them. */
	if (elisactl_list(fd, ELISA_LIST_ATTACHMENT, NULL, &usage->attachments) ||
	    elisactl_list(fd, ELISA_LIST_OBJECT, NULL, &usage->objects) ||
	    elisactl_list(fd, ELISA_LIST_VM, NULL, &usage->vms)) {
		elisactl_usage_free(usage);
		return FAILED;
	}
	return DONE;
}

void elisactl_usage_free(struct usage *usage)
{
	elisactl_listing_free(&usage->vms);
	elisactl_listing_free(&usage->objects);
	elisactl_listing_free(&usage->attachments);
}

static const struct elisa_ioc_list *find(const struct listing *listing, uint32_t id)
{
	for (size_t i = 0; i < listing->count; i++)
		if (listing->entry[i].id == id)
			return &listing->entry[i];
	return NULL;
}

/* Of all VMs that the entry is about. */
static uint64_t samples(const struct usage *usage, const struct elisa_ioc_list *entry)
{
	uint64_t sum = 0;

	if (entry->kind == ELISA_LIST_VM)
		return entry->samples;
	for (size_t i = 0; i < usage->vms.count; i++) {
		const struct elisa_ioc_list *vm = &usage->vms.entry[i];
		bool meant = entry->kind == ELISA_LIST_ATTACHMENT && entry->vm == vm->id;

		for (size_t j = 0; j < usage->attachments.count && entry->kind == ELISA_LIST_OBJECT && !meant; j++)
			meant = usage->attachments.entry[j].object == entry->id &&
				usage->attachments.entry[j].vm == vm->id;
		sum += meant ? vm->samples : 0;
	}
	return sum;
}

static const struct listing *listing_of(const struct usage *usage, uint32_t kind)
{
	return kind == ELISA_LIST_VM ? &usage->vms : kind == ELISA_LIST_OBJECT ? &usage->objects : &usage->attachments;
}

static void fill(struct row *row, const struct usage *now, const struct usage *before,
		 const struct elisa_ioc_list *entry)
{
	const struct elisa_ioc_list *old = before ? find(listing_of(before, entry->kind), entry->id) : NULL;
	uint64_t all = samples(now, entry), within = entry->samples_inside;

	*row = (struct row){ .entry = entry, .inside = -1 };
	if (before) {
		uint64_t calls = old ? old->calls : 0;

		/* What a VM has done is less when one of its attachments has gone. */
		row->since = entry->calls > calls ? entry->calls - calls : 0;
		if (now->seconds > before->seconds)
			row->per_second = (double)row->since / (now->seconds - before->seconds);
	}
	if (old) {
		uint64_t all_then = samples(before, old);

		all = all > all_then ? all - all_then : 0;
		within = within > old->samples_inside ? within - old->samples_inside : 0;
	}
	if (all)
		row->inside = fmin(1, (double)within / (double)all);
	if (entry->kind == ELISA_LIST_VM)
		snprintf(row->what, sizeof(row->what), "vm %u", entry->id);
	else if (entry->kind == ELISA_LIST_OBJECT)
		snprintf(row->what, sizeof(row->what), "object %.63s", entry->name[0] ? entry->name : "-");
	else
		snprintf(row->what, sizeof(row->what), "vm %u on %.63s", entry->vm, entry->name[0] ? entry->name : "-");
}

size_t elisactl_usage_rows(const struct usage *now, const struct usage *before, struct row **rows)
{
	const struct listing *const all[] = { &now->vms, &now->objects, &now->attachments };
	size_t count = now->vms.count + now->objects.count + now->attachments.count, used = 0;

	*rows = calloc(count + 1, sizeof(**rows));
	if (!*rows)
		err(FAILED, "rows");
	for (size_t i = 0; i < 3; i++)
		for (size_t j = 0; j < all[i]->count; j++)
			fill(&(*rows)[used++], now, before, &all[i]->entry[j]);
	return count;
}

void elisactl_usage_print(const struct row *rows, size_t count, size_t lines, const char *end)
{
	static const char *const titles[] = { "WHAT",   ">CALLS", ">+CALLS", ">CALLS/s", ">INSIDE", ">ABORTS", ">time",
					      ">fault", ">instr", ">vmfunc", ">intr",    ">exit",   ">gone",   NULL };
	struct table table;

	elisactl_table_init(&table, titles);
	for (const struct row *row = rows; row < rows + count; row++) {
		elisactl_table_add(&table, "%s", row->what);
		elisactl_table_add(&table, "%llu", (unsigned long long)row->entry->calls);
		elisactl_table_add(&table, "%llu", (unsigned long long)row->since);
		elisactl_table_add(&table, "%.0f", row->per_second);
		if (row->inside < 0)
			elisactl_table_add(&table, "-");
		else
			elisactl_table_add(&table, "%.1f%%", 100 * row->inside);
		elisactl_table_add(&table, "%llu", (unsigned long long)row->entry->aborts);
		for (unsigned int kind = 0; kind < ELISA_ABORTS; kind++)
			elisactl_table_add(&table, "%llu", (unsigned long long)row->entry->aborts_by[kind]);
	}
	elisactl_table_print(&table, lines, end);
	elisactl_table_free(&table);
}

bool elisactl_sleep(double seconds)
{
	struct timespec time = { .tv_sec = (time_t)seconds };

	time.tv_nsec = (long)((seconds - (double)time.tv_sec) * 1e9);
	return !nanosleep(&time, NULL);
}

double elisactl_seconds(struct argp_state *state, const char *text)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end || !(seconds >= 0.01 && seconds <= 86400))
		argp_error(state, "an interval is 0.01 to 86400 seconds: %s", text);
	return seconds;
}
