// SPDX-License-Identifier: MIT
/*
 * The library with a device that this file plays: what it asks of the kernel, what reaches a function in which
 * register, and the direct scheme, which needs no hardware. open() (open64(), as Meson has large files) and ioctl() are
 * wrapped by the linker.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../include/uapi/elisa/elisa.h"
#include "elisa.h"

#define MEMORY_BYTES (2 * ELISA_PAGE)

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);

/*
 * In the place of the gate: notes what it was entered with, where the first argument points, and returns 42. Of the
 * stub only the last six bytes before page G are ours: nothing to do there.
 */
asm(".pushsection .rodata\n"
    "fake_gate: mov %rcx, (%rsi); mov %r10, 8(%rsi); mov %rdx, 16(%rsi); mov %r11, 24(%rsi)\n"
    "mov %r8, 32(%rsi); mov %r9, 40(%rsi); mov $42, %eax; ret\n"
    "0: fake_gate_bytes: .quad 0b - fake_gate; .popsection");
extern const char fake_gate[];
extern const size_t fake_gate_bytes;

static char *device; /* what its mappings show: the stub's pages, then at ELISA_MMAP_MEMORY the memory */
static int device_fd = -1, opened, prepared, prepare_error;
static struct elisa_ioc_code code;
static struct elisa_ioc_memory memory;
static struct elisa_ioc_answer answer;

int __wrap_open64(const char *path, int flags, ...)
{
	if (strcmp(path, "/dev/elisa"))
		return __real_open64(path, flags);
	assert_true(flags & O_CLOEXEC);
	__atomic_fetch_add(&opened, 1, __ATOMIC_RELAXED);
	return dup(device_fd);
}

static int fail_with(int error)
{
	errno = error;
	return -1;
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	void *argument;

	(void)fd;
	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	if (argument) /* each begins with its size */
		assert_int_equal(*(uint32_t *)argument, _IOC_SIZE(request));
	switch (request) {
	case ELISA_IOC_ATTACH: {
		struct elisa_ioc_attach *attach = argument;

		if (!strcmp(attach->name, "refused"))
			return fail_with(EACCES);
		attach->slot = 3;
		attach->writable = 1;
		attach->memory_bytes = MEMORY_BYTES;
		attach->attachment = 77;
		attach->vm = 6;
		attach->value = 1234567890123;
		return 0;
	}
	case ELISA_IOC_FUNCTION:
		((struct elisa_ioc_function *)argument)->index = 5;
		return 0;
	case ELISA_IOC_THREAD:
		__atomic_fetch_add(&prepared, 1, __ATOMIC_RELAXED);
		return prepare_error ? fail_with(prepare_error) : 0;
	case ELISA_IOC_REASON:
		strcpy(((struct elisa_ioc_reason *)argument)->text, "because");
		return 0;
	case ELISA_IOC_CODE:
		code = *(struct elisa_ioc_code *)argument;
		return 0;
	case ELISA_IOC_MEMORY:
		memory = *(struct elisa_ioc_memory *)argument;
		return 0;
	case ELISA_IOC_ANSWER:
		answer = *(struct elisa_ioc_answer *)argument;
		return 0;
	case ELISA_IOC_CREATE:
	case ELISA_IOC_GRANT:
	case ELISA_IOC_PUBLISH:
	case ELISA_IOC_WITHDRAW:
		return 0;
	}
	return fail_with(ENOTTY);
}

static int setup(void **state)
{
	(void)state;
	device_fd = memfd_create("device", MFD_CLOEXEC);
	assert_int_equal(ftruncate(device_fd, ELISA_MMAP_MEMORY + MEMORY_BYTES), 0);
	device = mmap(NULL, ELISA_MMAP_MEMORY + MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, device_fd, 0);
	assert_ptr_not_equal(device, MAP_FAILED);
	memset(device + ELISA_PAGE - ELISA_STUB_BYTES, 0x90, ELISA_STUB_BYTES);
	memcpy(device + ELISA_PAGE, fake_gate, fake_gate_bytes);
	opened = prepared = prepare_error = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	munmap(device, ELISA_MMAP_MEMORY + MEMORY_BYTES);
	close(device_fd);
	return 0;
}

static int is_mapped(uint64_t address)
{
	unsigned char in_core;

	return !mincore((void *)address, ELISA_PAGE, &in_core);
}

static void *call_in_thread(void *function)
{
	uint64_t seen[6];

	return (void *)elisa_call1(function, (uintptr_t)seen);
}

/* Runs first in its thread: the right to mask interrupts is asked for once. */
static void gate(void **state)
{
	struct elisa_attachment *attachment;
	struct elisa_function function;
	pthread_t thread;
	uint64_t seen[6];
	void *result;
	int status;

	(void)state;
	assert_int_equal(elisa_attach(&attachment, "x", ELISA_BY_GATE), 0);
	assert_int_equal(elisa_function_find(attachment, "f", &function), 0);
	prepare_error = EPERM;
	assert_int_equal(elisa_call(&function, (uintptr_t)seen, 2, 3, 4, 5), -EPERM);
	assert_string_equal(elisa_reason(), "because");
	prepare_error = 0;
	for (int i = 0; i < 3; i++) {
		memset(seen, 0xff, sizeof(seen));
		assert_int_equal(elisa_call(&function, (uintptr_t)seen, 2, 3, 4, 5), 42);
		assert_int_equal(seen[0], ELISA_GATE_SLOT(3));
		assert_int_equal(seen[1], 5);
		for (unsigned int k = 2; k < 6; k++)
			assert_int_equal(seen[k], k);
	}
	assert_int_equal(prepared, 2);
	pthread_create(&thread, NULL, call_in_thread, &function);
	pthread_join(thread, &result);
	assert_int_equal((long)result, 42);
	assert_int_equal(prepared, 3);
	if (!fork())
		_exit(elisa_call1(&function, (uintptr_t)seen) == 42 && prepared == 3 ? 0 : 1);
	wait(&status);
	assert_int_equal(status, 0);
	elisa_detach(attachment);
	assert_false(is_mapped(ELISA_GATE));
}

static void stub_is_shared(void **state)
{
	struct elisa_attachment *first, *second;

	(void)state;
	assert_int_equal(elisa_attach(&first, "x", ELISA_BY_GATE), 0);
	assert_int_equal(elisa_attach(&second, "x", ELISA_BY_GATE), 0);
	assert_int_equal(opened, 3); /* two attachments, one stub */
	elisa_detach(first);
	assert_true(is_mapped(ELISA_GATE));
	elisa_detach(second);
	assert_false(is_mapped(ELISA_GATE));
}

static void *attach_and_detach(void *unused)
{
	uint64_t seen[6], wrong = 0;

	(void)unused;
	for (int i = 0; i < 500; i++) {
		struct elisa_attachment *attachment;
		struct elisa_function function;

		if (elisa_attach(&attachment, "x", ELISA_BY_GATE))
			return (void *)1;
		wrong |= elisa_function_find(attachment, "f", &function) ||
			 elisa_call1(&function, (uintptr_t)seen) != 42;
		elisa_detach(attachment);
	}
	return (void *)wrong;
}

static void many_threads(void **state)
{
	pthread_t threads[4];
	void *wrong;

	(void)state;
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, attach_and_detach, NULL);
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], &wrong);
		assert_null(wrong);
	}
	assert_int_equal(prepared, 4); /* once in each */
	assert_false(is_mapped(ELISA_GATE));
}

static void something_in_the_way(void **state)
{
	void *taken = mmap((void *)ELISA_GATE, ELISA_PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	struct elisa_attachment *attachment;

	(void)state;
	assert_int_equal(elisa_attach(&attachment, "x", ELISA_BY_GATE), -EEXIST);
	munmap(taken, ELISA_PAGE);
	assert_int_equal(elisa_attach(&attachment, "x", ELISA_BY_GATE), 0);
	elisa_detach(attachment);
}

static void names(void **state)
{
	struct elisa_attachment *attachment;
	char long_name[65];

	(void)state;
	memset(long_name, 'x', 64);
	long_name[64] = 0;
	assert_int_equal(elisa_attach(&attachment, "", ELISA_BY_GATE), -EINVAL);
	assert_int_equal(elisa_attach(&attachment, long_name, ELISA_BY_GATE), -ENAMETOOLONG);
	assert_int_equal(elisa_attach(&attachment, "x", ELISA_BY_DIRECT), -EINVAL);
	assert_int_equal(elisa_attach(&attachment, "refused", ELISA_BY_GATE), -EACCES);
	assert_string_equal(elisa_reason(), "because");
}

/* The binary that would run inside, in this process. */
static void direct(void **state)
{
	struct elisa_function add, read, read_own;
	struct elisa_attachment *attachment, *other;

	(void)state;
	*(uint64_t *)(device + ELISA_MMAP_MEMORY) = 100; /* `total`, the first shared variable */
	assert_int_equal(elisa_attach_direct(&attachment, "counter", CODE_COUNTER), 0);
	assert_int_equal(elisa_attach_direct(&other, "counter", CODE_COUNTER), -EBUSY);
	assert_int_equal(elisa_function_find(attachment, "add", &add), 0);
	assert_int_equal(elisa_function_find(attachment, "read", &read), 0);
	assert_int_equal(elisa_function_find(attachment, "read_own", &read_own), 0);
	assert_int_equal(elisa_function_find(attachment, "none", &read), -ENOENT);
	assert_int_equal(elisa_call1(&add, 7), 107);
	assert_int_equal(elisa_call0(&read), 107);
	assert_int_equal(elisa_call0(&read_own), 7);
	assert_int_equal(*(uint64_t *)(device + ELISA_MMAP_MEMORY), 107);
	elisa_detach(attachment);
	assert_false(is_mapped(ELISA_BASE + ELISA_INFO_OFFSET));
	assert_false(is_mapped(ELISA_BASE + ELISA_MEMORY_OFFSET));
	assert_int_equal(elisa_attach_direct(&attachment, "counter", "/nonexistent"), -ENOENT);
	assert_int_equal(elisa_attach_direct(&attachment, "counter", CODE_COUNTER), 0);
	assert_int_equal(prepared, 0);
	elisa_detach(attachment);
}

static void direct_arguments_and_buffers(void **state)
{
	unsigned char *page = aligned_alloc(ELISA_PAGE, ELISA_PAGE);
	struct elisa_function sum, fill, touch;
	struct elisa_attachment *attachment;
	uint32_t buffer;

	(void)state;
	memset(page, 1, ELISA_PAGE);
	assert_int_equal(elisa_attach_direct(&attachment, "nop", CODE_NOP), 0);
	assert_int_equal(elisa_function_find(attachment, "sum", &sum), 0);
	assert_int_equal(elisa_function_find(attachment, "fill", &fill), 0);
	assert_int_equal(elisa_function_find(attachment, "touch", &touch), 0);
	assert_int_equal(elisa_share(attachment, page + 1, ELISA_PAGE, 0, &buffer), -EINVAL);
	assert_int_equal(elisa_share(attachment, page, ELISA_PAGE, 0, &buffer), 0);
	assert_int_equal(elisa_call4(&fill, buffer, 10, 4, 3), 0);
	assert_int_equal(elisa_call3(&sum, buffer, 0, ELISA_PAGE), ELISA_PAGE + 8);
	assert_int_equal(elisa_call3(&sum, buffer, 1, ELISA_PAGE), -EINVAL);
	assert_int_equal(elisa_call3(&sum, buffer, ~0ul, 2), -EINVAL);
	assert_int_equal(elisa_call3(&sum, 64, 0, 0), -EINVAL);
	assert_int_equal(elisa_unshare(attachment, buffer), 0);
	assert_int_equal(elisa_call3(&sum, buffer, 0, 1), -EINVAL);
	assert_int_equal(elisa_unshare(attachment, buffer), -ENOENT);
	assert_int_equal(elisa_call2(&touch, MEMORY_BYTES, 1), -EINVAL);
	assert_int_equal(elisa_call2(&touch, MEMORY_BYTES - 1, 5), 0);
	assert_int_equal(elisa_call2(&touch, MEMORY_BYTES - 1, 0), 5);
	elisa_detach(attachment);
	free(page);
}

/* An object that takes a lock finds who it is, and any object what its manager has said. */
static void direct_locks(void **state)
{
	const struct elisa_info *info = (struct elisa_info *)(ELISA_BASE + ELISA_INFO_OFFSET);
	struct elisa_attachment *attachment;
	struct elisa_function add, repaired;
	/* The lock, the two numbers, how often they were repaired. */
	uint64_t *vault = (uint64_t *)(device + ELISA_MMAP_MEMORY);

	(void)state;
	assert_int_equal(elisa_attach_direct(&attachment, "vault", CODE_VAULT), 0);
	assert_int_equal(info->attachment, 77);
	assert_int_equal(info->vm, 6);
	assert_int_equal(info->value, 1234567890123);
	assert_int_equal(elisa_function_find(attachment, "add", &add), 0);
	assert_int_equal(elisa_function_find(attachment, "repaired", &repaired), 0);
	assert_int_equal(elisa_call1(&add, 1), 1);
	assert_int_equal(vault[0], 0);
	vault[0] = ELISA_LOCK_DEAD;
	assert_int_equal(elisa_call1(&add, 1), 2);
	assert_int_equal(vault[0], 0);
	assert_int_equal(elisa_call0(&repaired), 1);
	elisa_detach(attachment);
	assert_false(is_mapped(ELISA_BASE + ELISA_STACK_OFFSET));
}

static void manager(void **state)
{
	struct elisa_object_event event = { .attachment = 9 };
	struct elisa_object *object;
	void *address, *total;

	(void)state;
	assert_int_equal(elisa_object_create(&object, 0), 0);
	assert_int_equal(elisa_object_load(object, "/dev/null"), -EFBIG);
	assert_int_equal(elisa_object_load(object, CODE_COUNTER), 0);
	assert_int_equal(code.functions, 3);
	assert_int_equal(code.code_bytes, ELISA_PAGE);
	assert_int_equal(code.rodata_bytes, ELISA_PAGE);
	assert_int_equal(code.data_bytes, ELISA_PAGE);
	assert_int_equal(elisa_object_shared(object, "total", &total), -ENOENT);
	assert_int_equal(elisa_object_memory(object, 1, 4096, &address), -EINVAL);
	assert_int_equal(elisa_object_memory(object, ELISA_PAGE + 1, 0, &address), 0);
	assert_int_equal(memory.address, (uintptr_t)address);
	assert_int_equal(memory.bytes, 2 * ELISA_PAGE);
	assert_int_equal(elisa_object_memory(object, 1, 0, &address), -EBUSY);
	assert_int_equal(elisa_object_shared(object, "total", &total), 0);
	assert_ptr_equal(total, address);
	assert_int_equal(elisa_object_shared(object, "own", &total), -ENOENT); /* each attachment's */
	assert_int_equal(elisa_object_publish(object, "c"), 0);
	assert_int_equal(elisa_object_refuse(object, &event, 1), -EINVAL);
	assert_int_equal(elisa_object_refuse(object, &event, -EBUSY), 0);
	assert_int_equal(answer.error, -EBUSY);
	assert_int_equal(elisa_object_accept(object, &event, 8, NULL, 0), 0);
	assert_int_equal(answer.value, 8);
	assert_int_equal(answer.attachment, 9);
	elisa_object_destroy(object);
	assert_int_equal(elisa_object_offer(&object, CODE_NOP, "n", 10, ELISA_READ), 0);
	elisa_object_destroy(object);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(gate),
		CASE(stub_is_shared),
		CASE(many_threads),
		CASE(something_in_the_way),
		CASE(names),
		CASE(direct),
		CASE(direct_arguments_and_buffers),
		CASE(direct_locks),
		CASE(manager),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
