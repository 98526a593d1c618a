/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The smallest hypervisor that can show what a CPU does: one guest of sixteen
 * pages in long mode, entered with interrupts off and left after one VM exit.
 * It needs VMX to itself, so no VM may exist on the host.
 */
#ifndef VMX_HV_H
#define VMX_HV_H

#include <linux/types.h>

/* Guest-physical pages, which are also its linear addresses. */
enum hv_page {
	HV_PML4 = 1,
	HV_PDPT,
	HV_PD,
	HV_PT,
	HV_GDT,
	HV_IDT,
	HV_TSS,
	HV_STACK,
	HV_CODE,
	HV_DATA,
	HV_HANDLER,
	HV_SPARE,
	HV_PAGES = 16,
};
#define HV_GPA(page) ((page)*4096UL)

/* Selectors of the guest's GDT. */
enum { HV_CS0 = 0x08, HV_SS0 = 0x10, HV_CS3 = 0x1b, HV_SS3 = 0x23, HV_TR = 0x28 };

#define HV_TAKEN_MAX 16

struct hv_registers {
	u64 rax, rbx, rcx, rdx, rsi, rdi, rbp;
};

struct hv {
	void *vmxon, *vmcs;
	void *page[HV_PAGES];
	u64 *ept[2][4]; /* two EPTs of four levels; [1] differs where a test says so */
	void *eptp_list, *virtual_apic, *posted;
	void *apic; /* the local APIC's registers, unless it is in x2APIC mode */
	struct hv_registers registers;
	bool launched;
	u8 taken[HV_TAKEN_MAX]; /* vectors that Linux is still to get */
	int taken_count;
	/* What hv_on() changed, and hv_off() restores. */
	unsigned long flags, cr4;
};

int hv_create(struct hv *hv);
void hv_destroy(struct hv *hv);

/* Between these two interrupts and preemption are off, VMX is on, and the VMCS is current and filled in. */
int hv_on(struct hv *hv);
void hv_off(struct hv *hv);

/* The guest's code, copied from START to END; handlers go to HV_HANDLER. */
void hv_load(struct hv *hv, enum hv_page page, const void *start, const void *end);
/* Makes a vector lead to OFFSET in HV_HANDLER. */
void hv_gate(struct hv *hv, u8 vector, u32 offset);
/* Lets CPL 3 use the page, and (with SMEP, SMAP) keeps CPL 0 off it. */
void hv_user_page(struct hv *hv, enum hv_page page);
/* Enters at CPL 3 instead of 0. */
void hv_user_mode(struct hv *hv);

/*
 * Enters the guest. Returns the basic exit reason, or -(VM-instruction error)
 * if the entry failed.
 */
int hv_run(struct hv *hv);

u64 hv_read(u32 field);
void hv_write(u32 field, u64 value);
/* Adds bits to a control field; -EOPNOTSUPP if the CPU does not have them. */
int hv_enable(u32 field, u32 bits);

/* INVEPT and INVVPID of everything; only between hv_on() and hv_off(). */
void hv_invept(void);
void hv_invvpid(void);

u64 hv_eptp(const struct hv *hv, int which);

/* Ends an interrupt that "acknowledge interrupt on exit" took; hv_off() sends it again for Linux. */
void hv_acknowledge(struct hv *hv);
/* Sends this CPU an interrupt, which stays pending while interrupts are off. */
void hv_self_ipi(struct hv *hv, u8 vector);

#endif
