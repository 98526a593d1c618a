/* SPDX-License-Identifier: MIT */
/*
 * Opening, closing and setting ports. One at a time, under the state's lock; what it protects is whole at every
 * instruction: a port that is claimed and not in `open` is taken apart by whoever opens one next.
 */
#ifndef ELISA_VSWITCH_CONTROL_H
#define ELISA_VSWITCH_CONTROL_H

#include "flow.h"
#include "route.h"
#include "table.h"

#define FLAGS_KNOWN (VSWITCH_BIND | VSWITCH_PROMISCUOUS | VSWITCH_ALL_MULTICAST)
#define MTU_MIN 68
#define MTU_MAX 9000
#define MTU_DEFAULT 1500

static inline void mask_set(uint64_t *mask, uint32_t port, int on)
{
	if (on)
		__atomic_fetch_or(mask, VSWITCH_BIT(port), __ATOMIC_SEQ_CST);
	else
		__atomic_fetch_and(mask, ~VSWITCH_BIT(port), __ATOMIC_SEQ_CST);
}

static inline int ring_is_shared(const struct elisa_info *info, const struct vswitch_port *port)
{
	const struct vswitch_rx *rx = &port->rx[0];

	return shared_at(info, (uint32_t)(port->claimed - 1), rx->where, rx->serial, sizeof(struct vswitch_ring)) !=
	       NULL;
}

/* Puts a ring into a queue, or takes it away. Afterwards nobody writes into the former one any more. */
static inline void rx_set(const struct elisa_info *info, struct vswitch_rx *rx, uint64_t where, uint32_t size,
			  uint64_t serial)
{
	elisa_lock(&rx->lock, info); /* if its holder is dead: all that it left is overwritten here */
	VSWITCH_WRITE(rx->serial, VSWITCH_NO_SERIAL);
	VSWITCH_WRITE(rx->where, where);
	rx->base = where & VSWITCH_BUFFER;
	rx->entry = (uint16_t)entry_offset(where);
	rx->mask = (uint16_t)(size - 1);
	rx->filled = 0;
	VSWITCH_WRITE(rx->live, serial);
	VSWITCH_WRITE(rx->serial, serial);
	elisa_unlock(&rx->lock, info);
}

/* All its queues have what a packet is compared with. Those are not locked: it may be late for packets under way. */
static inline void port_set_mtu(struct vswitch_port *port, uint32_t mtu)
{
	VSWITCH_WRITE(port->mtu, mtu);
	for (unsigned int queue = 0; queue < VSWITCH_QUEUES_MAX; queue++)
		VSWITCH_WRITE(port->rx[queue].limit, mtu + 14 - VSWITCH_COMMON_MIN);
}

/* Idempotent: repeated for a port whose closing was cut short. */
static inline void port_free(const struct elisa_info *info, struct vswitch_state *state, uint32_t number)
{
	struct vswitch_port *port = &state->ports[number];

	mask_set(&state->open, number, 0);
	mask_set(&state->promiscuous, number, 0);
	mask_set(&state->multicast, number, 0);
	mask_set(&state->any, number, 0);
	VSWITCH_WRITE(port->owner, 0);
	for (unsigned int queue = 0; queue < VSWITCH_QUEUES_MAX; queue++) {
		VSWITCH_WRITE(port->tx[queue].serial, VSWITCH_NO_SERIAL);
		rx_set(info, &port->rx[queue], 0, 1, VSWITCH_NO_SERIAL);
	}
	table_drop_port(state, number);
	vswitch_changed(state);
	VSWITCH_WRITE(port->address, 0);
	VSWITCH_WRITE(port->name[0], 0);
	/* Last: nothing of it is left. */
	__atomic_store_n(&port->claimed, 0, __ATOMIC_RELEASE);
}

/* Ports whose client is gone, or whose opening or closing was cut short. */
static inline void ports_reap(const struct elisa_info *info, struct vswitch_state *state)
{
	for (uint32_t number = 0; number < VSWITCH_PORTS_MAX; number++) {
		const struct vswitch_port *port = &state->ports[number];

		if (port->claimed && (!vswitch_port_open(state, number) || !ring_is_shared(info, port)))
			port_free(info, state, number);
	}
}

static inline uint64_t address_load(const uint8_t *mac)
{
	uint64_t address = 0;

	for (int i = 5; i >= 0; i--)
		address = address << 8 | mac[i];
	return address;
}

static inline void address_store(uint8_t *mac, uint64_t address)
{
	for (int i = 0; i < 6; i++)
		mac[i] = (uint8_t)(address >> 8 * i);
}

static inline int name_same(const char *a, const char *b)
{
	for (int i = 0; i < VSWITCH_NAME_MAX; i++) {
		if (a[i] != b[i])
			return 0;
		if (!a[i])
			return 1;
	}
	return 1;
}

static inline int name_taken(const struct vswitch_state *state, const char *name)
{
	for (uint32_t number = 0; number < VSWITCH_PORTS_MAX; number++) {
		const struct vswitch_port *port = &state->ports[number];

		if (port->claimed && name_same(port->name, name))
			return 1;
	}
	return 0;
}

static inline int address_taken(const struct vswitch_state *state, uint64_t address)
{
	for (uint32_t number = 0; number < VSWITCH_PORTS_MAX; number++) {
		if (state->ports[number].claimed && state->ports[number].address == address)
			return 1;
	}
	return 0;
}

/* port0 ..., further on if somebody has called himself so. */
static inline void name_make(const struct vswitch_state *state, char *name, uint32_t number)
{
	do {
		uint32_t rest = number, length = 0;
		char digits[10];

		do {
			digits[length++] = (char)('0' + rest % 10);
			rest /= 10;
		} while (rest);
		elisa_zero(name, VSWITCH_NAME_MAX);
		elisa_copy(name, "port", 4);
		for (uint32_t i = 0; i < length; i++)
			name[4 + i] = digits[length - 1 - i];
		number += VSWITCH_PORTS_MAX;
	} while (name_taken(state, name));
}

static inline int name_check(struct vswitch_state *state, char *name, uint32_t number)
{
	uint32_t length = 0;

	while (length < VSWITCH_NAME_MAX && name[length]) {
		if (name[length] <= ' ' || name[length] > '~')
			return -EINVAL;
		length++;
	}
	if (length == VSWITCH_NAME_MAX)
		return -EINVAL;
	elisa_zero(name + length, VSWITCH_NAME_MAX - length);
	if (!length)
		name_make(state, name, number);
	else if (name_taken(state, name))
		return -EEXIST;
	return 0;
}

/* The address that the port gets: asked for, the manager's, or made up (locally administered). */
static inline int address_choose(const struct elisa_info *info, struct vswitch_state *state, uint64_t *address)
{
	uint64_t given = info->value & VSWITCH_ADDRESS_MASK;

	if (given && *address && *address != given)
		return -EPERM;
	if (given)
		*address = given;
	if (*address & VSWITCH_GROUP)
		return -EINVAL;
	while (!*address || address_taken(state, *address)) {
		if (*address)
			return -EADDRINUSE;
		*address = ((flow_mix(state->address_seed, ++state->named) << 8) & VSWITCH_ADDRESS_MASK) | 2;
		if (address_taken(state, *address))
			*address = 0;
	}
	return 0;
}

static inline int flags_check(const struct elisa_info *info, uint32_t *flags)
{
	if (*flags & ~FLAGS_KNOWN)
		return -EINVAL;
	if (*flags & VSWITCH_PROMISCUOUS && !(info->value & VSWITCH_VALUE_PROMISCUOUS))
		return -EPERM;
	if (info->value & VSWITCH_VALUE_BIND)
		*flags |= VSWITCH_BIND;
	return 0;
}

/* Rings and arrays as the client describes them: sizes, alignment, and that they lie in memory it has shared. */
static inline int rings_check(const struct elisa_info *info, const struct vswitch_config *config)
{
	if (!config->rx_queues || config->rx_queues > VSWITCH_QUEUES_MAX || !config->tx_queues ||
	    config->tx_queues > VSWITCH_QUEUES_MAX)
		return -EINVAL;
	for (uint32_t queue = 0; queue < config->rx_queues; queue++) {
		uint64_t where = config->rx[queue].where;
		uint32_t size = config->rx[queue].size;
		uint64_t bytes = sizeof(struct vswitch_ring) + (uint64_t)size * sizeof(struct vswitch_slot);

		if (!size || size > VSWITCH_RING_MAX || size & (size - 1) || where % 64 || config->rx[queue].reserved)
			return -EINVAL;
		if (!elisa_exchange(info, info->attachment, where >> 32, (uint32_t)where, bytes))
			return -EFAULT;
	}
	for (uint32_t queue = 0; queue < config->tx_queues; queue++) {
		uint64_t where = config->tx[queue].where;
		uint32_t size = config->tx[queue].size;

		if (!size || size > VSWITCH_BURST_MAX || where % sizeof(struct vswitch_slot) ||
		    config->tx[queue].reserved)
			return -EINVAL;
		if (!elisa_exchange(info, info->attachment, where >> 32, (uint32_t)where,
				    size * sizeof(struct vswitch_slot)))
			return -EFAULT;
	}
	return 0;
}

/* Of the queues that are on, one for each class of flows. Under the state's lock. */
static inline void port_spread(struct vswitch_state *state, struct vswitch_port *port)
{
	uint32_t on[VSWITCH_QUEUES_MAX], count = 0;
	uint64_t spread = 0;

	for (uint32_t queue = 0; queue < port->rx_queues; queue++) {
		if (port->rx[queue].live != VSWITCH_NO_SERIAL)
			on[count++] = queue;
	}
	for (uint32_t class = 0; class < 8 && count; class ++)
		spread |= (uint64_t)on[class % count] << 8 * class;
	VSWITCH_WRITE(port->spread, spread);
	VSWITCH_WRITE(port->several, count > 1);
	vswitch_changed(state);
}

static inline void port_flags(struct vswitch_state *state, uint32_t number, uint32_t flags)
{
	VSWITCH_WRITE(state->ports[number].flags, flags);
	mask_set(&state->promiscuous, number, flags & VSWITCH_PROMISCUOUS);
	mask_set(&state->multicast, number, flags & (VSWITCH_PROMISCUOUS | VSWITCH_ALL_MULTICAST));
	mask_set(&state->any, number, !(flags & VSWITCH_BIND) || flags & VSWITCH_PROMISCUOUS);
	vswitch_changed(state);
}

/* Of a life of the port that begins. Calls of the last one may still read it. */
static inline void tx_begin(const struct vswitch_state *state, const struct vswitch_port *port, struct vswitch_tx *tx)
{
	VSWITCH_WRITE(tx->serial, VSWITCH_NO_SERIAL);
	tx->where = tx->base = tx->offset = 0;
	tx->entry = tx->size = 0;
	routes_begin(state, tx, &port->rx[0]);
	VSWITCH_WRITE(tx->packets, 0);
	VSWITCH_WRITE(tx->bytes, 0);
	VSWITCH_WRITE(tx->flooded, 0);
	elisa_zero(tx->drops, sizeof(tx->drops));
}

static inline void port_queues(const struct elisa_info *info, struct vswitch_state *state, struct vswitch_port *port,
			       const struct vswitch_config *config)
{
	port->rx_queues = config->rx_queues;
	port->tx_queues = config->tx_queues;
	for (uint32_t queue = 0; queue < VSWITCH_QUEUES_MAX; queue++) {
		struct vswitch_rx *rx = &port->rx[queue];
		struct vswitch_tx *tx = &port->tx[queue];

		VSWITCH_WRITE(rx->packets, 0);
		VSWITCH_WRITE(rx->bytes, 0);
		elisa_zero(rx->drops, sizeof(rx->drops));
		tx_begin(state, port, tx);
		if (queue < config->tx_queues) {
			tx->where = config->tx[queue].where;
			tx->base = tx->where & VSWITCH_BUFFER;
			tx->entry = entry_offset(tx->where);
			tx->offset = (uint32_t)tx->where;
			tx->size = config->tx[queue].size;
			tx->serial = elisa_exchange_serial(info, info->attachment, tx->where >> 32);
		}
		if (queue < config->rx_queues) {
			uint64_t where = config->rx[queue].where;
			uint64_t serial = elisa_exchange_serial(info, info->attachment, where >> 32);
			struct vswitch_ring *ring =
				shared_at(info, info->attachment, where, serial, sizeof(struct vswitch_ring));

			if (ring)
				__atomic_store_n(&ring->filled, 0, __ATOMIC_RELEASE);
			rx_set(info, rx, where, config->rx[queue].size, serial);
		}
	}
	port_spread(state, port);
}

/* How many ports are the attachment's. Under the state's lock; those that are nobody's any more were reaped. */
static inline uint32_t ports_of(const struct vswitch_state *state, uint32_t attachment)
{
	uint32_t count = 0;

	for (uint32_t number = 0; number < VSWITCH_PORTS_MAX; number++)
		count += state->ports[number].claimed == (uint64_t)attachment + 1;
	return count;
}

/* Under the state's lock. The handle of the port. */
static inline long port_open(const struct elisa_info *info, struct vswitch_state *state, struct vswitch_config *config)
{
	uint64_t address = address_load(config->mac);
	struct vswitch_port *port;
	uint32_t number = 0;
	int error;

	if (ports_of(state, info->attachment) >= state->ports_each)
		return -EDQUOT;
	while (number < state->ports_max && number < VSWITCH_PORTS_MAX && state->ports[number].claimed)
		number++;
	if (number >= state->ports_max || number >= VSWITCH_PORTS_MAX)
		return -ENOSPC;
	port = &state->ports[number];
	error = name_check(state, config->name, number);
	if (!error)
		error = address_choose(info, state, &address);
	if (error)
		return error;
	VSWITCH_WRITE(port->gone, 0);
	/* Before it is anybody's: who has the handle of an earlier one is to meet none that is his by its owner. */
	VSWITCH_WRITE(port->handle, port_handle(number, port->opened++));
	VSWITCH_WRITE(port->claimed, (uint64_t)info->attachment + 1);
	elisa_copy(port->name, config->name, sizeof(port->name));
	port->address = address;
	port->vm = info->vm;
	port_set_mtu(port, config->mtu);
	port->notified = 0;
	port_queues(info, state, port, config);
	port_flags(state, number, config->flags);
	VSWITCH_WRITE(port->owner, (uint64_t)info->attachment + 1);
	mask_set(&state->open, number, 1);
	error = table_set(state, address, number, ENTRY_FIXED);
	if (error) {
		port_free(info, state, number);
		return -EADDRINUSE;
	}
	address_store(config->mac, address);
	config->port = (uint32_t)port->handle;
	return config->port;
}

/* Under the state's lock. */
static inline int port_readdress(const struct elisa_info *info, struct vswitch_state *state, uint32_t number,
				 uint64_t address)
{
	struct vswitch_port *port = &state->ports[number];
	uint64_t given = info->value & VSWITCH_ADDRESS_MASK, old = port->address;

	if (!address || address & ~VSWITCH_ADDRESS_MASK || address & VSWITCH_GROUP)
		return -EINVAL;
	if (address == old)
		return 0;
	if (given || info->value & VSWITCH_VALUE_BIND)
		return -EPERM;
	if (address_taken(state, address) || table_set(state, address, number, ENTRY_FIXED))
		return -EADDRINUSE;
	VSWITCH_WRITE(port->address, address);
	table_forget(table_bucket(state, old), old, NULL, number);
	vswitch_changed(state);
	return 0;
}

/* Under the state's lock. A queue that is off gets nothing from when this returns. */
static inline int port_switch_rx(const struct elisa_info *info, struct vswitch_state *state, struct vswitch_port *port,
				 uint64_t value)
{
	uint32_t queue = (uint32_t)value;
	struct vswitch_rx *rx;

	if (value >> 33 || queue >= port->rx_queues)
		return -EINVAL;
	rx = &port->rx[queue & elisa_index_mask(queue, VSWITCH_QUEUES_MAX)];
	if (elisa_lock(&rx->lock, info) == -EOWNERDEAD) {
		struct vswitch_ring *ring = shared_at(info, info->attachment, rx->where, rx->serial, sizeof(*ring));

		if (ring)
			__atomic_store_n(&ring->filled, rx->filled, __ATOMIC_RELEASE);
	}
	VSWITCH_WRITE(rx->live, value >> 32 & 1 ? rx->serial : VSWITCH_NO_SERIAL);
	elisa_unlock(&rx->lock, info);
	port_spread(state, port);
	return 0;
}

#endif
