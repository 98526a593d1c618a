// SPDX-License-Identifier: MIT
/*
 * vswitch-peer NAME SCHEME ADDRESS ...: a port of the switch NAME, with the address 02:00:00:00:00:ADDRESS.
 *
 *	sink COUNT              receives so many packets of a source, whole and in order, and says so to it
 *	source TO COUNT BYTES BURST WINDOW
 *	                        sends them; no more than WINDOW are under way
 *	blast TO MS BYTES       sends as fast as it can
 *	hostile MS SEED         calls anything with anything in its memory
 */

#include <stdbool.h>

#include "../../../objects/vswitch/port.h"
#include "../../clock.h"
#include "program.h"

#define SLOTS 256
#define ACK_EACH 16
#define LIMIT_MS 20000 /* without any packet */

struct packet {
	uint8_t to[6], from[6];
	uint8_t type[2], pad[2];
	uint64_t number;
	uint64_t body[];
} __attribute__((packed));

static struct port *port;
static uint64_t waits;

static void set_address(uint8_t mac[6], unsigned long number)
{
	memset(mac, 0, 6);
	mac[0] = 2;
	mac[5] = (uint8_t)number;
}

/* What each word of a packet must be, of this sender. */
static uint64_t word(const struct packet *packet, uint32_t i)
{
	return (packet->number * 0x9e3779b97f4a7c15ull + i) ^ (uint64_t)packet->from[5] << 56;
}

static uint32_t words(uint32_t bytes)
{
	return (uint32_t)((bytes - sizeof(struct packet)) / 8);
}

static void put(uint32_t slot, unsigned long to, uint64_t number, uint32_t bytes)
{
	struct packet *packet = (void *)port_tx_buffer(port, 0, slot);

	set_address(packet->to, to);
	memcpy(packet->from, port->config.mac, 6);
	packet->type[0] = 0x88;
	packet->type[1] = 0xb5;
	packet->number = number;
	for (uint32_t i = 0; i < words(bytes); i++)
		packet->body[i] = word(packet, i);
	port_tx_set(port, 0, slot, bytes);
}

/* All words are those that the sender of such a packet puts into it. */
static bool whole(const struct packet *packet, uint32_t bytes)
{
	for (uint32_t i = 0; i < words(bytes); i++) {
		if (packet->body[i] != word(packet, i))
			return false;
	}
	return true;
}

/*
 * NULL: a hostile client's, which sends anything to all. Dies if a packet of ours is not what its sender has put
 * together, or somebody else's. One that should have been ours and came as something else will be missed.
 */
static const struct packet *check(const struct port_part *part)
{
	static const uint8_t honest[5] = { 2 };
	const struct packet *packet = (const void *)part->data;
	bool ours;

	if (part->more || part->bytes < sizeof(*packet) + 8 || memcmp(packet->from, honest, sizeof(honest)) ||
	    packet->type[0] != 0x88 || packet->type[1] != 0xb5)
		return NULL;
	ours = !memcmp(packet->to, port->config.mac, 6);
	if (whole(packet, part->bytes) != ours)
		die("packet %lu of %u: %s", packet->number, packet->from[5],
		    ours ? "it is not whole" : "it is not ours");
	return ours ? packet : NULL;
}

/* Waits for packets: up to so many, at least one. */
static uint32_t receive(struct port_part *parts, uint32_t max)
{
	uint32_t count;

	while (!(count = port_receive(port, 0, parts, max))) {
		int error = port_wait(port, LIMIT_MS);

		if (error)
			die("waiting: %s", port_error(error));
		waits++;
	}
	return count;
}

static void send_one(unsigned long to, uint64_t number)
{
	int error;

	put(0, to, number, 64);
	error = port_send(port, 0, 1);
	if (error)
		die("send: %s", port_error(error));
}

static void sink(unsigned long wanted)
{
	struct port_part parts[64];
	uint64_t got = 0, said = 0;

	while (got < wanted) {
		uint32_t count = receive(parts, 64);
		unsigned long from = 0;

		for (uint32_t i = 0; i < count; i++) {
			const struct packet *packet = check(&parts[i]);

			if (!packet || packet->number == ~0ull) /* a blast's */
				continue;
			if (packet->number != got)
				die("packet %lu after %lu", packet->number, got);
			got++;
			from = packet->from[5];
		}
		port_release(port, 0, count);
		if (from && (got - said >= ACK_EACH || got == wanted || !port_pending(port, 0))) {
			send_one(from, got);
			said = got;
		}
	}
	printf("received %lu waits %lu\n", got, waits);
}

static void source(unsigned long to, unsigned long wanted, unsigned long bytes, unsigned long burst,
		   unsigned long window)
{
	uint64_t sent = 0, confirmed = 0;
	struct port_part parts[64];

	if (bytes < sizeof(struct packet) + 8 || bytes > 9000 || burst > VSWITCH_BURST_MAX || window > SLOTS)
		die("sizes");
	while (confirmed < wanted) {
		uint64_t room = confirmed + window - sent, left = wanted - sent;
		uint32_t count = (uint32_t)(burst < room ? burst : room);
		int error;

		count = count < left ? count : (uint32_t)left;
		for (uint32_t i = 0; i < count; i++)
			put(i, to, sent + i, (uint32_t)bytes);
		error = count ? port_send(port, 0, count) : 0;
		if (error)
			die("send: %s", port_error(error));
		sent += count;
		if (count && sent < confirmed + window && sent < wanted && !port_pending(port, 0))
			continue;
		count = receive(parts, 64);
		for (uint32_t i = 0; i < count; i++) {
			const struct packet *packet = check(&parts[i]);

			if (packet && packet->from[5] == to && packet->number != ~0ull)
				confirmed = packet->number;
		}
		port_release(port, 0, count);
	}
	printf("sent %lu waits %lu\n", sent, waits);
}

static void blast(unsigned long to, unsigned long ms, unsigned long bytes)
{
	uint64_t end = now_us() + ms * 1000, sent = 0;

	while (now_us() < end) {
		int error;

		for (uint32_t i = 0; i < 32; i++)
			put(i, to, ~0ull, (uint32_t)bytes);
		error = port_send(port, 0, 32);
		if (error)
			die("send: %s", port_error(error));
		sent += 32;
	}
	printf("sent %lu\n", sent);
}

static uint64_t next(uint64_t *random)
{
	*random ^= *random << 13;
	*random ^= *random >> 7;
	*random ^= *random << 17;
	return *random;
}

/* Its memory is anything, with now and then a descriptor that is nearly right; so is what it calls. */
static void hostile(unsigned long ms, uint64_t seed)
{
	const struct elisa_function *functions[] = { &port->send, &port->set, &port->counters, &port->close };
	uint64_t end = now_us() + ms * 1000, random = seed * 2 + 1, calls = 0, *memory = (void *)port->memory;

	while (now_us() < end) {
		for (uint32_t i = 0; i < 64; i++) {
			uint64_t what = next(&random), at = next(&random) % (port->bytes / 8);
			uint64_t where = port_where(port, port->memory + what % port->bytes);

			memory[at] = what & 1 ? what : what & 2 ? where : what >> 48;
			port->tx[0].slots[i].where = what & 4 ? where : what;
			port->tx[0].slots[i].bytes = what & 8 ? (uint32_t)(what >> 50) : (uint32_t)(what >> 32);
			port->tx[0].slots[i].flags = what >> 60 & 1;
			port->rx[0].ring->slots[what >> 16 & port->rx[0].mask].where = where;
		}
		for (uint32_t i = 0; i < 16; i++) {
			uint64_t what = next(&random), number = what & 0xf0 ? port->config.port : what >> 40;
			const struct elisa_function *function = functions[(what >> 8 & 31) < 3 ? what >> 8 & 3 : 0];

			elisa_call4(function, number, what >> 16 & 1, what >> 20 & 0x3f, next(&random));
			calls++;
		}
	}
	printf("called %lu times\n", calls);
}

int main(int count, char **arguments)
{
	struct port_options options = { .rx_slots = SLOTS, .tx_slots = VSWITCH_BURST_MAX };
	struct vswitch_counters counters;
	unsigned long value[5] = { 0 };
	int error;

	if (count < 6)
		die("vswitch-peer NAME SCHEME ADDRESS sink|source|blast|hostile ...");
	setvbuf(stdout, NULL, _IOLBF, 0);
	options.object = arguments[1];
	options.scheme = strcmp(arguments[2], "gate") ? ELISA_BY_VMCALL : ELISA_BY_GATE;
	set_address(options.mac, number(arguments[3]));
	for (int i = 0; i < 5 && i + 5 < count; i++)
		value[i] = number(arguments[i + 5]);
	error = port_open(&port, &options);
	if (error)
		die("open: %s (%s)", port_error(error), elisa_reason());
	printf("open %u\n", port->config.port);
	if (!strcmp(arguments[4], "sink"))
		sink(value[0]);
	else if (!strcmp(arguments[4], "source"))
		source(value[0], value[1], value[2], value[3], value[4]);
	else if (!strcmp(arguments[4], "blast"))
		blast(value[0], value[1], value[2]);
	else
		hostile(value[0], value[1]);
	error = port_counters(port, &counters);
	if (!error)
		printf("counted rx %lu tx %lu notified %lu\n", counters.rx_packets, counters.tx_packets,
		       counters.notified);
	port_close(port);
	return 0;
}
