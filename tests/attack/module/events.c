// SPDX-License-Identifier: GPL-2.0-only
/* NMIs and interrupts that come while the CPU is inside, with IDT, TSS and stacks within the trusted code's reach. */
#include "attack.h"

#include <asm/apicdef.h>
#include <asm/msr.h>
#include <asm/processor-flags.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/sched.h>
#include <linux/string.h>

#define X2APIC(reg) (APIC_BASE_MSR + ((reg) >> 4))
#define SECOND 100000000ull /* of the emulated machine's TSC; only to give up some time */
#define NMI_VECTOR_COUNT 2
#define SPIN_ROUNDS 20000
#define EVENTS_MAX 100

static u32 target;
static u64 sent[256]; /* by vector */
static u64 bursts;
static bool stop, stopped, lost;

static bool has_x2apic(void)
{
	u64 value;

	rdmsrl(MSR_IA32_APICBASE, value);
	return value & X2APIC_ENABLE;
}

static u64 arrived(unsigned int vector)
{
	return READ_ONCE(frame->counts[vector]);
}

static void send(u32 what)
{
	wrmsrl(X2APIC(APIC_ICR), (u64)target << 32 | what);
}

static u32 next(u32 *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

static bool wait_for(unsigned int vector, u64 wanted)
{
	u64 begun = rdtsc();

	while (arrived(vector) < wanted) {
		cpu_relax();
		if (rdtsc() - begun > SECOND) {
			WRITE_ONCE(lost, true);
			return false;
		}
	}
	return true;
}

/* One at a time: each has to come. In every fourth round several: one at least, as two and more may become one. */
static int send_nmis(void *unused)
{
	u32 state = 1;

	while (!READ_ONCE(stop) && !lost) {
		unsigned int many = next(&state) % 4 ? 1 : 2 + next(&state) % 3;
		u64 before = arrived(NMI_VECTOR_COUNT);

		for (unsigned int i = 0; i < many; i++)
			send(APIC_DM_NMI);
		sent[NMI_VECTOR_COUNT] += many;
		bursts++;
		wait_for(NMI_VECTOR_COUNT, before + 1);
		/* A second one of a burst is not taken for the first of the next. */
		udelay(many > 1 ? 200 : next(&state) % 40);
	}
	WRITE_ONCE(stopped, true);
	while (!kthread_should_stop())
		msleep(1);
	return 0;
}

/*
 * Each vector again as soon as it has come: none collapses, so each must come once. No more than so many while one call
 * is tried: where each takes exits of its own (no APICv), delivering them could be all that the other CPU gets to.
 */
static int send_interrupts(void *with_nmis)
{
	unsigned int events = 0, vector;
	u64 call = 0;
	u32 state = 1;

	while (!READ_ONCE(stop) && !lost) {
		u64 now = READ_ONCE(tried);

		events = now == call ? events + 1 : 1;
		call = now;
		if (events > EVENTS_MAX) {
			udelay(10);
			continue;
		}
		vector = ARENA_VECTOR + next(&state) % ARENA_VECTORS;
		if (wait_for(vector, sent[vector])) {
			sent[vector]++;
			send(APIC_DM_FIXED | vector);
		}
		if (with_nmis && arrived(NMI_VECTOR_COUNT) == sent[NMI_VECTOR_COUNT]) {
			sent[NMI_VECTOR_COUNT]++;
			send(APIC_DM_NMI);
		}
		udelay(next(&state) % 40);
	}
	WRITE_ONCE(stopped, true);
	while (!kthread_should_stop())
		msleep(1);
	return 0;
}

static struct task_struct *start_sender(int (*sender)(void *), void *argument)
{
	struct task_struct *task;
	u64 id;

	set_cpus_allowed_ptr(current, cpumask_of(0));
	rdmsrl(X2APIC(APIC_ID), id);
	target = id;
	stop = stopped = false;
	task = kthread_create(sender, argument, "attack-events");
	if (!IS_ERR(task))
		kthread_bind(task, 1);
	return task;
}

/* The IDT stays ours until the last of them has come: from where everything is let in. */
static void drain(void)
{
	WRITE_ONCE(stop, true);
	for (unsigned int i = 0; i < 100 || (!READ_ONCE(stopped) && i < 1000000); i++) {
		prepare(check_index, 0);
		stub_pages[0][0] = 0x90; /* nop; int3, with interrupts on */
		frame->rip = ELISA_GATE - ELISA_PAGE;
		frame->rflags |= X86_EFLAGS_IF;
		arena_run();
	}
}

static void count_in(const char *what, unsigned int vector)
{
	if (arrived(vector) != sent[vector]) {
		pr_info("attack: vector %u: %llu sent, %llu have come\n", vector, sent[vector], arrived(vector));
		breach(what, "events were lost, or came twice");
	}
}

static void none_in_service(const char *what)
{
	for (unsigned int i = 0; i < 8; i++) {
		u64 bits;

		rdmsrl(X2APIC(APIC_ISR) + i, bits);
		if (bits) {
			pr_info("attack: in service: register %u is %llx\n", i, bits);
			breach(what, "an interrupt is in service for ever");
		}
		/* Else nothing below it would come any more, nor a word of this out of the VM. */
		for (; bits; bits &= bits - 1)
			wrmsrl(X2APIC(APIC_EOI), 0);
	}
}

/* How many of the events met a call: they are delivered where it returns. */
static u64 at_landing;

static void count_at_landing(void)
{
	static u64 seen;
	u64 events = READ_ONCE(frame->events);

	for (; seen != events; seen++)
		at_landing += events - seen <= RING_ENTRIES && frame->ring[seen % RING_ENTRIES].rip == ELISA_LANDING;
}

int attack_nmi(void)
{
	struct task_struct *sender;

	if (!has_x2apic() || num_online_cpus() < 2)
		return -EOPNOTSUPP;
	sender = start_sender(send_nmis, NULL);
	if (IS_ERR(sender))
		return PTR_ERR(sender);
	arena_begin();
	wake_up_process(sender);
	for (unsigned int i = 0; i < count && !READ_ONCE(lost); i++) {
		prepare(i % 8 ? spin_index : fault_index, i % 8 ? SPIN_ROUNDS : i / 8 % 8);
		if (i % 16 == 15)
			frame->rflags |= X86_EFLAGS_TF;
		attempt("nmi");
		count_at_landing();
		if (!(i % 8))
			must_fail("nmi");
		else if (i % 16 != 15 && result() != 1)
			breach("nmi", "a call was cut short");
	}
	drain();
	control("nmi");
	arena_end();
	kthread_stop(sender);
	if (lost)
		breach("nmi", "one has not come");
	if (arrived(NMI_VECTOR_COUNT) < bursts || arrived(NMI_VECTOR_COUNT) > sent[NMI_VECTOR_COUNT])
		breach("nmi", "they were lost, or came twice");
	pr_info("attack: %llu NMIs in %llu bursts, %llu came, %llu of them where a call had returned\n",
		sent[NMI_VECTOR_COUNT], bursts, arrived(NMI_VECTOR_COUNT), at_landing);
	return at_landing < count / 8 ? -ENODATA : 0;
}

/* `sti; vmfunc`: an interrupt that waits is let in after the instruction that follows, which is the gate's first. */
static void prepare_sti(void)
{
	static const u8 stub[] = { 0xfb, 0x0f, 0x01, 0xd4 };

	prepare(spin_index, 100);
	memcpy(stub_pages[0] + ELISA_PAGE - sizeof(stub), stub, sizeof(stub));
	frame->rip = ELISA_GATE - sizeof(stub);
	frame->rflags |= X86_EFLAGS_IOPL;
}

static void send_to_self(unsigned int vector)
{
	sent[vector]++;
	wrmsrl(X2APIC(APIC_SELF_IPI), vector);
}

/*
 * One that waits when the call begins; with the same one in service when the vCPU was entered last, which is over
 * before the call; with an IDT where nothing is inside.
 */
static void self_interrupt(unsigned int i)
{
	unsigned int vector = ARENA_VECTOR + i % ARENA_VECTORS;

	arena_use_idt(i & 2 ? ARENA_HOLE : arena_idt());
	if (i & 1) {
		frame->exits = 1;
		send_to_self(vector);
		asm volatile("sti\n\tnop\n\tnop\n\tcli" : : : "memory");
		frame->exits = 0;
	}
	send_to_self(vector);
	if (i & 4) {
		prepare(spin_index, 100);
		frame->rflags |= X86_EFLAGS_IF;
	} else {
		prepare_sti();
	}
	attempt("own interrupt");
	count_at_landing();
	if (arrived(vector) != sent[vector])
		breach("own interrupt", "it has not come, or came twice");
	else if (result() != (i & 4 ? 1 : -EINTR))
		breach("own interrupt", "not the result that was expected");
	arena_use_idt(arena_idt());
	none_in_service("own interrupt");
}

/* The APIC's timer, which ends during the call. */
static void timer(unsigned int i)
{
	unsigned int vector = ARENA_VECTOR + i % ARENA_VECTORS;
	u64 was;

	rdmsrl(X2APIC(APIC_LVTT), was);
	wrmsrl(X2APIC(APIC_LVTT), (was & ~0xffull) | (ARENA_VECTOR + i % ARENA_VECTORS));
	prepare(spin_index, SPIN_ROUNDS);
	frame->rflags |= X86_EFLAGS_IF;
	sent[vector]++;
	wrmsrl(MSR_IA32_TSC_DEADLINE, rdtsc() + 2000 + random() % 20000);
	attempt("timer");
	count_at_landing();
	for (unsigned int wait = 0; wait < 10000 && arrived(vector) != sent[vector]; wait++)
		asm volatile("sti\n\tnop\n\tcli" : : : "memory");
	lost |= arrived(vector) != sent[vector];
	wrmsrl(X2APIC(APIC_LVTT), was);
	wrmsrl(MSR_IA32_TSC_DEADLINE, rdtsc() + 1000);
	if (result() != 1 && result() != -EINTR)
		breach("timer", "not the result that was expected");
}

static void flooded(unsigned int i)
{
	if (i % 4 == 1) {
		prepare_sti();
	} else if (i % 4 == 2) {
		prepare(fault_index, random() % 8);
		frame->rflags |= X86_EFLAGS_IF;
	} else {
		prepare(spin_index, SPIN_ROUNDS);
		frame->rflags |= X86_EFLAGS_IF;
	}
	attempt("interrupts");
	count_at_landing();
	if (i % 4 == 2)
		must_fail("interrupts");
	else if (result() != 1 && result() != -EINTR)
		breach("interrupts", "not the result that was expected");
}

int attack_interrupts(void)
{
	struct task_struct *sender = NULL;

	if (!has_x2apic())
		return -EOPNOTSUPP;
	if (num_online_cpus() > 1)
		sender = start_sender(send_interrupts, (void *)1);
	if (IS_ERR(sender))
		return PTR_ERR(sender);
	arena_begin();
	for (unsigned int i = 0; i < count / 4 && !lost; i++) {
		self_interrupt(i);
		timer(i);
	}
	none_in_service("own interrupt");
	if (sender)
		wake_up_process(sender);
	for (unsigned int i = 0; sender && i < count / 2 && !READ_ONCE(lost); i++)
		flooded(i);
	stopped |= !sender;
	drain();
	none_in_service("interrupts");
	control("interrupts");
	arena_end();
	if (sender)
		kthread_stop(sender);
	if (lost)
		breach("interrupts", "one has not come");
	for (unsigned int i = 0; i < ARENA_VECTORS; i++)
		count_in("interrupts", ARENA_VECTOR + i);
	count_in("interrupts", NMI_VECTOR_COUNT);
	pr_info("attack: %llu events came where a call had returned\n", at_landing);
	return at_landing < count / 8 ? -ENODATA : 0;
}
