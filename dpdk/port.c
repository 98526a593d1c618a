// SPDX-License-Identifier: MIT
/* The port as a whole: opened when the ethdev starts, closed when it stops. */
#include <errno.h>
#include <unistd.h>

#include <rte_alarm.h>
#include <rte_malloc.h>

#include "driver.h"

static uint32_t wanted_flags(const struct net_port *port)
{
	uint32_t flags = port->flags;

	if (port->data->promiscuous && !port->no_promiscuous)
		flags |= VSWITCH_PROMISCUOUS;
	/* The filter leaves out those that are not on the list. */
	if (port->data->promiscuous || port->data->all_multicast || port->multicasts)
		flags |= VSWITCH_ALL_MULTICAST;
	return flags;
}

/* A network card that is promiscuous gets what its switch sends it; to see all takes the manager's consent. */
static void without_promiscuous(struct net_port *port)
{
	if (!port->no_promiscuous)
		NET_LOG(NOTICE, "%s: the switch does not show this port what is for others; it gets what is flooded",
			port->data->name);
	port->no_promiscuous = true;
}

int net_port_flags(struct net_port *port)
{
	const struct elisa_function *set = &port->connection->functions.set;
	long error;

	if (!port->open)
		return port->lost;
	error = elisa_call3(set, port->number, VSWITCH_SET_FLAGS, wanted_flags(port));
	if (error == -EPERM && port->data->promiscuous && !port->no_promiscuous) {
		without_promiscuous(port);
		error = elisa_call3(set, port->number, VSWITCH_SET_FLAGS, wanted_flags(port));
	}
	return error < 0 ? (int)error : 0;
}

static void tell_lost(void *argument)
{
	struct rte_eth_dev *device = &rte_eth_devices[((struct net_port *)argument)->data->port_id];

	rte_eth_dev_callback_process(device, RTE_ETH_EVENT_INTR_LSC, NULL);
}

void net_port_forget_alarm(struct net_port *port)
{
	rte_eal_alarm_cancel(tell_lost, port);
}

static void set_link(struct net_port *port, bool up)
{
	struct rte_eth_link link = {
		.link_speed = RTE_ETH_SPEED_NUM_UNKNOWN,
		.link_duplex = RTE_ETH_LINK_FULL_DUPLEX,
		.link_autoneg = RTE_ETH_LINK_FIXED,
		.link_status = up ? RTE_ETH_LINK_UP : RTE_ETH_LINK_DOWN,
	};

	rte_eth_linkstatus_set(&rte_eth_devices[port->data->port_id], &link);
}

/* In any thread, several at once too. */
void net_port_lost(struct net_port *port, int error)
{
	int none = 0;

	if (!__atomic_compare_exchange_n(&port->lost, &none, error, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		return;
	/* A port that is the switch's no more (-ENOTCONN) can be opened again on the same attachment. */
	if (error != -ENOTCONN)
		port->connection->lost = error;
	for (uint16_t i = 0; i < port->data->nb_tx_queues; i++)
		((struct net_tx_queue *)port->data->tx_queues[i])->off = true;
	NET_LOG(ERR, "%s: the link is down, %s: %s; stop and start the port to connect again", port->data->name,
		error == -ENOTCONN ? "the switch has closed the port" : "the switch is gone", strerror(-error));
	set_link(port, false);
	if (port->data->dev_conf.intr_conf.lsc)
		rte_eal_alarm_set(1, tell_lost, port); /* not in the thread that sends */
}

static int ring_of(struct net_port *port, const void *address, uint64_t *where)
{
	*where = net_memory_where(&port->connection->memory, address);
	if (*where != NET_NOWHERE)
		return 0;
	NET_LOG(ERR, "%s: its rings are not in memory that is shared with the switch", port->data->name);
	return -EFAULT;
}

static int configure_queues(struct net_port *port, struct vswitch_config *config)
{
	const struct rte_eth_dev_data *data = port->data;
	int error = 0;

	config->rx_queues = RTE_MAX(1, data->nb_rx_queues);
	config->tx_queues = RTE_MAX(1, data->nb_tx_queues);
	if (!data->nb_rx_queues) {
		memset(&port->shared->spare.ring, 0, sizeof(port->shared->spare.ring));
		config->rx[0].size = NET_SPARE_SLOTS;
		error = ring_of(port, &port->shared->spare.ring, &config->rx[0].where);
	}
	if (!data->nb_tx_queues && !error) {
		config->tx[0].size = NET_SPARE_SLOTS;
		error = ring_of(port, port->shared->slots, &config->tx[0].where);
	}
	for (uint16_t i = 0; i < data->nb_rx_queues && !error; i++) {
		const struct net_rx_queue *queue = data->rx_queues[i];

		config->rx[i].size = queue->size;
		error = ring_of(port, queue->ring, &config->rx[i].where);
	}
	for (uint16_t i = 0; i < data->nb_tx_queues && !error; i++) {
		const struct net_tx_queue *queue = data->tx_queues[i];

		config->tx[i].size = NET_TX_SLOTS;
		error = ring_of(port, queue->slots, &config->tx[i].where);
	}
	return error;
}

static const char *open_hint(long error)
{
	switch (error) {
	case -ENOSPC:
		return "it has too many ports";
	case -EDQUOT:
		return "this VM has as many ports as the manager allows";
	case -EEXIST:
		return "the name is taken";
	case -EADDRINUSE:
		return "the address is another port's";
	case -EPERM:
		return "the manager does not allow this address";
	default:
		return strerror((int)-error);
	}
}

/* Did the switch say no, so that nothing is open? Other errors may have ended the call when it had taken place. */
static bool refused(const struct net_port *port, long error)
{
	switch (error) {
	case -ENOSPC:
	case -EEXIST:
	case -EPERM:
	case -EINVAL:
	case -EROFS:
		return true;
	case -EADDRINUSE: /* the host's too, while the VM has memory where calls take place; then no call is made */
		return elisa_call2(&port->connection->functions.counters, VSWITCH_NO_PORT, 0) == -ENOTCONN;
	default:
		return false;
	}
}

static int open_failed(struct net_port *port, int error)
{
	NET_LOG(ERR, "%s: the switch %s refuses the port: %s", port->data->name, port->connection->object,
		open_hint(error));
	if (error == -ESHUTDOWN || error == -ENOTCONN)
		port->connection->lost = error;
	if (!refused(port, error))
		net_connection_revoke(port->connection, error);
	return error;
}

int net_port_open(struct net_port *port)
{
	struct vswitch_config *config = &port->shared->config;
	const struct elisa_function *open = &port->connection->functions.open;
	long number;
	uint64_t where;
	int error;

	memset(config, 0, sizeof(*config));
	error = ring_of(port, config, &where);
	if (!error)
		error = configure_queues(port, config);
	if (error)
		return error;
	memcpy(config->name, port->name, sizeof(config->name));
	memcpy(config->mac, &port->data->mac_addrs[0], sizeof(config->mac));
	config->mtu = port->data->mtu;
	config->flags = wanted_flags(port);
	number = elisa_call1(open, where);
	if (number == -EPERM && config->flags & VSWITCH_PROMISCUOUS) {
		without_promiscuous(port);
		config->flags = wanted_flags(port);
		number = elisa_call1(open, where);
	}
	if (number < 0)
		return open_failed(port, (int)number);
	port->number = number;
	port->lost = 0;
	port->open = true;
	memcpy(port->name, config->name, sizeof(port->name));
	port->name[sizeof(port->name) - 1] = 0;
	memcpy(&port->data->mac_addrs[0], config->mac, sizeof(config->mac));
	return 0;
}

/* A call that was cut short may have closed it wholly, in part, or not. */
static long call_close(const struct net_port *port)
{
	unsigned int tries = 0;
	long error;

	do
		error = elisa_call1(&port->connection->functions.close, port->number);
	while (net_again(error, &tries));
	return error;
}

void net_port_close(struct net_port *port)
{
	long error;

	if (!port->open)
		return;
	if (!port->lost)
		net_counters_keep(port);
	error = call_close(port);
	if (error && error != -ENOTCONN)
		net_connection_revoke(port->connection, (int)error);
	port->open = false;
}

static int configure(struct rte_eth_dev *device)
{
	device->data->scattered_rx = !!(device->data->dev_conf.rxmode.offloads & RTE_ETH_RX_OFFLOAD_SCATTER);
	return 0;
}

/* Another attachment, if the one that there is has no use any more: its manager has ended. */
static int reconnect(struct net_port *port)
{
	struct net_connection *new;
	int error;

	if (!port->connection->lost)
		return 0;
	new = net_connection_get(port->object, port->scheme, &error);
	if (!new)
		return error;
	net_connection_put(port->connection);
	port->connection = new;
	NET_LOG(NOTICE, "%s: connected to %s again", port->data->name, port->object);
	return 0;
}

int net_port_prepare(struct net_port *port)
{
	int error = reconnect(port);

	return error ? error : net_connection_refresh(port->connection);
}

static void set_states(struct rte_eth_dev_data *data, uint8_t state)
{
	memset(data->rx_queue_state, state, data->nb_rx_queues);
	memset(data->tx_queue_state, state, data->nb_tx_queues);
}

static void start_tx(struct net_port *port, struct net_tx_queue *queue)
{
	queue->memory = &port->connection->memory;
	queue->segment = net_memory_find(queue->memory, (uintptr_t)queue->slots);
	queue->send = port->connection->functions.send;
	queue->number = port->number;
	queue->off = queue->deferred;
}

static int start_queues(struct rte_eth_dev *device)
{
	struct rte_eth_dev_data *data = device->data;
	int error = 0;

	set_states(data, RTE_ETH_QUEUE_STATE_STARTED);
	for (uint16_t i = 0; i < data->nb_tx_queues; i++) {
		const struct net_tx_queue *queue = data->tx_queues[i];

		start_tx(net_port(device), data->tx_queues[i]);
		if (queue->deferred)
			data->tx_queue_state[i] = RTE_ETH_QUEUE_STATE_STOPPED;
	}
	for (uint16_t i = 0; i < data->nb_rx_queues && !error; i++)
		if (((struct net_rx_queue *)data->rx_queues[i])->deferred)
			error = net_rx_queue_stop(device, i);
	return error;
}

static int start_once(struct rte_eth_dev *device)
{
	struct net_port *port = net_port(device);
	struct rte_eth_dev_data *data = device->data;
	uint16_t filled = 0;
	int error = net_port_prepare(port);

	port->lost = 0;
	for (; !error && filled < data->nb_rx_queues; filled++) {
		struct net_rx_queue *queue = data->rx_queues[filled];

		error = net_rx_room_check(data, queue->room, data->mtu);
		if (!error)
			error = net_rx_queue_fill(queue);
	}
	if (error)
		goto empty;
	net_filter_update(port);
	error = net_port_open(port);
	if (error)
		goto empty;
	port->connection->started++;
	error = start_queues(device);
	if (!error)
		error = net_interrupts_create(device);
	if (error)
		goto close;
	set_link(port, true);
	return 0;

close:
	port->connection->started--;
	net_port_close(port);
empty:
	while (filled--)
		net_rx_queue_empty(data->rx_queues[filled]);
	set_states(data, RTE_ETH_QUEUE_STATE_STOPPED);
	return error;
}

static int start(struct rte_eth_dev *device)
{
	unsigned int tries = 0;
	int error;

	do
		error = start_once(device);
	while (net_again(error, &tries));
	return error;
}

static int stop(struct rte_eth_dev *device)
{
	struct net_port *port = net_port(device);
	struct rte_eth_dev_data *data = device->data;

	for (uint16_t i = 0; i < data->nb_tx_queues; i++)
		((struct net_tx_queue *)data->tx_queues[i])->off = true;
	net_interrupts_destroy(device);
	port->connection->started--;
	/* After it the switch writes into none of the mbufs. */
	net_port_close(port);
	net_port_forget_alarm(port);
	for (uint16_t i = 0; i < data->nb_rx_queues; i++)
		net_rx_queue_empty(data->rx_queues[i]);
	set_states(data, RTE_ETH_QUEUE_STATE_STOPPED);
	data->dev_started = 0;
	set_link(port, false);
	return 0;
}

static int close_port(struct rte_eth_dev *device)
{
	struct net_port *port = net_port(device);

	if (rte_eal_process_type() != RTE_PROC_PRIMARY)
		return 0;
	net_port_close(port);
	for (uint16_t i = 0; i < device->data->nb_rx_queues; i++)
		net_rx_queue_release(device, i);
	for (uint16_t i = 0; i < device->data->nb_tx_queues; i++)
		net_tx_queue_release(device, i);
	net_port_forget_alarm(port);
	net_connection_put(port->connection);
	rte_free(port->shared);
	return 0;
}

static int link_update(struct rte_eth_dev *device, int wait)
{
	struct net_port *port = net_port(device);
	struct vswitch_counters counters;

	(void)wait;
	/* A port that only receives makes no calls, so nobody else finds out. */
	if (port->open && !port->lost)
		net_counters_read(port, &counters);
	set_link(port, port->open && !port->lost);
	return 0;
}

static int mtu_set(struct rte_eth_dev *device, uint16_t mtu)
{
	struct net_port *port = net_port(device);
	long error = 0;

	for (uint16_t i = 0; i < device->data->nb_rx_queues && !error; i++) {
		const struct net_rx_queue *queue = device->data->rx_queues[i];

		if (queue)
			error = net_rx_room_check(device->data, queue->room, mtu);
	}
	if (!error && port->open)
		error = elisa_call3(&port->connection->functions.set, port->number, VSWITCH_SET_MTU, mtu);
	return error < 0 ? (int)error : 0;
}

const struct eth_dev_ops net_ops = {
	.dev_configure = configure,
	.dev_start = start,
	.dev_stop = stop,
	.dev_close = close_port,
	.link_update = link_update,
	.promiscuous_enable = net_promiscuous_enable,
	.promiscuous_disable = net_promiscuous_disable,
	.allmulticast_enable = net_allmulticast_enable,
	.allmulticast_disable = net_allmulticast_disable,
	.mac_addr_remove = net_mac_remove,
	.mac_addr_add = net_mac_add,
	.mac_addr_set = net_mac_set,
	.set_mc_addr_list = net_multicast_set,
	.mtu_set = mtu_set,
	.stats_get = net_stats_get,
	.stats_reset = net_stats_reset,
	.xstats_get = net_xstats_get,
	.xstats_reset = net_stats_reset,
	.xstats_get_names = net_xstats_names,
	.dev_infos_get = net_info_get,
	.rxq_info_get = net_rxq_info_get,
	.txq_info_get = net_txq_info_get,
	.rx_burst_mode_get = net_burst_mode_get,
	.tx_burst_mode_get = net_burst_mode_get,
	.rx_queue_start = net_rx_queue_start,
	.rx_queue_stop = net_rx_queue_stop,
	.tx_queue_start = net_tx_queue_start,
	.tx_queue_stop = net_tx_queue_stop,
	.rx_queue_setup = net_rx_queue_setup,
	.rx_queue_release = net_rx_queue_release,
	.rx_queue_intr_enable = net_interrupt_enable,
	.rx_queue_intr_disable = net_interrupt_disable,
	.tx_queue_setup = net_tx_queue_setup,
	.tx_queue_release = net_tx_queue_release,
};
