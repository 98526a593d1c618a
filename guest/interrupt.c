// SPDX-License-Identifier: GPL-2.0-only
/*
 * An interrupt without a device: an irq domain below the CPUs' vectors, whose chip hands the message that a device
 * would send to the host, each time the kernel chooses another (at start, when its CPU goes, when it is moved).
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt
#include "interrupt.h"

#include <asm/hw_irq.h>
#include <asm/io.h>
#include <asm/irqdomain.h>
#include <linux/interrupt.h>
#include <linux/irq.h>
#include <linux/irqdomain.h>
#include <linux/module.h>
#include <linux/msi.h>
#include <linux/wait.h>

#include "request.h"

static atomic64_t count;
static DECLARE_WAIT_QUEUE_HEAD(wait);
static struct fwnode_handle *node;
static struct irq_domain *domain;
static int irq;
/* Changes of the message come with the descriptor's lock held, one after another: there is no sleeping, nor more than
 * one. */
static struct elisa_request *request;

static void tell_host(u64 address, u32 data)
{
	struct elisa_why why = {};

	memset(request, 0, sizeof(*request));
	request->size = sizeof(*request);
	request->op = ELISA_OP_INTERRUPT;
	request->interrupt.address = address;
	request->interrupt.data = data;
	if (elisa_request_make(request, &why))
		pr_warn_ratelimited("the host does not take the interrupt: %s\n", why.text);
}

static void tell_message(struct irq_data *data)
{
	struct irq_data *vector = data->parent_data;
	struct msi_msg message = {};

	vector->chip->irq_compose_msi_msg(vector, &message);
	tell_host((u64)message.address_hi << 32 | message.address_lo, message.data);
}

static int set_affinity(struct irq_data *data, const struct cpumask *mask, bool force)
{
	int result = irq_chip_set_affinity_parent(data, mask, force);

	if (result >= 0 && result != IRQ_SET_MASK_OK_DONE)
		tell_message(data);
	return result;
}

/* A message that is under way when it changes may get to the old CPU once more, where the kernel expects it. */
static struct irq_chip chip = {
	.name = "ELISA",
	.irq_ack = irq_chip_ack_parent,
	.irq_retrigger = irq_chip_retrigger_hierarchy,
	.irq_set_affinity = set_affinity,
	.flags = IRQCHIP_SKIP_SET_WAKE,
};

static int domain_alloc(struct irq_domain *of, unsigned int virq, unsigned int irqs, void *info)
{
	int error = irq_domain_alloc_irqs_parent(of, virq, irqs, info);

	if (!error)
		irq_domain_set_info(of, virq, 0, &chip, NULL, handle_edge_irq, NULL, "edge");
	return error;
}

static void domain_free(struct irq_domain *of, unsigned int virq, unsigned int irqs)
{
	irq_domain_free_irqs_common(of, virq, irqs);
}

static int domain_activate(struct irq_domain *of, struct irq_data *data, bool reserve)
{
	/* Reserved only: a vector is chosen when the interrupt is requested. */
	if (!reserve)
		tell_message(data);
	return 0;
}

static void domain_deactivate(struct irq_domain *of, struct irq_data *data)
{
	tell_host(0, 0);
}

static const struct irq_domain_ops domain_operations = {
	.alloc = domain_alloc,
	.free = domain_free,
	.activate = domain_activate,
	.deactivate = domain_deactivate,
};

static irqreturn_t handle(int number, void *unused)
{
	atomic64_inc(&count);
	wake_up_all(&wait);
	return IRQ_HANDLED;
}

static int make_irq(void)
{
	struct irq_alloc_info info = { .type = X86_IRQ_ALLOC_TYPE_PCI_MSI };
	int error;

	irq = irq_domain_alloc_irqs(domain, 1, NUMA_NO_NODE, &info);
	if (irq < 0)
		return irq;
	error = request_irq(irq, handle, IRQF_NO_THREAD, "elisa", &chip);
	if (error)
		irq_dispose_mapping(irq);
	return error;
}

int elisa_interrupt_init(void)
{
	int error = -ENODEV;

	request = elisa_request_get(ELISA_OP_INTERRUPT, 0);
	node = x86_vector_domain ? irq_domain_alloc_named_fwnode("elisa") : NULL;
	domain = node ? irq_domain_create_hierarchy(x86_vector_domain, 0, 1, node, &domain_operations, NULL) : NULL;
	if (domain)
		error = make_irq();
	if (!error)
		return 0;
	irq = 0;
	pr_warn("no interrupt to be woken by (%d): clients cannot wait, and have to poll\n", error);
	elisa_interrupt_uninit();
	return 0;
}

void elisa_interrupt_uninit(void)
{
	if (irq > 0) {
		free_irq(irq, &chip);
		irq_dispose_mapping(irq);
	}
	irq = 0;
	if (domain)
		irq_domain_remove(domain);
	domain = NULL;
	if (node)
		irq_domain_free_fwnode(node);
	node = NULL;
	if (request)
		elisa_request_put(request);
	request = NULL;
}

u64 elisa_interrupt_count(void)
{
	return atomic64_read(&count);
}

int elisa_interrupt_wait(u64 seen, bool may_wait, u64 *now)
{
	if (irq <= 0)
		return -EOPNOTSUPP;
	if (may_wait && wait_event_interruptible(wait, elisa_interrupt_count() != seen))
		return -ERESTARTSYS;
	*now = elisa_interrupt_count();
	return *now == seen ? -EAGAIN : 0;
}

__poll_t elisa_interrupt_poll(u64 seen, struct file *file, poll_table *table)
{
	if (irq <= 0)
		return EPOLLERR;
	poll_wait(file, &wait, table);
	return elisa_interrupt_count() != seen ? EPOLLIN | EPOLLRDNORM : 0;
}
