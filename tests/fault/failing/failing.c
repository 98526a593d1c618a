// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lets one allocation of elisa.ko fail: the one that comes as number `nth` while the process `pid` is in a request of
 * its VM, in a first call, or in an ioctl; or in the function `window` alone, if it is loaded with one. `seen` counts
 * them, `failed` those that failed; to write `nth` begins anew.
 * Distribution kernels have the places for that (should_failslab, should_fail_alloc_page), but nothing that uses them.
 */
#include <asm/ibt.h>
#include <asm/linkage.h>
#include <linux/gfp.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/sched.h>

static int pid;
module_param(pid, int, 0644);
static unsigned int seen, failed, nth;
module_param(seen, uint, 0444);
module_param(failed, uint, 0444);
static char *window;
module_param(window, charp, 0444);

static int set_nth(const char *text, const struct kernel_param *param)
{
	WRITE_ONCE(nth, 0);
	seen = failed = 0;
	return param_set_uint(text, param);
}
static const struct kernel_param_ops nth_operations = { .set = set_nth, .get = param_get_uint };
module_param_cb(nth, &nth_operations, &nth, 0644);

/* Who is in code of the module at this moment: one at a time, the host has one CPU, or the window is one of few. */
static struct task_struct *there;

static int enter(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	return current->tgid != READ_ONCE(pid) || cmpxchg(&there, NULL, current) ? 1 : 0;
}

static int leave(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	WRITE_ONCE(there, NULL);
	return 0;
}

static struct kretprobe requests = { .kp.symbol_name = "elisa:elisa_on_handle_exit",
				     .entry_handler = enter,
				     .handler = leave };
static struct kretprobe ioctls = { .kp.symbol_name = "elisa:session_ioctl", .entry_handler = enter, .handler = leave };
static struct kretprobe *windows[] = { &requests, &ioctls };
static int window_count = ARRAY_SIZE(windows);

static bool fails(gfp_t flags)
{
	if (READ_ONCE(there) != current || flags & __GFP_NOFAIL || ++seen != READ_ONCE(nth))
		return false;
	failed++;
	return true;
}

/* A probe of the ftrace kind may change where it goes on, but not the stack: this function returns for the probed one.
 */
void just_return(void);
asm(".text\n\t"
    ".type just_return, @function\n"
    "just_return:\n\t" ASM_ENDBR ASM_RET ".size just_return, . - just_return");

static int return_now(struct pt_regs *regs, unsigned long result)
{
	regs->ax = result;
	regs->ip = (unsigned long)just_return;
	return 1;
}

static int on_slab(struct kprobe *probe, struct pt_regs *regs)
{
	return fails((gfp_t)regs->si) ? return_now(regs, -ENOMEM) : 0;
}

static int on_page(struct kprobe *probe, struct pt_regs *regs)
{
	return fails((gfp_t)regs->di) ? return_now(regs, true) : 0;
}

static struct kprobe slab = { .symbol_name = "should_failslab", .pre_handler = on_slab };
static struct kprobe page = { .symbol_name = "should_fail_alloc_page", .pre_handler = on_page };
static struct kprobe *places[] = { &slab, &page };

static int __init init(void)
{
	int error = register_kprobes(places, ARRAY_SIZE(places));

	if (error)
		return error;
	if (window) {
		windows[0]->kp.symbol_name = window;
		window_count = 1;
	}
	error = register_kretprobes(windows, window_count);
	if (error)
		unregister_kprobes(places, ARRAY_SIZE(places));
	return error;
}

static void __exit uninit(void)
{
	unregister_kretprobes(windows, window_count);
	unregister_kprobes(places, ARRAY_SIZE(places));
}

module_init(init);
module_exit(uninit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Allocations that fail, for a test");
