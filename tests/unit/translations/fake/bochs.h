/* SPDX-License-Identifier: MIT */
/* As much of Bochs as the checker of translations looks at: one vCPU on each of two CPUs, and a memory of tables. */
#ifndef FAKE_BOCHS_H
#define FAKE_BOCHS_H

#include <algorithm>
#include <map>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stdint.h>

typedef uint64_t Bit64u;
typedef int64_t Bit64s;
typedef uint32_t Bit32u;
typedef uint16_t Bit16u;
typedef uint8_t Bit8u;

enum { BX_READ, BX_WRITE, BX_EXECUTE };
enum {
	BX_INSTR_MOV_CR0 = 10,
	BX_INSTR_MOV_CR3,
	BX_INSTR_MOV_CR4,
	BX_INSTR_TASK_SWITCH,
	BX_INSTR_CONTEXT_SWITCH,
	BX_INSTR_INVLPG,
	BX_INSTR_INVEPT,
	BX_INSTR_INVVPID,
	BX_INSTR_INVPCID
};

struct control_register {
	Bit32u value;

	Bit32u get32() const
	{
		return value;
	}
	bool get_PG() const
	{
		return value >> 31 & 1;
	}
	bool get_PAE() const
	{
		return value >> 5 & 1;
	}
	bool get_PGE() const
	{
		return value >> 7 & 1;
	}
	bool get_LA57() const
	{
		return value >> 12 & 1;
	}
	bool get_PCIDE() const
	{
		return value >> 17 & 1;
	}
	bool get_LMA() const
	{
		return value >> 10 & 1;
	}
	bool get_NXE() const
	{
		return value >> 11 & 1;
	}
};

struct controls {
	bool vpid, vmfunc;

	bool EPT_ENABLE() const
	{
		return true;
	}
	bool VPID_ENABLE() const
	{
		return vpid;
	}
	bool VMFUNC_ENABLE() const
	{
		return vmfunc;
	}
	bool MBE_CTRL() const
	{
		return false;
	}
};

struct VMCS_CACHE {
	Bit64u eptptr, vmfunc_ctrls, eptp_list_address;
	Bit16u vpid;
	controls vmexec_ctrls2;
};

struct BX_CPU_C {
	VMCS_CACHE vmcs;
	control_register cr0, cr4, efer;
	Bit64u cr3, prev_rip;
	bool in_vmx, in_vmx_guest;
};

struct fake_memory {
	std::map<Bit64u, Bit64u> words;

	bool dbg_fetch_mem(BX_CPU_C *, Bit64u address, unsigned, Bit8u *to)
	{
		memcpy(to, &words[address], 8);
		return true;
	}
};

struct fake_clock {
	Bit64u now;

	Bit64u time_ticks() const
	{
		return now;
	}
};

static const unsigned BX_SMP_PROCESSORS = 2;
extern BX_CPU_C fake_cpus[BX_SMP_PROCESSORS];
extern fake_memory fake_mem;
extern fake_clock bx_pc_system;
#define BX_CPU(number) (fake_cpus + (number))
#define BX_MEM(number) (&fake_mem)

#define BX_INSTRUMENTATION 1
typedef Bit64u bx_address;
#include "instrument.h"

#endif
