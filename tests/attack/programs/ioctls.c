// SPDX-License-Identifier: MIT
/*
 * ioctls NAME COUNT SEED: all ioctls, read(), poll() and mmap() of /dev/elisa, almost right: of files that are objects,
 * attachments (of NAME and of what the others publish) and nothing yet. In a guest and on a host, as anyone. Prints
 * how often each was accepted, so that it shows whether the way in was open.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include "../../../include/uapi/elisa/elisa.h"
#include "../../vm/programs/program.h"

#define FILES 8
#define PAGES 8
#define PAGE 4096ul
#define BLOB_FUNCTIONS 2

static uint64_t state;
static unsigned char *memory; /* PAGES, then one that is not there */
static unsigned char *blob, *constant;
static const char *victim;
static bool is_host_root; /* which may withdraw the victim, by right, once it has opened that */
static int files[FILES];

static uint64_t next(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static bool one_in(unsigned int n)
{
	return next() % n == 0;
}

static uint64_t hostile(void)
{
	static const uint64_t list[] = { 0,          1,          3,          PAGE - 1,   PAGE,         PAGE + 1,
					 0x7fffffff, 0x80000000, 0xffffffff, 1ull << 32, 1ull << 47,   1ull << 63,
					 ~0ull,      ~0xfffull,  ELISA_BASE, ELISA_GATE, -(1ull << 31) };
	uint64_t value = next();

	switch (value % 4) {
	case 0:
		return list[(value >> 8) % (sizeof(list) / sizeof(list[0]))];
	case 1:
		return (uintptr_t)memory + (value >> 8) % ((PAGES + 2) * PAGE);
	case 2:
		return value >> 8 & 15;
	default:
		return value;
	}
}

static uint64_t some_pages(uint64_t *bytes)
{
	*bytes = (1 + next() % PAGES) * PAGE;
	switch (next() % 8) {
	case 0: /* to where there is nothing */
		return (uintptr_t)memory + (PAGES - 1) * PAGE;
	case 1:
		*bytes = PAGE;
		return (uintptr_t)constant;
	case 2:
		*bytes = hostile();
		return (uintptr_t)memory;
	case 3:
		return hostile();
	default:
		*bytes = (1 + next() % 2) * PAGE;
		return (uintptr_t)memory + next() % (PAGES - 2) * PAGE;
	}
}

static void name(char *to)
{
	memset(to, 0, ELISA_NAME_MAX);
	if (one_in(16))
		memset(to, (int)next(), ELISA_NAME_MAX);
	else if (one_in(3))
		strcpy(to, victim);
	else
		snprintf(to, ELISA_NAME_MAX, "fuzz%lu", next() % 4);
}

union argument {
	uint32_t size;
	struct elisa_ioc_create create;
	struct elisa_ioc_memory memory;
	struct elisa_ioc_code code;
	struct elisa_ioc_publish publish;
	struct elisa_ioc_grant grant;
	struct elisa_ioc_answer answer;
	struct elisa_ioc_open open;
	struct elisa_ioc_attach attach;
	struct elisa_ioc_function function;
	struct elisa_ioc_call call;
	struct elisa_ioc_share share;
	struct elisa_ioc_unshare unshare;
	struct elisa_ioc_list list;
	uint64_t words[512];
};

static void make_create(union argument *to)
{
	to->create.flags = one_in(4) ? 0 : next() & 15;
}

static void make_memory(union argument *to)
{
	to->memory.address = some_pages((uint64_t *)&to->memory.bytes);
}

static void make_code(union argument *to)
{
	to->code.functions = BLOB_FUNCTIONS;
	to->code.code_bytes = PAGE;
	to->code.rodata_bytes = one_in(2) ? PAGE : 0;
	to->code.data_bytes = one_in(2) ? PAGE : 0;
	to->code.blob = (uintptr_t)blob;
}

static void make_publish(union argument *to)
{
	name(to->publish.name);
}

static void make_grant(union argument *to)
{
	to->grant.kind = next() % 4;
	to->grant.id = one_in(2) ? (uint32_t)getpid() : next() % 16;
	to->grant.rights = one_in(4) ? 0 : 1 | (next() & 2);
}

static void make_answer(union argument *to)
{
	to->answer.attachment = next() % 64;
	to->answer.error = one_in(2) ? 0 : -(int)(next() % 140);
	if (one_in(2))
		to->answer.address = some_pages((uint64_t *)&to->answer.bytes);
}

static void make_attach(union argument *to)
{
	name(to->attach.name);
	to->attach.scheme = one_in(2) ? 0 : next() % 4;
}

static void make_function(union argument *to)
{
	static const char *const names[] = { "check", "f0", "", "where" };

	strcpy(to->function.name, names[next() % 4]);
}

static void make_share(union argument *to)
{
	to->share.address = some_pages((uint64_t *)&to->share.bytes);
	to->share.flags = next() & 1;
}

static void make_unshare(union argument *to)
{
	to->unshare.buffer = next() % 66;
}

static void make_list(union argument *to)
{
	to->list.kind = next() % 5;
	to->list.cursor = next() % 32;
}

static void make_open(union argument *to)
{
	name(to->open.name);
}

static void make_call(union argument *to)
{
	for (unsigned int i = 2; i < sizeof(to->call) / sizeof(to->words[0]); i++)
		to->words[i] = one_in(2) ? next() % 8 : hostile();
}

static const struct kind {
	unsigned int command;
	void (*make)(union argument *to);
	const char *name;
} kinds[] = {
	{ ELISA_IOC_CREATE, make_create, "create" },    { ELISA_IOC_MEMORY, make_memory, "memory" },
	{ ELISA_IOC_CODE, make_code, "code" },          { ELISA_IOC_PUBLISH, make_publish, "publish" },
	{ ELISA_IOC_GRANT, make_grant, "grant" },       { ELISA_IOC_ANSWER, make_answer, "answer" },
	{ ELISA_IOC_WITHDRAW, NULL, "withdraw" },       { ELISA_IOC_OPEN, make_open, "open" },
	{ ELISA_IOC_ATTACH, make_attach, "attach" },    { ELISA_IOC_FUNCTION, make_function, "function" },
	{ ELISA_IOC_THREAD, NULL, "thread" },           { ELISA_IOC_SHARE, make_share, "share" },
	{ ELISA_IOC_UNSHARE, make_unshare, "unshare" }, { ELISA_IOC_CALL, make_call, "call" },
	{ ELISA_IOC_REASON, NULL, "reason" },           { ELISA_IOC_STATS, NULL, "stats" },
	{ ELISA_IOC_LIST, make_list, "list" },
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static unsigned long accepted[KINDS], others;

/* Every other one is as it should be; in the rest one thing is wrong, or a few are. */
static void spoil(union argument *to, unsigned int known)
{
	switch (next() % 12) {
	case 0:
		to->size = (uint32_t)hostile();
		break;
	case 1: /* longer, with zeros */
		to->size = known + 8 * (1 + next() % 16);
		break;
	case 2: /* longer, with more */
		to->size = known + 8 * (1 + next() % 16);
		to->words[known / 8 + next() % 16] = hostile();
		break;
	case 3:
		to->size = next() % (known + 1);
		break;
	case 4:
		((unsigned char *)to)[4 + next() % known] ^= 1u << next() % 8;
		break;
	case 5:
		for (unsigned int i = 0; i < 3; i++)
			to->words[next() % (known / 8 + 1)] = hostile();
		break;
	default:
		break;
	}
}

/* Where the structure lies: mostly where it should, or at the end of what can be read, or where nothing can be written.
 */
static void *place(union argument *argument, unsigned int known)
{
	unsigned char *at;

	switch (next() % 64) {
	case 0:
		return (void *)hostile();
	case 1: /* all of it, up to the end */
		at = memory + PAGES * PAGE - known;
		break;
	case 2: /* not all of it */
		at = memory + PAGES * PAGE - known / 2 - 4;
		break;
	case 3:
		return constant;
	default:
		return argument;
	}
	memcpy(at, argument, (size_t)(memory + PAGES * PAGE - at));
	return at;
}

static void control(int file)
{
	unsigned int which = next() % KINDS, command = kinds[which].command, known = _IOC_SIZE(command);
	union argument argument;

	memset(&argument, 0, sizeof(argument));
	if (kinds[which].make)
		kinds[which].make(&argument);
	argument.size = known;
	if (known && one_in(2))
		spoil(&argument, known);
	if (one_in(64))
		command ^= 1u << next() % 32;
	if (_IOC_NR(command) == _IOC_NR(ELISA_IOC_OPEN) && is_host_root)
		snprintf(argument.open.name, ELISA_NAME_MAX, "fuzz%lu", next() % 4);
	if (ioctl(file, command, place(&argument, known ? known : 8)) >= 0)
		accepted[which]++;
}

static void other(int file)
{
	static char events[4 * sizeof(struct elisa_event)];
	struct pollfd wait = { .fd = file, .events = (short)next() };
	void *at;

	switch (next() % 4) {
	case 0:
		others += read(file, one_in(8) ? (void *)hostile() : events,
			       one_in(2) ? sizeof(events) : next() % 512) > 0;
		break;
	case 1:
		others += poll(&wait, 1, 0) > 0;
		break;
	case 2: /* never written through, and never called: what is mapped is looked at by nobody */
		at = mmap(one_in(2) ? (void *)(ELISA_GATE - PAGE) : NULL, (1 + next() % 4) * PAGE, (int)next() & 7,
			  (one_in(2) ? MAP_SHARED : MAP_PRIVATE) | (one_in(2) ? MAP_FIXED_NOREPLACE : 0), file,
			  one_in(2) ? 0 : (long)(next() % 0x200 * PAGE));
		if (at != MAP_FAILED) {
			others++;
			munmap(at, 4 * PAGE);
		}
		break;
	default: /* a part of what is shared goes, and comes again */
		madvise(memory + next() % PAGES * PAGE, PAGE, MADV_DONTNEED);
	}
}

static void on_alarm(int signal)
{
	(void)signal;
}

/* Who waits for the answer of one of our own objects waits for us. */
static void wake_now_and_then(void)
{
	const struct itimerval often = { { 0, 5000 }, { 0, 5000 } };
	const struct sigaction action = { .sa_handler = on_alarm };

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
}

static void prepare(void)
{
	struct elisa_function_entry *entries;

	memory = mmap(NULL, (PAGES + 1) * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(memory + PAGES * PAGE, PAGE);
	blob = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	entries = (void *)blob;
	for (unsigned int i = 0; i < BLOB_FUNCTIONS; i++) {
		snprintf(entries[i].name, sizeof(entries[i].name), "f%u", i);
		entries[i].address = ELISA_BASE + ELISA_CODE_OFFSET;
	}
	memset(entries + BLOB_FUNCTIONS, 0xc3, PAGE);
	constant = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static int open_file(void)
{
	int file = open("/dev/elisa", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (file < 0)
		die("/dev/elisa: %s", strerror(errno));
	return file;
}

int main(int count, char **arguments)
{
	unsigned long calls;

	if (count < 4)
		die("ioctls NAME COUNT SEED");
	victim = arguments[1];
	calls = number(arguments[2]);
	state = number(arguments[3]) * 2 + 1;
	is_host_root = !geteuid() && !access("/sys/module/elisa", F_OK);
	prepare();
	for (unsigned int i = 0; i < FILES; i++)
		files[i] = open_file();
	wake_now_and_then();
	for (unsigned long i = 0; i < calls; i++) {
		unsigned int which = next() % FILES;

		if (one_in(8))
			other(files[which]);
		else
			control(files[which]);
		/* So that each has been something for a while, and all is begun anew some time. */
		if (one_in(100)) {
			close(files[which]);
			files[which] = open_file();
		}
	}
	printf("tried %lu accepted: other %lu", calls, others);
	for (unsigned int i = 0; i < KINDS; i++)
		printf(" %s %lu", kinds[i].name, accepted[i]);
	putchar('\n');
	return 0;
}
