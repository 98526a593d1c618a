// SPDX-License-Identifier: MIT
/* The virtual switch: its functions, and the way of a packet from its sender's memory to its receivers. */
#include "control.h"
#include "single.h"

#define BUDGET 262144     /* bytes that a call copies, or a little more: it takes a millisecond at most */
#define BUDGET_PACKET 128 /* what else a copy costs, in bytes copied */

static inline struct vswitch_state *state_of(const struct elisa_info *info)
{
	/* No index of a caller's: what is too small is not speculated about. */
	return info->memory.bytes < sizeof(struct vswitch_state) ? NULL : (void *)info->memory.address;
}

/* The state if the caller may change it and the manager has set it up. */
static struct vswitch_state *state_checked(const struct elisa_info *info)
{
	struct vswitch_state *state = state_of(info);

	if (!info->writable || !state || state->magic != VSWITCH_MAGIC || state->version != VSWITCH_VERSION)
		return NULL;
	if (!elisa_memory(info, 0, vswitch_state_bytes(state->buckets)))
		return NULL;
	return state;
}

/* Is the port of that handle the caller's? */
static inline int port_find(const struct elisa_info *info, struct vswitch_state *state, uint64_t handle,
			    struct vswitch_port **port)
{
	uint64_t offset = port_number(handle) * sizeof(**port);

	KEEP(offset);
	*port = (struct vswitch_port *)(void *)((char *)state->ports + offset);
	return VSWITCH_IS((*port)->owner, (uint64_t)info->attachment + 1) && VSWITCH_IS((*port)->handle, handle);
}

/* The same, or NULL. */
static inline struct vswitch_port *port_of(const struct elisa_info *info, struct vswitch_state *state, uint64_t handle)
{
	struct vswitch_port *port;

	return port_find(info, state, handle, &port) ? port : NULL;
}

ELISA_ENTRY(vswitch_open, uint64_t where)
{
	void *at = elisa_exchange(info, info->attachment, where >> 32, (uint32_t)where, sizeof(struct vswitch_config));
	struct vswitch_state *state = state_checked(info);
	struct vswitch_config config;
	long result;

	if (!state)
		return -EROFS;
	if (!at)
		return -EFAULT;
	elisa_copy(&config, at, sizeof(config));
	config.mtu = config.mtu ? config.mtu : MTU_DEFAULT;
	if (config.mtu < MTU_MIN || config.mtu > MTU_MAX || config.reserved)
		return -EINVAL;
	result = flags_check(info, &config.flags);
	if (!result)
		result = rings_check(info, &config);
	if (result)
		return result;
	elisa_lock(&state->lock, info); /* whoever died with it: what it left is taken apart here as well */
	ports_reap(info, state);
	result = port_open(info, state, &config);
	elisa_unlock(&state->lock, info);
	if (result >= 0)
		elisa_copy(at, &config, sizeof(config));
	return result;
}

/* Is the port the caller's, or what is left of one that was? */
static int port_is_left(const struct elisa_info *info, const struct vswitch_state *state, uint64_t handle)
{
	const struct vswitch_port *port = &state->ports[port_number(handle)];

	return VSWITCH_IS(port->claimed, (uint64_t)info->attachment + 1) && VSWITCH_IS(port->handle, handle);
}

/* One that was cut short is finished when it is repeated: who is told that the port is none of his may rely on it. */
ELISA_ENTRY(vswitch_close, uint64_t handle)
{
	struct vswitch_state *state = state_of(info);
	long result = -ENOTCONN;

	if (!state || !port_is_left(info, state, handle))
		return result;
	elisa_lock(&state->lock, info);
	if (port_is_left(info, state, handle)) {
		port_free(info, state, (uint32_t)port_number(handle));
		result = 0;
	}
	elisa_unlock(&state->lock, info);
	return result;
}

static long set(const struct elisa_info *info, struct vswitch_state *state, uint32_t number, uint64_t what,
		uint64_t value)
{
	struct vswitch_port *port = &state->ports[number];
	uint32_t flags = (uint32_t)value;
	int error;

	switch (what) {
	case VSWITCH_SET_MAC:
		return port_readdress(info, state, number, value);
	case VSWITCH_SET_MTU:
		if (value < MTU_MIN || value > MTU_MAX)
			return -EINVAL;
		port_set_mtu(port, (uint32_t)value);
		return 0;
	case VSWITCH_SET_FLAGS:
		error = value >> 32 ? -EINVAL : flags_check(info, &flags);
		if (!error)
			port_flags(state, number, flags);
		return error;
	case VSWITCH_SET_RX:
		return port_switch_rx(info, state, port, value);
	default:
		return -EINVAL;
	}
}

ELISA_ENTRY(vswitch_set, uint64_t handle, uint64_t what, uint64_t value)
{
	struct vswitch_state *state = state_of(info);
	long result = -ENOTCONN;

	if (!state || !port_of(info, state, handle))
		return result;
	elisa_lock(&state->lock, info);
	if (port_of(info, state, handle))
		result = set(info, state, (uint32_t)port_number(handle), what, value);
	elisa_unlock(&state->lock, info);
	return result;
}

ELISA_ENTRY(vswitch_counters, uint64_t handle, uint64_t where)
{
	void *at =
		elisa_exchange(info, info->attachment, where >> 32, (uint32_t)where, sizeof(struct vswitch_counters));
	struct vswitch_state *state = state_of(info);
	struct vswitch_counters counters;
	struct vswitch_port *port;

	port = state ? port_of(info, state, handle) : NULL;
	if (!port)
		return -ENOTCONN;
	if (!at)
		return -EFAULT;
	vswitch_port_counters(port, &counters);
	elisa_copy(at, &counters, sizeof(counters));
	return 0;
}

static inline void tx_drop(struct send *send, enum vswitch_drop why)
{
	VSWITCH_ADD(send->tx->drops[why], 1);
}

/* May the port send from this address? Learns where it is. */
static int source_ok(struct send *send, uint64_t source)
{
	struct vswitch_state *state = send->state;
	const struct vswitch_port *port = &state->ports[send->port];
	uint64_t entry;
	uint64_t own = __atomic_load_n(&port->address, __ATOMIC_ACQUIRE);
	uint32_t flags = __atomic_load_n(&port->flags, __ATOMIC_ACQUIRE);

	/*
	 * After them: if the port was closed meanwhile, and opened by another client, these may be that one's. An owner
	 * goes first, and comes last.
	 */
	if (VSWITCH_READ(port->owner) != (uint64_t)send->info->attachment + 1)
		return 0;
	if (source == own)
		return 1;
	if (flags & VSWITCH_BIND || source & VSWITCH_GROUP || !source)
		return 0;
	entry = table_find(table_bucket(state, source), source);
	/* Seen a moment ago: the word stays as it is, and its cache line everybody's. */
	if (entry && entry_port(entry) == send->port && (entry & ENTRY_FIXED || !entry_age(state, entry)))
		return 1;
	return table_set(state, source, send->port, 0) != -EPERM;
}

/* The ports that a packet goes to, and why it is dropped, or -1. */
static uint64_t targets(struct send *send, uint64_t destination, int *why)
{
	struct vswitch_state *state = send->state;
	uint64_t open = VSWITCH_READ(state->open) & ~VSWITCH_BIT(send->port), entry;

	*why = -1;
	if (destination == VSWITCH_BROADCAST)
		return open;
	if (destination & VSWITCH_GROUP)
		return open & VSWITCH_READ(state->multicast);
	entry = table_find(table_bucket(state, destination), destination);
	if (!entry || entry_old(state, entry)) {
		open &= VSWITCH_READ(state->any);
		*why = open ? -1 : VSWITCH_DROP_CLOSED;
		return open;
	}
	open &= VSWITCH_READ(state->promiscuous);
	if (entry_port(entry) == send->port) {
		*why = VSWITCH_DROP_LOCAL;
		return open;
	}
	return open | VSWITCH_BIT(entry_port(entry));
}

#define NO_HIGH (1ull << 32)

/* Where packets with these addresses go, which holds for as long as they follow each other within a call. */
struct route {
	uint64_t low; /* the addresses: 64 and 32 bits */
	uint64_t high;
	/* The same if they all go where the run is; else what no packet has. */
	uint64_t fast_low, fast_high;
	uint64_t ports;
	int why; /* why it is dropped; -1: it is not */
	uint32_t flooded;
	uint32_t port; /* if it is only one, which the run is of then; else NONE */
	uint32_t several;
	uint64_t spread; /* of that port */
};

/* Does the packet go where one before it went? Then the run is there. */
static inline int route_again(struct send *send, struct route *route, uint64_t low, uint64_t high)
{
	struct vswitch_rx *rx;

	if (!route_kept(send->info, send->state, send->tx, low, high, &rx))
		return 0;
	run_to(send, rx);
	route->fast_low = low;
	route->fast_high = (uint32_t)high;
	return 1;
}

static inline int route_is(const struct route *route, uint64_t low, uint64_t high)
{
	return low == route->low && (uint32_t)high == route->high;
}

/* Of the port, if it is only one. */
static inline uint32_t route_spread(const struct route *route, const uint8_t *from, uint32_t bytes)
{
	uint32_t class = route->several ? flow_class(from, bytes) : 0;

	return route->spread >> 8 * class & (VSWITCH_QUEUES_MAX - 1);
}

static APART void find_route(struct send *send, struct route *route, uint64_t low, uint64_t high)
{
	uint64_t destination = low & VSWITCH_ADDRESS_MASK, source = low >> 48 | (high & 0xffffffff) << 16;
	uint64_t generation = __atomic_load_n(&send->state->generation, __ATOMIC_ACQUIRE);
	struct vswitch_port *to;
	struct vswitch_rx *rx;

	route->low = low;
	route->high = (uint32_t)high;
	route->fast_high = NO_HIGH;
	route->ports = 0;
	route->why = VSWITCH_DROP_SPOOFED;
	route->flooded = 0;
	route->port = NONE;
	if (!source_ok(send, source))
		return;
	route->ports = targets(send, destination, &route->why);
	route->flooded = (route->ports & (route->ports - 1)) != 0;
	if (!route->ports || route->flooded || route->why >= 0)
		return;
	route->port = (uint32_t)__builtin_ctzll(route->ports);
	to = &send->state->ports[route->port];
	route->several = VSWITCH_READ(to->several);
	route->spread = VSWITCH_READ(to->spread);
	if (route->several)
		return;
	rx = &to->rx[route->spread & (VSWITCH_QUEUES_MAX - 1)];
	route_keep(send->info, send->state, send->tx, low, high, rx, generation);
	run_turn(send, rx);
	route->fast_low = low;
	route->fast_high = (uint32_t)high;
}

/* To each of the ports; charges the budget. */
static APART void deliver(struct send *send, const struct route *route, const struct packet *packet)
{
	for (uint64_t ports = route->ports; ports; ports &= ports - 1) {
		uint32_t number = (uint32_t)__builtin_ctzll(ports);
		struct vswitch_port *port = &send->state->ports[number];
		uint64_t spread = VSWITCH_READ(port->spread);

		run_turn(send, &port->rx[spread >> 8 * packet->class & (VSWITCH_QUEUES_MAX - 1)]);
		run_scatter(send, packet);
		charge(send, packet->bytes + BUDGET_PACKET);
	}
	VSWITCH_ADD(send->tx->flooded, route->flooded);
}

/* A packet that was judged: counts and delivers it. */
static void pass(struct send *send, struct route *route, const struct packet *packet)
{
	if (!route_is(route, packet->low, packet->high))
		find_route(send, route, packet->low, packet->high);
	if (route->why >= 0) {
		tx_drop(send, (enum vswitch_drop)route->why);
	} else {
		VSWITCH_ADD(send->tx->packets, 1);
		VSWITCH_ADD(send->tx->bytes, packet->bytes);
	}
	deliver(send, route, packet);
}

/* A packet of one part that is not of the common kind: in 28 bytes or fewer, to several, scattered. */
static APART void pass_one(struct send *send, struct route *route, uint8_t *from, uint64_t low, uint64_t high,
			   uint32_t bytes)
{
	uint64_t head[2] = { low, high };
	struct packet packet;

	packet.low = low;
	packet.high = high;
	packet.bytes = bytes;
	packet.parts = 2;
	packet.part[0] = (struct part){ (uint8_t *)head, bytes < 16 ? bytes : 16 };
	packet.part[1] = (struct part){ from + packet.part[0].bytes, bytes - packet.part[0].bytes };
	packet.class = bytes < 16 ? 0 : flow_class(from, bytes);
	packet.limit_tags = 4 * flow_tags(from, bytes);
	pass(send, route, &packet);
}

/*
 * A packet in several parts. Its beginning is taken into memory of our own, judged there, and sent from there. Gives
 * how many of the slots, at most `count`, it has; the parts are cut where it is longer than any packet, and it is
 * dropped.
 */
static APART uint32_t pass_parts(struct send *send, struct route *route, struct window *window,
				 const struct vswitch_slot *slots, uint32_t count)
{
	uint32_t owner = send->info->attachment, slot = 0, parts = 1, head_bytes = 0, skip = 0, some;
	uint8_t head[FLOW_BYTES] = { 0 };
	const struct part *part;
	struct packet packet;
	int why = -1;
	uint64_t word;

	packet.bytes = 0;
	do {
		uint64_t where = VSWITCH_READ(slots[slot].where);
		uint32_t bytes;
		uint8_t *at;

		word = slot_load(&slots[slot++]);
		bytes = (uint32_t)word;
		if (why >= 0)
			continue;
		at = bytes > VSWITCH_PACKET_MAX ? NULL : window_find(send->info, window, owner, where, bytes);
		if (bytes > VSWITCH_PACKET_MAX || packet.bytes + bytes > VSWITCH_PACKET_MAX ||
		    parts > VSWITCH_PARTS_MAX)
			why = VSWITCH_DROP_SIZE;
		else if (!at)
			why = VSWITCH_DROP_WHERE;
		else
			packet.part[parts++] = (struct part){ at, bytes };
		packet.bytes += bytes;
	} while (word >> 32 & VSWITCH_MORE && slot < count);
	if (why < 0 && (packet.bytes < VSWITCH_PACKET_MIN || word >> 32 & VSWITCH_MORE))
		why = VSWITCH_DROP_SIZE;
	if (why >= 0) {
		tx_drop(send, (enum vswitch_drop)why);
		return slot;
	}
	head_bytes = packet.bytes < sizeof(head) ? packet.bytes : sizeof(head);
	part = copy_parts(head, &packet.part[1], &skip, head_bytes);
	/* What was taken is the first part, what is left the others. */
	some = (uint32_t)(part - packet.part);
	packet.part[some - 1] = (struct part){ head, head_bytes };
	if (some < parts)
		packet.part[some] = (struct part){ part->at + skip, part->bytes - skip };
	for (uint32_t i = some - 1; i && i < parts; i++)
		packet.part[i - (some - 1)] = packet.part[i];
	packet.parts = parts - (some - 1);
	packet.low = load_word(head);
	packet.high = load_word(head + 8);
	packet.class = flow_class(head, head_bytes < 16 ? 16 : head_bytes);
	packet.limit_tags = 4 * flow_tags(head, head_bytes);
	pass(send, route, &packet);
	return slot;
}

/* Of fewer than 16 bytes; of what is not there, zeros. */
static void load_short(const uint8_t *from, uint32_t bytes, uint64_t *low, uint64_t *high)
{
	uint8_t head[16] = { 0 };

	elisa_copy(head, from, bytes);
	*low = load_word(head);
	*high = load_word(head + 8);
}

/* One packet, in one or several slots: how many. */
static APART uint32_t send_slow(struct send *send, struct route *route, struct window *window,
				const struct vswitch_slot *slots, uint32_t count)
{
	uint64_t where = VSWITCH_READ(slots->where), word = slot_load(slots), low, high;
	uint32_t bytes = (uint32_t)word;
	uint8_t *from;

	if (word >> 32 & VSWITCH_MORE)
		return pass_parts(send, route, window, slots, count);
	if (bytes < VSWITCH_PACKET_MIN || bytes > VSWITCH_PACKET_MAX) {
		tx_drop(send, VSWITCH_DROP_SIZE);
		return 1;
	}
	from = window_find(send->info, window, send->info->attachment, where, bytes);
	if (!from) {
		tx_drop(send, VSWITCH_DROP_WHERE);
		return 1;
	}
	if (bytes < 16) {
		load_short(from, bytes, &low, &high);
	} else {
		low = load_word(from);
		high = load_word(from + 8);
	}
	pass_one(send, route, from, low, high, bytes);
	return 1;
}

/* One packet of 28 to VSWITCH_PACKET_MAX bytes in one slot that does not go the way of the one before it. */
static APART void send_other(struct send *send, struct route *route, uint8_t *from, uint64_t low, uint64_t high,
			     uint32_t bytes)
{
	if (!route_is(route, low, high))
		find_route(send, route, low, high);
	if (route->port != NONE) {
		run_turn(send, &send->state->ports[route->port].rx[route_spread(route, from, bytes)]);
		if (run_fast(send, from, low, high, bytes))
			return;
	}
	pass_one(send, route, from, low, high, bytes);
}

/* How many of the slots were taken. */
static uint32_t send_slots(struct send *send, struct window *window, const struct vswitch_slot *slots, uint32_t count)
{
	struct route route;
	const struct vswitch_slot *slot = slots, *end = slots + count;

	route.high = route.fast_high = NO_HIGH; /* no packet has come this way */
	while (slot != end && send->budget > 0) {
		uint64_t where = VSWITCH_READ(slot->where), bytes = slot_load(slot), low, high, offset;
		uint8_t *from;

		/* Flags too are beyond. */
		if (__builtin_expect(bytes - VSWITCH_COMMON_MIN > VSWITCH_PACKET_MAX - VSWITCH_COMMON_MIN, 0)) {
			slot += send_slow(send, &route, window, slot, (uint32_t)(end - slot));
			continue;
		}
		slot++;
		if (__builtin_expect(window_within(window, where, &offset), 1)) {
			from = (uint8_t *)(window->address + offset);
		} else if (!(from = window_find(send->info, window, send->info->attachment, where, bytes))) {
			tx_drop(send, VSWITCH_DROP_WHERE);
			continue;
		}
		low = load_word(from);
		high = load_word(from + 8);
		if (__builtin_expect(low != route.fast_low || (uint32_t)high != route.fast_high, 0) &&
		    !route_again(send, &route, low, high)) {
			send_other(send, &route, from, low, high, (uint32_t)bytes);
			continue;
		}
		if (__builtin_expect(!run_fast(send, from, low, high, bytes), 0))
			pass_one(send, &route, from, low, high, (uint32_t)bytes);
	}
	return (uint32_t)(slot - slots);
}

/* Any burst. Finds the state anew: sending one needs no register for it then. */
static APART long send_many(const struct elisa_info *info, struct vswitch_tx *tx, uint64_t count)
{
	struct vswitch_state *state = (struct vswitch_state *)info->memory.address;
	struct send send = { .info = info, .state = state, .tx = tx, .budget = BUDGET };
	uint64_t where = VSWITCH_READ(tx->where), bytes;
	const struct elisa_exchange *entry;
	const struct vswitch_slot *slots;
	struct window window;
	uint32_t done;

	if (count > VSWITCH_READ(tx->size))
		return -EINVAL;
	bytes = entry_again(info, entry_offset(where), VSWITCH_READ(tx->serial), &entry) ? entry_bytes(entry) : 0;
	/* Another life of the port may have begun: its place need not go with our size. */
	if ((uint32_t)where + count * sizeof(*slots) > bytes)
		return -ENOTCONN;
	window.base = where & VSWITCH_BUFFER;
	window_set(&window, entry, bytes);
	slots = (const struct vswitch_slot *)(window.address + (uint32_t)where);
	send.port = (uint32_t)(port_around(tx) - send.state->ports);
	done = send_slots(&send, &window, slots, (uint32_t)count);
	if (send.run.port)
		run_end(&send);
	if (send.wake)
		wake_ports(&send);
	return done;
}

ELISA_ENTRY(vswitch_send, uint64_t handle, uint64_t queue, uint64_t count)
{
	struct vswitch_state *state = (struct vswitch_state *)info->memory.address;
	struct vswitch_port *port;
	struct vswitch_tx *tx;

	/* As state_of() says. */
	if (info->memory.bytes < sizeof(*state) || !port_find(info, state, handle, &port))
		return -ENOTCONN;
	if (queue >= VSWITCH_QUEUES_MAX)
		return -EINVAL;
	tx = &port->tx[vswitch_index(queue, VSWITCH_QUEUES_MAX)];
	KEEP(tx);
	if (count != 1)
		return send_many(info, tx, count);
	return __builtin_expect(send_single(info, state, tx), 1) ? 1 : send_many(info, tx, 1);
}
