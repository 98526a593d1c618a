// SPDX-License-Identifier: MIT
#include "statistics.h"

#include <inttypes.h>
#include <stdio.h>

static const char *const names[VSWITCH_DROPS] = {
	[VSWITCH_DROP_FULL] = "full",       [VSWITCH_DROP_SIZE] = "size",     [VSWITCH_DROP_WHERE] = "where",
	[VSWITCH_DROP_SPOOFED] = "spoofed", [VSWITCH_DROP_POSTED] = "posted", [VSWITCH_DROP_LOCAL] = "local",
	[VSWITCH_DROP_CLOSED] = "closed",
};

static void print_drops(const char *way, const uint64_t drops[VSWITCH_DROPS])
{
	for (int i = 0; i < VSWITCH_DROPS; i++) {
		if (drops[i])
			printf(" %s-dropped-%s=%" PRIu64, way, names[i], drops[i]);
	}
}

void statistics_print(const struct join_counts *counts, const struct vswitch_counters *counters)
{
	printf("statistics to-switch=%" PRIu64 " from-switch=%" PRIu64 " device-refused=%" PRIu64 " calls-cut=%" PRIu64
	       " sleeps=%" PRIu64 " port-sent=%" PRIu64 " port-sent-bytes=%" PRIu64 " port-received=%" PRIu64
	       " port-received-bytes=%" PRIu64 " flooded=%" PRIu64 " woken=%" PRIu64,
	       counts->to_switch, counts->from_switch, counts->refused, counts->cut, counts->sleeps,
	       counters->tx_packets, counters->tx_bytes, counters->rx_packets, counters->rx_bytes, counters->flooded,
	       counters->notified);
	print_drops("sent", counters->tx_drops);
	print_drops("received", counters->rx_drops);
	putchar('\n');
}
