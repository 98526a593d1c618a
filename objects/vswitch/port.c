// SPDX-License-Identifier: MIT
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <elisa/layout.h>

#include "port.h"

#define RX_SLOTS 256
#define TX_SLOTS 64
#define TAGS_BYTES 8
#define LINE 64u

_Static_assert(ELISA_EXCHANGE_FIRST == 0x100, "port_where");

const char *port_error(int error)
{
	switch (-error) {
	case ENOTCONN:
		return "the port is closed";
	case ENOSPC:
		return "the switch has no port left";
	case EDQUOT:
		return "this client has as many ports as it may have (elisa-vswitch --ports-each)";
	case EEXIST:
		return "another port has that name";
	case EADDRINUSE:
		return "another port has that address";
	case EINVAL:
		return "a size, name, address or MTU that the switch does not take";
	case EFAULT:
		return "memory that is not shared with the switch";
	case EPERM:
		return "the manager does not allow that address, or promiscuous mode";
	case EROFS:
		return "this client may not write the switch, or it is of another version";
	case ESHUTDOWN:
		return "the switch was withdrawn";
	case ETIME:
		return "the call took too long";
	case E2BIG:
		return "rings and buffers of more than 64 MiB";
	default:
		return strerror(-error);
	}
}

static size_t take(size_t *at, size_t bytes)
{
	size_t begin = *at;

	*at += (bytes + LINE - 1) & ~(size_t)(LINE - 1);
	return begin;
}

/* Lays everything out, for a memory that begins at port->memory: how much it takes. */
static size_t lay_out(struct port *port, uint32_t rx_slots, uint32_t tx_slots)
{
	const struct vswitch_config *config = &port->config;
	size_t at = 0;

	take(&at, sizeof(struct vswitch_config));
	take(&at, sizeof(struct vswitch_counters));
	for (uint32_t queue = 0; queue < config->rx_queues; queue++) {
		struct port_rx *rx = &port->rx[queue];

		rx->mask = rx_slots - 1;
		rx->ring = (void *)(port->memory +
				    take(&at, sizeof(*rx->ring) + (size_t)rx_slots * sizeof(struct vswitch_slot)));
		rx->places = port->memory + take(&at, (size_t)rx_slots * port->place_bytes);
	}
	for (uint32_t queue = 0; queue < config->tx_queues; queue++) {
		struct port_tx *tx = &port->tx[queue];

		tx->size = tx_slots;
		tx->slots = (void *)(port->memory + take(&at, (size_t)tx_slots * sizeof(struct vswitch_slot)));
		tx->buffers = port->memory + take(&at, (size_t)tx_slots * port->tx_bytes);
	}
	return (at + ELISA_PAGE - 1) & ~(ELISA_PAGE - 1);
}

static void post_all(struct port *port, uint32_t queue)
{
	struct port_rx *rx = &port->rx[queue];

	for (uint32_t slot = 0; slot <= rx->mask; slot++)
		rx->ring->slots[slot].where = port_where(port, rx->places + (size_t)slot * port->place_bytes);
	port_release(port, queue, rx->mask + 1);
}

/* What is asked of the switch, but for where things lie. */
static int configure(struct port *port, const struct port_options *options)
{
	struct vswitch_config *config = &port->config;
	const char *name = options->name ? options->name : "";

	if (strlen(name) >= sizeof(config->name))
		return -EINVAL;
	memcpy(config->name, name, strlen(name));
	memcpy(config->mac, options->mac, sizeof(config->mac));
	config->mtu = options->mtu ? options->mtu : 1500;
	config->flags = options->flags;
	config->rx_queues = options->rx_queues ? options->rx_queues : 1;
	config->tx_queues = options->tx_queues ? options->tx_queues : 1;
	if (config->rx_queues > VSWITCH_QUEUES_MAX || config->tx_queues > VSWITCH_QUEUES_MAX || config->mtu > 9000)
		return -EINVAL;
	port->tx_bytes = (VSWITCH_PACKET_MAX + LINE - 1) & ~(LINE - 1);
	port->place_bytes = (options->place_bytes ? options->place_bytes : config->mtu + 14u + TAGS_BYTES);
	port->place_bytes = (port->place_bytes + LINE - 1) & ~(LINE - 1);
	return 0;
}

static int share(struct port *port, const struct port_options *options)
{
	uint32_t rx_slots = options->rx_slots ? options->rx_slots : RX_SLOTS;
	uint32_t tx_slots = options->tx_slots ? options->tx_slots : TX_SLOTS;
	int error;

	if (rx_slots & (rx_slots - 1) || rx_slots > VSWITCH_RING_MAX || tx_slots > VSWITCH_BURST_MAX)
		return -EINVAL;
	port->bytes = lay_out(port, rx_slots, tx_slots);
	if (port->bytes > ELISA_EXCHANGE_BYTES)
		return -E2BIG;
	/* Shared, so that a child of fork() leaves the pages that are pinned with its parent. */
	port->memory =
		mmap(NULL, port->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (port->memory == MAP_FAILED) {
		port->memory = NULL;
		return -errno;
	}
	lay_out(port, rx_slots, tx_slots);
	error = elisa_share(port->attachment, port->memory, port->bytes, ELISA_BUFFER_EXCHANGE, &port->buffer);
	if (error)
		return error;
	for (uint32_t queue = 0; queue < port->config.rx_queues; queue++) {
		post_all(port, queue);
		port->config.rx[queue].where = port_where(port, port->rx[queue].ring);
		port->config.rx[queue].size = rx_slots;
	}
	for (uint32_t queue = 0; queue < port->config.tx_queues; queue++) {
		port->config.tx[queue].where = port_where(port, port->tx[queue].slots);
		port->config.tx[queue].size = tx_slots;
	}
	return 0;
}

static int find(struct port *port, struct elisa_function *open)
{
	struct {
		const char *name;
		struct elisa_function *function;
	} wanted[] = {
		{ "vswitch_open", open },      { "vswitch_close", &port->close },       { "vswitch_send", &port->send },
		{ "vswitch_set", &port->set }, { "vswitch_counters", &port->counters },
	};
	int error = 0;

	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]) && !error; i++)
		error = elisa_function_find(port->attachment, wanted[i].name, wanted[i].function);
	return error;
}

int port_open(struct port **port, const struct port_options *options)
{
	struct port *new = calloc(1, sizeof(*new));
	struct elisa_function open;
	long number;
	int error;

	if (!new)
		return -ENOMEM;
	error = configure(new, options);
	if (error)
		goto free;
	error = elisa_attach(&new->attachment, options->object ? options->object : "vswitch", options->scheme);
	if (error)
		goto free;
	error = find(new, &open);
	if (!error)
		error = share(new, options);
	if (error)
		goto detach;
	memcpy(new->memory, &new->config, sizeof(new->config));
	number = elisa_call1(&open, port_where(new, new->memory));
	if (number < 0) {
		error = (int)number;
		goto detach;
	}
	memcpy(&new->config, new->memory, sizeof(new->config));
	new->config.port = (uint32_t)number;
	*port = new;
	return 0;
detach:
	elisa_detach(new->attachment);
	if (new->memory)
		munmap(new->memory, new->bytes);
free:
	free(new);
	return error;
}

void port_close(struct port *port)
{
	if (!port)
		return;
	elisa_call1(&port->close, port->config.port);
	elisa_detach(port->attachment);
	munmap(port->memory, port->bytes);
	free(port);
}

int port_set(struct port *port, enum vswitch_set what, uint64_t value)
{
	return (int)elisa_call3(&port->set, port->config.port, what, value);
}

int port_counters(struct port *port, struct vswitch_counters *counters)
{
	struct vswitch_counters *at =
		(void *)(port->memory + ((sizeof(struct vswitch_config) + LINE - 1) & ~(LINE - 1)));
	int error = (int)elisa_call2(&port->counters, port->config.port, port_where(port, at));

	if (!error)
		*counters = *at;
	return error;
}

int port_send(struct port *port, uint32_t queue, uint32_t count)
{
	struct vswitch_slot *slots = port->tx[queue].slots;

	while (count) {
		long done = elisa_call3(&port->send, port->config.port, queue, count);

		if (done < 0)
			return (int)done;
		count -= (uint32_t)done;
		memmove(slots, slots + done, count * sizeof(*slots));
	}
	return 0;
}

static void set_waits(struct port *port, uint32_t waits)
{
	for (uint32_t queue = 0; queue < port->config.rx_queues; queue++)
		__atomic_store_n(&port->rx[queue].ring->waits, waits, __ATOMIC_RELAXED);
}

bool port_arm(struct port *port)
{
	set_waits(port, 1);
	/* The switch writes `filled` and then looks at `waits`; one of us sees the other's: see wake.h. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (uint32_t queue = 0; queue < port->config.rx_queues; queue++) {
		if (port_pending(port, queue))
			return true;
	}
	return false;
}

void port_disarm(struct port *port)
{
	set_waits(port, 0);
	elisa_wait(port->attachment, 0); /* what is left of being woken */
}

int port_fd(const struct port *port)
{
	return elisa_attachment_fd(port->attachment);
}

int port_wait(struct port *port, int limit_ms)
{
	int error = 0;

	/* It may be woken for nothing, then there is still nothing pending. */
	while (!error && !port_arm(port))
		error = elisa_wait(port->attachment, limit_ms);
	set_waits(port, 0);
	return error;
}
