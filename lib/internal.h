/* SPDX-License-Identifier: MIT */
/* What the files of the library have in common. */
#ifndef ELISA_INTERNAL_H
#define ELISA_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

#include "../include/uapi/elisa/elisa.h"
#include "elisa.h"
#include "image.h"

#define ELISA_DEVICE "/dev/elisa"

/* Sets elisa_reason() and returns `error`, a negative errno. */
int elisa_fail(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ioctl() of our device: 0, or -errno with the kernel's reason. */
int elisa_ioctl(int fd, unsigned long request, void *argument);

/* A descriptor of the device, or -errno. */
int elisa_open(int flags);

/* Copies a name into a structure of the ABI; refuses one that is empty or too long. */
int elisa_name(char to[ELISA_NAME_MAX], const char *name);

/* The process's part of ELISA_BY_DIRECT: code and info page of one object. */
struct elisa_direct;
int elisa_direct_map(struct elisa_direct **direct, int fd, const struct elisa_ioc_attach *attach, const char *path);
void elisa_direct_unmap(struct elisa_direct *direct);
int elisa_direct_find(const struct elisa_direct *direct, const char *name, uint32_t *index);
int elisa_direct_share(struct elisa_direct *direct, void *address, size_t bytes, unsigned int flags, uint32_t *buffer);
int elisa_direct_unshare(struct elisa_direct *direct, uint32_t buffer);

struct elisa_attachment {
	int fd;
	enum elisa_scheme scheme;
	uint32_t slot, number;
	int writable;
	int by_ioctl; /* of a process of the host */
	struct elisa_direct *direct;
};

#endif
