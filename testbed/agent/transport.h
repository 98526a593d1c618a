/* SPDX-License-Identifier: MIT */
/* How messages travel: through a byte stream, or the emulator's I/O ports. */
#ifndef TESTBED_TRANSPORT_H
#define TESTBED_TRANSPORT_H

#include "message.h"

/* Both take limits in milliseconds, -1 for none, and return 0 or -errno. *RECEIVED is the caller's. */
int stream_receive(int fd, struct message **received, int limit_ms);
int stream_send(int fd, const struct message *message, int limit_ms);

/* Connects to the socket at PATH: 0, or -errno. */
int unix_connect(const char *path, int *fd);

/* -ENODEV if this is not a testbed machine, -EPERM without the privilege to use ports. */
int port_open(void);
/* Stops the emulated machine until the harness has something to say. */
struct message *port_receive(void);
void port_send(const struct message *message);

#endif
