// SPDX-License-Identifier: GPL-2.0-only
#include "hv.h"

#include <linux/io.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <asm/apicdef.h>
#include <asm/desc.h>
#include <asm/msr.h>
#include <asm/tlbflush.h>
#include <asm/vmx.h>

#define EPT_RWX 7UL
#define EPT_WRITE_BACK (6UL << 3)
#define EPTP_WALK4 (3UL << 3)
#define PTE_SUPERVISOR 3UL /* present, writable */
#define PTE_USER 7UL

/* Instructions inside a VMCS operation cannot fail here but by our own mistake. */
u64 hv_read(u32 field)
{
	u64 value = 0;

	asm volatile("vmread %1, %0" : "=rm"(value) : "r"((u64)field) : "cc");
	return value;
}

void hv_write(u32 field, u64 value)
{
	u8 failed;

	asm volatile("vmwrite %1, %2; setna %0" : "=qm"(failed) : "rm"(value), "r"((u64)field) : "cc");
	WARN_ONCE(failed, "vmwrite of field %x failed", field);
}

static u32 control_msr(u32 field)
{
	switch (field) {
	case PIN_BASED_VM_EXEC_CONTROL:
		return MSR_IA32_VMX_TRUE_PINBASED_CTLS;
	case CPU_BASED_VM_EXEC_CONTROL:
		return MSR_IA32_VMX_TRUE_PROCBASED_CTLS;
	case SECONDARY_VM_EXEC_CONTROL:
		return MSR_IA32_VMX_PROCBASED_CTLS2;
	case VM_EXIT_CONTROLS:
		return MSR_IA32_VMX_TRUE_EXIT_CTLS;
	default:
		return MSR_IA32_VMX_TRUE_ENTRY_CTLS;
	}
}

/* SDM, "Reserved Controls and Default Settings": low half must be 1, high half may be. */
int hv_enable(u32 field, u32 bits)
{
	u64 allowed;

	rdmsrl(control_msr(field), allowed);
	if (bits & ~(u32)(allowed >> 32))
		return -EOPNOTSUPP;
	hv_write(field, hv_read(field) | bits | (u32)allowed);
	return 0;
}

static int hv_default_controls(void)
{
	static const struct {
		u32 field, bits;
	} wanted[] = {
		{ PIN_BASED_VM_EXEC_CONTROL, PIN_BASED_EXT_INTR_MASK | PIN_BASED_NMI_EXITING },
		{ CPU_BASED_VM_EXEC_CONTROL, CPU_BASED_HLT_EXITING | CPU_BASED_ACTIVATE_SECONDARY_CONTROLS },
		{ SECONDARY_VM_EXEC_CONTROL, SECONDARY_EXEC_ENABLE_EPT },
		{ VM_EXIT_CONTROLS, VM_EXIT_HOST_ADDR_SPACE_SIZE },
		{ VM_ENTRY_CONTROLS, VM_ENTRY_IA32E_MODE },
	};
	int i, err;

	for (i = 0; i < ARRAY_SIZE(wanted); i++) {
		hv_write(wanted[i].field, 0);
		err = hv_enable(wanted[i].field, wanted[i].bits);
		if (err)
			return err;
	}
	return 0;
}

static u16 selector(const char which)
{
	u16 value = 0;

	switch (which) {
	case 'c':
		asm("mov %%cs, %0" : "=r"(value));
		break;
	case 's':
		asm("mov %%ss, %0" : "=r"(value));
		break;
	case 't':
		asm("str %0" : "=r"(value));
		break;
	}
	return value;
}

/* enter.S */
extern const char hv_exit[];
int hv_enter(struct hv_registers *registers, bool resume);

static void hv_host_state(void)
{
	struct desc_ptr gdt, idt;
	u64 base;

	native_store_gdt(&gdt);
	store_idt(&idt);
	hv_write(HOST_CR0, read_cr0());
	hv_write(HOST_CR3, __read_cr3());
	hv_write(HOST_CR4, __read_cr4());
	hv_write(HOST_CS_SELECTOR, selector('c'));
	hv_write(HOST_SS_SELECTOR, selector('s'));
	hv_write(HOST_DS_SELECTOR, 0);
	hv_write(HOST_ES_SELECTOR, 0);
	hv_write(HOST_FS_SELECTOR, 0);
	hv_write(HOST_GS_SELECTOR, 0);
	hv_write(HOST_TR_SELECTOR, selector('t'));
	rdmsrl(MSR_FS_BASE, base);
	hv_write(HOST_FS_BASE, base);
	rdmsrl(MSR_GS_BASE, base);
	hv_write(HOST_GS_BASE, base);
	hv_write(HOST_TR_BASE, (u64)&get_cpu_entry_area(smp_processor_id())->tss.x86_tss);
	hv_write(HOST_RIP, (u64)hv_exit);
	hv_write(HOST_GDTR_BASE, gdt.address);
	hv_write(HOST_IDTR_BASE, idt.address);
	rdmsrl(MSR_IA32_SYSENTER_CS, base);
	hv_write(HOST_IA32_SYSENTER_CS, base);
	rdmsrl(MSR_IA32_SYSENTER_ESP, base);
	hv_write(HOST_IA32_SYSENTER_ESP, base);
	rdmsrl(MSR_IA32_SYSENTER_EIP, base);
	hv_write(HOST_IA32_SYSENTER_EIP, base);
}

static void hv_segment(u32 selector_field, u16 value, u32 rights, u64 base, u32 limit)
{
	/* The fields of a segment lie at the same distance for all of ES to TR. */
	u32 index = selector_field - GUEST_ES_SELECTOR;

	hv_write(selector_field, value);
	hv_write(GUEST_ES_LIMIT + index, limit);
	hv_write(GUEST_ES_AR_BYTES + index, rights);
	hv_write(GUEST_ES_BASE + index, base);
}

#define RIGHTS_CODE 0xa09b /* present, 64-bit, readable, accessed */
#define RIGHTS_DATA 0xc093
#define RIGHTS_TSS 0x008b
#define RIGHTS_NONE 0x10000
#define RIGHTS_DPL3 0x60

static void hv_code_segments(u16 cs, u16 ss, u32 dpl)
{
	hv_segment(GUEST_CS_SELECTOR, cs, RIGHTS_CODE | dpl, 0, ~0U);
	hv_segment(GUEST_SS_SELECTOR, ss, RIGHTS_DATA | dpl, 0, ~0U);
}

void hv_user_mode(struct hv *hv)
{
	hv_code_segments(HV_CS3, HV_SS3, RIGHTS_DPL3);
}

static void hv_guest_state(struct hv *hv)
{
	static const u32 unused[] = { GUEST_ES_SELECTOR, GUEST_DS_SELECTOR, GUEST_FS_SELECTOR, GUEST_GS_SELECTOR,
				      GUEST_LDTR_SELECTOR };
	int i;

	for (i = 0; i < ARRAY_SIZE(unused); i++)
		hv_segment(unused[i], 0, RIGHTS_NONE, 0, 0);
	hv_code_segments(HV_CS0, HV_SS0, 0);
	hv_segment(GUEST_TR_SELECTOR, HV_TR, RIGHTS_TSS, HV_GPA(HV_TSS), 0x67);
	hv_write(GUEST_GDTR_BASE, HV_GPA(HV_GDT));
	hv_write(GUEST_GDTR_LIMIT, 0x37);
	hv_write(GUEST_IDTR_BASE, HV_GPA(HV_IDT));
	hv_write(GUEST_IDTR_LIMIT, 0xfff);
	hv_write(GUEST_CR0, read_cr0() & ~X86_CR0_TS);
	hv_write(GUEST_CR3, HV_GPA(HV_PML4));
	hv_write(GUEST_CR4, X86_CR4_PAE | X86_CR4_VMXE);
	hv_write(GUEST_DR7, 0x400);
	hv_write(GUEST_RFLAGS, X86_EFLAGS_FIXED);
	hv_write(GUEST_RIP, HV_GPA(HV_CODE));
	hv_write(GUEST_RSP, HV_GPA(HV_STACK) + PAGE_SIZE);
	hv_write(GUEST_INTERRUPTIBILITY_INFO, 0);
	hv_write(GUEST_ACTIVITY_STATE, 0);
	hv_write(GUEST_PENDING_DBG_EXCEPTIONS, 0);
	hv_write(GUEST_IA32_DEBUGCTL, 0);
	hv_write(GUEST_SYSENTER_CS, 0);
	hv_write(GUEST_SYSENTER_ESP, 0);
	hv_write(GUEST_SYSENTER_EIP, 0);
	hv_write(VMCS_LINK_POINTER, ~0ULL);
	hv_write(EXCEPTION_BITMAP, 0);
	hv_write(PAGE_FAULT_ERROR_CODE_MASK, 0);
	hv_write(PAGE_FAULT_ERROR_CODE_MATCH, 0);
	hv_write(CR3_TARGET_COUNT, 0);
	hv_write(CR0_GUEST_HOST_MASK, 0);
	hv_write(CR4_GUEST_HOST_MASK, 0);
	hv_write(VM_EXIT_MSR_STORE_COUNT, 0);
	hv_write(VM_EXIT_MSR_LOAD_COUNT, 0);
	hv_write(VM_ENTRY_MSR_LOAD_COUNT, 0);
	hv_write(VM_ENTRY_INTR_INFO_FIELD, 0);
	hv_write(EPT_POINTER, hv_eptp(hv, 0));
	hv->launched = false;
}

u64 hv_eptp(const struct hv *hv, int which)
{
	return virt_to_phys(hv->ept[which][0]) | EPTP_WALK4 | VMX_EPTP_MT_WB;
}

static void hv_fill_tables(struct hv *hv)
{
	u64 *gdt = hv->page[HV_GDT], *table;
	int which, level, i;

	for (which = 0; which < 2; which++) {
		for (level = 0; level < 3; level++)
			hv->ept[which][level][0] = virt_to_phys(hv->ept[which][level + 1]) | EPT_RWX;
		for (i = 0; i < HV_PAGES; i++)
			hv->ept[which][3][i] = virt_to_phys(hv->page[i]) | EPT_WRITE_BACK | EPT_RWX;
	}
	for (level = HV_PML4; level < HV_PT; level++) {
		table = hv->page[level];
		table[0] = HV_GPA(level + 1) | PTE_USER;
	}
	table = hv->page[HV_PT];
	for (i = 0; i < HV_PAGES; i++)
		table[i] = HV_GPA(i) | PTE_SUPERVISOR;
	gdt[HV_CS0 / 8] = 0x00af9b000000ffff;
	gdt[HV_SS0 / 8] = 0x00cf93000000ffff;
	gdt[HV_CS3 / 8] = 0x00affb000000ffff;
	gdt[HV_SS3 / 8] = 0x00cff3000000ffff;
	gdt[HV_TR / 8] = 0x00008b0000000067 | HV_GPA(HV_TSS) << 16;
	/* RSP0, where an exception at CPL 3 switches to. */
	*(u64 *)(hv->page[HV_TSS] + 4) = HV_GPA(HV_STACK) + PAGE_SIZE;
}

void hv_user_page(struct hv *hv, enum hv_page page)
{
	u64 *table = hv->page[HV_PT];

	table[page] = HV_GPA(page) | PTE_USER;
}

void hv_gate(struct hv *hv, u8 vector, u32 offset)
{
	u64 *gate = hv->page[HV_IDT] + vector * 16;
	u64 handler = HV_GPA(HV_HANDLER) + offset;

	gate[0] = (handler & 0xffff) | HV_CS0 << 16 | 0x8e00ULL << 32 | (handler >> 16 & 0xffff) << 48;
	gate[1] = handler >> 32;
}

void hv_load(struct hv *hv, enum hv_page page, const void *start, const void *end)
{
	memcpy(hv->page[page], start, end - start);
}

static void *zeroed_page(int *err)
{
	void *page = (void *)get_zeroed_page(GFP_KERNEL);

	if (!page)
		*err = -ENOMEM;
	return page;
}

int hv_create(struct hv *hv)
{
	u64 apic_base;
	int i, err = 0;

	hv->vmxon = zeroed_page(&err);
	hv->vmcs = zeroed_page(&err);
	hv->eptp_list = zeroed_page(&err);
	hv->virtual_apic = zeroed_page(&err);
	hv->posted = zeroed_page(&err);
	for (i = 0; i < HV_PAGES; i++)
		hv->page[i] = zeroed_page(&err);
	for (i = 0; i < 8; i++)
		hv->ept[i / 4][i % 4] = zeroed_page(&err);
	rdmsrl(MSR_IA32_APICBASE, apic_base);
	if (!(apic_base & X2APIC_ENABLE)) {
		hv->apic = ioremap(APIC_DEFAULT_PHYS_BASE, PAGE_SIZE);
		if (!hv->apic)
			err = -ENOMEM;
	}
	if (err) {
		hv_destroy(hv);
		return err;
	}
	hv_fill_tables(hv);
	return 0;
}

void hv_destroy(struct hv *hv)
{
	int i;

	free_page((unsigned long)hv->vmxon);
	free_page((unsigned long)hv->vmcs);
	free_page((unsigned long)hv->eptp_list);
	free_page((unsigned long)hv->virtual_apic);
	free_page((unsigned long)hv->posted);
	for (i = 0; i < HV_PAGES; i++)
		free_page((unsigned long)hv->page[i]);
	for (i = 0; i < 8; i++)
		free_page((unsigned long)hv->ept[i / 4][i % 4]);
	if (hv->apic)
		iounmap(hv->apic);
}

static int vmx_operation(u64 physical, int which)
{
	u8 failed = 1;

	switch (which) {
	case 0:
		asm volatile("vmxon %1; setna %0" : "=qm"(failed) : "m"(physical) : "cc", "memory");
		break;
	case 1:
		asm volatile("vmclear %1; setna %0" : "=qm"(failed) : "m"(physical) : "cc", "memory");
		break;
	case 2:
		asm volatile("vmptrld %1; setna %0" : "=qm"(failed) : "m"(physical) : "cc", "memory");
		break;
	}
	return failed ? -EIO : 0;
}

void hv_invept(void)
{
	struct {
		u64 eptp, zero;
	} all = {};

	asm volatile("invept %0, %1" : : "m"(all), "r"((u64)VMX_EPT_EXTENT_GLOBAL) : "cc", "memory");
}

void hv_invvpid(void)
{
	struct {
		u64 vpid, address;
	} all = {};

	asm volatile("invvpid %0, %1" : : "m"(all), "r"((u64)VMX_VPID_EXTENT_ALL_CONTEXT) : "cc", "memory");
}

static void apic_register_write(struct hv *hv, u32 offset, u32 value)
{
	if (hv->apic)
		writel(value, hv->apic + offset);
	else
		wrmsrl(APIC_BASE_MSR + (offset >> 4), value);
}

void hv_self_ipi(struct hv *hv, u8 vector)
{
	apic_register_write(hv, APIC_ICR, APIC_DEST_SELF | APIC_DM_FIXED | vector);
}

int hv_on(struct hv *hv)
{
	u64 basic;
	int err;

	preempt_disable();
	local_irq_save(hv->flags);
	hv->cr4 = __read_cr4();
	if (hv->cr4 & X86_CR4_VMXE) {
		err = -EBUSY; /* KVM has a VM on this CPU */
		goto restore_flags;
	}
	/* Not through the kernel's shadow of CR4: nothing else runs here until hv_off(). */
	asm volatile("mov %0, %%cr4" : : "r"(hv->cr4 | X86_CR4_VMXE) : "memory");
	rdmsrl(MSR_IA32_VMX_BASIC, basic);
	*(u32 *)hv->vmxon = *(u32 *)hv->vmcs = (u32)basic;
	err = vmx_operation(virt_to_phys(hv->vmxon), 0);
	if (err)
		goto restore_cr4;
	err = vmx_operation(virt_to_phys(hv->vmcs), 1) ?: vmx_operation(virt_to_phys(hv->vmcs), 2) ?: hv_default_controls();
	if (err) {
		hv_off(hv);
		return err;
	}
	hv_host_state();
	hv_guest_state(hv);
	return 0;

restore_cr4:
	asm volatile("mov %0, %%cr4" : : "r"(hv->cr4) : "memory");
restore_flags:
	local_irq_restore(hv->flags);
	preempt_enable();
	return err;
}

void hv_off(struct hv *hv)
{
	int i;

	vmx_operation(virt_to_phys(hv->vmcs), 1);
	asm volatile("vmxoff" : : : "cc", "memory");
	asm volatile("mov %0, %%cr4" : : "r"(hv->cr4) : "memory");
	for (i = 0; i < hv->taken_count; i++)
		hv_self_ipi(hv, hv->taken[i]);
	local_irq_restore(hv->flags);
	preempt_enable();
}

int hv_run(struct hv *hv)
{
	struct desc_ptr gdt, idt;
	int failed;

	native_store_gdt(&gdt);
	store_idt(&idt);
	failed = hv_enter(&hv->registers, hv->launched);
	/* A VM exit sets these limits to 0xffff, and that of TR to 0x67, without a process's I/O bitmap. */
	native_load_gdt(&gdt);
	native_load_idt(&idt);
	invalidate_tss_limit();
	if (failed)
		return -(int)hv_read(VM_INSTRUCTION_ERROR);
	hv->launched = true;
	return hv_read(VM_EXIT_REASON) & 0xffff;
}

void hv_acknowledge(struct hv *hv)
{
	if (!(hv_read(VM_EXIT_INTR_INFO) & INTR_INFO_VALID_MASK) || hv->taken_count == HV_TAKEN_MAX)
		return;
	hv->taken[hv->taken_count++] = hv_read(VM_EXIT_INTR_INFO) & 0xff;
	apic_register_write(hv, APIC_EOI, 0);
}
