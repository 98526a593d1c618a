// SPDX-License-Identifier: MIT
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEVICE "/dev/net/tun"

_Static_assert(TAP_NAME_MAX == IFNAMSIZ, "names of devices");

static int refused(const struct tap *tap, const char *what)
{
	int error = -errno;

	fprintf(stderr, "elisa-tap: TAP device %s: %s: %s\n", tap->name[0] ? tap->name : "(any)", what,
		strerror(-error));
	return error;
}

static int open_queue(struct tap *tap, unsigned int queue)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	int fd = open(DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return refused(tap, errno == ENOENT ? DEVICE " (is the module tun loaded?)" : DEVICE);
	if (tap->queues > 1)
		request.ifr_flags |= IFF_MULTI_QUEUE;
	memcpy(request.ifr_name, tap->name, sizeof(tap->name));
	if (ioctl(fd, TUNSETIFF, &request)) {
		refused(tap, errno == EBUSY    ? "another program has it"
			     : errno == EINVAL ? "it is no TAP device, or has another number of queues"
					       : "it cannot be made");
		close(fd);
		return -1;
	}
	memcpy(tap->name, request.ifr_name, sizeof(tap->name));
	tap->fd[queue] = fd;
	return 0;
}

int tap_open(struct tap *tap)
{
	for (unsigned int queue = 0; queue < tap->queues; queue++) {
		if (!open_queue(tap, queue))
			continue;
		tap->queues = queue;
		tap_close(tap);
		return -1;
	}
	return tap_set_link(tap, false);
}

void tap_close(struct tap *tap)
{
	for (unsigned int queue = 0; queue < tap->queues; queue++)
		close(tap->fd[queue]);
	tap->queues = 0;
}

/* Asks the network stack, which any socket does. */
static int ask(const struct tap *tap, unsigned long what, struct ifreq *request, const char *name)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), error = 0;

	memcpy(request->ifr_name, tap->name, sizeof(tap->name));
	if (fd < 0 || ioctl(fd, what, request))
		error = refused(tap, name);
	if (fd >= 0)
		close(fd);
	return error;
}

int tap_set_mtu(const struct tap *tap, unsigned int mtu)
{
	struct ifreq request = { .ifr_mtu = (int)mtu };

	return ask(tap, SIOCSIFMTU, &request, "its MTU cannot be set");
}

int tap_set_address(const struct tap *tap, const uint8_t mac[6])
{
	struct ifreq request = { .ifr_hwaddr.sa_family = ARPHRD_ETHER };

	memcpy(request.ifr_hwaddr.sa_data, mac, 6);
	return ask(tap, SIOCSIFHWADDR, &request, "its address cannot be set");
}

int tap_address(const struct tap *tap, uint8_t mac[6])
{
	struct ifreq request = {};
	int error = ask(tap, SIOCGIFHWADDR, &request, "it has no address");

	memcpy(mac, request.ifr_hwaddr.sa_data, 6);
	return error;
}

int tap_set_link(const struct tap *tap, bool up)
{
	int carrier = up;

	return ioctl(tap->fd[0], TUNSETCARRIER, &carrier) ? refused(tap, "its link cannot be set") : 0;
}
