/* SPDX-License-Identifier: MIT */
/* A VM of the hostile VMM, with the guest of guest.h in it. Whatever the VMM cannot go on without ends it. */
#ifndef MACHINE_H
#define MACHINE_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

#include "guest.h"

#define SECRET 0x5ec2e75ec2e75ec2 /* of the victim */

/* Guest-physical addresses. Virtual ones are the same for the kernel. */
#define TABLES 0x1000ul
#define TABLES_END 0xb000ul
#define GDT 0xb000ul
#define IDT 0xc000ul
#define KERNEL 0x10000ul
#define USER 0x14000ul
#define STUB_PAGE 0x15000ul
#define LANDING_PAGE 0x16000ul
#define REQUEST 0x18000ul
#define EXTENTS 0x19000ul
#define VAPIC 0x1a000ul
#define PER_CPU 0x20000ul /* control page, kernel's stack, user's stack, TSS */
#define SMBASE 0x30000ul  /* where a vCPU saves its state at an SMI */
#define MEMORY_BYTES 0x200000ul
#define BUFFER_GPA 0x10000000ul
#define BUFFER_BYTES 0x10000ul
#define SPARE_GPA 0x20000000ul
#define USER_ALIAS 0x40000000ul /* what CPL 3 may reach of it lies there */

enum {
	MEMORY_SLOT,
	BUFFER_SLOT,
	SPARE_SLOT,
	REGION_SLOT,
	SMM_SLOT = 1 << 16 /* in system-management mode's own space */
};

#define CPUS_MAX 2
#define MSRS_MAX 256

/* All of a vCPU's state that a VMM can set. */
struct state {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_debugregs debugregs;
	struct kvm_vcpu_events events;
	struct kvm_lapic_state lapic;
	struct kvm_xsave xsave;
	struct kvm_xcrs xcrs;
	struct kvm_mp_state mp_state;
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entries[MSRS_MAX];
	} msrs;
};

struct cpu {
	struct machine *machine;
	unsigned int number;
	int fd;
	struct kvm_run *run;
	struct control *control;
	bool entry_failed; /* since it was restored */
	struct state kept; /* as it waits for something to do */
};

struct machine {
	int vm;
	unsigned int cpus;
	uint8_t *memory, *buffer;
	int memory_file, buffer_file;
	uint64_t region; /* where the host's addresses begin */
	struct cpu cpu[CPUS_MAX];
};

/* An object that the VM is attached to. */
struct target {
	uint32_t slot, attachment;
};

__attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...);
uint64_t randomly(void); /* xorshift, from `seed` */
uint64_t below(uint64_t limit);
extern uint64_t seed;

int machine_kvm(void); /* /dev/kvm */
void machine_create(struct machine *machine, unsigned int cpus);
void machine_destroy(struct machine *machine);
/* 0 bytes take it away. Returns 0 or a negative errno. */
int machine_slot(struct machine *machine, unsigned int number, uint64_t gpa, uint64_t bytes, void *address,
		 uint32_t flags);

/* Runs it; KVM's exit reason, or a negative errno: -EINTR after that many microseconds (0: none). */
int cpu_run(struct cpu *cpu, unsigned int us);
/* Until it asks what to do: true. False: it does not, within so many microseconds; `reason` then has its last exit. */
bool cpu_wait(struct cpu *cpu, unsigned int us, int *reason);
bool cpu_is_idle(const struct cpu *cpu, int reason);
void cpu_interrupt_other(pthread_t thread); /* what runs a vCPU returns -EINTR */

int machine_request(struct machine *machine, uint32_t op, uint32_t id);
struct elisa_request *machine_request_page(struct machine *machine);
/* The same, all of it 0. */
struct elisa_request *machine_new_request(struct machine *machine);
int machine_hello(struct machine *machine);
int machine_attach(struct machine *machine, const char *object, struct target *target);
/* Both, or the end of the program with the reason. */
void machine_join(struct machine *machine, const char *object, struct target *target);
uint32_t machine_function(struct machine *machine, const struct target *target, const char *name);
/* The buffer's number, or a negative errno. */
int machine_share(struct machine *machine, const struct target *target, uint64_t gpa, uint64_t bytes);

/* The next time it asks what to do, it makes so many calls. Clears what it has counted. */
void cpu_prepare(struct cpu *cpu, const struct target *target, uint32_t function, uint64_t a0, uint64_t calls);

/* state.c */
void cpu_read(struct cpu *cpu, struct state *state);
void cpu_keep(struct cpu *cpu);
/* As it was kept, whatever it has come to. */
void cpu_restore(struct cpu *cpu);
bool holds_secret(const void *data, size_t bytes);
/* Reads all that there is of it: what must not be there (the secret; addresses inside too), or NULL. */
const char *cpu_look(struct cpu *cpu, struct state *state, bool addresses);
/* It is shown as just returned from a call that was interrupted: it is inside, and goes on there if left as it is. */
bool cpu_is_inside(const struct state *state);

#endif
