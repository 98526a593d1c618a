/* SPDX-License-Identifier: MIT */
/* The switch's trusted code as part of an ordinary program: its memory, an exchange, and clients of it. */
#ifndef VSWITCH_WORLD_H
#define VSWITCH_WORLD_H

#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ELISA_TEST
#include "../../../objects/vswitch/vswitch.c"

#define CLIENTS_MAX 66
#define CLIENT_QUEUES 4
#define RING_SIZE 256
#define PLACE_BYTES 2048
#define CLIENT_BYTES (4u << 20)

/* Where things lie in a client's memory. */
#define AT_CONFIG 0x0
#define AT_COUNTERS 0x800
#define AT_TX(queue) (0x1000u + (queue)*0x1000u)
#define AT_RX(queue) (0x10000u + (queue)*0x2000u)
#define AT_OUT 0x100000u                                           /* packets that are sent: one a slot */
#define AT_IN(queue) (0x200000u + (queue)*RING_SIZE * PLACE_BYTES) /* places, in the order of their slots */

struct client {
	struct elisa_info info;
	uint8_t *memory;
	uint32_t index; /* in the exchange's table */
	long port;
	uint32_t posted[CLIENT_QUEUES], taken[CLIENT_QUEUES];
};

extern struct client clients[CLIENTS_MAX];
extern struct elisa_exchange exchange[ELISA_EXCHANGES_MAX];
extern struct vswitch_state *state;
extern uint64_t notified[CLIENTS_MAX]; /* by attachment */

/* A switch without ports, and clients that share memory with it: the attachment of client n is n + 1. */
void world_reset(uint32_t ports, uint32_t buckets);

/* Client n's memory anew: with another serial. Or not at all any more. */
void client_share(uint32_t n);
void client_unshare(uint32_t n);

/* A config in its memory with so many queues each way, and the address 02:00:00:00:00:n. */
struct vswitch_config *client_config(uint32_t n, uint32_t rx_queues, uint32_t tx_queues);
long client_open(uint32_t n);                  /* as its config says */
void client_join(uint32_t n, uint32_t queues); /* opens it, and posts a ring full of places in each queue */
void client_post(uint32_t n, uint32_t queue, uint32_t count, uint32_t room);
/* All places of queue 0 anew, with that room. */
void world_post_anew(uint32_t n, uint32_t room);

struct vswitch_ring *ring_of(uint32_t n, uint32_t queue);
struct vswitch_slot *tx_slots(uint32_t n, uint32_t queue);
uint64_t mac(uint32_t n);

/* A packet in slot `slot` of queue 0: 64 bytes of payload mark `mark` if not said otherwise. */
uint8_t *packet_put(uint32_t n, uint32_t slot, uint64_t to, uint64_t from, uint32_t bytes, uint8_t mark);
long client_send(uint32_t n, uint32_t count);
long client_send_one(uint32_t n, uint64_t to, uint64_t from, uint32_t bytes, uint8_t mark);

/* The next slot that was filled, or NULL; its packet is at *at. */
struct vswitch_slot *client_take(uint32_t n, uint32_t queue, uint8_t **at);
uint32_t client_pending(uint32_t n);

struct vswitch_counters counters_of(uint32_t n);

/* Do all routes of the ports that there are lead to queues? */
bool world_routes_hold(void);

#endif
