/* SPDX-License-Identifier: MIT */
/* Between the manager, which reports, and whoever shows. */
#ifndef VSWITCH_REPORT_H
#define VSWITCH_REPORT_H

#include <sys/un.h>

#define REPORT_PATH "/run/elisa-vswitch-%s"

extern const char *const drop_names[];

/* ENAMETOOLONG: it is no name for it. */
int report_address(const char *name, struct sockaddr_un *address);

#endif
