// SPDX-License-Identifier: MIT
/*
 * Sending: the places of packets go into the queue's array, then one call takes them. What the switch has taken is
 * copied, so mbufs are free when the call returns.
 */
#include <errno.h>
#include <emmintrin.h>

#include <rte_mempool.h>

#include "driver.h"

#define HEAD_COUNTS(head) ((uint32_t)((head) >> 16)) /* of net_mbuf_head(): refcnt, nb_segs */
#define HEAD_ONE_EACH 0x10001
#define NOT_DIRECT (RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL)
#define SLOTS ((unsigned int)NET_TX_SLOTS)
#define MORE ((uint64_t)VSWITCH_MORE << 32)

/* What all mbufs of a burst have in common: of counts that are never 0, their bits together are 1 if all are. */
struct common {
	uint64_t heads, ol_flags, pools;
};

struct packets {
	unsigned int slots, packets;
	uint64_t bytes;
};

/* Packets of one segment each, up to the first that lies elsewhere: how many. */
static __rte_always_inline unsigned int put_simple(struct net_tx_queue *queue, struct rte_mbuf **mbufs,
						   unsigned int count, struct common *common, uint64_t *bytes,
						   bool fast_free)
{
	const struct net_segment *segment = queue->segment;
	struct vswitch_slot *slot = queue->slots;
	uintptr_t start = segment->start;
	uint64_t own = segment->bytes, delta = segment->delta, sum = 0;
	uint64_t heads = 0, ol_flags = 0, pools = 0, pool = (uint64_t)mbufs[0]->pool;
	unsigned int i;

#pragma GCC unroll 4
	for (i = 0; i < count; i++) {
		const struct rte_mbuf *mbuf = mbufs[i];
		uintptr_t address = (uintptr_t)mbuf->buf_addr + mbuf->data_off;

		if (unlikely(address - start >= own)) {
			segment = net_memory_find(queue->memory, address);
			if (!segment)
				break;
			queue->segment = segment;
			start = segment->start;
			own = segment->bytes;
			delta = segment->delta;
		}
		net_slot_set(&slot[i], address + delta, mbuf->data_len);
		sum += mbuf->data_len;
		heads |= *net_mbuf_head(mbuf);
		if (!fast_free) {
			ol_flags |= mbuf->ol_flags;
			pools |= (uint64_t)mbuf->pool ^ pool;
		}
	}
	*common = (struct common){ .heads = heads, .ol_flags = ol_flags, .pools = pools };
	*bytes = sum;
	return i;
}

static __rte_always_inline void copy_pointers(void **to, void *const *from, unsigned int count)
{
	unsigned int i;

#pragma GCC unroll 4
	for (i = 0; i + 2 <= count; i += 2)
		_mm_storeu_si128((__m128i *)&to[i], _mm_loadu_si128((const __m128i *)&from[i]));
	if (i < count)
		to[i] = from[i];
}

/* All from one pool, with one reference each. */
static __rte_always_inline void free_simple(struct rte_mbuf **mbufs, unsigned int count)
{
	struct rte_mempool *pool = mbufs[0]->pool;
	struct rte_mempool_cache *cache = rte_mempool_default_cache(pool, rte_lcore_id());
	void **to;

	if (unlikely(!cache || cache->len + count > cache->flushthresh)) {
		rte_mempool_put_bulk(pool, (void **)mbufs, count);
		return;
	}
	to = &cache->objs[cache->len];
	cache->len += count;
	copy_pointers(to, (void **)mbufs, count);
}

static __rte_noinline uint16_t put_one(struct rte_mempool *pool, struct rte_mbuf *mbuf)
{
	rte_mempool_put(pool, mbuf);
	return 1;
}

/* One that is direct, and has one reference. */
static __rte_always_inline uint16_t free_one(struct rte_mbuf *mbuf)
{
	struct rte_mempool *pool = mbuf->pool;
	unsigned int lcore = rte_lcore_id();
	struct rte_mempool_cache *cache;

	if (unlikely(!pool->cache_size || lcore >= RTE_MAX_LCORE))
		return put_one(pool, mbuf);
	cache = &pool->local_cache[lcore];
	if (unlikely(cache->len >= cache->flushthresh))
		return put_one(pool, mbuf);
	cache->objs[cache->len++] = mbuf;
	return 1;
}

/* Copies a packet that does not lie in shared memory to where it does. */
static bool bounce(struct net_tx_queue *queue, const struct rte_mbuf *mbuf, struct vswitch_slot *slot, uint32_t *used)
{
	const uint8_t *data;
	uint8_t *to = queue->bounce + *used;

	if (mbuf->pkt_len > NET_BOUNCE_BYTES - *used)
		return false;
	data = rte_pktmbuf_read(mbuf, 0, mbuf->pkt_len, to);
	if (data && data != to)
		memcpy(to, data, mbuf->pkt_len);
	net_slot_set(slot, net_memory_where(queue->memory, to), mbuf->pkt_len);
	*used += RTE_ALIGN_CEIL(mbuf->pkt_len, RTE_CACHE_LINE_SIZE);
	queue->bounced++;
	return true;
}

/* A packet's segments, each in a slot of its own: how many; 0: one lies elsewhere. */
static unsigned int put_segments(struct net_tx_queue *queue, const struct rte_mbuf *mbuf, unsigned int at)
{
	unsigned int slots = 0;

	for (; mbuf; mbuf = mbuf->next) {
		uint64_t where = net_memory_where(queue->memory, rte_pktmbuf_mtod(mbuf, const void *));

		if (!mbuf->data_len && (slots || mbuf->next))
			continue;
		if (where == NET_NOWHERE)
			return 0;
		net_slot_set(&queue->slots[at + slots++], where, mbuf->data_len | MORE);
	}
	queue->slots[at + slots - 1].flags = 0;
	return slots;
}

/* Any packets; ends[i] is the number of slots up to the end of the i-th, which is the one before's for one refused. */
static struct packets put_any(struct net_tx_queue *queue, struct rte_mbuf **mbufs, unsigned int count, uint16_t *ends)
{
	struct packets put = { 0 };
	uint32_t bounced = 0;

	for (; put.packets < count; put.packets++) {
		const struct rte_mbuf *mbuf = mbufs[put.packets];
		unsigned int slots;

		if (mbuf->nb_segs > NET_SEGMENTS_MAX || mbuf->pkt_len > VSWITCH_PACKET_MAX) {
			queue->refused++; /* it can never be sent */
			ends[put.packets] = put.slots;
			continue;
		}
		if (put.slots + mbuf->nb_segs > NET_TX_SLOTS)
			break;
		slots = put_segments(queue, mbuf, put.slots);
		if (!slots) {
			if (!bounce(queue, mbuf, &queue->slots[put.slots], &bounced))
				break;
			slots = 1;
		}
		put.slots += slots;
		ends[put.packets] = put.slots;
	}
	return put;
}

static __rte_noinline uint16_t failed(struct net_tx_queue *queue, long error)
{
	if (!net_passing(error))
		net_port_lost(queue->port, error);
	return 0;
}

static inline long call_send(struct net_tx_queue *queue, unsigned int slots)
{
	return elisa_call3(&queue->send, queue->number, queue->id, slots);
}

/* The general case: how many packets are not the caller's any more. */
static __rte_noinline unsigned int send_any(struct net_tx_queue *queue, struct rte_mbuf **mbufs, unsigned int count)
{
	uint16_t ends[NET_TX_SLOTS];
	struct packets put = put_any(queue, mbufs, RTE_MIN(count, SLOTS), ends);
	unsigned int sent = 0, refused = 0;
	long taken = 0;

	if (put.slots) {
		taken = call_send(queue, put.slots);
		if (taken < 0) {
			failed(queue, taken);
			taken = 0;
		}
	}
	while (sent < put.packets && ends[sent] <= taken) {
		if (ends[sent] == (sent ? ends[sent - 1] : 0))
			refused++;
		else
			queue->bytes += mbufs[sent]->pkt_len;
		sent++;
	}
	/* Those refused beyond are counted when they are handed over again. */
	for (unsigned int i = sent; i < put.packets; i++)
		queue->refused -= ends[i] == (i ? ends[i - 1] : 0);
	queue->packets += sent - refused;
	rte_pktmbuf_free_bulk(mbufs, sent);
	return sent;
}

static __rte_always_inline unsigned int send_simple(struct net_tx_queue *queue, struct rte_mbuf **mbufs,
						    unsigned int count, bool fast_free)
{
	struct common common;
	uint64_t bytes;
	long taken;

	if (unlikely(put_simple(queue, mbufs, count, &common, &bytes, fast_free) < count ||
		     HEAD_COUNTS(common.heads) >> 16 != 1))
		return send_any(queue, mbufs, count);
	taken = call_send(queue, count);
	if (unlikely(taken < (long)count)) {
		if (taken <= 0) {
			if (taken)
				failed(queue, taken);
			return 0;
		}
		bytes = 0;
		for (long i = 0; i < taken; i++)
			bytes += mbufs[i]->data_len;
	}
	queue->packets += taken;
	queue->bytes += bytes;
	if (fast_free ||
	    (HEAD_COUNTS(common.heads) == HEAD_ONE_EACH && !common.pools && !(common.ol_flags & NOT_DIRECT)))
		free_simple(mbufs, taken);
	else
		rte_pktmbuf_free_bulk(mbufs, taken);
	return taken;
}

static __rte_noinline uint16_t send_burst(struct net_tx_queue *queue, struct rte_mbuf **mbufs, uint16_t count)
{
	unsigned int sent = 0;

	if (unlikely(queue->off))
		return 0;
	while (sent < count) {
		unsigned int now = RTE_MIN(count - sent, SLOTS), done;

		if (queue->fast_free)
			done = send_simple(queue, mbufs + sent, now, true);
		else
			done = send_simple(queue, mbufs + sent, now, false);
		sent += done;
		/* A part of a burst is no reason to stop if it was for want of slots. */
		if (unlikely(!done))
			break;
	}
	return sent;
}

/* The last byte of ol_flags says all of it. */
static __rte_always_inline bool is_direct(const struct rte_mbuf *mbuf)
{
	_Static_assert(!(NOT_DIRECT << 8), "within the last byte");
	return !(((const uint8_t *)&mbuf->ol_flags)[7] & NOT_DIRECT >> 56);
}

/* A burst of one costs a third of what it would as one of many. */
uint16_t net_tx_burst(void *opaque, struct rte_mbuf **mbufs, uint16_t count)
{
	struct net_tx_queue *queue = opaque;
	const struct net_segment *segment = queue->segment;
	struct rte_mbuf *mbuf;
	uintptr_t address;
	long taken;

	if (count != 1)
		return send_burst(queue, mbufs, count);
	mbuf = mbufs[0];
	address = (uintptr_t)mbuf->buf_addr + mbuf->data_off;
	if (unlikely(queue->off || address - segment->start >= segment->bytes ||
		     HEAD_COUNTS(*net_mbuf_head(mbuf)) != HEAD_ONE_EACH || !is_direct(mbuf)))
		return send_burst(queue, mbufs, 1);
	net_slot_set(queue->slots, address + segment->delta, mbuf->data_len);
	taken = call_send(queue, 1);
	if (unlikely(taken != 1))
		return failed(queue, taken ? taken : -EAGAIN);
	queue->packets++;
	queue->bytes += mbuf->data_len;
	return free_one(mbuf);
}

uint16_t net_tx_prepare(void *opaque, struct rte_mbuf **mbufs, uint16_t count)
{
	(void)opaque;
	for (uint16_t i = 0; i < count; i++) {
		const struct rte_mbuf *mbuf = mbufs[i];

		rte_errno = 0;
		if (mbuf->nb_segs > NET_SEGMENTS_MAX || mbuf->pkt_len > VSWITCH_PACKET_MAX ||
		    mbuf->pkt_len < VSWITCH_PACKET_MIN)
			rte_errno = EINVAL;
		else if (mbuf->ol_flags & RTE_MBUF_F_TX_OFFLOAD_MASK)
			rte_errno = ENOTSUP;
		if (rte_errno)
			return i;
	}
	return count;
}

int net_tx_descriptor_status(void *opaque, uint16_t offset)
{
	const struct net_tx_queue *queue = opaque;

	return offset >= queue->size ? -EINVAL : RTE_ETH_TX_DESC_DONE;
}
