// SPDX-License-Identifier: MIT
/* The emulator's end is emulator/instrument/channel.cc. */
#include "transport.h"

#include <errno.h>
#include <sys/io.h>

enum { PORT_LENGTH = 0xe114, PORT_JITTER = 0xe118, PORT_ID = 0xe11c };
#define DEVICE_ID 0x41534c45u /* "ELSA" */

int port_open(void)
{
	if (ioperm(PORT_LENGTH, PORT_ID + 4 - PORT_LENGTH, 1))
		return -errno;
	return inl(PORT_ID) == DEVICE_ID ? 0 : -ENODEV;
}

/* The loop whose length the harness draws from its seed, to shift all that follows in time. */
static void spin(uint32_t turns)
{
	for (volatile uint32_t turn = 0; turn < turns; turn++)
		;
}

/*
 * The emulator copies up to the end of the page that DATA is in, and says how
 * much. Like the markers (marker.h) these are prefetches of addresses of ours.
 */
static uint32_t copy_to_agent(char *data, uint32_t length)
{
	uint64_t moved = 0;

	*(volatile char *)data = 0; /* the page must be there, and ours to write */
	asm volatile("prefetcht2 0xffffffffe1150003" : "+a"(moved) : "D"(data), "S"((uint64_t)length) : "memory");
	return moved;
}

static uint32_t copy_from_agent(const char *data, uint32_t length)
{
	uint64_t moved = 0;

	(void)*(const volatile char *)data;
	asm volatile("prefetcht2 0xffffffffe1150004" : "+a"(moved) : "D"(data), "S"((uint64_t)length) : "memory");
	return moved;
}

struct message *port_receive(void)
{
	uint32_t length = inl(PORT_LENGTH);
	struct message *message = message_new(0, length); /* the header is among these bytes: room to spare */

	for (uint32_t done = 0; done < length;)
		done += copy_to_agent((char *)message + done, length - done);
	((char *)message)[length] = 0;
	spin(inl(PORT_JITTER));
	return message;
}

void port_send(const struct message *message)
{
	uint32_t length = sizeof(*message) + message->length;

	outl(length, PORT_LENGTH);
	for (uint32_t done = 0; done < length;)
		done += copy_from_agent((const char *)message + done, length - done);
}
