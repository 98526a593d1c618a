/* SPDX-License-Identifier: MIT */
#ifndef STATISTICS_H
#define STATISTICS_H

#include "join.h"

/* A line on standard output: what was carried, and what the port has counted since it was opened. */
void statistics_print(const struct join_counts *counts, const struct vswitch_counters *counters);

#endif
