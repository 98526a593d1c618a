/* SPDX-License-Identifier: MIT */
/*
 * Requests and replies of the agent: one header, then LENGTH bytes.
 * The harness (harness/channel.py) has the same numbers. Little-endian.
 */
#ifndef TESTBED_MESSAGE_H
#define TESTBED_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#define MESSAGE_MAX (256u << 20) /* bytes; a bound on what a broken peer can make us allocate */

struct message {
	uint32_t op;     /* request: enum op; reply: 0, or a positive errno */
	uint32_t a, b;   /* what they mean is said at each op */
	uint32_t length; /* bytes of DATA */
	char data[];     /* one NUL behind it, not counted, so that strings end */
};

/* Strings in DATA end with NUL; what follows the last string is bytes. */
enum op {
	OP_HELLO = 1,  /* reply: a = pid of the agent, data = uname -r */
	OP_SPAWN = 2,  /* data = shell command; reply: a = job. It leads a process group. */
	OP_WAIT = 3,   /* a = job, b = limit in ms; reply: a = exit code, 256 + signal if killed,
			* data = u32 bytes of stdout, stdout, stderr. After it the job is gone.
			* ETIMEDOUT: data likewise, what there is so far; the job goes on. */
	OP_KILL = 4,   /* a = job, b = signal, to its process group */
	OP_WRITE = 5,  /* a = mode, b = 1 to append; data = path, bytes */
	OP_READ = 6,   /* a = offset, b = most bytes; data = path; reply: data */
	OP_EXPECT = 7, /* b = limit in ms; a = offset to begin at; data = path, extended regular
			* expression. Waits for a whole line that matches; reply: a = offset behind
			* it, data = the line. ETIMEDOUT if none comes. */
	OP_RELAY = 8,  /* b = limit in ms; data = path of a socket, request; reply: data = reply
			* of the agent behind that socket */
	OP_CLOSE = 9,  /* data = path of a socket: forget the connection of OP_RELAY */
};

/* A reply with room for LENGTH bytes; never NULL (the agent ends if memory does). */
struct message *message_new(uint32_t op, uint32_t length);

#endif
