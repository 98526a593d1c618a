// SPDX-License-Identifier: GPL-2.0-only
/*
 * elisa_guest.ko: /dev/elisa in a VM.
 *
 * The host's module does the work, and trusts nothing of what comes from here; this driver keeps processes of this VM
 * apart from each other, and keeps memory in its place for as long as the host uses it. It asks the host by VMCALL
 * (request.c), and is told by an interrupt that somebody is to be woken.
 *
 *	file.c        open files: roles, the table of ioctls, reasons
 *	object.c      a manager's end: memory, code, events
 *	attachment.c  a client's end: one attachment of this VM for all its processes; buffers
 *	memory.c      pages of processes, pinned and charged, and what the host calls them
 *	stub.c        the two pages around the gate
 *	interrupt.c   clients that wait, and how the host wakes them
 *	compat.h      where kernels differ
 *
 * Calls do not come by here: after a thread's first, they never enter the kernel.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <asm/kvm_para.h>
#include <asm/segment.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/reboot.h>

#include "file.h"
#include "interrupt.h"
#include "memory.h"
#include "object.h"
#include "request.h"
#include "stub.h"

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "elisa",
	.mode = 0600,
	.fops = &elisa_file_operations,
};

static int hello(void)
{
	struct elisa_request *request = elisa_request_get(ELISA_OP_HELLO, 0);
	struct elisa_why why = {};
	int error;

	request->hello.version = ELISA_HYPERCALL_VERSION;
	request->hello.user_cs = __USER_CS;
	request->hello.user_ss = __USER_DS;
	error = elisa_request_make(request, &why);
	if (error)
		pr_err("%s (%d)\n", why.text, error);
	else
		pr_info("this is VM %u; addresses from %#llx on are the host's\n", request->hello.vm,
			request->hello.base);
	elisa_request_put(request);
	return error;
}

static void bye(void)
{
	struct elisa_why why;

	elisa_request_simple(ELISA_OP_BYE, 0, &why);
}

/* What comes next, by kexec too, has other things in the memory that the host has from us. */
static int on_reboot(struct notifier_block *block, unsigned long action, void *data)
{
	bye();
	return NOTIFY_DONE;
}

static struct notifier_block reboot = { .notifier_call = on_reboot };

static int __init init(void)
{
	int error;

	if (!kvm_para_available()) {
		pr_err("this is not a VM of KVM: there is no host to ask\n");
		return -ENODEV;
	}
	/* There VMCALL is no hypercall, and no CPU of theirs has VMFUNC. */
	if (boot_cpu_has(X86_FEATURE_VMMCALL)) {
		pr_err("this CPU is not one of Intel's: it has no VMFUNC\n");
		return -ENODEV;
	}
	error = elisa_request_init();
	if (error)
		return error;
	error = elisa_memory_init();
	if (error)
		goto request;
	error = elisa_stub_init();
	if (error)
		goto memory;
	error = elisa_object_init();
	if (error)
		goto stub;
	error = hello();
	if (error)
		goto object;
	error = elisa_interrupt_init();
	if (error)
		goto bye;
	error = register_reboot_notifier(&reboot);
	if (error)
		goto interrupt;
	error = misc_register(&device);
	if (error)
		goto reboot;
	return 0;

reboot:
	unregister_reboot_notifier(&reboot);
interrupt:
	elisa_interrupt_uninit();
bye:
	bye();
object:
	elisa_object_uninit();
stub:
	elisa_stub_uninit();
memory:
	elisa_memory_uninit();
request:
	elisa_request_uninit();
	return error;
}
module_init(init);

/* No file is open and the host uses no memory of ours: each of these has a reference to the module. */
static void __exit uninit(void)
{
	misc_deregister(&device);
	unregister_reboot_notifier(&reboot);
	elisa_interrupt_uninit();
	bye();
	elisa_object_uninit();
	elisa_stub_uninit();
	elisa_memory_uninit();
	elisa_request_uninit();
}
module_exit(uninit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("ELISA: calls of code that this VM shares with others, without VM exits");
