// SPDX-License-Identifier: GPL-2.0-only
/* Takes all NMIs that nobody else wants, and counts them: the kernel would complain of each. */
#include <asm/nmi.h>
#include <linux/atomic.h>
#include <linux/module.h>

static atomic_t handled;

static int get_handled(char *buffer, const struct kernel_param *unused)
{
	return sprintf(buffer, "%d\n", atomic_read(&handled));
}

static const struct kernel_param_ops handled_ops = { .get = get_handled };
module_param_cb(handled, &handled_ops, NULL, 0444);

static int handle(unsigned int type, struct pt_regs *regs)
{
	atomic_inc(&handled);
	return NMI_HANDLED;
}

static int __init witness_init(void)
{
	return register_nmi_handler(NMI_UNKNOWN, handle, 0, "elisa-witness");
}

static void __exit witness_exit(void)
{
	unregister_nmi_handler(NMI_UNKNOWN, "elisa-witness");
}

module_init(witness_init);
module_exit(witness_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Takes NMIs for a test");
