// SPDX-License-Identifier: MIT
/*
 * What elisa-tap carries between a device and a port: the device is a pair of sockets, the port a fake that brings back
 * all that is sent, to the same queue, and can be made to end.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "join.h"

#define SLOTS 16
#define PLACE 2048
#define QUEUES 3

static struct fake {
	struct port port;
	int woken;  /* eventfd */
	int answer; /* of port_send and port_counters, if not 0 */
	int cuts;   /* calls that are cut short */
	unsigned int looks;
	pthread_mutex_t lock;
} fake = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct join join;
static volatile sig_atomic_t stop;
static int devices[QUEUES], kernels[QUEUES]; /* ours, and what the kernel would have */

/* --- the port */

int port_send(struct port *port, uint32_t queue, uint32_t count)
{
	struct port_rx *rx = &port->rx[queue];
	int waits = 0, cut;

	if (fake.answer)
		return fake.answer;
	pthread_mutex_lock(&fake.lock);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t filled = rx->ring->filled, posted = __atomic_load_n(&rx->ring->posted, __ATOMIC_ACQUIRE);

		if (filled == posted)
			break; /* full: dropped */
		memcpy(rx->places + (filled & rx->mask) * PLACE, port_tx_buffer(port, queue, i),
		       port->tx[queue].slots[i].bytes);
		rx->ring->slots[filled & rx->mask].bytes = port->tx[queue].slots[i].bytes;
		__atomic_store_n(&rx->ring->filled, filled + 1, __ATOMIC_SEQ_CST);
	}
	for (int each = 0; each < QUEUES; each++)
		waits |= (int)__atomic_exchange_n(&port->rx[each].ring->waits, 0, __ATOMIC_SEQ_CST);
	cut = fake.cuts > 0 ? fake.cuts-- : 0;
	pthread_mutex_unlock(&fake.lock);
	if (waits)
		eventfd_write(fake.woken, 1);
	return cut ? -EINTR : 0;
}

int port_counters(struct port *port, struct vswitch_counters *counters)
{
	(void)port;
	fake.looks++;
	*counters = (struct vswitch_counters){ .notified = fake.looks };
	return fake.answer;
}

bool port_arm(struct port *port)
{
	bool pending = false;

	for (unsigned int queue = 0; queue < QUEUES; queue++)
		__atomic_store_n(&port->rx[queue].ring->waits, 1, __ATOMIC_SEQ_CST);
	for (unsigned int queue = 0; queue < QUEUES; queue++)
		pending |= port_pending(port, queue);
	return pending;
}

void port_disarm(struct port *port)
{
	eventfd_t woken;

	for (unsigned int queue = 0; queue < QUEUES; queue++)
		__atomic_store_n(&port->rx[queue].ring->waits, 0, __ATOMIC_SEQ_CST);
	eventfd_read(fake.woken, &woken);
}

int port_fd(const struct port *port)
{
	(void)port;
	return fake.woken;
}

/* --- the test */

static void *run(void *result)
{
	*(int *)result = join_run(&join, &fake.port);
	return NULL;
}

static void end(void)
{
	stop = 1;
	eventfd_write(join.stop_fd, 1);
}

static int setup(void **state)
{
	(void)state;
	fake.woken = eventfd(0, EFD_NONBLOCK);
	fake.answer = fake.cuts = 0;
	fake.looks = 0;
	fake.port = (struct port){ .place_bytes = PLACE, .tx_bytes = PLACE };
	stop = 0;
	join = (struct join){
		.devices = devices, .queues = QUEUES, .stop = &stop, .stop_fd = eventfd(0, 0), .limit_ms = 20
	};
	for (int queue = 0; queue < QUEUES; queue++) {
		struct port_rx *rx = &fake.port.rx[queue];
		struct port_tx *tx = &fake.port.tx[queue];
		int pair[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
		devices[queue] = pair[0];
		kernels[queue] = pair[1];
		rx->ring = calloc(1, sizeof(*rx->ring) + SLOTS * sizeof(struct vswitch_slot));
		rx->places = calloc(SLOTS, PLACE);
		rx->mask = SLOTS - 1;
		tx->slots = calloc(SLOTS, sizeof(*tx->slots));
		tx->buffers = calloc(SLOTS, PLACE);
		tx->size = SLOTS;
		port_release(&fake.port, (uint32_t)queue, SLOTS);
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (int queue = 0; queue < QUEUES; queue++) {
		close(devices[queue]);
		close(kernels[queue]);
		free(fake.port.rx[queue].ring);
		free(fake.port.rx[queue].places);
		free(fake.port.tx[queue].slots);
		free(fake.port.tx[queue].buffers);
	}
	close(fake.woken);
	close(join.stop_fd);
	return 0;
}

/* The next packet that the kernel gets, within a second. */
static ssize_t get(int queue, char *packet)
{
	for (int i = 0; i < 1000; i++) {
		ssize_t bytes = read(kernels[queue], packet, PLACE);

		if (bytes >= 0)
			return bytes;
		usleep(1000);
	}
	return -1;
}

/* All queues bring back what they are given, in order and whole, in bursts and one by one. */
static void carries(void **state)
{
	pthread_t thread;
	int result = 1;

	(void)state;
	pthread_create(&thread, NULL, run, &result);
	for (int round = 0; round < 200; round++) {
		int burst = round % (SLOTS / 2) + 1, queue = round % QUEUES;
		char packet[PLACE], got[PLACE];

		if (round % 50 == 0)
			usleep(50000); /* it sleeps */
		for (int i = 0; i < burst; i++) {
			memset(packet, round + i, sizeof(packet));
			assert_int_equal(write(kernels[queue], packet, (size_t)(60 + round + i)), 60 + round + i);
		}
		for (int i = 0; i < burst; i++) {
			memset(packet, round + i, sizeof(packet));
			assert_int_equal(get(queue, got), 60 + round + i);
			assert_memory_equal(got, packet, (size_t)(60 + round + i));
		}
	}
	end();
	pthread_join(thread, NULL);
	assert_int_equal(result, 0);
	assert_int_equal(join.counts.to_switch, join.counts.from_switch);
	assert_int_equal(join.counts.refused, 0);
	assert_true(join.counts.sleeps > 0);
	assert_true(fake.looks > 0);
}

/* An idle one sleeps: it wakes only to look whether the port is there. */
static void sleeps(void **state)
{
	pthread_t thread;
	int result = 1;

	(void)state;
	pthread_create(&thread, NULL, run, &result);
	usleep(300000);
	end();
	pthread_join(thread, NULL);
	assert_int_equal(result, 0);
	assert_in_range(join.counts.sleeps, 2, 40);
}

static void ends_with(int error)
{
	int result = 1;

	fake.answer = error;
	run(&result);
	assert_int_equal(result, error);
	assert_int_equal(join.device_error, 0);
}

/* An idle one notices too that the port has gone. */
static void ends_when_the_port_has_gone(void **state)
{
	(void)state;
	ends_with(-ESHUTDOWN);
	ends_with(-ENOTCONN);
	assert_int_equal(write(kernels[0], "0123456789abcdef", 16), 16);
	ends_with(-ESHUTDOWN);
	assert_int_equal(write(kernels[QUEUES - 1], "0123456789abcdef", 16), 16);
	ends_with(-ENODEV);
}

static void a_call_that_is_cut_is_no_end(void **state)
{
	pthread_t thread;
	char got[PLACE];
	int result = 1;

	(void)state;
	fake.cuts = 2;
	pthread_create(&thread, NULL, run, &result);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(write(kernels[0], "0123456789abcdef", 16), 16);
		assert_int_equal(get(0, got), 16);
	}
	end();
	pthread_join(thread, NULL);
	assert_int_equal(result, 0);
	assert_int_equal(join.counts.cut, 2);
}

static void ends_when_the_device_has_gone(void **state)
{
	int result = 1, device = devices[0];

	(void)state;
	devices[0] = -1;
	run(&result);
	devices[0] = device;
	assert_int_equal(result, -EIO);
	assert_int_equal(join.device_error, EBADF);
}

/* What the device does not take is counted; what the switch could not fill is no packet. */
static void refused(void **state)
{
	struct port_rx *rx = &fake.port.rx[0];
	pthread_t thread;
	int result = 1;

	(void)state;
	shutdown(kernels[0], SHUT_RD);
	signal(SIGPIPE, SIG_IGN);
	rx->ring->slots[0].bytes = 0;
	rx->ring->slots[1].bytes = 64;
	rx->ring->filled = 2;
	pthread_create(&thread, NULL, run, &result);
	for (unsigned int i = 0; i < 1000 && !__atomic_load_n(&join.counts.refused, __ATOMIC_RELAXED); i++)
		usleep(1000);
	end();
	pthread_join(thread, NULL);
	assert_int_equal(join.counts.refused, 1);
	assert_int_equal(join.counts.from_switch, 0);
	assert_int_equal(rx->ring->posted, SLOTS + 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(carries, setup, teardown),
		cmocka_unit_test_setup_teardown(sleeps, setup, teardown),
		cmocka_unit_test_setup_teardown(ends_when_the_port_has_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(a_call_that_is_cut_is_no_end, setup, teardown),
		cmocka_unit_test_setup_teardown(ends_when_the_device_has_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
