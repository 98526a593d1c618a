// SPDX-License-Identifier: GPL-2.0-only
/* What a client's kernel asks for that its driver would not. */
#include "manager.h"

#include <asm/io.h>
#include <linux/gfp.h>
#include <linux/string.h>

#define BUFFER_BYTES (ELISA_BUFFER_MAX / ELISA_BUFFERS_MAX)
#define PIECE_ORDER 10
#define PIECE_BYTES (ELISA_PAGE << PIECE_ORDER)

static int attach(struct asker *asker, const char *name, u32 scheme)
{
	int error;

	memset(asker->request, 0, sizeof(*asker->request));
	asker->request->attach.scheme = scheme;
	strscpy(asker->request->attach.name, name, sizeof(asker->request->attach.name));
	error = ask(asker, ELISA_OP_ATTACH, 0);
	return error ? error : (int)asker->request->id;
}

static int unshare(struct asker *asker, u32 attachment, u32 buffer)
{
	memset(asker->request, 0, sizeof(*asker->request));
	asker->request->unshare.buffer = buffer;
	return ask(asker, ELISA_OP_UNSHARE, attachment);
}

/* The buffer's number, or an errno: then the memory is given back. */
static int share_with(struct asker *asker, u32 attachment, int memory, u32 flags)
{
	int error;

	if (memory < 0)
		return memory;
	memset(asker->request, 0, sizeof(*asker->request));
	asker->request->memory.id = memory;
	asker->request->share.flags = flags;
	error = ask(asker, ELISA_OP_SHARE, attachment);
	if (!error)
		return (int)asker->request->share.buffer;
	memset(asker->request, 0, sizeof(*asker->request));
	asker->request->memory.id = memory;
	expect("memory that was not shared", ask(asker, ELISA_OP_MEMORY_RELEASE, 0), 0);
	return error;
}

/* Places of the exchange are others' as well, one of which a client in another VM has; and some are all that one gets.
 */
static void exchange(struct asker *asker, u32 attachment)
{
	int numbers[ELISA_EXCHANGES_EACH];

	for (u32 i = 0; i < ELISA_EXCHANGES_MAX + 2; i++)
		expect("a place of somebody else", unshare(asker, attachment, ELISA_EXCHANGE_FIRST - 1 + i), -ENOENT);
	for (unsigned int i = 0; i < ELISA_EXCHANGES_EACH; i++) {
		numbers[i] = share_with(asker, attachment, name_pages(asker, asker->play, 1), ELISA_SHARE_EXCHANGE);
		judge(numbers[i] >= ELISA_EXCHANGE_FIRST, "a place", i, 0, numbers[i]);
	}
	expect("a place more", share_with(asker, attachment, name_pages(asker, asker->play, 1), ELISA_SHARE_EXCHANGE),
	       -ENOSPC);
	for (u32 flag = 4; flag; flag <<= 1)
		expect("a flag that there is not",
		       share_with(asker, attachment, name_pages(asker, asker->play, 1), flag), -EINVAL);
	for (unsigned int i = 0; i < ELISA_EXCHANGES_EACH; i++)
		expect("its end", unshare(asker, attachment, numbers[i]), 0);
}

static void interrupts(struct asker *asker)
{
	for (unsigned int i = 0; i < 4096; i++) {
		u64 address = i % 2 ? 0xfee00000 | (asker_random(asker) & 0xfffff) : asker_random(asker);
		u32 data = i % 4 < 2 ? (u32)asker_random(asker) : (u32)asker_random(asker) & 0xff;
		bool allowed = !address || ((address & 0xfff00000) == 0xfee00000 && data < 256 && data >= 16);
		int error;

		memset(asker->request, 0, sizeof(*asker->request));
		asker->request->interrupt.address = address;
		asker->request->interrupt.data = data;
		error = ask(asker, ELISA_OP_INTERRUPT, 0);
		judge(error == (allowed ? 0 : -EINVAL), "interrupt", address, data, error);
	}
	memset(asker->request, 0, sizeof(*asker->request));
	expect("no interrupt any more", ask(asker, ELISA_OP_INTERRUPT, 0), 0);
}

/* Into the addresses of the next one: the same piece again and again. */
static void large_buffer(struct asker *asker, u32 attachment, u32 flags, u64 most)
{
	const unsigned int pieces = most / PIECE_BYTES;
	unsigned long piece = __get_free_pages(GFP_KERNEL, PIECE_ORDER);
	int buffer;

	if (!piece) {
		expect("memory of the attacker's own", -ENOMEM, 0);
		return;
	}
	for (unsigned int i = 0; i < pieces; i++)
		asker->extents[i] = (struct elisa_extent){ virt_to_phys((void *)piece), PIECE_BYTES };
	asker->extents[pieces] = (struct elisa_extent){ virt_to_phys((void *)piece), ELISA_PAGE };
	expect("a buffer of a page too much", share_with(asker, attachment, name_extents(asker, pieces + 1), flags),
	       -E2BIG);
	buffer = share_with(asker, attachment, name_extents(asker, pieces), flags);
	judge(buffer >= 0, "the largest buffer", flags, most, buffer);
	expect("its end", unshare(asker, attachment, buffer), 0);
	free_pages(piece, PIECE_ORDER);
}

void ask_as_client(struct asker *asker)
{
	static const u32 buffers[] = { 0, ELISA_BUFFERS_MAX - 1, 1000, 1u << 16, 1u << 31, ~0u };
	int attachment;

	for (u32 scheme = ELISA_SCHEME_DIRECT + 1; scheme; scheme <<= 1)
		expect("no such scheme", attach(asker, "victim", scheme), -EINVAL);
	attachment = attach(asker, "victim", ELISA_SCHEME_GATE);
	judge(attachment > 0, "attach", 0, 0, attachment);
	for (unsigned int i = 0; i < ARRAY_SIZE(buffers); i++)
		expect("a buffer that is none", unshare(asker, attachment, buffers[i]), -ENOENT);
	/* All that a host which did not look would find behind its own array. */
	for (u32 buffer = ELISA_BUFFERS_MAX; buffer < ELISA_EXCHANGE_FIRST; buffer++)
		expect("a buffer that cannot be", unshare(asker, attachment, buffer), -ENOENT);
	large_buffer(asker, attachment, 0, BUFFER_BYTES);
	large_buffer(asker, attachment, ELISA_SHARE_EXCHANGE, ELISA_EXCHANGE_BYTES);
	exchange(asker, attachment);
	interrupts(asker);
	expect("detach", ask_plain(asker, ELISA_OP_DETACH, attachment), 0);
}
