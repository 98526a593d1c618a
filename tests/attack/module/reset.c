// SPDX-License-Identifier: GPL-2.0-only
/* INIT, SIPI and SMI to a vCPU that is inside: what it finds in its registers, and in SMRAM, is ours to read. */
#include "attack.h"

#include <asm/apicdef.h>
#include <asm/io.h>
#include <asm/msr.h>
#include <asm/processor-flags.h>
#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/kernel.h>
#include <linux/sched.h>
#include <linux/string.h>

#include "driver.h"
#include "reset.h"

#define X2APIC_ICR (APIC_BASE_MSR + (APIC_ICR >> 4))
#define LIMIT_US 500000
/* Where a CPU goes in system-management mode after power-on, and what it stores there (64-bit layout). */
#define SMM_ENTRY 0x38000
#define SMM_COUNT 0x39000
#define SMM_SAVED 0x3fe00
#define SMM_SAVED_END 0x40000
#define SMM_SAVED_RIP 0x3ff78

static struct reset *reset;
static u64 *found;
static u32 target;

static void send(u32 what)
{
	wrmsrl(X2APIC_ICR, (u64)target << 32 | what);
}

static bool wait_for(const u64 *what, u64 wanted)
{
	for (unsigned int i = 0; i < LIMIT_US; i++) {
		if (READ_ONCE(*what) >= wanted)
			return true;
		udelay(1);
	}
	return false;
}

/* The other CPU is ours: Linux has given it up. */
static int take_cpu(void)
{
	u64 value, id, inside = arena_idt();
	int error;

	rdmsrl(MSR_IA32_APICBASE, value);
	if (!(value & X2APIC_ENABLE) || num_online_cpus() < 2)
		return -EOPNOTSUPP;
	set_cpus_allowed_ptr(current, cpumask_of(0));
	error = rdmsrl_on_cpu(1, APIC_BASE_MSR + (APIC_ID >> 4), &id);
	target = id;
	if (!error)
		error = remove_cpu(1);
	if (error)
		return error;
	memcpy(phys_to_virt(RESET_AT), reset_image, reset_image_end - reset_image);
	reset = phys_to_virt(RESET_AT + RESET_SET);
	found = phys_to_virt(RESET_AT + RESET_FOUND);
	arena_map(RESET_AT, RESET_AT, false);
	prepare(spin_index, 20000);
	frame->own_cr3 = arena_cr3;
	memcpy(reset->call, frame, sizeof(reset->call));
	rdmsrl(MSR_EFER, reset->efer);
	reset->efer &= ~EFER_LMA;
	reset->cr0 = read_cr0();
	reset->cr3 = arena_cr3;
	reset->cr4 = get_cr4();
	reset->gdt = (struct desc_ptr){ 16 * 8 - 1, inside + ARENA_TABLES * ELISA_PAGE };
	reset->idt = (struct desc_ptr){ 256 * 16 - 1, inside };
	reset->tss = inside + ARENA_TABLES * ELISA_PAGE + 0x40;
	reset->frame = inside + 3 * ELISA_PAGE;
	reset->enter = arena_enter_at();
	return 0;
}

static bool start(void)
{
	u64 starts = READ_ONCE(reset->starts);

	memset(found, 0x41, RESET_SET - RESET_FOUND);
	send(APIC_DM_INIT | APIC_INT_ASSERT);
	udelay(10);
	send(APIC_DM_STARTUP | RESET_AT >> 12);
	return wait_for(&reset->starts, starts + 1);
}

static int give_cpu_back(const char *what)
{
	int error;

	send(APIC_DM_INIT | APIC_INT_ASSERT);
	udelay(100);
	error = add_cpu(1);
	if (error)
		breach(what, "the CPU has not come back");
	arena_begin();
	control(what);
	arena_end();
	pr_info("attack: %llu starts, %llu calls, %llu that failed (the last with %lld), %llu that came back otherwise\n",
		reset->starts, reset->calls, reset->failed, reset->last, reset->other);
	return error;
}

/* INIT clears all but RDX, which tells the CPU's model; and CR2, DR0; DR6 is what it always is. */
static bool as_after_init(void)
{
	for (unsigned int i = 0; i < 18; i++)
		if (found[i] && i != REG_RDX && (i > 2 || (u32)found[i]) && i != 4 && i != 16 && i != 17)
			return false;
	return !(u32)found[0] && !(u32)found[1] && !(u32)found[4] && (u32)found[REG_RDX] == cpuid_eax(1) &&
	       !(u32)found[16] && !(u32)found[17];
}

int attack_init(void)
{
	int error = take_cpu();

	if (error)
		return error;
	for (unsigned int i = 0; i < count; i++) {
		u64 calls;

		if (!start()) {
			breach("init", "the CPU has not come");
			break;
		}
		tried++;
		if (as_after_init())
			contained++;
		else
			breach("init", "registers that INIT has not cleared");
		calls = READ_ONCE(reset->calls);
		if (!(i % 8) && !wait_for(&reset->calls, calls + 1))
			breach("init", "a call on that CPU does not work");
		udelay(50 + random() % 400);
	}
	return give_cpu_back("init");
}

/* The secret at any place, or where in the trusted code the CPU was. */
static bool tells(const u8 *saved, u64 *rip)
{
	memcpy(rip, phys_to_virt(SMM_SAVED_RIP), sizeof(*rip));
	if ((*rip >= ELISA_GATE && *rip < ELISA_LANDING) ||
	    (*rip >= ELISA_BASE + ELISA_CODE_OFFSET && *rip < ELISA_BASE + ELISA_CODE_OFFSET + ELISA_CODE_MAX))
		return true;
	for (unsigned int i = 0; i <= SMM_SAVED_END - SMM_SAVED - sizeof(u64); i++)
		if (!memcmp(saved + i, &secret, sizeof(secret)))
			return true;
	return false;
}

int attack_smi(void)
{
	/* incl %cs:0x9000; rsm */
	static const u8 handler[] = { 0x2e, 0x66, 0xff, 0x06, 0x00, 0x90, 0x0f, 0xaa };
	u64 *handled = phys_to_virt(SMM_COUNT), rip, landings = 0;
	int error = take_cpu();

	if (error)
		return error;
	memcpy(phys_to_virt(SMM_ENTRY), handler, sizeof(handler));
	*handled = 0;
	if (!start() || !wait_for(&reset->calls, 1)) {
		breach("smi", "a call on that CPU does not work");
		return give_cpu_back("smi");
	}
	for (unsigned int i = 0; i < count; i++) {
		memset(phys_to_virt(SMM_SAVED), 0x41, SMM_SAVED_END - SMM_SAVED);
		send(APIC_DM_SMI);
		tried++;
		if (!wait_for(handled, i + 1)) {
			breach("smi", "it has not been handled");
			break;
		}
		udelay(10);
		if (tells(phys_to_virt(SMM_SAVED), &rip))
			breach("smi", "SMRAM tells what was inside");
		else
			contained++;
		landings += rip == ELISA_LANDING;
		udelay(50 + random() % 400);
	}
	pr_info("attack: %llu of %llu SMIs found the CPU where a call had returned\n", landings, *handled);
	error = give_cpu_back("smi");
	return error ? error : landings < count / 4 ? -ENODATA : 0;
}
