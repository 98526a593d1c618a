/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef ATTACK_H
#define ATTACK_H

#include <elisa/layout.h>
#include <linux/types.h>

#include "arena.h"

/* Each tries its way in as often as `count` asks; 0, or why it could not be tried at all. */
int attack_landings_user(void);
int attack_landings_kernel(void);
int attack_landings_code(void);
int attack_slots(void);
int attack_sub_slot(void);
int attack_cr3(void);
int attack_faults(void);
int attack_breakpoints(void);
int attack_tables(void);
int attack_vmx(void);
int attack_nmi(void);
int attack_interrupts(void);
int attack_init(void);
int attack_modes(void);
int attack_smi(void);
int attack_control_registers(void);
int attack_pcid(void);
int attack_flags(void);
int attack_pkru(void);
int attack_region(void);
int attack_pat(void);
int attack_requests(void);
int attack_user_requests(void);
int attack_pieces(void);
int attack_times(void);

extern ulong count, secret, seed;
extern u64 tried, contained;

/* Functions of the victim. */
extern int check_index, spin_index, fault_index, read_index;

u64 random(void);

/* A call as it should be, from CPL 3: registers at the stub, RIP there. */
void prepare(u64 function, u64 a0);
/* Runs what is in the frame, and looks at what comes back: counts it. Returns the vector. */
u64 attempt(const char *what);
/* A right call, which must work: shows that the way is open and the victim is whole. */
void control(const char *when);
/* What the last attempt's call has returned. */
#define NOT_LANDED -999
long result(void);
void must_fail(const char *name);
/* The last word of an attempt that came back otherwise. */
void breach(const char *what, const char *how);

unsigned long get_cr4(void);
void set_cr4(unsigned long value);

#define REG_RAX 0
#define REG_RCX 1
#define REG_RDX 2
#define REG_RSP 4
#define REG_RSI 6
#define REG_RDI 7
#define REG_R10 10
#endif
