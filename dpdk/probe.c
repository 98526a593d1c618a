// SPDX-License-Identifier: MIT
/* --vdev=net_elisaN,object=...: from arguments to an ethdev. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_kvargs.h>
#include <rte_malloc.h>
#include <rte_version.h>

#include <bus_vdev_driver.h>

#include "driver.h"

RTE_LOG_REGISTER(net_elisa_logtype, pmd.net.elisa, NOTICE);

struct arguments {
	char object[NET_OBJECT_MAX];
	char name[VSWITCH_NAME_MAX];
	struct rte_ether_addr mac;
	enum elisa_scheme scheme;
	uint32_t flags;
	uint16_t queues;
};

static int parse_object(const char *key, const char *value, void *to)
{
	struct arguments *arguments = to;

	if (!*value || strlen(value) >= sizeof(arguments->object)) {
		NET_LOG(ERR, "%s=%s: 1 to %zu characters", key, value, sizeof(arguments->object) - 1);
		return -EINVAL;
	}
	strcpy(arguments->object, value);
	return 0;
}

static int parse_name(const char *key, const char *value, void *to)
{
	struct arguments *arguments = to;

	if (!*value || strlen(value) >= sizeof(arguments->name)) {
		NET_LOG(ERR, "%s=%s: 1 to %zu characters", key, value, sizeof(arguments->name) - 1);
		return -EINVAL;
	}
	strcpy(arguments->name, value);
	return 0;
}

static int parse_mac(const char *key, const char *value, void *to)
{
	struct arguments *arguments = to;

	if (!rte_ether_unformat_addr(value, &arguments->mac) && rte_is_valid_assigned_ether_addr(&arguments->mac))
		return 0;
	NET_LOG(ERR, "%s=%s is no unicast address", key, value);
	return -EINVAL;
}

static int parse_bind(const char *key, const char *value, void *to)
{
	struct arguments *arguments = to;

	if (strcmp(value, "0") && strcmp(value, "1")) {
		NET_LOG(ERR, "%s=%s: 0 or 1", key, value);
		return -EINVAL;
	}
	if (*value == '1')
		arguments->flags |= VSWITCH_BIND;
	return 0;
}

static int parse_queues(const char *key, const char *value, void *to)
{
	struct arguments *arguments = to;
	char *end;
	unsigned long queues = strtoul(value, &end, 10);

	if (!*value || *end || !queues || queues > VSWITCH_QUEUES_MAX) {
		NET_LOG(ERR, "%s=%s: 1 to %d", key, value, VSWITCH_QUEUES_MAX);
		return -EINVAL;
	}
	arguments->queues = (uint16_t)queues;
	return 0;
}

static int parse_scheme(const char *key, const char *value, void *to)
{
	struct arguments *arguments = to;

	if (!strcmp(value, "gate")) {
		arguments->scheme = ELISA_BY_GATE;
	} else if (!strcmp(value, "vmcall")) {
		arguments->scheme = ELISA_BY_VMCALL;
	} else {
		NET_LOG(ERR, "%s=%s: gate or vmcall", key, value);
		return -EINVAL;
	}
	return 0;
}

static const struct {
	const char *key;
	arg_handler_t parse;
} keys[] = {
	{ "object", parse_object }, { "name", parse_name },     { "mac", parse_mac },
	{ "bind", parse_bind },     { "queues", parse_queues }, { "scheme", parse_scheme },
};

static int parse(const char *text, struct arguments *arguments)
{
	static const char *const valid[] = { "object", "name", "mac", "bind", "queues", "scheme", NULL };
	struct rte_kvargs *pairs = rte_kvargs_parse(text, valid);
	int error = 0;

	*arguments = (struct arguments){ .object = "vswitch", .scheme = ELISA_BY_GATE, .queues = VSWITCH_QUEUES_MAX };
	if (!pairs) {
		NET_LOG(ERR, "arguments \"%s\": object=, name=, mac=, bind=, queues=, scheme= are known", text);
		return -EINVAL;
	}
	for (unsigned int i = 0; i < RTE_DIM(keys) && !error; i++)
		error = rte_kvargs_process(pairs, keys[i].key, keys[i].parse, arguments);
	rte_kvargs_free(pairs);
	return error ? -EINVAL : 0;
}

/* What drivers and EAL share is not the same in two versions, whatever the linker says. */
static int check_version(void)
{
	if (!strcmp(rte_version(), RTE_VERSION_STRING))
		return 0;
	NET_LOG(ERR, "built for %s, but this program runs with %s: build the driver again (make dpdk)",
		RTE_VERSION_STRING, rte_version());
	return -ENOTSUP;
}

static int make_port(struct rte_eth_dev *device, const struct arguments *arguments)
{
	struct net_port *port = net_port(device);
	int error;
	unsigned int tries = 0;

	port->data = device->data;
	port->queues = arguments->queues;
	port->flags = arguments->flags;
	port->scheme = arguments->scheme;
	memcpy(port->object, arguments->object, sizeof(port->object));
	memcpy(port->name, arguments->name, sizeof(port->name));
	port->shared = rte_zmalloc("net_elisa shared", sizeof(*port->shared), RTE_CACHE_LINE_SIZE);
	device->data->mac_addrs = rte_zmalloc("net_elisa macs", NET_MACS_MAX * sizeof(struct rte_ether_addr), 0);
	if (!port->shared || !device->data->mac_addrs)
		return -ENOMEM;
	device->data->mac_addrs[0] = arguments->mac;
	port->connection = net_connection_get(port->object, port->scheme, &error);
	if (!port->connection)
		return error;
	/* Is all of it allowed, and which name and address are the port's? */
	do {
		error = net_port_prepare(port);
		if (!error)
			error = net_port_open(port);
	} while (net_again(error, &tries));
	if (error)
		net_connection_put(port->connection);
	else
		net_port_close(port);
	return error;
}

static int probe(struct rte_vdev_device *vdev)
{
	struct arguments arguments;
	struct rte_eth_dev *device;
	int error = check_version();

	if (error)
		return error;
	if (rte_eal_process_type() != RTE_PROC_PRIMARY) {
		NET_LOG(ERR, "%s: secondary processes cannot use the primary's port; give them one of their own",
			rte_vdev_device_name(vdev));
		return -ENOTSUP;
	}
	error = parse(rte_vdev_device_args(vdev), &arguments);
	if (error)
		return error;
	device = rte_eth_vdev_allocate(vdev, sizeof(struct net_port));
	if (!device)
		return -ENOMEM;
	error = make_port(device, &arguments);
	if (error) {
		rte_free(net_port(device)->shared);
		rte_eth_dev_release_port(device);
		return error;
	}
	device->dev_ops = &net_ops;
	device->rx_pkt_burst = net_rx_burst;
	device->tx_pkt_burst = net_tx_burst;
	device->tx_pkt_prepare = net_tx_prepare;
	device->rx_queue_count = net_rx_queue_count;
	device->rx_descriptor_status = net_rx_descriptor_status;
	device->tx_descriptor_status = net_tx_descriptor_status;
	device->data->dev_flags |= RTE_ETH_DEV_AUTOFILL_QUEUE_XSTATS | RTE_ETH_DEV_INTR_LSC;
	rte_eth_dev_probing_finish(device);
	return 0;
}

static int remove_device(struct rte_vdev_device *vdev)
{
	const char *name = rte_vdev_device_name(vdev);
	uint16_t port;

	if (rte_eth_dev_get_port_by_name(name, &port))
		return 0; /* closed already */
	return rte_eth_dev_close(port);
}

static struct rte_vdev_driver driver = {
	.probe = probe,
	.remove = remove_device,
};

RTE_PMD_REGISTER_VDEV(net_elisa, driver);
RTE_PMD_REGISTER_PARAM_STRING(
	net_elisa, "object=<string> name=<string> mac=<address> bind=<0|1> queues=<1-8> scheme=<gate|vmcall>");
