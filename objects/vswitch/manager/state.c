// SPDX-License-Identifier: MIT
/* What the manager writes into the switch's memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "manager.h"

static uint64_t random_word(void)
{
	uint64_t word;

	while (getrandom(&word, sizeof(word), 0) != sizeof(word))
		;
	return word;
}

void state_prepare(struct vswitch_state *state, uint32_t ports, uint32_t ports_each, uint32_t buckets,
		   uint32_t ageing_s)
{
	uint32_t shift = 0;

	while (ageing_s >> shift > ENTRY_AGE_MAX)
		shift++;
	state->version = VSWITCH_VERSION;
	state->ports_max = ports;
	state->ports_each = ports_each;
	state->buckets = buckets;
	state->age_shift = shift;
	state->age_limit = ageing_s >> shift;
	/* Each of its own: what can be found out about one says nothing of another. */
	state->route_key = random_word() | 1;
	state->key = random_word() | 1;
	state->generation = random_word();
	state->address_seed = random_word();
	/* Last: without it nobody uses the rest. */
	__atomic_store_n(&state->magic, VSWITCH_MAGIC, __ATOMIC_RELEASE);
}

void state_tick(struct vswitch_state *state, uint64_t seconds)
{
	uint32_t now = (uint32_t)(seconds >> state->age_shift);

	VSWITCH_WRITE(state->seconds, seconds);
	if (now == state->now)
		return;
	/* Often enough that no stamp comes round, also if some ticks were missed. */
	if (now / 64 != state->now / 64)
		table_clean(state);
	VSWITCH_WRITE(state->now, now);
	vswitch_changed(state);
}

void state_gone(struct vswitch_state *state, uint32_t attachment)
{
	for (uint32_t number = 0; number < VSWITCH_PORTS_MAX; number++) {
		struct vswitch_port *port = &state->ports[number];
		uint64_t owner = (uint64_t)attachment + 1;

		/* If another has it since, that one is not this owner. */
		if (VSWITCH_READ(port->claimed) == owner)
			VSWITCH_WRITE(port->gone, owner);
	}
	vswitch_changed(state);
}
