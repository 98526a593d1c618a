// SPDX-License-Identifier: GPL-2.0-only
/* What a manager VM may not ask for, and numbers that are others'. */
#include "manager.h"

#include <asm/io.h>
#include <linux/string.h>

#define IDS 4096

static void flags_of_create(struct asker *asker)
{
	for (unsigned int i = 0; i < 256 + 32; i++) {
		u32 flags = i < 256 ? i : 1u << (i - 256);
		int object = create_object(asker, flags);
		bool allowed = !(flags & ELISA_CREATE_VETTED) && flags < 32;

		judge((object > 0) == allowed && (allowed || object == -EPERM || object == -EINVAL), "create", flags, 0,
		      object);
		if (object > 0)
			ask_plain(asker, ELISA_OP_OBJECT_CLOSE, object);
	}
}

static void grants(struct asker *asker, u32 object)
{
	for (u32 kind = 0; kind < 40; kind++)
		for (u32 rights = 0; rights < 16; rights++) {
			u32 asked = kind < 8 ? kind : 1u << (kind - 8);
			bool allowed = asked <= ELISA_GRANT_VM && (rights < 2 || rights == 3);
			int error = grant(asker, object, asked, kind, rights);

			judge(allowed ? !error : error == -EPERM || error == -EINVAL, "grant", asked, rights, error);
		}
}

/* Nothing of what is not its own has a number here. */
static void numbers(struct asker *asker, u32 own)
{
	static const u8 ops[] = { ELISA_OP_OBJECT_MEMORY, ELISA_OP_OBJECT_CODE,  ELISA_OP_PUBLISH,
				  ELISA_OP_GRANT,         ELISA_OP_EVENT,        ELISA_OP_ANSWER,
				  ELISA_OP_WITHDRAW,      ELISA_OP_OBJECT_CLOSE, ELISA_OP_ATTACHED,
				  ELISA_OP_FUNCTION,      ELISA_OP_SHARE,        ELISA_OP_UNSHARE,
				  ELISA_OP_DETACH };

	for (unsigned int i = 0; i < ARRAY_SIZE(ops); i++)
		for (u32 id = 0; id < IDS + 64; id++) {
			u32 asked = id < IDS ? id : (u32)asker_random(asker);
			int error;

			if (asked == own)
				continue;
			error = ask_plain(asker, ops[i], asked);
			judge(error == -ENOENT, "number", ops[i], asked, error);
		}
}

/* Those who ask to attach to others' objects are not its to answer, with or without memory. */
static void answers(struct asker *asker, u32 object)
{
	for (u32 id = 0; id < IDS; id++) {
		int memory = id % 16 ? 0 : name_pages(asker, asker->play, 1), error;

		memset(asker->request, 0, sizeof(*asker->request));
		asker->request->memory.id = max(memory, 0);
		asker->request->answer.attachment = id;
		asker->request->answer.error = id % 3 ? 0 : -EACCES;
		error = ask(asker, ELISA_OP_ANSWER, object);
		judge(error == -ENOENT, "answer", id, memory, error);
		if (memory > 0) {
			asker->request->memory.id = memory;
			judge(!ask(asker, ELISA_OP_MEMORY_RELEASE, 0), "its memory afterwards", id, memory, 0);
		}
	}
}

static int hand_on(struct asker *asker, u32 object, u32 memory)
{
	memset(asker->request, 0, sizeof(*asker->request));
	asker->request->memory.id = memory;
	return ask(asker, ELISA_OP_OBJECT_MEMORY, object);
}

/* Everything twice, and after it is over. */
static void replays(struct asker *asker)
{
	int first = create_object(asker, 0), second = create_object(asker, 0);
	int memory = name_pages(asker, asker->play + 2 * ELISA_PAGE, 1);

	expect("memory", hand_on(asker, first, memory), 0);
	expect("memory of two objects", hand_on(asker, second, memory), -ENOENT);
	memory = name_pages(asker, asker->play + 2 * ELISA_PAGE, 1);
	expect("memory twice", hand_on(asker, first, memory), -EBUSY);
	expect("code that is longer than its memory", give_code_of(asker, first, 1), -EINVAL);
	expect("publish without code", publish(asker, first, "mine"), -ENOEXEC);
	expect("code", give_code(asker, first), 0);
	expect("code twice", give_code(asker, first), -EBUSY);
	expect("another's name", publish(asker, first, "victim"), -EEXIST);
	expect("no name", publish(asker, first, ""), -EINVAL);
	expect("a name with a line's end", publish(asker, first, "a\nb"), -EINVAL);
	expect("publish", publish(asker, first, "mine"), 0);
	expect("publish twice", publish(asker, first, "mine2"), -EBUSY);
	expect("code", give_code(asker, second), 0);
	expect("its own other name", publish(asker, second, "mine"), -EEXIST);
	expect("withdraw", ask_plain(asker, ELISA_OP_WITHDRAW, first), 0);
	expect("publish after that", publish(asker, first, "mine"), -ESHUTDOWN);
	expect("memory after that", hand_on(asker, first, memory), -ESHUTDOWN);
	expect("withdraw twice", ask_plain(asker, ELISA_OP_WITHDRAW, first), 0);
	expect("close", ask_plain(asker, ELISA_OP_OBJECT_CLOSE, first), 0);
	expect("close twice", ask_plain(asker, ELISA_OP_OBJECT_CLOSE, first), -ENOENT);
	expect("grant after that", grant(asker, first, ELISA_GRANT_ALL, 0, 3), -ENOENT);
	expect("memory that was not handed on", hand_on(asker, second, memory), 0);
	expect("close", ask_plain(asker, ELISA_OP_OBJECT_CLOSE, second), 0);
}

int attack_rights(struct asker *asker)
{
	int object = create_object(asker, ELISA_CREATE_ASK);

	if (object < 0)
		return object;
	flags_of_create(asker);
	grants(asker, object);
	answers(asker, object);
	numbers(asker, object);
	ask_plain(asker, ELISA_OP_OBJECT_CLOSE, object);
	replays(asker);
	ask_as_client(asker);
	return 0;
}
