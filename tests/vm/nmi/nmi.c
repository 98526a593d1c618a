// SPDX-License-Identifier: GPL-2.0-only
/* Sends NMIs or interrupts to a CPU from this one, each when the last has been handled, and says how many were. */
#include <asm/apic.h>
#include <asm/nmi.h>
#include <linux/atomic.h>
#include <linux/delay.h>
#include <linux/module.h>
#include <linux/smp.h>

#define LIMIT_US 200000

static int target;
module_param(target, int, 0);
static int count = 1000;
module_param(count, int, 0);
static int pause_us = 50;
module_param(pause_us, int, 0);
static bool interrupts; /* instead of NMIs */
module_param(interrupts, bool, 0);

static atomic_t handled;

static int handle(unsigned int type, struct pt_regs *regs)
{
	if (smp_processor_id() != target)
		return NMI_DONE;
	atomic_inc(&handled);
	return NMI_HANDLED;
}

static void handle_interrupt(void *unused)
{
	atomic_inc(&handled);
}

/* Neither waits until it has been handled. */
static void send(void)
{
	if (interrupts)
		smp_call_function_single(target, handle_interrupt, NULL, 0);
	else
		apic->send_IPI(target, NMI_VECTOR);
}

static int __init nmi_init(void)
{
	int sent, error = register_nmi_handler(NMI_LOCAL, handle, 0, "elisa-test");

	if (error)
		return error;
	for (sent = 0; sent < count; sent++) {
		int waited = 0;

		send();
		while (atomic_read(&handled) <= sent && waited++ < LIMIT_US)
			udelay(1);
		if (atomic_read(&handled) != sent + 1)
			break;
		udelay(pause_us);
	}
	unregister_nmi_handler(NMI_LOCAL, "elisa-test");
	pr_info("nmi: handled %d of %d\n", atomic_read(&handled), count);
	return atomic_read(&handled) == count ? 0 : -EIO;
}

static void __exit nmi_exit(void)
{
}

module_init(nmi_init);
module_exit(nmi_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("NMIs for a test");
