/* SPDX-License-Identifier: MIT */
/*
 * Which packets belong together: those with the same addresses, in Ethernet and in IP, and ports. A port with several
 * queues gets what belongs together in one, and so in order. The packet may change while it is looked at: it is counted
 * to one flow or another then.
 */
#ifndef ELISA_VSWITCH_FLOW_H
#define ELISA_VSWITCH_FLOW_H

#include "memory.h"

#define FLOW_BYTES 96 /* no more of a packet is looked at: header, two tags, IPv6, ports; or IPv4 with options */
#define FLOW_FACTOR 0x9e3779b97f4a7c15ull

static inline __attribute__((no_sanitize("thread"))) uint32_t flow_8(const uint8_t *at)
{
	return *(const volatile uint8_t *)at;
}

static inline uint32_t flow_16(const uint8_t *at)
{
	return flow_8(at) << 8 | flow_8(at + 1);
}

static inline uint64_t flow_mix(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * FLOW_FACTOR;
	return hash ^ hash >> 29;
}

static inline int flow_tag(uint32_t type)
{
	return type == 0x8100 || type == 0x88a8;
}

/* How many tags a packet of at least 14 bytes has: 0 to 2. */
static inline uint32_t flow_tags(const uint8_t *at, uint32_t bytes)
{
	uint32_t tags = 0;

	while (tags < 2 && 14 + 4 * tags + 4 <= bytes && flow_tag(flow_16(at + 12 + 4 * tags)))
		tags++;
	return tags;
}

static inline int flow_has_ports(uint8_t protocol)
{
	return protocol == 6 || protocol == 17 || protocol == 132;
}

static inline uint64_t flow_ipv4(uint64_t hash, const uint8_t *at, uint32_t bytes)
{
	uint32_t header, ports, protocol;

	if (bytes < 20)
		return hash;
	header = (flow_8(at) & 15) * 4;
	protocol = flow_8(at + 9);
	hash = flow_mix(hash, load_word(at + 12));
	/* Of a packet in fragments only the first has ports: none counts them. */
	if (!flow_has_ports((uint8_t)protocol) || flow_16(at + 6) & 0x3fff || header + 4 > bytes)
		return hash;
	ports = flow_16(at + header) << 16 | flow_16(at + header + 2);
	return flow_mix(hash, (uint64_t)ports << 8 | protocol);
}

static inline uint64_t flow_ipv6(uint64_t hash, const uint8_t *at, uint32_t bytes)
{
	uint32_t protocol;

	if (bytes < 40)
		return hash;
	for (unsigned int i = 8; i < 40; i += 8)
		hash = flow_mix(hash, load_word(at + i));
	protocol = flow_8(at + 6);
	if (!flow_has_ports((uint8_t)protocol) || bytes < 44)
		return hash;
	return flow_mix(hash, (uint64_t)flow_16(at + 40) << 24 | flow_16(at + 42) << 8 | protocol);
}

/* One of eight classes. Of a packet of at least 16 bytes, or its first FLOW_BYTES. */
static inline uint32_t flow_class(const uint8_t *at, uint32_t bytes)
{
	uint64_t hash = flow_mix(0, load_word(at)), high = load_word(at + 8) & 0xffffffff;
	uint32_t tags, type, begin;

	if (bytes > FLOW_BYTES)
		bytes = FLOW_BYTES;
	hash = flow_mix(hash, high);
	tags = flow_tags(at, bytes);
	begin = 14 + 4 * tags;
	type = flow_16(at + begin - 2);
	if (type == 0x0800)
		hash = flow_ipv4(hash, at + begin, bytes - begin);
	else if (type == 0x86dd)
		hash = flow_ipv6(hash, at + begin, bytes - begin);
	return hash >> 61;
}

#endif
