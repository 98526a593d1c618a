// SPDX-License-Identifier: GPL-2.0-only
/* Requests that are almost right. */
#include "attack.h"

#include <asm/io.h>
#include <asm/segment.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/string.h>

#include "driver.h"

static struct elisa_extent *extents;
static void *play; /* what is named: the rest of this VM is not to change under its feet */

static u64 number(void)
{
	static const u64 list[] = { 0,          1,          2,          3,          64,         4095,  4096,
				    0x7fffffff, 0x80000000, 0xffffffff, 1ull << 46, 1ull << 63, ~0ull, ~0xfffull };
	u64 value = random();

	switch (value % 5) {
	case 0:
		return list[(value >> 8) % ARRAY_SIZE(list)];
	case 1:
		return virt_to_phys(play) + (value >> 8) % (5 * ELISA_PAGE);
	case 2:
		return region + ((value >> 8) & 0x1fffffffff);
	case 3:
		return value >> 8 & 15;
	default:
		return value;
	}
}

static void make_extents(void)
{
	for (unsigned int i = 0; i < 8; i++) {
		extents[i].gpa = random() & 7 ? virt_to_phys(play) : number();
		extents[i].bytes = random() & 3 ? ELISA_PAGE : number();
	}
}

static void make_request(void)
{
	u8 *bytes = (u8 *)request;

	memset(request, 0, sizeof(*request));
	request->size = random() & 63 ? sizeof(*request) : (u32)number();
	request->op = random() & 15 ? random() % (ELISA_OP_DETACH + 1) : (u32)number();
	request->id = random() & 1 ? random() & 7 : (u32)number();
	request->memory.id = random() & 1 ? random() & 7 : (u32)number();
	request->memory.extents = random() & 3 ? random() & 7 : (u32)number();
	request->memory.gpa = random() & 7 ? virt_to_phys(extents) : number();
	switch (request->op) {
	case ELISA_OP_HELLO:
		request->hello.version = random() & 3 ? ELISA_HYPERCALL_VERSION : (u32)number();
		request->hello.user_cs = random() & 1 ? __USER_CS : (u32)number();
		request->hello.user_ss = random() & 1 ? __USER_DS : (u32)number();
		break;
	case ELISA_OP_ATTACH:
		request->attach.size = sizeof(request->attach);
		request->attach.scheme = random() & 3 ? 0 : (u32)number();
		strscpy(request->attach.name, random() & 3 ? "victim" : "", sizeof(request->attach.name));
		break;
	case ELISA_OP_SHARE:
		request->share.size = sizeof(request->share);
		request->share.flags = random() & 3 ? 0 : (u32)number();
		request->share.bytes = random() & 3 ? ELISA_PAGE : number();
		break;
	case ELISA_OP_FUNCTION:
		strscpy(request->function.name, random() & 1 ? "check" : "", sizeof(request->function.name));
		break;
	default:
		for (unsigned int i = 0; i < 12; i++)
			((u32 *)&request->hello)[i] = (u32)number();
	}
	/* In every fourth some bytes are anything. */
	for (unsigned int i = 0; !(random() & 3) && i < 8; i++)
		bytes[random() % sizeof(*request)] = random();
}

/*
 * The i-th number of a hypercall: all of 16 bits, as far as there are attempts for them, then anything, and ours every
 * other time.
 */
static u64 hypercall_number(unsigned long i, unsigned long attempts)
{
	unsigned long step = max(65536 * 2 / attempts, 1ul);

	if (i * step < 65536)
		return i * step;
	switch (random() % 8) {
	case 0:
		return ELISA_HYPERCALL;
	case 1:
		return ELISA_HYPERCALL_CALL;
	case 2:
		return ELISA_LOCK_WAIT;
	case 3: /* only half of it is ours */
		return ELISA_HYPERCALL | random() << 32;
	case 4:
		return ELISA_HYPERCALL_CALL + (random() & 0xff);
	default:
		return number();
	}
}

/* Of KVM's own those that do something get arguments with which they do nothing: this VM is to go on. */
static void any_hypercall(unsigned long i, unsigned long attempts)
{
	u64 rax = hypercall_number(i, attempts);
	u64 rbx = number(), rcx = number(), rdx = number(), rsi = number();

	if (rax < 64)
		rcx = rdx = rsi = 0;
	if (rax < 64 || (u32)rax == ELISA_HYPERCALL)
		rbx = virt_to_phys(play) + (rbx & 0x3ff8);
	/* The result is nobody's business: KVM has some of its own, with any value. */
	asm volatile("vmcall"
		     : "+a"(rax), "+c"(rcx), "+d"(rdx)
		     : "b"(rbx), "S"(rsi)
		     : "memory", "cc", "r8", "r9", "r10", "r11");
	tried++;
	contained++;
}

/* The answer is whatever it is; nobody is harmed, which the test looks at from outside. */
int attack_requests(void)
{
	u64 accepted = 0;

	extents = (void *)get_zeroed_page(GFP_KERNEL);
	play = (void *)__get_free_pages(GFP_KERNEL | __GFP_ZERO, 3);
	if (!extents || !play)
		return -ENOMEM;
	for (unsigned long i = 0; i < count / 2; i++) {
		any_hypercall(i, count / 2);
		if (i % 64 == 63)
			cond_resched();
	}
	for (unsigned long i = 0; i < count - count / 2; i++) {
		long value;

		make_request();
		make_extents();
		value = hypercall(random() & 63 ? virt_to_phys(request) : number() & ~7ull & 0xffffff);
		accepted += !value && !request->error;
		tried++;
		contained += value <= 0;
		/* Its pages stay the host's until then: none is freed before. */
		if (i % 64 == 63)
			cond_resched();
	}
	ask(ELISA_OP_BYE, 0);
	pr_info("attack: %llu requests were carried out\n", accepted);
	return accepted > count / 100 ? 0 : -ENODATA;
}

#define CHUNK 64 /* attempts with interrupts off */

/* From CPL 3 there are no requests, and calls by number only of what is attached so. */
int attack_user_requests(void)
{
	static const u8 vmcall[] = { 0x0f, 0x01, 0xc1, 0xcc };

	play = arena_pages;
	arena_begin();
	for (unsigned long i = 0; i < count; i++) {
		if (i % CHUNK == 0) {
			arena_end();
			cond_resched();
			arena_begin();
			prepare(check_index, 0);
			memcpy(stub_pages[0], vmcall, sizeof(vmcall));
		}
		frame->rip = ELISA_GATE - ELISA_PAGE;
		frame->cs = __USER_CS;
		frame->ss = __USER_DS;
		frame->rflags = 2;
		for (unsigned int reg = 0; reg < 16; reg++)
			frame->regs[reg] = number();
		frame->regs[REG_RAX] = hypercall_number(i, count);
		frame->regs[3] = virt_to_phys(request);
		attempt("request of a process");
		if (frame->vector != 3 || !IS_ERR_VALUE(frame->regs[REG_RAX]))
			breach("request of a process", "it was not refused");
	}
	control("request of a process");
	arena_end();
	return 0;
}
