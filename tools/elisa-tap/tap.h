/* SPDX-License-Identifier: MIT */
/* A TAP device of Linux: packets that the kernel sends through it are read, those that are written it receives. */
#ifndef TAP_H
#define TAP_H

#include <stdbool.h>
#include <stdint.h>

#define TAP_QUEUES_MAX 8
#define TAP_NAME_MAX 16 /* with the final zero */

struct tap {
	char name[TAP_NAME_MAX]; /* asked: may be empty, or have a %d; then as the kernel has named it */
	unsigned int queues;     /* asked: 1 to TAP_QUEUES_MAX */
	int fd[TAP_QUEUES_MAX];  /* of each queue; reading and writing does not wait */
};

/*
 * Makes the device, or takes one that is there and belongs to nobody, with its link down. The functions return 0 or
 * -errno, and say on standard error what was refused.
 */
int tap_open(struct tap *tap);

/* The device goes, unless it was there before. */
void tap_close(struct tap *tap);

int tap_set_mtu(const struct tap *tap, unsigned int mtu);
int tap_set_address(const struct tap *tap, const uint8_t mac[6]);
int tap_address(const struct tap *tap, uint8_t mac[6]);

/* Whether a cable is plugged in, as it were. Nothing is queued for a device whose link is down. */
int tap_set_link(const struct tap *tap, bool up);

#endif
