/* SPDX-License-Identifier: MIT */
/*
 * The control channel: I/O ports through which the agent in the emulated host
 * takes a message from the harness and gives one back. The bytes themselves
 * are copied straight to and from its memory, a page at a time: a string
 * instruction on a port would cost 100 ns of real time a word.
 *
 * Reading LENGTH stops the whole emulated machine until the harness has sent
 * something. Emulated time therefore passes only while a message is being
 * worked on, and how fast the harness answers changes nothing: a run is a
 * function of the messages alone, and repeats to the tick.
 */
#include "bochs.h"
#include "cpu/cpu.h"
#include "gui/siminterface.h"
#include "param_names.h"
#include "iodev/iodev.h"
#include "testbed.h"

#include <algorithm>
#include <errno.h>
#include <string>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* agent/port.h has the same numbers. */
enum { PORT_LENGTH = 0xe114, PORT_JITTER = 0xe118, PORT_ID = 0xe11c };
static const Bit32u DEVICE_ID = 0x41534c45; /* "ELSA" */

/* On the socket, both ways; little-endian, as this only ever runs on x86. */
struct wire {
	uint32_t kind;
	uint32_t length;    /* bytes that follow */
	uint64_t ticks;     /* emulated time when it was sent, in ticks */
	uint32_t budget_ms; /* to the agent: emulated time it may take to reply */
	uint32_t jitter;    /* to the agent: turns of a loop to spin first */
};

static int harness = -1;
static int budget_timer = -1;
static std::string inbound, outbound;
static size_t inbound_at;
static uint32_t outbound_expected, jitter;

static void leave(int status)
{
	fflush(NULL);
	_exit(status);
}

static void transfer(void *data, size_t length, bool out)
{
	char *at = (char *)data;

	while (length > 0) {
		ssize_t n = out ? send(harness, at, length, MSG_NOSIGNAL) : read(harness, at, length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			leave(0); /* the harness is gone, and nobody else needs us */
		at += n;
		length -= n;
	}
}

void testbed_send(enum testbed_kind kind, const void *data, uint32_t length)
{
	struct wire head = {};

	if (harness < 0)
		return;
	head.kind = kind;
	head.length = length;
	head.ticks = bx_pc_system.time_ticks();
	transfer(&head, sizeof(head), true);
	transfer((void *)data, length, true);
}

static void budget_set(uint32_t milliseconds)
{
	Bit64u ticks_per_ms = SIM->get_param_num(BXPN_IPS)->get() / 1000;

	bx_pc_system.activate_timer_ticks(budget_timer, milliseconds * ticks_per_ms, false);
}

static void budget_expired(void *)
{
	fflush(NULL);
	testbed_send(TESTBED_EXPIRED, NULL, 0);
	leave(3);
}

/* Blocks, and emulated time with it, until there is a message for the agent. */
static uint32_t next_message(void)
{
	struct wire head;

	if (testbed_checks)
		testbed_translations_message();
	transfer(&head, sizeof(head), false);
	inbound.resize(head.length);
	transfer(&inbound[0], head.length, false);
	inbound_at = 0;
	jitter = head.jitter;
	budget_set(head.budget_ms);
	return head.length;
}

uint32_t testbed_copy(unsigned cpu, uint64_t address, uint32_t length, bool to_agent)
{
	bx_phy_address physical;

	length = std::min(length, (uint32_t)(0x1000 - (address & 0xfff)));
	if (harness < 0 || BX_CPU(cpu)->in_vmx_guest || !BX_CPU(cpu)->dbg_xlate_linear2phy(address, &physical))
		return 0;
	if (to_agent) {
		length = std::min(length, (uint32_t)(inbound.size() - inbound_at));
		/* This also drops what the emulator had decoded of that page, and wakes monitors. */
		if (length)
			BX_MEM(0)->writePhysicalPage(BX_CPU(cpu), physical, length, &inbound[inbound_at]);
		inbound_at += length;
		return length;
	}
	length = std::min(length, (uint32_t)(outbound_expected - outbound.size()));
	outbound.resize(outbound.size() + length);
	if (length)
		BX_MEM(0)->readPhysicalPage(BX_CPU(cpu), physical, length, &outbound[outbound.size() - length]);
	if (length && outbound.size() == outbound_expected) {
		bx_pc_system.deactivate_timer(budget_timer);
		testbed_send(TESTBED_MESSAGE, outbound.data(), outbound_expected);
		outbound_expected = 0;
		outbound.clear();
	}
	return length;
}

static Bit32u port_read(void *, Bit32u port, unsigned)
{
	switch (port) {
	case PORT_ID:
		return DEVICE_ID;
	case PORT_LENGTH:
		return next_message();
	default:
		return jitter;
	}
}

/* Announces a message of VALUE bytes, at least one; it is sent when they have been copied. */
static void port_write(void *, Bit32u port, Bit32u value, unsigned)
{
	if (port == PORT_LENGTH) {
		outbound_expected = value;
		outbound.clear();
	}
}

/*
 * The first hardware reset comes when all devices exist; a later one means
 * that the emulated host has crashed or rebooted, which no test asks for.
 */
void testbed_reset(unsigned cpu, unsigned type)
{
	static bool started;
	const char *socket_number = getenv("TESTBED_SOCKET");
	const char *boot_ms = getenv("TESTBED_BOOT_MS");

	if (type != BX_RESET_HARDWARE || cpu != 0)
		return;
	if (started) {
		fflush(NULL);
		testbed_send(TESTBED_RESET, NULL, 0);
		leave(4);
	}
	started = true;
	testbed_counts_init();
	testbed_translations_init();
	testbed_schedule_init();
	if (!socket_number)
		return; /* started by hand, without a harness */
	harness = atoi(socket_number);
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* not to run on for nobody */
	budget_timer = bx_pc_system.register_timer(NULL, budget_expired, 1000, false, false, "testbed");
	budget_set(boot_ms ? atoi(boot_ms) : 60000);
	for (Bit32u port = PORT_LENGTH; port <= PORT_ID; port += 4) {
		DEV_register_ioread_handler(NULL, port_read, port, "testbed", 4);
		DEV_register_iowrite_handler(NULL, port_write, port, "testbed", 4);
	}
}
