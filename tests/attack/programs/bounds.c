// SPDX-License-Identifier: MIT
/*
 * bounds NAME: calls of the object `victim` with offsets, lengths and buffers at, under and over every bound, in its
 * arguments and in descriptors; with function numbers and slots that are not there; with any argument to any function.
 * Prints `WHAT: tried N contained N` for each.
 */
#include <stdbool.h>
#include <sys/mman.h>

#include "../../../include/uapi/elisa/layout.h"
#include "../../vm/programs/program.h"

#define SECRET 0x5ec2e75ec2e75ec2
#define PAGE 4096ul
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct descriptor {
	uint64_t offset, length, buffer;
};

/* In the order in which they are shared; the fourth is taken back, the others never were there. */
enum { ONE_PAGE, THREE_PAGES, READ_ONLY, STALE, BUFFERS };

static struct elisa_attachment *attachment;
static unsigned char *memory[BUFFERS];
static const uint64_t size[BUFFERS] = { PAGE, 3 * PAGE, PAGE, 0 };
static unsigned long tried, contained;

static const uint64_t numbers[] = {
	0,
	1,
	7,
	PAGE - 24,
	PAGE - 23,
	PAGE - 1,
	PAGE,
	PAGE + 1,
	2 * PAGE,
	3 * PAGE - 1,
	3 * PAGE,
	3 * PAGE + 1,
	ELISA_BUFFER_MAX / ELISA_BUFFERS_MAX, /* from one buffer to the next */
	(1ull << 31) - 1,
	1ull << 31,
	(1ull << 32) - 1,
	1ull << 32,
	(1ull << 32) + 1,
	1ull << 47,
	(1ull << 63) - 1,
	1ull << 63,
	(1ull << 63) + PAGE,
	-PAGE,
	-1ull,
	ELISA_MEMORY_OFFSET - ELISA_BUFFER_OFFSET, /* to the object's memory, wrapping around */
	ELISA_INFO_OFFSET - ELISA_BUFFER_OFFSET,
	ELISA_BASE,
};

static const uint64_t buffers[] = {
	ONE_PAGE,   THREE_PAGES, READ_ONLY,
	STALE,      4,           62,
	63,         64,          65,
	128,        255,         256,
	1ull << 31, 1ull << 32,  (1ull << 32) + 1,
	1ull << 58, 1ull << 63,  (1ull << 63) + 1,
	-1ull,      -2ull,
};

/* What elisa/object.h promises, calculated with numbers that cannot overflow. */
static bool is_within(uint64_t buffer, uint64_t offset, uint64_t length)
{
	return buffer < BUFFERS && size[buffer] && (unsigned __int128)offset + length <= size[buffer];
}

static void judge(const char *what, bool right, long result, uint64_t a, uint64_t b, uint64_t c)
{
	tried++;
	contained += right;
	if (!right && tried - contained <= 10)
		printf("BREACH %s %#lx %#lx %#lx: %ld\n", what, a, b, c, result);
}

static void report(const char *what)
{
	printf("%s: tried %lu contained %lu\n", what, tried, contained);
	tried = contained = 0;
}

/* The way to it, then the place that it names. */
static void descriptors(void)
{
	struct elisa_function gather = find(attachment, "gather"), clear = find(attachment, "clear");
	struct descriptor *descriptor = (void *)memory[ONE_PAGE];

	for (unsigned int b = 0; b < COUNT(buffers); b++)
		for (unsigned int o = 0; o < COUNT(numbers); o++)
			for (unsigned int l = 0; l < COUNT(numbers); l++) {
				uint64_t buffer = buffers[b], offset = numbers[o], length = numbers[l];
				bool within = is_within(buffer, offset, length);
				long result, wanted = within ? (long)length : -EINVAL;

				*descriptor = (struct descriptor){ offset, length, buffer };
				result = elisa_call3(&gather, ONE_PAGE, 0, THREE_PAGES);
				/* Nothing of nothing may be had of one that was there once. */
				judge("gather", result == wanted || (!length && !offset && !result), result, buffer,
				      offset, length);
				*descriptor = (struct descriptor){ offset, length, buffer };
				if (within && length && buffer == READ_ONLY)
					wanted = -EFAULT;
				result = elisa_call2(&clear, ONE_PAGE, 0);
				judge("clear", result == wanted || (!length && !offset && !result), result, buffer,
				      offset, length);
			}
	report("descriptors");
}

static void arguments_of_gather(void)
{
	struct elisa_function gather = find(attachment, "gather");
	struct descriptor descriptor = { 64, 32, THREE_PAGES };

	for (unsigned int b = 0; b < COUNT(buffers); b++)
		for (unsigned int o = 0; o < COUNT(numbers); o++)
			for (unsigned int r = 0; r < COUNT(buffers); r++) {
				uint64_t buffer = buffers[b], at = numbers[o], reply = buffers[r];
				bool within = is_within(buffer, at, sizeof(descriptor));
				long result, wanted = is_within(reply, 0, 32) ? 32 : -EINVAL;

				if (within)
					memcpy(memory[buffer] + at, &descriptor, sizeof(descriptor));
				if (reply == READ_ONLY)
					wanted = -EFAULT;
				result = elisa_call3(&gather, buffer, at, reply);
				judge("arguments", result == (within ? wanted : -EINVAL), result, buffer, at, reply);
			}
	report("arguments");
}

/* Numbers of functions of which the CPU sees eight bits; slots that are no gate of this VM's. */
static void functions_and_slots(void)
{
	struct elisa_function check = find(attachment, "check"), other;

	for (uint64_t index = 0; index < 4096; index++) {
		bool there = index % 256 < 32;
		long result;

		other = check;
		other.index = (uint32_t)(index * 0x100001);
		/* Those that are there get arguments with which they do little. */
		result = elisa_call(&other, 0, 0, 0, 0, 0);
		judge("function", there ? (uint64_t)result != SECRET : result == -ENOSYS, result, other.index, 0, 0);
	}
	for (uint64_t i = 0; i < 2048; i++) {
		long result;

		other = check;
		other.slot = (uint32_t)(i < 1024 ? i : i << 20 | (i & 1 ? check.slot : i));
		if (!other.slot || other.slot == check.slot)
			continue; /* the caller's own context; a right call */
		result = elisa_call0(&other);
		judge("slot", result == -ENOTCONN || result == -EIO, result, other.slot, 0, 0);
	}
	expect("a right call", elisa_call0(&check), 1);
	report("functions and slots");
}

static void any_arguments(void)
{
	static const char *const names[] = { "check", "read", "fault", "where", "gather", "clear", "changes" };

	for (unsigned int n = 0; n < COUNT(names); n++) {
		struct elisa_function function = find(attachment, names[n]);

		for (unsigned int i = 0; i < 512; i++) {
			uint64_t a = numbers[i % COUNT(numbers)], b = numbers[i * 7 % COUNT(numbers)],
				 c = numbers[i * 11 % COUNT(numbers)] & 0xffff; /* rounds, of some */
			long result = elisa_call(&function, a, b, c, ~a, ~b);

			judge(names[n], (uint64_t)result != SECRET, result, a, b, c);
		}
	}
	report("any argument");
}

static void share_all(void)
{
	for (unsigned int i = 0; i < BUFFERS; i++) {
		unsigned long bytes = i == THREE_PAGES ? 3 * PAGE : PAGE;
		uint32_t buffer;

		/* With pages around it, which are to stay as they are. */
		memory[i] = mmap(NULL, bytes + 2 * PAGE, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		memset(memory[i], 0x11, bytes + 2 * PAGE);
		memory[i] += PAGE;
		expect("share",
		       elisa_share(attachment, memory[i], bytes, i == READ_ONLY ? ELISA_BUFFER_READ_ONLY : 0, &buffer),
		       0);
		expect("its number", buffer, i);
	}
	expect("unshare", elisa_unshare(attachment, STALE), 0);
}

static void look_around(void)
{
	for (unsigned int i = 0; i < BUFFERS; i++) {
		unsigned long bytes = i == THREE_PAGES ? 3 * PAGE : PAGE;

		for (unsigned long at = 0; at < PAGE; at++)
			judge("around", memory[i][bytes + at] == 0x11 && memory[i][at - PAGE] == 0x11, 0, i, at, 0);
		if (i == STALE)
			for (unsigned long at = 0; at < PAGE; at++)
				judge("stale", memory[i][at] == 0x11, 0, i, at, 0);
		for (unsigned long at = 0; at < bytes; at += 8)
			judge("the secret", *(uint64_t *)(memory[i] + at) != SECRET, 0, i, at, 0);
	}
	report("bytes around");
}

int main(int count, char **arguments)
{
	if (count < 2)
		die("bounds NAME");
	attachment = attach(arguments[1], "gate");
	share_all();
	descriptors();
	arguments_of_gather();
	functions_and_slots();
	any_arguments();
	look_around();
	elisa_detach(attachment);
	return 0;
}
