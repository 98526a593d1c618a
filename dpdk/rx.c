// SPDX-License-Identifier: MIT
/*
 * Receiving: the switch has filled mbufs that were posted, and counts them in the ring. No call is made.
 *
 * The switch is trusted as a library is; still what it writes is used in ways that stay within our own memory.
 */
#include <errno.h>
#include <tmmintrin.h>

#include <rte_mempool.h>

#include "driver.h"

#define GROUP 4
#define GOES_ON ((uint64_t)0xffff << 32)
#define MORE ((uint64_t)VSWITCH_MORE << 32)

_Static_assert(sizeof(struct vswitch_slot) == 16 && offsetof(struct vswitch_slot, bytes) == 8, "read as one");
_Static_assert(offsetof(struct rte_mbuf, ol_flags) == offsetof(struct rte_mbuf, rearm_data) + 8, "written as one");
_Static_assert(offsetof(struct rte_mbuf, pkt_len) == offsetof(struct rte_mbuf, rx_descriptor_fields1) + 4 &&
		       offsetof(struct rte_mbuf, data_len) == offsetof(struct rte_mbuf, rx_descriptor_fields1) + 8,
	       "written as one");

/* Posts mbufs in COUNT slots from AT on, which do not go beyond the ring's end. */
static __rte_always_inline void post_mbufs(struct net_rx_queue *queue, uint32_t at, struct rte_mbuf *const *mbufs,
					   unsigned int count)
{
	struct vswitch_slot *slot = &queue->ring->slots[at];
	struct rte_mbuf **to = &queue->mbufs[at];
	uint64_t delta = queue->delta, room = queue->room;

#pragma GCC unroll 4
	for (unsigned int i = 0; i < count; i++) {
		struct rte_mbuf *mbuf = mbufs[i];

		to[i] = mbuf;
		net_slot_set(&slot[i], (uint64_t)mbuf->buf_addr + delta, room);
	}
}

/* The pool's memory has no one place: each mbuf is looked up. One that is not shared was refused by queue_fill. */
static void post_each(struct net_rx_queue *queue, uint32_t at, struct rte_mbuf *const *mbufs, unsigned int count)
{
	const struct net_memory *memory = &queue->port->connection->memory;

	for (unsigned int i = 0; i < count; i++) {
		uint64_t where = net_memory_where(memory, mbufs[i]->buf_addr);

		queue->mbufs[at + i] = mbufs[i];
		where = where == NET_NOWHERE ? NET_NOWHERE : where + RTE_PKTMBUF_HEADROOM;
		net_slot_set(&queue->ring->slots[at + i], where, queue->room);
	}
}

/* Posts COUNT slots; false if there are no mbufs. */
static __rte_always_inline bool post_some(struct net_rx_queue *queue, unsigned int count)
{
	struct rte_mempool_cache *cache = rte_mempool_default_cache(queue->pool, rte_lcore_id());
	uint32_t at = queue->posted & queue->mask;
	struct rte_mbuf **mbufs = &queue->mbufs[at];

	if (likely(cache && cache->len >= count)) {
		cache->len -= count;
		mbufs = (struct rte_mbuf **)&cache->objs[cache->len];
	} else if (rte_mempool_get_bulk(queue->pool, (void **)mbufs, count)) {
		return false;
	}
	if (likely(queue->delta != NET_NOWHERE))
		post_mbufs(queue, at, mbufs, count);
	else
		post_each(queue, at, mbufs, count);
	queue->posted += count;
	net_rx_post_later(queue);
	/* Release: the slots are seen before the count that has them. */
	__atomic_store_n(&queue->ring->posted, queue->posted, __ATOMIC_RELEASE);
	return true;
}

void net_rx_post(struct net_rx_queue *queue)
{
	uint32_t size = queue->mask + 1, free = size - (queue->posted - queue->next);

	while (free >= queue->free_thresh) {
		uint32_t now = RTE_MIN(free, size - (queue->posted & queue->mask));

		now = RTE_MIN(now, (uint32_t)RTE_MEMPOOL_CACHE_MAX_SIZE);
		if (unlikely(!post_some(queue, now))) {
			queue->no_mbuf += now;
			queue->port->data->rx_mbuf_alloc_failed += now;
			return;
		}
		free -= now;
	}
}

static __rte_always_inline bool may_post(const struct net_rx_queue *queue)
{
	return (int32_t)(queue->next - queue->post_at) >= 0;
}

static __rte_always_inline void post_free(struct net_rx_queue *queue)
{
	if (may_post(queue))
		net_rx_post(queue);
}

static __rte_noinline uint16_t post_after_one(struct net_rx_queue *queue)
{
	net_rx_post(queue);
	return 1;
}

/* What a slot and the mbuf in it become, and the slot's second word. */
static __rte_always_inline __m128i take_one(struct rte_mbuf *mbuf, const struct vswitch_slot *slot, __m128i rearm)
{
	const __m128i shuffle = _mm_setr_epi8(-1, -1, -1, -1, 8, 9, 10, 11, 8, 9, -1, -1, -1, -1, -1, -1);
	__m128i filled = _mm_load_si128((const __m128i *)slot);

	_mm_store_si128((__m128i *)net_mbuf_head(mbuf), rearm);
	_mm_storeu_si128((__m128i *)&mbuf->rx_descriptor_fields1, _mm_shuffle_epi8(filled, shuffle));
	return filled;
}

/*
 * Packets of one slot each. Returns the sum of the slots' second words: their bytes, and above these, in GOES_ON, how
 * many go on in the next slot; if any does, the mbufs are not to be handed out. What is still above is the switch's
 * own.
 */
static __rte_always_inline uint64_t take(const struct net_rx_queue *queue, uint32_t at, struct rte_mbuf **out,
					 unsigned int count, uint64_t *others)
{
	const __m128i rearm = _mm_load_si128((const __m128i *)&queue->rearm);
	const struct vswitch_slot *slot = &queue->ring->slots[at];
	struct rte_mbuf *const *from = &queue->mbufs[at];
	__m128i sum = _mm_setzero_si128();
	uint64_t mac = queue->mac, not_mine = *others;
	unsigned int i = 0;

	for (; i + GROUP <= count; i += GROUP) {
#pragma GCC unroll 4
		for (unsigned int j = i; j < i + GROUP; j++) {
			out[j] = from[j];
			not_mine |= net_filter_compare(from[j], mac);
			sum = _mm_add_epi64(sum, take_one(from[j], &slot[j], rearm));
		}
	}
	for (; i < count; i++) {
		out[i] = from[i];
		not_mine |= net_filter_compare(from[i], mac);
		sum = _mm_add_epi64(sum, take_one(from[i], &slot[i], rearm));
	}
	*others = not_mine;
	return (uint64_t)_mm_extract_epi64(sum, 1);
}

/* Packets of any number of slots, out of AVAILABLE. */
static __rte_noinline unsigned int take_any(struct net_rx_queue *queue, struct rte_mbuf **out, unsigned int count,
					    uint32_t available)
{
	unsigned int packets = 0;

	while (packets < count && available) {
		struct rte_mbuf *first = NULL, *last = NULL;
		uint32_t used = 0;
		bool more = true;

		while (more && used < available) {
			uint32_t at = (queue->next + used++) & queue->mask;
			struct rte_mbuf *mbuf = queue->mbufs[at];
			uint32_t bytes = RTE_MIN(queue->ring->slots[at].bytes, queue->room);

			more = queue->ring->slots[at].flags & VSWITCH_MORE;
			*net_mbuf_head(mbuf) = queue->rearm;
			mbuf->ol_flags = queue->ol_flags;
			mbuf->packet_type = 0;
			mbuf->data_len = bytes;
			mbuf->pkt_len = bytes;
			if (first) {
				first->nb_segs++;
				first->pkt_len += bytes;
				last->next = mbuf;
			} else {
				first = mbuf;
			}
			last = mbuf;
		}
		if (more) { /* the rest of it is yet to come; the mbufs stay in their slots */
			for (struct rte_mbuf *next; first != last; first = next) {
				next = first->next;
				first->next = NULL;
			}
			break;
		}
		queue->next += used;
		available -= used;
		if (!first->pkt_len) { /* the place was of no use to the switch */
			rte_pktmbuf_free(first);
			continue;
		}
		queue->bytes += first->pkt_len;
		out[packets++] = first;
	}
	return packets;
}

static __rte_noinline uint16_t receive(struct net_rx_queue *queue, struct rte_mbuf **mbufs, uint16_t count,
				       uint32_t available)
{
	uint32_t at = queue->next & queue->mask;
	unsigned int now = RTE_MIN(count, available), first = RTE_MIN(now, queue->mask + 1 - at);
	uint64_t words, others = 0;

	if (unlikely(available > queue->mask + 1))
		return 0;
	words = take(queue, at, mbufs, first, &others);
	if (unlikely(first < now))
		words += take(queue, 0, mbufs + first, now - first, &others);
	if (likely(!(words & GOES_ON) && !queue->doubtful)) {
		queue->next += now;
		queue->bytes += (uint32_t)words;
	} else {
		now = take_any(queue, mbufs, count, available);
		others = 1;
	}
	queue->packets += now;
	post_free(queue);
	return unlikely(others && queue->filter) ? net_filter(queue, mbufs, now) : now;
}

uint16_t net_rx_burst(void *opaque, struct rte_mbuf **mbufs, uint16_t count)
{
	struct net_rx_queue *queue = opaque;
	/* Acquire: what was filled is seen after the count that says so. */
	uint32_t available = __atomic_load_n(&queue->ring->filled, __ATOMIC_ACQUIRE) - queue->next;
	struct rte_mbuf *mbuf;
	uint64_t word;
	uint32_t at;

	if (!available) {
		post_free(queue); /* there may be mbufs again after there were none */
		return 0;
	}
	if (count != 1)
		return receive(queue, mbufs, count, available);
	/* One alone, without what it takes to receive many. */
	at = queue->next & queue->mask;
	mbuf = queue->mbufs[at];
	word = (uint64_t)_mm_extract_epi64(
		take_one(mbuf, &queue->ring->slots[at], _mm_load_si128((const __m128i *)&queue->rearm)), 1);
	if (unlikely(word & MORE))
		return receive(queue, mbufs, 1, available);
	if (unlikely(net_filter_compare(mbuf, queue->mac) && (queue->filter || queue->doubtful)))
		return receive(queue, mbufs, 1, available);
	mbufs[0] = mbuf;
	queue->next++;
	queue->packets++;
	queue->bytes += (uint32_t)word;
	return unlikely(may_post(queue)) ? post_after_one(queue) : 1;
}

uint32_t net_rx_queue_count(void *opaque)
{
	const struct net_rx_queue *queue = opaque;

	return __atomic_load_n(&queue->ring->filled, __ATOMIC_RELAXED) - queue->next;
}

int net_rx_descriptor_status(void *opaque, uint16_t offset)
{
	const struct net_rx_queue *queue = opaque;

	if (offset > queue->mask)
		return -EINVAL;
	if (offset < net_rx_queue_count(opaque))
		return RTE_ETH_RX_DESC_DONE;
	return offset < queue->posted - queue->next ? RTE_ETH_RX_DESC_AVAIL : RTE_ETH_RX_DESC_UNAVAIL;
}
