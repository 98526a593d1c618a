// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a CPU must do, asked of the CPU itself: insmod vmx.ko test=NAME.
 *
 * Loading succeeds if the test passes; if not, the kernel log has one line
 * that says what came instead. With test=list it names them all and loads.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include "hv.h"
#include "marker.h"
#include "tests.h"

#include <linux/module.h>
#include <linux/slab.h>
#include <asm/io.h>
#include <asm/trapnr.h>
#include <asm/vmx.h>

#define LOAD(hv, page, name) hv_load(hv, page, guest_##name, guest_##name##_end)
#define GUEST(name) extern const char guest_##name[], guest_##name##_end[]

GUEST(spin);
GUEST(call);
GUEST(window);
GUEST(undefined);
GUEST(handler);
GUEST(vmfunc);
GUEST(counted);
GUEST(violation);
GUEST(faulting_handler);
extern const char guest_second_handler[];

/* guest.S has these as numbers. */
static_assert(HV_GPA(HV_DATA) == 0xa000 && HV_GPA(HV_SPARE) == 0xc000);

#define REASON_VMFUNC 59 /* SDM, "VMX Basic Exit Reasons"; Linux has no name for it */
#define HANDLER_MARK 0x600d
#define VIRTUAL_VECTOR 0x50
#define NOTIFICATION_VECTOR 0xf2 /* Linux has a handler for it, should it ever get there */

static char *test = "list";
module_param(test, charp, 0444);
MODULE_PARM_DESC(test, "what to ask of the CPU");

static u64 data_of(const struct hv *hv)
{
	return *(volatile u64 *)hv->page[HV_DATA];
}

/* The instruction that exited is done with. */
static void skip_instruction(void)
{
	hv_write(GUEST_RIP, hv_read(GUEST_RIP) + hv_read(VM_EXIT_INSTRUCTION_LEN));
}

/* Runs on past interrupts for the host, which Linux gets afterwards. */
static int run_past_interrupts(struct hv *hv)
{
	int reason, tries;

	for (tries = 0; tries < 10; tries++) {
		reason = hv_run(hv);
		if (reason != EXIT_REASON_EXTERNAL_INTERRUPT)
			break;
		hv_acknowledge(hv);
		/* One that was not acknowledged is still pending, and would exit again at once. */
		local_irq_enable();
		asm volatile("nop"); /* STI lets an interrupt in only after the next instruction */
		local_irq_disable();
	}
	return reason;
}

/* With external-interrupt exiting, an interrupt for the host exits whatever the guest's RFLAGS.IF says. */
static int host_interrupt(struct hv *hv)
{
	int reason;

	LOAD(hv, HV_CODE, spin);
	reason = hv_run(hv);
	return expect("exit of a guest with interrupts off", reason, EXIT_REASON_EXTERNAL_INTERRUPT);
}

/* #UD at CPL 3 with SMAP on and EFLAGS.AC set, and a handler for it; the exit's reason. */
static int run_undefined(struct hv *hv)
{
	LOAD(hv, HV_CODE, undefined);
	LOAD(hv, HV_HANDLER, handler);
	hv_gate(hv, X86_TRAP_UD, 0);
	hv_user_page(hv, HV_CODE);
	hv_user_mode(hv);
	hv_write(GUEST_CR4, hv_read(GUEST_CR4) | X86_CR4_SMAP);
	hv_write(GUEST_RFLAGS, X86_EFLAGS_FIXED | X86_EFLAGS_AC);
	return run_past_interrupts(hv);
}

/*
 * The read of the IDT that delivers #UD is an implicit supervisor access: with
 * SMAP it faults on a user page, and so does the delivery of that fault.
 */
static int smap_implicit(struct hv *hv)
{
	hv_user_page(hv, HV_IDT);
	return expect("#UD with the IDT in a user page", run_undefined(hv), EXIT_REASON_TRIPLE_FAULT)
		       ?: expect("the handler's mark", data_of(hv), 0);
}

/* The same with the IDT where it belongs: what smap_implicit finds is not the fault of anything else. */
static int exception_delivery(struct hv *hv)
{
	return expect("#UD", run_undefined(hv), EXIT_REASON_VMCALL)
		       ?: expect("the handler's mark", data_of(hv), HANDLER_MARK);
}

/* Virtual-interrupt delivery, with VECTOR waiting (0: none). */
static int virtual_interrupts(struct hv *hv, u8 vector)
{
	int err;

	LOAD(hv, HV_HANDLER, handler);
	hv_gate(hv, VIRTUAL_VECTOR, 0);
	hv_gate(hv, 0xff, 0);
	err = hv_enable(CPU_BASED_VM_EXEC_CONTROL, CPU_BASED_TPR_SHADOW)
		      ?: hv_enable(SECONDARY_VM_EXEC_CONTROL, SECONDARY_EXEC_APIC_REGISTER_VIRT |
								      SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY |
								      SECONDARY_EXEC_VIRTUALIZE_X2APIC_MODE);
	if (err)
		return err;
	hv_write(VIRTUAL_APIC_PAGE_ADDR, virt_to_phys(hv->virtual_apic));
	hv_write(TPR_THRESHOLD, 0);
	hv_write(EOI_EXIT_BITMAP0, 0);
	hv_write(EOI_EXIT_BITMAP1, 0);
	hv_write(EOI_EXIT_BITMAP2, 0);
	hv_write(EOI_EXIT_BITMAP3, 0);
	hv_write(GUEST_INTR_STATUS, vector);
	if (vector) /* and in the virtual IRR */
		*(u32 *)(hv->virtual_apic + 0x200 + vector / 32 * 16) = 1U << vector % 32;
	return 0;
}

/* Posted interrupts, with the descriptor at OFFSET of its page. */
static int posted_interrupts(struct hv *hv, u32 offset)
{
	int err = virtual_interrupts(hv, 0) ?: hv_enable(PIN_BASED_VM_EXEC_CONTROL, PIN_BASED_POSTED_INTR) ?:
		  hv_enable(VM_EXIT_CONTROLS, VM_EXIT_ACK_INTR_ON_EXIT);

	hv_write(POSTED_INTR_NV, NOTIFICATION_VECTOR);
	hv_write(POSTED_INTR_DESC_ADDR, virt_to_phys(hv->posted) + offset);
	return err;
}

/* SDM, "VM-Execution Control Fields": bits 5:0 of the descriptor's address are zero, no more than that. */
static int posted_alignment(struct hv *hv)
{
	int err = posted_interrupts(hv, 64);

	LOAD(hv, HV_CODE, call);
	return err ?: expect("entry with a descriptor at 64", run_past_interrupts(hv), EXIT_REASON_VMCALL);
}

/* A notification with nothing posted changes nothing, and interrupts no one. */
static int posted_nothing(struct hv *hv)
{
	int err = posted_interrupts(hv, 0);

	LOAD(hv, HV_CODE, window);
	hv_self_ipi(hv, NOTIFICATION_VECTOR);
	return err ?: expect("exit after an empty notification", run_past_interrupts(hv), EXIT_REASON_VMCALL) ?:
	       expect("the handler's mark", data_of(hv), 0) ?:
	       expect("RVI", hv_read(GUEST_INTR_STATUS) & 0xff, 0);
}

/* One that is posted is delivered: posted_nothing does not pass because nothing ever is. */
static int posted_delivery(struct hv *hv)
{
	int err = posted_interrupts(hv, 0);

	LOAD(hv, HV_CODE, window);
	((u32 *)hv->posted)[VIRTUAL_VECTOR / 32] = 1U << VIRTUAL_VECTOR % 32;
	((u32 *)hv->posted)[8] = 1; /* outstanding notification */
	hv_self_ipi(hv, NOTIFICATION_VECTOR);
	return err ?: expect("exit", run_past_interrupts(hv), EXIT_REASON_VMCALL) ?:
	       expect("the handler's mark", data_of(hv), HANDLER_MARK);
}

/* A virtual interrupt waits for RFLAGS.IF, whatever else happens meanwhile, and comes then. */
static int virtual_interrupt_masked(struct hv *hv)
{
	int err = virtual_interrupts(hv, VIRTUAL_VECTOR);

	LOAD(hv, HV_CODE, spin);
	err = err ?: expect("exit by a host interrupt", hv_run(hv), EXIT_REASON_EXTERNAL_INTERRUPT) ?:
	      expect("the handler's mark with interrupts off", data_of(hv), 0);
	if (err)
		return err;
	hv_write(GUEST_RFLAGS, X86_EFLAGS_FIXED | X86_EFLAGS_IF);
	return expect("exit of the handler", run_past_interrupts(hv), EXIT_REASON_VMCALL)
		       ?: expect("the handler's mark with interrupts on", data_of(hv), HANDLER_MARK);
}

/*
 * An EPT violation while a virtual interrupt is delivered says so: the interrupt is in service by then, and the host
 * has to deliver it.
 */
static int virtual_interrupt_violation(struct hv *hv)
{
	u64 entry = hv->ept[0][3][HV_STACK];
	int err = virtual_interrupts(hv, VIRTUAL_VECTOR);

	LOAD(hv, HV_CODE, window);
	hv->ept[0][3][HV_STACK] = 0;
	err = err ?: expect("exit of the delivery", run_past_interrupts(hv), EXIT_REASON_EPT_VIOLATION) ?:
	      expect("page", hv_read(GUEST_PHYSICAL_ADDRESS) >> PAGE_SHIFT, HV_STACK) ?:
	      expect("SVI and RVI", hv_read(GUEST_INTR_STATUS), VIRTUAL_VECTOR << 8) ?:
	      expect("IDT-vectoring information", hv_read(IDT_VECTORING_INFO_FIELD) & ~INTR_INFO_UNBLOCK_NMI,
		     INTR_INFO_VALID_MASK | INTR_TYPE_EXT_INTR | VIRTUAL_VECTOR);
	if (err)
		return err;
	hv->ept[0][3][HV_STACK] = entry;
	hv_write(VM_ENTRY_INTR_INFO_FIELD, INTR_INFO_VALID_MASK | INTR_TYPE_EXT_INTR | VIRTUAL_VECTOR);
	return expect("exit of the handler", run_past_interrupts(hv), EXIT_REASON_VMCALL)
		       ?: expect("the handler's mark", data_of(hv), HANDLER_MARK);
}

/* EPTP switching there and back, and to an entry that is not valid. */
static int vmfunc(struct hv *hv)
{
	u64 *list = hv->eptp_list;
	int err;

	LOAD(hv, HV_CODE, vmfunc);
	*(u64 *)hv->page[HV_DATA] = 0xa;
	*(u64 *)hv->page[HV_HANDLER] = 0xb;
	hv->ept[1][3][HV_DATA] = hv->ept[0][3][HV_HANDLER];
	list[0] = hv_eptp(hv, 0);
	list[1] = hv_eptp(hv, 1);
	list[7] = (hv_eptp(hv, 1) & ~7ULL) | 4; /* there is no memory type 4 */
	err = hv_enable(SECONDARY_VM_EXEC_CONTROL, SECONDARY_EXEC_ENABLE_VMFUNC);
	if (err)
		return err;
	hv_write(VM_FUNCTION_CONTROL, VMX_VMFUNC_EPTP_SWITCHING);
	hv_write(EPTP_LIST_ADDRESS, virt_to_phys(list));
	marker_name(20, "vmfunc");
	marker_name(21, "vmfunc failed");
	err = expect("exit", run_past_interrupts(hv), EXIT_REASON_VMCALL) ?: expect("before", hv->registers.rbx, 0xa) ?:
	      expect("in the other context", hv->registers.rsi, 0xb) ?: expect("back", hv->registers.rdi, 0xa) ?:
	      expect("EPT pointer", hv_read(EPT_POINTER), list[0]);
	if (err)
		return err;
	skip_instruction();
	err = expect("exit by an entry that is not valid", run_past_interrupts(hv), REASON_VMFUNC)
		      ?: expect("EPT pointer", hv_read(EPT_POINTER), list[0]);
	skip_instruction();
	return err ?: expect("exit", run_past_interrupts(hv), EXIT_REASON_VMCALL);
}

/* For the counters: 100 instructions between two markers, with five exits among them. */
static int counted(struct hv *hv)
{
	int exits, err;

	LOAD(hv, HV_CODE, counted);
	marker_name(22, "counted");
	for (exits = 0; exits < 6; exits++) {
		err = expect("exit", run_past_interrupts(hv), EXIT_REASON_VMCALL);
		if (err)
			return err;
		skip_instruction();
	}
	return 0;
}

/* For the counters: a page that is not in the EPT at first, and the host's instructions that drop translations. */
static int invalidations(struct hv *hv)
{
	u64 entry = hv->ept[0][3][HV_SPARE];
	int i, err;

	LOAD(hv, HV_CODE, violation);
	hv->ept[0][3][HV_SPARE] = 0;
	marker_name(23, "violation");
	err = expect("exit", run_past_interrupts(hv), EXIT_REASON_EPT_VIOLATION)
		      ?: expect("address", hv_read(GUEST_PHYSICAL_ADDRESS), HV_GPA(HV_SPARE));
	hv->ept[0][3][HV_SPARE] = entry;
	err = err ?: expect("exit", run_past_interrupts(hv), EXIT_REASON_VMCALL);
	marker_name(24, "invalidations");
	marker_begin(24);
	for (i = 0; i < 3; i++)
		hv_invept();
	for (i = 0; i < 2; i++)
		hv_invvpid();
	marker_end(24);
	return err;
}

/* When the first instruction of a handler faults, it is that instruction that the next handler is told of. */
static int fault_in_handler(struct hv *hv)
{
	LOAD(hv, HV_CODE, undefined);
	LOAD(hv, HV_HANDLER, faulting_handler);
	hv_gate(hv, X86_TRAP_UD, 0);
	hv_gate(hv, X86_TRAP_GP, guest_second_handler - guest_faulting_handler);
	return expect("exit", run_past_interrupts(hv), EXIT_REASON_VMCALL)
		       ?: expect("RIP of the second fault", data_of(hv), HV_GPA(HV_HANDLER));
}

static const struct {
	const char *name;
	int (*run)(struct hv *hv);
} tests[] = {
	{ "host_interrupt", host_interrupt },
	{ "exception_delivery", exception_delivery },
	{ "smap_implicit", smap_implicit },
	{ "posted_alignment", posted_alignment },
	{ "posted_nothing", posted_nothing },
	{ "posted_delivery", posted_delivery },
	{ "virtual_interrupt_masked", virtual_interrupt_masked },
	{ "virtual_interrupt_violation", virtual_interrupt_violation },
	{ "vmfunc", vmfunc },
	{ "counted", counted },
	{ "invalidations", invalidations },
	{ "fault_in_handler", fault_in_handler },
};

int expect(const char *what, u64 got, u64 wanted)
{
	if (got == wanted)
		return 0;
	pr_err("%s: %lld (0x%llx), expected %lld (0x%llx)\n", what, got, got, wanted, wanted);
	return -EPROTO;
}

static int run_in_guest(int (*run)(struct hv *hv))
{
	struct hv *hv = kzalloc(sizeof(*hv), GFP_KERNEL);
	int err;

	if (!hv)
		return -ENOMEM;
	err = hv_create(hv);
	if (err)
		goto free_hv;
	err = hv_on(hv);
	if (err)
		goto destroy_hv;
	err = run(hv);
	hv_off(hv);
destroy_hv:
	hv_destroy(hv);
free_hv:
	kfree(hv);
	return err;
}

static int __init vmx_init(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(tests); i++) {
		if (!strcmp(test, "list"))
			pr_info("%s\n", tests[i].name);
		else if (!strcmp(test, tests[i].name))
			return run_in_guest(tests[i].run);
	}
	if (!strcmp(test, "monitor"))
		return monitor_wakes();
	return strcmp(test, "list") ? -ENOENT : 0;
}

static void __exit vmx_exit(void)
{
}

module_init(vmx_init);
module_exit(vmx_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Asks the CPU what it does in VMX operation");
