/* SPDX-License-Identifier: MIT */
#ifndef LIST_H
#define LIST_H

#include "elisactl.h"

/* How entries of a kind are shown. */
struct kind {
	uint32_t kind; /* ELISA_LIST_* */
	const char *const *titles;
	void (*row)(struct table *table, const struct elisa_ioc_list *entry);
	json_object *(*json)(const struct elisa_ioc_list *entry);
};

extern const struct kind elisactl_vms, elisactl_objects, elisactl_attachments, elisactl_aborts;

/* Prints them: a table, or JSON. */
void elisactl_show(const struct kind *kind, const struct listing *listing);

json_object *elisactl_object_json(const struct elisa_ioc_list *entry);
json_object *elisactl_attachment_json(const struct elisa_ioc_list *entry);
json_object *elisactl_abort_json(const struct elisa_ioc_list *entry);

#endif
