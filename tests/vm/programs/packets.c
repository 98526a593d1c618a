// SPDX-License-Identifier: MIT
/*
 * packets send DEVICE MAC BYTES BATCH            sends frames to MAC, until it is killed
 * packets receive DEVICE BATCH SKIPPED COUNTED   receives them, and answers to whoever sends
 *
 * What a socket costs a packet: AF_PACKET, sendmmsg and recvmmsg. Region "packets" begins when SKIPPED packets have
 * come and ends COUNTED later. One that is lost, comes twice or out of order, or has other contents than it was sent
 * with, ends the receiver. The sender is never more than WINDOW packets ahead: else stock queues drop some.
 */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include "marker.h"
#include "program.h"

#define PROTOCOL 0x88b5 /* for experiments; to the answers the next one */
#define WINDOW 512      /* QEMU's and the kernel's queues have 256 and more places */
#define BATCH_MAX 256
#define BYTES_MAX 1518

struct frame {
	uint8_t to[ETH_ALEN], from[ETH_ALEN];
	uint16_t protocol;
	uint16_t bytes;
	uint64_t number;
	uint8_t rest[];
} __attribute__((packed));

static uint8_t memory[BATCH_MAX][BYTES_MAX + 2];
static struct mmsghdr messages[BATCH_MAX];
static struct iovec parts[BATCH_MAX];

static int open_device(const char *device, uint16_t protocol)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_protocol = htons(protocol) };
	int file = socket(AF_PACKET, SOCK_RAW, htons(protocol)), bytes = 32 << 20;

	address.sll_ifindex = (int)if_nametoindex(device);
	if (file < 0 || !address.sll_ifindex)
		die("no device %s: %s", device, strerror(errno));
	if (bind(file, (struct sockaddr *)&address, sizeof(address)))
		die("bind to %s: %s", device, strerror(errno));
	if (setsockopt(file, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)))
		die("SO_RCVBUFFORCE: %s", strerror(errno));
	for (int i = 0; i < BATCH_MAX; i++) {
		parts[i] = (struct iovec){ memory[i], sizeof(memory[i]) };
		messages[i].msg_hdr.msg_iov = &parts[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	return file;
}

static void device_address(const char *device, uint8_t mac[ETH_ALEN])
{
	char path[64], text[18] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/sys/class/net/%.15s/address", device);
	file = fopen(path, "r");
	if (!file || !fgets(text, sizeof(text), file) ||
	    sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4], &mac[5]) != 6)
		die("%s: no address", path);
	fclose(file);
}

/* Differs from packet to packet, and from word to word. */
static uint8_t content(uint64_t number, size_t at)
{
	return (uint8_t)(number * 31 + at);
}

/* The number of packets that the receiver says it has. */
static uint64_t answer(int file, int flags)
{
	static uint64_t newest;
	uint8_t bytes[ETH_ZLEN + 4] = "";
	struct frame *frame = (struct frame *)bytes;

	while (recv(file, bytes, sizeof(bytes), flags) >= (ssize_t)sizeof(*frame)) {
		newest = frame->number > newest ? frame->number : newest;
		flags = MSG_DONTWAIT;
	}
	return newest;
}

static void send_all(int file, int count)
{
	for (int done = 0; done < count;) {
		int sent = sendmmsg(file, &messages[done], (unsigned int)(count - done), 0);

		if (sent < 0 && errno != ENOBUFS && errno != EINTR)
			die("sendmmsg: %s", strerror(errno));
		done += sent > 0 ? sent : 0;
	}
}

static int run_sender(const char *device, const char *to, size_t bytes, int batch)
{
	int file = open_device(device, PROTOCOL + 1);
	struct frame head = { .protocol = htons(PROTOCOL), .bytes = htons((uint16_t)bytes) };

	if (batch < 1 || batch > BATCH_MAX || bytes < ETH_ZLEN || bytes > BYTES_MAX)
		die("BATCH is 1 to %d, BYTES %d to %d", BATCH_MAX, ETH_ZLEN, BYTES_MAX);
	if (sscanf(to, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &head.to[0], &head.to[1], &head.to[2], &head.to[3], &head.to[4],
		   &head.to[5]) != 6)
		die("no address: %s", to);
	device_address(device, head.from);
	for (int i = 0; i < batch; i++) {
		memcpy(memory[i], &head, sizeof(head));
		parts[i].iov_len = bytes;
	}
	for (uint64_t number = 0, known = 0;; number += (unsigned int)batch) {
		for (int i = 0; i < batch; i++) {
			struct frame *frame = (struct frame *)memory[i];

			frame->number = number + (unsigned int)i;
			frame->rest[0] = content(frame->number, 0);
			memory[i][bytes - 1] = content(frame->number, bytes - 1);
		}
		while (number + (unsigned int)batch - known > WINDOW)
			known = answer(file, 0);
		send_all(file, batch);
	}
}

static void check(const struct frame *frame, size_t bytes, uint64_t number)
{
	if (frame->number != number)
		die("packet %lu instead of %lu", (unsigned long)frame->number, (unsigned long)number);
	if (ntohs(frame->bytes) != bytes)
		die("packet %lu has %zu bytes instead of %u", (unsigned long)number, bytes, ntohs(frame->bytes));
	if (frame->rest[0] != content(number, 0) || ((const uint8_t *)frame)[bytes - 1] != content(number, bytes - 1))
		die("packet %lu has other contents", (unsigned long)number);
}

static void send_answer(int file, const struct frame *frame, uint64_t number)
{
	uint8_t bytes[ETH_ZLEN] = "";
	struct frame *reply = (struct frame *)bytes;

	memcpy(reply->to, frame->from, ETH_ALEN);
	memcpy(reply->from, frame->to, ETH_ALEN);
	reply->protocol = htons(PROTOCOL + 1);
	reply->number = number;
	if (send(file, bytes, sizeof(bytes), 0) != sizeof(bytes))
		die("send: %s", strerror(errno));
}

static int run_receiver(const char *device, int batch, uint64_t skipped, uint64_t counted)
{
	int file = open_device(device, PROTOCOL);
	uint64_t number = 0, answered = 0;

	if (batch < 1 || batch > BATCH_MAX)
		die("BATCH is 1 to %d", BATCH_MAX);
	marker_name(8, "packets");
	puts("ready");
	fflush(stdout);
	for (int running = 0; number < skipped + counted;) {
		int got = recvmmsg(file, messages, (unsigned int)batch, MSG_WAITFORONE, NULL);

		if (got < 0)
			die("recvmmsg: %s", strerror(errno));
		for (int i = 0; i < got; i++)
			check((const struct frame *)memory[i], messages[i].msg_len, number++);
		if (!running && number >= skipped) {
			skipped = number; /* counted from the next one on */
			running = 1;
			marker_begin(8);
		}
		if (number - answered >= WINDOW / 4) {
			answered = number;
			send_answer(file, (const struct frame *)memory[0], number);
		}
	}
	marker_end(8);
	printf("counted %lu\n", (unsigned long)(number - skipped));
	return 0;
}

int main(int count, char **arguments)
{
	if (count == 6 && !strcmp(arguments[1], "send"))
		return run_sender(arguments[2], arguments[3], number(arguments[4]), (int)number(arguments[5]));
	if (count == 6 && !strcmp(arguments[1], "receive"))
		return run_receiver(arguments[2], (int)number(arguments[3]), number(arguments[4]),
				    number(arguments[5]));
	die("packets send DEVICE MAC BYTES BATCH | receive DEVICE BATCH SKIPPED COUNTED");
}
