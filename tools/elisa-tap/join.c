// SPDX-License-Identifier: MIT
/*
 * One thread carries all that comes from the switch, and what the device's first queue sends; a device with more queues
 * has a thread for each other one. With nothing to do the first sleeps in one poll() for both sides.
 */
#include "join.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct sender {
	struct join *join;
	struct port *port;
	pthread_t thread;
	unsigned int queue;
	int end; /* eventfd: readable when it is to end */
	int error;
};

static void count(uint64_t *counter, uint64_t more)
{
	__atomic_fetch_add(counter, more, __ATOMIC_RELAXED);
}

/*
 * A call that was cut short may have lost packets, which networks do; the port is as it was. ECANCELED: a queue's lock
 * was taken from it, as its vCPU was not let run for a while.
 */
static bool is_cut(int error)
{
	return error == -EINTR || error == -ETIME || error == -ECANCELED;
}

/* Up to a burst from the device to the switch: how many, or -errno. */
static int to_switch(struct join *join, struct port *port, unsigned int queue)
{
	uint32_t most = port->tx[queue].size < JOIN_BURST ? port->tx[queue].size : JOIN_BURST, packets = 0;
	int error;

	while (packets < most) {
		ssize_t bytes = read(join->devices[queue], port_tx_buffer(port, queue, packets), port->tx_bytes);

		if (bytes < 0 && errno != EAGAIN && errno != EINTR) {
			__atomic_store_n(&join->device_error, errno, __ATOMIC_RELAXED);
			return -EIO;
		}
		if (bytes <= 0)
			break;
		port_tx_set(port, queue, packets++, (uint32_t)bytes);
	}
	if (!packets)
		return 0;
	error = port_send(port, queue, packets);
	if (error && !is_cut(error))
		return error;
	count(&join->counts.cut, error != 0);
	count(&join->counts.to_switch, packets);
	return (int)packets;
}

/* Up to a burst from the switch to the device: how many. A place holds a whole packet, so each part is one. */
static uint32_t from_switch(struct join *join, struct port *port, unsigned int queue)
{
	static struct port_part parts[JOIN_BURST]; /* one thread receives */
	uint32_t got = port_receive(port, queue, parts, JOIN_BURST), taken = 0, refused = 0;

	for (uint32_t i = 0; i < got; i++) {
		if (!parts[i].bytes) /* a place that was of no use */
			continue;
		if (write(join->devices[queue], parts[i].data, parts[i].bytes) < 0)
			refused++;
		else
			taken++;
	}
	if (got)
		port_release(port, queue, got);
	count(&join->counts.refused, refused);
	count(&join->counts.from_switch, taken);
	return got;
}

static void *send_all(void *argument)
{
	struct sender *sender = argument;
	struct pollfd ready[2] = {
		{ .fd = sender->join->devices[sender->queue], .events = POLLIN },
		{ .fd = sender->end, .events = POLLIN },
	};

	while (!ready[1].revents) {
		int sent = to_switch(sender->join, sender->port, sender->queue);

		if (sent < 0) {
			__atomic_store_n(&sender->error, sent, __ATOMIC_RELAXED);
			return NULL;
		}
		/* Also without a pause: whether it is to end. */
		poll(ready, 2, sent ? 0 : -1);
	}
	return NULL;
}

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Is the port still there? A sender's answer, or the switch's. */
static int look(struct join *join, struct port *port, struct sender *senders)
{
	struct vswitch_counters counters;
	int error;

	for (unsigned int queue = 1; queue < join->queues; queue++) {
		error = __atomic_load_n(&senders[queue].error, __ATOMIC_RELAXED);
		if (error)
			return error;
	}
	error = port_counters(port, &counters);
	if (error && !is_cut(error))
		return error;
	if (!error && join->tick)
		join->tick(&counters);
	return 0;
}

static void rest(struct join *join, struct port *port, long limit_ms)
{
	struct pollfd ready[3] = {
		{ .fd = join->devices[0], .events = POLLIN },
		{ .fd = port_fd(port), .events = POLLIN },
		{ .fd = join->stop_fd, .events = POLLIN },
	};

	if (!port_arm(port)) {
		poll(ready, 3, (int)limit_ms);
		count(&join->counts.sleeps, 1);
	}
	port_disarm(port);
}

static int carry(struct join *join, struct port *port, struct sender *senders)
{
	long next = now_ms() + join->limit_ms;

	while (!*join->stop) {
		int moved = to_switch(join, port, 0), error;
		long now = now_ms();

		if (moved < 0)
			return moved;
		for (unsigned int queue = 0; queue < join->queues; queue++)
			moved += (int)from_switch(join, port, queue);
		if (now >= next) {
			error = look(join, port, senders);
			if (error)
				return error;
			next = now + join->limit_ms;
		}
		if (!moved)
			rest(join, port, next - now);
	}
	return 0;
}

int join_run(struct join *join, struct port *port)
{
	struct sender senders[VSWITCH_QUEUES_MAX] = {};
	unsigned int started = 1;
	int end = eventfd(0, EFD_CLOEXEC), error = end < 0 ? -errno : 0;

	for (; !error && started < join->queues; started++) {
		senders[started] = (struct sender){ .join = join, .port = port, .queue = started, .end = end };
		error = -pthread_create(&senders[started].thread, NULL, send_all, &senders[started]);
		if (error)
			break;
	}
	if (!error)
		error = carry(join, port, senders);
	if (end >= 0)
		eventfd_write(end, 1);
	for (unsigned int queue = 1; queue < started; queue++)
		pthread_join(senders[queue].thread, NULL);
	if (end >= 0)
		close(end);
	return error;
}
