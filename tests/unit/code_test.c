// SPDX-License-Identifier: MIT
/* The check of trusted code: images in which one thing is wrong, and instructions by themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "load.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void load(const char *name, struct loaded *loaded)
{
	char path[4096];
	const char *reason;

	snprintf(path, sizeof(path), "%s/%s.elf", FOLDER, name);
	if (code_load(path, loaded, &reason))
		fail_msg("%s", reason);
}

static void good(void **state)
{
	struct code_report report;
	struct loaded loaded;

	(void)state;
	load("good", &loaded);
	assert_int_equal(code_check(&loaded.code, &report), 0);
	if (report.count)
		fail_msg("%s: %s", code_rule_name(report.findings[0].rule), report.findings[0].text);
	assert_true(report.instructions > 30);
	code_unload(&loaded);
}

static const struct bad {
	const char *name;
	enum code_rule rule;
} bad_images[] = {
	{ "decode", CODE_DECODE },
	{ "target", CODE_TARGET },
	{ "outside", CODE_TARGET },
	{ "indirect-jump", CODE_INDIRECT },
	{ "indirect-call", CODE_INDIRECT },
	{ "far", CODE_SEGMENT },
	{ "load-fs", CODE_SEGMENT },
	{ "through-gs", CODE_SEGMENT },
	{ "wrfsbase", CODE_SEGMENT },
	{ "x87", CODE_VECTOR },
	{ "mmx", CODE_VECTOR },
	{ "sse", CODE_VECTOR },
	{ "avx", CODE_VECTOR },
	{ "mxcsr", CODE_VECTOR },
	{ "std", CODE_FLAGS },
	{ "sti", CODE_FLAGS },
	{ "popf", CODE_FLAGS },
	{ "xrstor", CODE_STATE },
	{ "wrpkru", CODE_STATE },
	{ "port", CODE_PRIVILEGED },
	{ "hlt", CODE_PRIVILEGED },
	{ "control", CODE_PRIVILEGED },
	{ "syscall", CODE_SYSTEM },
	{ "sysenter", CODE_SYSTEM },
	{ "int", CODE_SYSTEM },
	{ "vmfunc", CODE_VM },
	{ "vmcall", CODE_VM },
	{ "vmcall-other", CODE_VM },
	{ "transaction", CODE_UNKNOWN },
	{ "flag-thunk", CODE_INDIRECT },
	{ "flag-registers", CODE_VECTOR },
	{ "flag-protector", CODE_SEGMENT },
};

/* All that is found is the one thing, in the function that has it. */
static void bad(void **state)
{
	const struct bad *bad = *state;
	struct code_report report;
	struct loaded loaded;
	char name[64];

	snprintf(name, sizeof(name), "code-%s", bad->name);
	load(name, &loaded);
	assert_int_equal(code_check(&loaded.code, &report), 0);
	assert_true(report.count > 0);
	for (size_t i = 0; i < report.count && i < COUNT(report.findings); i++) {
		const struct code_function *function = code_function_at(&loaded.code, report.findings[i].offset);

		assert_string_equal(code_rule_name(report.findings[i].rule), code_rule_name(bad->rule));
		assert_non_null(function);
		if (strncmp(bad->name, "flag-", 5)) {
			assert_string_equal(function->name, "bad");
			assert_int_equal(report.count, 1);
		}
		assert_true(report.findings[i].text[0]);
	}
	code_unload(&loaded);
}

struct bytes {
	enum code_rule rule;
	unsigned int count;
	uint8_t bytes[15];
};

#define BYTES(rule, ...)                                                         \
	{                                                                        \
		rule, sizeof((const uint8_t[]){ __VA_ARGS__ }), { __VA_ARGS__ }, \
	}

/* Each of them alone is the code. */
static const struct bytes instructions[] = {
	BYTES(CODE_NONE, 0xc3),                                        /* ret */
	BYTES(CODE_NONE, 0xcc),                                        /* int3 */
	BYTES(CODE_NONE, 0x0f, 0x0b),                                  /* ud2 */
	BYTES(CODE_NONE, 0xf3, 0x0f, 0x1e, 0xfa),                      /* endbr64 */
	BYTES(CODE_NONE, 0x0f, 0xae, 0xe8),                            /* lfence */
	BYTES(CODE_NONE, 0xf3, 0xa4),                                  /* rep movsb */
	BYTES(CODE_NONE, 0xf0, 0x48, 0x0f, 0xc7, 0x0e),                /* lock cmpxchg16b (%rsi) */
	BYTES(CODE_NONE, 0xf3, 0x48, 0x0f, 0xb8, 0xc7),                /* popcnt */
	BYTES(CODE_NONE, 0x0f, 0x31),                                  /* rdtsc */
	BYTES(CODE_NONE, 0xfc),                                        /* cld */
	BYTES(CODE_NONE, 0x9c),                                        /* pushf */
	BYTES(CODE_NONE, 0x0f, 0xc3, 0x06),                            /* movnti %eax,(%rsi) */
	BYTES(CODE_NONE, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0), /* nopw %cs:0(%rax,%rax) */
	BYTES(CODE_DECODE, 0x0f),                                      /* cut off */
	BYTES(CODE_DECODE, 0x48, 0xb8, 1, 2, 3),                       /* cut off */
	BYTES(CODE_TARGET, 0xeb, 0x00),                                /* jmp behind the end */
	BYTES(CODE_TARGET, 0xe8, 0xfc, 0xff, 0xff, 0xff),              /* call into itself */
	BYTES(CODE_TARGET, 0x74, 0xf0),                                /* je before the code */
	BYTES(CODE_INDIRECT, 0xff, 0xe2),                              /* jmp *%rdx */
	BYTES(CODE_INDIRECT, 0xff, 0x25, 0, 0, 0, 0),                  /* jmp *0(%rip) */
	BYTES(CODE_SEGMENT, 0xff, 0x28),                               /* ljmp *(%rax) */
	BYTES(CODE_SEGMENT, 0xcb),                                     /* lret */
	BYTES(CODE_SEGMENT, 0x8e, 0xd8),                               /* mov %eax,%ds */
	BYTES(CODE_SEGMENT, 0x8c, 0xd8),                               /* mov %ds,%eax */
	BYTES(CODE_SEGMENT, 0x0f, 0xa1),                               /* pop %fs */
	BYTES(CODE_SEGMENT, 0x0f, 0xb4, 0x00),                         /* lfs (%rax),%eax */
	BYTES(CODE_SEGMENT, 0x64, 0xa4),                               /* movsb %fs:(%rsi),(%rdi) */
	BYTES(CODE_SEGMENT, 0xf3, 0x48, 0x0f, 0xae, 0xc0),             /* rdfsbase %rax */
	BYTES(CODE_SEGMENT, 0xf3, 0x48, 0x0f, 0xae, 0xd8),             /* wrgsbase %rax */
	BYTES(CODE_VECTOR, 0x0f, 0x77),                                /* emms */
	BYTES(CODE_VECTOR, 0x9b),                                      /* fwait */
	BYTES(CODE_VECTOR, 0xdb, 0xe3),                                /* fninit */
	BYTES(CODE_VECTOR, 0x0f, 0x28, 0xc1),                          /* movaps */
	BYTES(CODE_VECTOR, 0x0f, 0xae, 0x18),                          /* stmxcsr (%rax) */
	BYTES(CODE_VECTOR, 0xc5, 0xf9, 0xef, 0xc0),                    /* vpxor */
	BYTES(CODE_VECTOR, 0xc5, 0xf8, 0x92, 0xc8),                    /* kmovw %eax,%k1 */
	BYTES(CODE_VECTOR, 0x62, 0xf1, 0x7d, 0x48, 0xef, 0xc0),        /* vpxord %zmm0 */
	BYTES(CODE_FLAGS, 0xfa),                                       /* cli */
	BYTES(CODE_FLAGS, 0x66, 0x9d),                                 /* popf */
	BYTES(CODE_FLAGS, 0x0f, 0x01, 0xcb),                           /* stac */
	BYTES(CODE_STATE, 0x0f, 0xae, 0x20),                           /* xsave (%rax) */
	BYTES(CODE_VECTOR, 0x0f, 0xae, 0x00),                          /* fxsave (%rax) */
	BYTES(CODE_STATE, 0x0f, 0x01, 0xee),                           /* rdpkru */
	BYTES(CODE_STATE, 0x0f, 0x01, 0xd0),                           /* xgetbv */
	BYTES(CODE_STATE, 0xf3, 0x48, 0x0f, 0xae, 0xe8),               /* incsspq %rax */
	BYTES(CODE_PRIVILEGED, 0x48, 0xcf),                            /* iretq */
	BYTES(CODE_PRIVILEGED, 0x0f, 0x01, 0x10),                      /* lgdt (%rax) */
	BYTES(CODE_PRIVILEGED, 0x0f, 0x01, 0xf8),                      /* swapgs */
	BYTES(CODE_PRIVILEGED, 0x0f, 0x30),                            /* wrmsr */
	BYTES(CODE_PRIVILEGED, 0x0f, 0x01, 0xd1),                      /* xsetbv */
	BYTES(CODE_PRIVILEGED, 0x0f, 0x20, 0xc0),                      /* mov %cr0,%rax */
	BYTES(CODE_PRIVILEGED, 0x0f, 0x23, 0xc0),                      /* mov %rax,%db0 */
	BYTES(CODE_PRIVILEGED, 0xe6, 0x80),                            /* out %al,$0x80 */
	BYTES(CODE_PRIVILEGED, 0xf3, 0x6e),                            /* rep outsb */
	BYTES(CODE_SYSTEM, 0xf1),                                      /* int1 */
	BYTES(CODE_SYSTEM, 0x0f, 0xa2),                                /* cpuid */
	BYTES(CODE_VM, 0x0f, 0x01, 0xc2),                              /* vmlaunch */
	BYTES(CODE_UNKNOWN, 0xc7, 0xf8, 0, 0, 0, 0),                   /* xbegin */
};

static enum code_rule rule_of(const uint8_t *bytes, size_t size)
{
	const struct code_function function = { 0, "alone" };
	const struct code code = { bytes, size, &function, 1 };
	struct code_report report;

	assert_int_equal(code_check(&code, &report), 0);
	assert_true(report.count <= 1);
	return report.count ? report.findings[0].rule : CODE_NONE;
}

static void alone(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(instructions); i++) {
		const struct bytes *bytes = &instructions[i];
		enum code_rule rule = rule_of(bytes->bytes, bytes->count);

		if (rule != bytes->rule)
			fail_msg("instruction %zu, %#x %#x: %s, not %s", i, bytes->bytes[0], bytes->bytes[1],
				 code_rule_name(rule), code_rule_name(bytes->rule));
	}
}

/* A function that begins within what comes before it is looked at all the same. */
static void overlapping(void **state)
{
	static const uint8_t bytes[] = { 0x48, 0xb8, 0x0f, 0x01, 0xd4, 0xc3, 0x90, 0x90, 0x90, 0x90 };
	const struct code_function functions[] = { { 0, "first" }, { 2, "second" } };
	const struct code code = { bytes, sizeof(bytes), functions, 2 };
	struct code_report report;

	(void)state;
	assert_int_equal(code_check(&code, &report), 0);
	assert_int_equal(report.count, 2);
	assert_int_equal(report.findings[0].rule, CODE_DECODE);
	assert_int_equal(report.findings[1].rule, CODE_VM);
	assert_int_equal(report.findings[1].offset, 2);
}

/* The request of a VMCALL, on each of the ways to it. */
static void requests(void **state)
{
	static const struct {
		bool waits;
		uint8_t bytes[20];
	} ways[] = {
		/* mov $ELISA_LOCK_WAIT,%ecx; je 1f; nop; 1: mov %rcx,%rax; vmcall */
		{ true, { 0xb9, 0x55, 0x49, 0x4c, 0x45, 0x74, 0x01, 0x90, 0x48, 0x89, 0xc8, 0x0f, 0x01, 0xc1 } },
		/* mov $ELISA_NOTIFY,%eax; mov %ecx,%edi; vmcall */
		{ true, { 0xb8, 0x56, 0x49, 0x4c, 0x45, 0x89, 0xcf, 0x0f, 0x01, 0xc1, 0x90, 0x90, 0x90, 0x90 } },
		/* mov $ELISA_NOTIFY + 1,%eax; mov %ecx,%edi; vmcall */
		{ false, { 0xb8, 0x57, 0x49, 0x4c, 0x45, 0x89, 0xcf, 0x0f, 0x01, 0xc1, 0x90, 0x90, 0x90, 0x90 } },
		/* as the first, where the NOP is POP of RCX, which may then hold anything */
		{ false, { 0xb9, 0x55, 0x49, 0x4c, 0x45, 0x74, 0x01, 0x59, 0x48, 0x89, 0xc8, 0x0f, 0x01, 0xc1 } },
		/* ... jumped over the MOV */
		{ false, { 0x74, 0x05, 0xb8, 0x55, 0x49, 0x4c, 0x45, 0x90, 0x90, 0x90, 0x90, 0x0f, 0x01, 0xc1 } },
		/* ... with a call in between, which may change RAX */
		{ false, { 0xb8, 0x55, 0x49, 0x4c, 0x45, 0xe8, 0xf6, 0xff, 0xff, 0xff, 0x90, 0x0f, 0x01, 0xc1 } },
		/* ... that only AL is of it */
		{ false, { 0xb0, 0x55, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x0f, 0x01, 0xc1 } },
		/* ... around a loop: 1: mov; vmcall; jne 1b */
		{ true, { 0xb8, 0x55, 0x49, 0x4c, 0x45, 0x0f, 0x01, 0xc1, 0x75, 0xf6, 0x90, 0x90, 0x90, 0x90 } },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(ways); i++) {
		enum code_rule rule = rule_of(ways[i].bytes, 14);

		if (rule != (ways[i].waits ? CODE_NONE : CODE_VM))
			fail_msg("way %zu: %s", i, code_rule_name(rule));
	}
}

int main(void)
{
	struct CMUnitTest tests[4 + COUNT(bad_images)] = {
		cmocka_unit_test(good),
		cmocka_unit_test(alone),
		cmocka_unit_test(overlapping),
		cmocka_unit_test(requests),
	};

	for (size_t i = 0; i < COUNT(bad_images); i++)
		tests[4 + i] = (struct CMUnitTest){ bad_images[i].name, bad, NULL, NULL, (void *)&bad_images[i] };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
