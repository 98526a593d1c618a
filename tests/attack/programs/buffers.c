// SPDX-License-Identifier: MIT
/*
 * buffers NAME COUNT SEED: calls the object `victim` COUNT times on descriptors that another thread changes all the
 * time between what is right and what reaches out of the buffers, then in an eighth as many rounds on a buffer that is
 * unshared meanwhile. Prints `WHAT: tried N contained N ...` for each.
 */
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../../include/uapi/elisa/layout.h"
#include "../../vm/programs/program.h"

#define SECRET 0x5ec2e75ec2e75ec2
#define PAGE 4096ul
#define PATTERN 0x11
#define UNSHARED 40

struct descriptor {
	uint64_t offset, length, buffer;
};

enum { FIRST = 256, FIRST_LENGTH = 128, SECOND = 1024, SECOND_LENGTH = 64 };

static struct elisa_attachment *attachment;
static unsigned char *ring, *source, *reply, *canvas;
static uint32_t ring_buffer, source_buffer, reply_buffer, canvas_buffer;
static uint64_t state;
static unsigned long flips;
static bool stop;

static uint64_t next(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* From where a buffer lies inside to the object's memory, with the secret at its start. */
static uint64_t to_memory(uint64_t buffer)
{
	return ELISA_MEMORY_OFFSET - ELISA_BUFFER_OFFSET - buffer * (ELISA_BUFFER_MAX / ELISA_BUFFERS_MAX);
}

/* Each with halves that are wrong, too, beside those of what is right. */
static struct descriptor illegal(uint64_t buffer)
{
	const struct descriptor list[] = {
		{ to_memory(buffer), PAGE, buffer },
		{ to_memory(buffer), FIRST_LENGTH, buffer },
		{ FIRST, PAGE, buffer },
		{ FIRST, PAGE - FIRST + 1, buffer },
		{ FIRST, -(uint64_t)FIRST_LENGTH, buffer },
		{ -(uint64_t)SECOND_LENGTH, FIRST_LENGTH, buffer },
		{ PAGE, SECOND_LENGTH, buffer },
		{ PAGE - 32, SECOND_LENGTH, buffer },
		{ 1ull << 63, 1ull << 63, buffer },
		{ FIRST, FIRST_LENGTH, UNSHARED },
		{ FIRST, FIRST_LENGTH, ELISA_BUFFERS_MAX },
		{ FIRST, FIRST_LENGTH, ~0ull },
		{ FIRST, FIRST_LENGTH, (1ull << 32) + buffer },
		{ ELISA_LIST_OFFSET - ELISA_BUFFER_OFFSET, PAGE, buffer },
		{ ELISA_STACK_OFFSET - ELISA_BUFFER_OFFSET, PAGE, buffer },
	};

	return list[next() % (sizeof(list) / sizeof(list[0]))];
}

static void stay_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	expect("sched_setaffinity", sched_setaffinity(0, sizeof(set), &set), 0);
}

/* A word at a time, so that halves of one meet those of another. */
static void *flip(void *argument)
{
	volatile struct descriptor *to = (void *)ring;
	uint64_t buffer = *(uint32_t *)argument;

	stay_on(1);
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		struct descriptor wrong = illegal(buffer);
		bool second = next() & 1;

		to->offset = second ? SECOND : FIRST;
		to->length = second ? SECOND_LENGTH : FIRST_LENGTH;
		to->buffer = buffer;
		for (uint64_t i = next() % 64; i; i--)
			asm volatile("");
		to->offset = wrong.offset;
		to->length = wrong.length;
		to->buffer = wrong.buffer;
		__atomic_fetch_add(&flips, 1, __ATOMIC_RELAXED);
		for (uint64_t i = next() % 16; i; i--)
			asm volatile("");
	}
	return NULL;
}

/* The other thread and the calls are this one's, on CPUs of their own. */
static void run(uint32_t *buffer, void (*calls)(unsigned long count), unsigned long count)
{
	pthread_t thread;

	stop = false;
	flips = 0;
	expect("pthread_create", pthread_create(&thread, NULL, flip, buffer), 0);
	while (__atomic_load_n(&flips, __ATOMIC_RELAXED) < 10)
		asm volatile("pause");
	calls(count);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
}

static bool is_legal_length(long length)
{
	return length == FIRST_LENGTH || length == SECOND_LENGTH;
}

static bool is_all(const unsigned char *from, unsigned long bytes, unsigned char value)
{
	for (unsigned long i = 0; i < bytes; i++)
		if (from[i] != value)
			return false;
	return true;
}

/* What came back is what lies at one of the two places, and nothing more. */
static bool reply_is_right(long result)
{
	unsigned long bytes = result > 0 ? (unsigned long)result : 0;

	if (result != -EINVAL && !is_legal_length(result))
		return false;
	if (bytes && memcmp(reply, source + FIRST, bytes) && memcmp(reply, source + SECOND, bytes))
		return false;
	return is_all(reply + bytes, 3 * PAGE - bytes, PATTERN);
}

static void report(const char *what, unsigned long tried, unsigned long contained, unsigned long accepted)
{
	printf("%s: tried %lu contained %lu accepted %lu\n", what, tried, contained, accepted);
	/* Else nothing came between, and nothing was shown. */
	if (accepted < tried / 50 || tried - accepted < tried / 50)
		die("%s: of %lu calls %lu were on a place that is right", what, tried, accepted);
}

static void gather_calls(unsigned long count)
{
	struct elisa_function gather = find(attachment, "gather");
	unsigned long contained = 0, accepted = 0;

	memset(reply, PATTERN, 3 * PAGE);
	for (unsigned long i = 0; i < count; i++) {
		long result = elisa_call3(&gather, ring_buffer, 0, reply_buffer);

		if (reply_is_right(result))
			contained++;
		else if (contained == i)
			printf("BREACH gather: %ld, first word %lx\n", result, *(unsigned long *)reply);
		accepted += result > 0;
		if (result > 0)
			memset(reply, PATTERN, PAGE);
	}
	report("read", count, contained, accepted);
}

/* Cleared is one of the two places or none, and nothing else. */
static bool canvas_is_right(long result)
{
	unsigned long bytes = result > 0 ? (unsigned long)result : 0, at;

	if (result != -EINVAL && !is_legal_length(result))
		return false;
	at = bytes && !canvas[PAGE + FIRST] ? FIRST : SECOND;
	return is_all(canvas, PAGE + at, PATTERN) && is_all(canvas + PAGE + at, bytes, 0) &&
	       is_all(canvas + PAGE + at + bytes, 2 * PAGE - at - bytes, PATTERN);
}

static void clear_calls(unsigned long count)
{
	struct elisa_function clear = find(attachment, "clear");
	unsigned long contained = 0, accepted = 0;

	memset(canvas, PATTERN, 3 * PAGE);
	for (unsigned long i = 0; i < count; i++) {
		long result = elisa_call2(&clear, ring_buffer, 0);

		if (canvas_is_right(result))
			contained++;
		else if (contained == i)
			printf("BREACH clear: %ld\n", result);
		accepted += result > 0;
		if (result > 0)
			memset(canvas + PAGE, PATTERN, PAGE);
	}
	report("write", count, contained, accepted);
}

/* Shows that the other thread does come between two reads of one call. */
static void watch_calls(unsigned long count)
{
	struct elisa_function changes = find(attachment, "changes");
	unsigned long calls = 0;
	long seen = 0;

	/* It takes a while until the two have a CPU of the host each. */
	for (; calls < count && seen < 100; calls++)
		seen += elisa_call3(&changes, ring_buffer, 0, 1000);
	if (seen < 100)
		die("in %lu calls a descriptor was seen to change %ld times", calls, seen);
	printf("seen to change %ld times in %lu calls\n", seen, calls);
}

static unsigned char *page_to_paint;
static long painted;

static void *paint(void *buffer)
{
	struct elisa_function function = find(attachment, "paint");

	stay_on(1);
	painted = elisa_call3(&function, *(uint32_t *)buffer, 0xaaaaaaaaaaaaaaaa, 200);
	return NULL;
}

/* After elisa_unshare() no call reaches the page, whichever it began with. */
static bool unshare_once(unsigned long *met)
{
	volatile unsigned char *page =
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	uint32_t buffer;
	pthread_t thread;
	bool right;

	page[0] = PATTERN;
	page_to_paint = (unsigned char *)page;
	expect("share", elisa_share(attachment, page_to_paint, PAGE, 0, &buffer), 0);
	expect("pthread_create", pthread_create(&thread, NULL, paint, &buffer), 0);
	while (page[0] == PATTERN)
		asm volatile("pause");
	expect("unshare", elisa_unshare(attachment, buffer), 0);
	memset(page_to_paint, PATTERN, PAGE);
	usleep(200);
	right = is_all(page_to_paint, PAGE, PATTERN);
	pthread_join(thread, NULL);
	*met += painted == -EFAULT;
	right = right && is_all(page_to_paint, PAGE, PATTERN) && (!painted || painted == -EFAULT);
	munmap(page_to_paint, PAGE);
	return right;
}

static void unshare_rounds(unsigned long count)
{
	unsigned long contained = 0, met = 0;

	for (unsigned long i = 0; i < count; i++) {
		if (unshare_once(&met))
			contained++;
		else if (contained == i)
			printf("BREACH unshare: the call returned %ld\n", painted);
	}
	printf("unshare: tried %lu contained %lu in a call %lu\n", count, contained, met);
	if (met < count / 2)
		die("only %lu of %lu calls were met by it", met, count);
}

static unsigned char *share(unsigned int pages, uint32_t *buffer, unsigned int before)
{
	unsigned char *area =
		mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	expect("share",
	       elisa_share(attachment, area + before * PAGE, (pages == 1 ? 1 : pages - 2 * before) * PAGE, 0, buffer),
	       0);
	return area;
}

int main(int count, char **arguments)
{
	unsigned long calls;

	if (count < 4)
		die("buffers NAME COUNT SEED");
	calls = number(arguments[2]);
	state = number(arguments[3]) * 2 + 1;
	stay_on(0);
	attachment = attach(arguments[1], "gate");
	ring = share(1, &ring_buffer, 0);
	source = share(1, &source_buffer, 0);
	reply = share(3, &reply_buffer, 0);
	canvas = share(3, &canvas_buffer, 1); /* the page in the middle */
	for (unsigned long i = 0; i < PAGE; i++)
		source[i] = (unsigned char)(i * 31 + i / 256 + 1);
	run(&source_buffer, watch_calls, 5000);
	run(&source_buffer, gather_calls, calls);
	run(&canvas_buffer, clear_calls, calls);
	unshare_rounds(calls / 8 / 25);
	elisa_detach(attachment);
	return 0;
}
