/* SPDX-License-Identifier: MIT */
/*
 * What Bochs tells this library, and nothing else: every hook that is not
 * listed here costs nothing. Bochs includes this file in all of its sources.
 */
#if BX_INSTRUMENTATION

class bxInstruction_c;

void testbed_reset(unsigned cpu, unsigned type);
void testbed_prefetch(unsigned cpu, bx_address address);
void testbed_vmentry(unsigned cpu);
void testbed_vmexit(unsigned cpu, Bit32u reason);
void testbed_vmfunc(unsigned cpu, Bit32u leaf, Bit32u index);
void testbed_tlb(unsigned cpu, unsigned what, Bit64u type);

extern bool testbed_checks; /* translations.cc watches */
void testbed_translations_entry(unsigned cpu);
void testbed_translations_exit(unsigned cpu);
void testbed_translations_control(unsigned cpu, unsigned what, Bit64u value);
void testbed_eptp_switch(unsigned cpu, unsigned index, Bit64u eptp);
void testbed_ept_walk(unsigned cpu, Bit64u gpa, Bit64u laddr, bool laddr_valid, bool page_walk, const Bit64u *entry,
		      int level, Bit32u access, Bit32u reason);
void testbed_guest_walk(unsigned cpu, Bit64u laddr, Bit64u hpa, Bit32u page_mask, Bit32u guest_access, unsigned rw);
void testbed_page_fault(unsigned cpu, Bit64u laddr, unsigned rw, bool nothing_there);
void testbed_invalidate(unsigned cpu, unsigned what, unsigned type, Bit64u id, Bit64u laddr);

#define BX_INSTR_RESET(cpu_id, type) testbed_reset(cpu_id, type)
#define BX_INSTR_PREFETCH_HINT(cpu_id, what, seg, offset) testbed_prefetch(cpu_id, offset)

#else

#define BX_INSTR_RESET(cpu_id, type)
#define BX_INSTR_PREFETCH_HINT(cpu_id, what, seg, offset)

#endif

/* TESTBED_NO_COUNTS: the control channel alone, to measure what counting costs. */
#if BX_INSTRUMENTATION && !defined(TESTBED_NO_COUNTS)
#define TESTBED_CHECK(call) ((void)(testbed_checks && (call, true)))
#define BX_INSTR_TLB_CNTRL(cpu_id, what, value) \
	(testbed_tlb(cpu_id, what, value), TESTBED_CHECK(testbed_translations_control(cpu_id, what, value)))
#define BX_INSTR_VMENTRY(cpu_id) (testbed_vmentry(cpu_id), TESTBED_CHECK(testbed_translations_entry(cpu_id)))
#define BX_INSTR_VMEXIT(cpu_id, reason, qualification) \
	(testbed_vmexit(cpu_id, reason), TESTBED_CHECK(testbed_translations_exit(cpu_id)))
#define BX_INSTR_VMFUNC(cpu_id, leaf, index) testbed_vmfunc(cpu_id, leaf, index)
#define BX_INSTR_EPTP_SWITCH(cpu_id, index, eptp) TESTBED_CHECK(testbed_eptp_switch(cpu_id, index, eptp))
#define BX_INSTR_EPT_WALK(cpu_id, gpa, laddr, laddr_valid, page_walk, entries, level, access, reason) \
	TESTBED_CHECK(testbed_ept_walk(cpu_id, gpa, laddr, laddr_valid, page_walk, entries, level, access, reason))
#define BX_INSTR_GUEST_WALK(cpu_id, laddr, hpa, page_mask, guest_access, rw) \
	TESTBED_CHECK(testbed_guest_walk(cpu_id, laddr, hpa, page_mask, guest_access, rw))
#define BX_INSTR_PAGE_FAULT(cpu_id, laddr, rw, nothing_there) \
	TESTBED_CHECK(testbed_page_fault(cpu_id, laddr, rw, nothing_there))
#define BX_INSTR_INVALIDATE(cpu_id, what, type, id, laddr) \
	TESTBED_CHECK(testbed_invalidate(cpu_id, what, type, id, laddr))
#else
#define BX_INSTR_TLB_CNTRL(cpu_id, what, value)
#define BX_INSTR_VMENTRY(cpu_id)
#define BX_INSTR_VMEXIT(cpu_id, reason, qualification)
#define BX_INSTR_VMFUNC(cpu_id, leaf, index)
#define BX_INSTR_EPTP_SWITCH(cpu_id, index, eptp)
#define BX_INSTR_EPT_WALK(cpu_id, gpa, laddr, laddr_valid, page_walk, entries, level, access, reason)
#define BX_INSTR_GUEST_WALK(cpu_id, laddr, hpa, page_mask, guest_access, rw)
#define BX_INSTR_PAGE_FAULT(cpu_id, laddr, rw, nothing_there)
#define BX_INSTR_INVALIDATE(cpu_id, what, type, id, laddr)
#endif

#define BX_INSTR_INIT_ENV()
#define BX_INSTR_EXIT_ENV()
#define BX_INSTR_INITIALIZE(cpu_id)
#define BX_INSTR_EXIT(cpu_id)
#define BX_INSTR_HLT(cpu_id)
#define BX_INSTR_MWAIT(cpu_id, addr, len, flags)

/* schedule.cc */
#if BX_INSTRUMENTATION && !defined(TESTBED_NO_COUNTS)
bool testbed_boundary(unsigned cpu);
bool testbed_steps(unsigned cpu);
#define BX_INSTR_BOUNDARY(cpu_id) testbed_boundary(cpu_id)
#define BX_INSTR_STEPS(cpu_id) testbed_steps(cpu_id)
#else
#define BX_INSTR_BOUNDARY(cpu_id) false
#define BX_INSTR_STEPS(cpu_id) 0
#endif
#define BX_INSTR_DEBUG_PROMPT()
#define BX_INSTR_DEBUG_CMD(cmd)
#define BX_INSTR_CNEAR_BRANCH_TAKEN(cpu_id, branch_eip, new_eip)
#define BX_INSTR_CNEAR_BRANCH_NOT_TAKEN(cpu_id, branch_eip)
#define BX_INSTR_UCNEAR_BRANCH(cpu_id, what, branch_eip, new_eip)
#define BX_INSTR_FAR_BRANCH(cpu_id, what, prev_cs, prev_eip, new_cs, new_eip)
#define BX_INSTR_OPCODE(cpu_id, i, opcode, len, is32, is64)
#define BX_INSTR_EXCEPTION(cpu_id, vector, error_code)
#define BX_INSTR_INTERRUPT(cpu_id, vector)
#define BX_INSTR_HWINTERRUPT(cpu_id, vector, cs, eip)
#define BX_INSTR_CLFLUSH(cpu_id, laddr, paddr)
#define BX_INSTR_CACHE_CNTRL(cpu_id, what)
#define BX_INSTR_BEFORE_EXECUTION(cpu_id, i)
#define BX_INSTR_AFTER_EXECUTION(cpu_id, i)
#define BX_INSTR_REPEAT_ITERATION(cpu_id, i)
#define BX_INSTR_LIN_ACCESS(cpu_id, lin, phy, len, memtype, rw)
#define BX_INSTR_PHY_ACCESS(cpu_id, phy, len, memtype, rw)
#define BX_INSTR_INP(addr, len)
#define BX_INSTR_INP2(addr, len, val)
#define BX_INSTR_OUTP(addr, len, val)
#define BX_INSTR_WRMSR(cpu_id, addr, value)
