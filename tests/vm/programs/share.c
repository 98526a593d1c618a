// SPDX-License-Identifier: MIT
/* share NAME SCHEME: buffers of the object `nop`, from the heap. */
#include <sys/mman.h>

#include "program.h"

#define PAGE 4096
#define PAGES 16
#define BYTES (PAGES * PAGE)

static void refused(const char *what, long result)
{
	if (result >= 0)
		die("%s: accepted (%ld)", what, result);
}

static void test_contents(struct elisa_attachment *attachment, unsigned char *heap)
{
	struct elisa_function sum = find(attachment, "sum"), fill = find(attachment, "fill");
	uint32_t buffer;
	long total = 0;

	for (unsigned int i = 0; i < BYTES; i++)
		total += heap[i] = (unsigned char)(i * 7 + (i >> 8));
	expect("share", elisa_share(attachment, heap, BYTES, 0, &buffer), 0);
	expect("sum", elisa_call3(&sum, buffer, 0, BYTES), total);
	heap[PAGE + 1]++; /* it is the same memory, not a copy */
	expect("sum after a write", elisa_call3(&sum, buffer, PAGE + 1, 1), heap[PAGE + 1]);
	expect("fill", elisa_call4(&fill, buffer, PAGE - 1, 2, 0x5a), 0);
	expect("filled", heap[PAGE - 1] + heap[PAGE], 2 * 0x5a);
	expect("sum beyond the end", elisa_call3(&sum, buffer, BYTES - 1, 2), -EINVAL);
	expect("sum from beyond the end", elisa_call3(&sum, buffer, -1ul, 1), -EINVAL);
	expect("sum of too much", elisa_call3(&sum, buffer, 1, -1ul), -EINVAL);
	expect("sum of another buffer", elisa_call3(&sum, buffer + 1, 0, 1), -EINVAL);
	expect("sum of no buffer", elisa_call3(&sum, 64, 0, 1), -EINVAL);
	expect("unshare", elisa_unshare(attachment, buffer), 0);
	refused("a stale buffer", elisa_call3(&sum, buffer, 0, 1));
	expect("unshare again", elisa_unshare(attachment, buffer), -ENOENT);
}

static void test_read_only(struct elisa_attachment *attachment, unsigned char *heap)
{
	struct elisa_function sum = find(attachment, "sum"), fill = find(attachment, "fill");
	uint32_t buffer;

	heap[0] = 3;
	expect("share read-only", elisa_share(attachment, heap, PAGE, ELISA_BUFFER_READ_ONLY, &buffer), 0);
	expect("sum of a read-only buffer", elisa_call3(&sum, buffer, 0, 1), 3);
	refused("a write to a read-only buffer", elisa_call4(&fill, buffer, 0, 1, 9));
	expect("what it left", heap[0], 3);
	expect("unshare", elisa_unshare(attachment, buffer), 0);
}

static void test_refusals(struct elisa_attachment *attachment, unsigned char *heap)
{
	void *hole = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint32_t buffer;

	munmap((char *)hole + PAGE, PAGE);
	expect("not aligned", elisa_share(attachment, heap + 8, PAGE, 0, &buffer), -EINVAL);
	expect("a part of a page", elisa_share(attachment, heap, PAGE / 2, 0, &buffer), -EINVAL);
	expect("nothing", elisa_share(attachment, heap, 0, 0, &buffer), -EINVAL);
	refused("memory that is not there", elisa_share(attachment, hole, 2 * PAGE, 0, &buffer));
	munmap(hole, PAGE);
}

static void test_all(struct elisa_attachment *attachment, unsigned char *heap)
{
	uint32_t buffer[64], more;

	for (unsigned int i = 0; i < 64; i++)
		expect("share one of 64", elisa_share(attachment, heap + i % PAGES * PAGE, PAGE, 0, &buffer[i]), 0);
	expect("one too many", elisa_share(attachment, heap, PAGE, 0, &more), -ENOSPC);
	for (unsigned int i = 0; i < 64; i++)
		expect("unshare one of 64", elisa_unshare(attachment, buffer[i]), 0);
}

int main(int count, char **arguments)
{
	unsigned char *heap = aligned_alloc(PAGE, BYTES);
	struct elisa_attachment *attachment;
	uint32_t buffer;

	if (count < 3)
		die("share NAME SCHEME");
	attachment = attach(arguments[1], arguments[2]);
	memset(heap, 0, BYTES);
	test_contents(attachment, heap);
	if (!strcmp(arguments[2], "gate"))
		test_read_only(attachment, heap);
	else
		expect("share read-only", elisa_share(attachment, heap, PAGE, ELISA_BUFFER_READ_ONLY, &buffer),
		       -EOPNOTSUPP);
	expect("unknown flags", elisa_share(attachment, heap, PAGE, 1u << 7, &buffer), -EINVAL);
	if (strncmp(arguments[2], "direct", 6)) { /* which isolates nothing */
		test_refusals(attachment, heap);
	}
	test_all(attachment, heap);
	expect("share what goes with the attachment", elisa_share(attachment, heap, BYTES, 0, &buffer), 0);
	elisa_detach(attachment);
	free(heap);
	puts("shared");
	return 0;
}
