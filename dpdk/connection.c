// SPDX-License-Identifier: MIT
/* What all ports of this process at one switch have in common. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal_memconfig.h>
#include <rte_errno.h>
#include <rte_memory.h>

#include "driver.h"

#define EVENTS "net_elisa"

/*
 * Protects the list, users, and each connection's memory. Taken inside of EAL's locks of memory, as in callbacks: while
 * it is held nothing of EAL may be allocated.
 */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct net_connection *connections;

static void memory_event(enum rte_mem_event event, const void *address, size_t bytes, void *argument)
{
	(void)argument;
	pthread_mutex_lock(&lock);
	for (struct net_connection *each = connections; each; each = each->next) {
		if (event == RTE_MEM_EVENT_ALLOC && !each->lost)
			net_memory_added(&each->memory, (uintptr_t)address, bytes);
		else if (event == RTE_MEM_EVENT_FREE)
			net_memory_removed(&each->memory, (uintptr_t)address, bytes);
	}
	pthread_mutex_unlock(&lock);
}

static int find_functions(struct net_connection *connection)
{
	const struct {
		const char *name;
		struct elisa_function *function;
	} wanted[] = {
		{ "vswitch_open", &connection->functions.open },
		{ "vswitch_close", &connection->functions.close },
		{ "vswitch_send", &connection->functions.send },
		{ "vswitch_set", &connection->functions.set },
		{ "vswitch_counters", &connection->functions.counters },
	};

	for (unsigned int i = 0; i < RTE_DIM(wanted); i++) {
		int error = elisa_function_find(connection->attachment, wanted[i].name, wanted[i].function);

		if (error) {
			NET_LOG(ERR, "object %s is no virtual switch: %s", connection->object, elisa_reason());
			return error;
		}
	}
	return 0;
}

static struct net_connection *create(const char *object, enum elisa_scheme scheme, int *error)
{
	struct net_connection *new = calloc(1, sizeof(*new));

	if (!new) {
		*error = -ENOMEM;
		return NULL;
	}
	new->users = 1;
	new->scheme = scheme;
	strcpy(new->object, object);
	*error = elisa_attach(&new->attachment, object, scheme);
	if (*error) {
		NET_LOG(ERR, "cannot attach to %s: %s", object, elisa_reason());
		goto free;
	}
	*error = find_functions(new);
	if (*error)
		goto detach;
	/* Nothing comes or goes between the walk and the moment from which events find the connection. */
	rte_mcfg_mem_read_lock();
	*error = net_memory_create(&new->memory, new->attachment);
	if (!*error) {
		pthread_mutex_lock(&lock);
		new->next = connections;
		connections = new;
		pthread_mutex_unlock(&lock);
	}
	rte_mcfg_mem_read_unlock();
	if (*error) {
		NET_LOG(ERR, "no memory could be shared with %s: %s", object, strerror(-*error));
		goto detach;
	}
	return new;

detach:
	elisa_detach(new->attachment);
free:
	free(new);
	return NULL;
}

static struct net_connection *find(const char *object, enum elisa_scheme scheme)
{
	struct net_connection *each = connections;

	while (each && (each->lost || each->scheme != scheme || strcmp(each->object, object)))
		each = each->next;
	return each;
}

struct net_connection *net_connection_get(const char *object, enum elisa_scheme scheme, int *error)
{
	struct net_connection *connection;
	bool first;

	*error = 0;
	pthread_mutex_lock(&lock);
	first = !connections;
	connection = find(object, scheme);
	if (connection)
		connection->users++;
	pthread_mutex_unlock(&lock);
	if (connection)
		return connection;
	if (first && rte_mem_event_callback_register(EVENTS, memory_event, NULL) && rte_errno != ENOTSUP)
		NET_LOG(WARNING, "memory that is allocated later is not shared: %s", rte_strerror(rte_errno));
	connection = create(object, scheme, error);
	if (!connection && first)
		rte_mem_event_callback_unregister(EVENTS, NULL);
	return connection;
}

int net_connection_refresh(struct net_connection *connection)
{
	int error = 0;

	rte_mcfg_mem_read_lock();
	pthread_mutex_lock(&lock);
	if (!connection->started)
		error = net_memory_refresh(&connection->memory);
	pthread_mutex_unlock(&lock);
	rte_mcfg_mem_read_unlock();
	return error;
}

void net_connection_revoke(struct net_connection *connection, int error)
{
	rte_mcfg_mem_read_lock();
	pthread_mutex_lock(&lock);
	net_memory_revoke(&connection->memory);
	if (connection->started)
		connection->lost = error;
	pthread_mutex_unlock(&lock);
	rte_mcfg_mem_read_unlock();
}

void net_connection_put(struct net_connection *connection)
{
	struct net_connection **link = &connections;
	bool last, none;

	pthread_mutex_lock(&lock);
	last = !--connection->users;
	if (last) {
		while (*link != connection)
			link = &(*link)->next;
		*link = connection->next;
	}
	none = !connections;
	pthread_mutex_unlock(&lock);
	if (!last)
		return;
	if (none)
		rte_mem_event_callback_unregister(EVENTS, NULL);
	net_memory_destroy(&connection->memory);
	elisa_detach(connection->attachment);
	free(connection);
}
