// SPDX-License-Identifier: MIT
/*
 * Sleeping until something comes. The attachment has one descriptor, readable when any of its ports is woken; each
 * queue has an epoll descriptor of it and of an eventfd of its own, which is for what came before the program slept.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_interrupts.h>

#include "driver.h"

static void close_queue(struct net_rx_queue *queue)
{
	if (queue->wake >= 0)
		close(queue->wake);
	if (queue->epoll >= 0)
		close(queue->epoll);
	queue->wake = queue->epoll = -1;
}

static int open_queue(struct net_rx_queue *queue, int attachment)
{
	struct epoll_event event = { .events = EPOLLIN };

	queue->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	queue->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (queue->wake < 0 || queue->epoll < 0 || epoll_ctl(queue->epoll, EPOLL_CTL_ADD, queue->wake, &event))
		return -errno;
	event.events |= EPOLLET; /* each wake-up is a new one, though nobody reads the descriptor for all */
	return epoll_ctl(queue->epoll, EPOLL_CTL_ADD, attachment, &event) ? -errno : 0;
}

int net_interrupts_create(struct rte_eth_dev *device)
{
	const struct rte_eth_dev_data *data = device->data;
	struct net_port *port = net_port(device);
	int attachment = elisa_attachment_fd(port->connection->attachment), error = 0;
	struct rte_intr_handle *handle;

	if (!data->dev_conf.intr_conf.rxq)
		return 0;
	handle = rte_intr_instance_alloc(RTE_INTR_INSTANCE_F_PRIVATE);
	if (!handle)
		return -ENOMEM;
	port->interrupts = device->intr_handle = handle;
	if (rte_intr_vec_list_alloc(handle, "net_elisa", data->nb_rx_queues) ||
	    rte_intr_type_set(handle, RTE_INTR_HANDLE_VDEV) || rte_intr_efd_counter_size_set(handle, 0) ||
	    rte_intr_nb_efd_set(handle, data->nb_rx_queues) ||
	    rte_intr_max_intr_set(handle, data->nb_rx_queues + RTE_INTR_VEC_RXTX_OFFSET))
		error = -ENOMEM;
	for (uint16_t i = 0; i < data->nb_rx_queues && !error; i++) {
		struct net_rx_queue *queue = data->rx_queues[i];

		error = open_queue(queue, attachment);
		if (!error && (rte_intr_efds_index_set(handle, i, queue->epoll) ||
			       rte_intr_vec_list_index_set(handle, i, i + RTE_INTR_VEC_RXTX_OFFSET)))
			error = -ENOMEM;
	}
	if (error)
		net_interrupts_destroy(device);
	return error;
}

void net_interrupts_destroy(struct rte_eth_dev *device)
{
	struct net_port *port = net_port(device);

	if (!port->interrupts)
		return;
	rte_intr_free_epoll_fd(port->interrupts);
	rte_intr_vec_list_free(port->interrupts);
	rte_intr_instance_free(port->interrupts);
	port->interrupts = device->intr_handle = NULL;
	for (uint16_t i = 0; i < device->data->nb_rx_queues; i++)
		close_queue(device->data->rx_queues[i]);
}

int net_interrupt_enable(struct rte_eth_dev *device, uint16_t id)
{
	struct net_rx_queue *queue = device->data->rx_queues[id];
	const uint64_t one = 1;

	if (queue->wake < 0)
		return -ENOTSUP;
	/*
	 * Sequentially consistent, and so before the look at `filled`: either the switch sees that we wait, or we see
	 * what it has filled.
	 */
	__atomic_store_n(&queue->ring->waits, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&queue->ring->filled, __ATOMIC_SEQ_CST) != queue->next &&
	    write(queue->wake, &one, sizeof(one)) != sizeof(one))
		return -errno;
	return 0;
}

int net_interrupt_disable(struct rte_eth_dev *device, uint16_t id)
{
	struct net_rx_queue *queue = device->data->rx_queues[id];
	uint64_t count;

	if (queue->wake < 0)
		return -ENOTSUP;
	__atomic_store_n(&queue->ring->waits, 0, __ATOMIC_RELAXED);
	return read(queue->wake, &count, sizeof(count)) < 0 && errno != EAGAIN ? -errno : 0;
}
