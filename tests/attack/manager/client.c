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
static int share(struct asker *asker, u32 attachment, int memory)
{
	int error;

	if (memory < 0)
		return memory;
	memset(asker->request, 0, sizeof(*asker->request));
	asker->request->memory.id = memory;
	error = ask(asker, ELISA_OP_SHARE, attachment);
	if (!error)
		return (int)asker->request->share.buffer;
	memset(asker->request, 0, sizeof(*asker->request));
	asker->request->memory.id = memory;
	expect("memory that was not shared", ask(asker, ELISA_OP_MEMORY_RELEASE, 0), 0);
	return error;
}

/* Into the addresses of the next one: the same piece again and again. */
static void large_buffer(struct asker *asker, u32 attachment)
{
	const unsigned int pieces = BUFFER_BYTES / PIECE_BYTES;
	unsigned long piece = __get_free_pages(GFP_KERNEL, PIECE_ORDER);
	int buffer;

	if (!piece) {
		expect("memory of the attacker's own", -ENOMEM, 0);
		return;
	}
	for (unsigned int i = 0; i < pieces; i++)
		asker->extents[i] = (struct elisa_extent){ virt_to_phys((void *)piece), PIECE_BYTES };
	asker->extents[pieces] = (struct elisa_extent){ virt_to_phys((void *)piece), ELISA_PAGE };
	expect("a buffer of a page too much", share(asker, attachment, name_extents(asker, pieces + 1)), -E2BIG);
	buffer = share(asker, attachment, name_extents(asker, pieces));
	expect("the largest buffer", buffer, 0);
	expect("its end", unshare(asker, attachment, buffer), 0);
	free_pages(piece, PIECE_ORDER);
}

void ask_as_client(struct asker *asker)
{
	static const u32 buffers[] = {
		ELISA_BUFFERS_MAX - 1, ELISA_BUFFERS_MAX, ELISA_BUFFERS_MAX + 1, 1000, 1u << 16, 1u << 31, ~0u
	};
	int attachment;

	for (u32 scheme = ELISA_SCHEME_DIRECT + 1; scheme; scheme <<= 1)
		expect("no such scheme", attach(asker, "victim", scheme), -EINVAL);
	attachment = attach(asker, "victim", ELISA_SCHEME_GATE);
	judge(attachment > 0, "attach", 0, 0, attachment);
	for (unsigned int i = 0; i < ARRAY_SIZE(buffers); i++)
		expect("a buffer that is none", unshare(asker, attachment, buffers[i]), -ENOENT);
	large_buffer(asker, attachment);
	expect("detach", ask_plain(asker, ELISA_OP_DETACH, attachment), 0);
}
