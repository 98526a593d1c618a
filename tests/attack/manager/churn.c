// SPDX-License-Identifier: GPL-2.0-only
/* An object that is taken away while clients are in its code, again and again, its memory with it. */
#include "manager.h"

#include <asm/io.h>
#include <linux/delay.h>
#include <linux/string.h>

static u64 answered, wrong_answers;

static int answer(struct asker *asker, u32 object, u32 attachment, int refusal, bool with_memory)
{
	int memory = with_memory ? name_pages(asker, asker->play + 4 * ELISA_PAGE, 1) : 0, error;

	if (memory < 0)
		return memory;
	memset(asker->request, 0, sizeof(*asker->request));
	asker->request->memory.id = memory;
	asker->request->answer.attachment = attachment;
	asker->request->answer.error = refusal;
	error = ask(asker, ELISA_OP_ANSWER, object);
	if (error && memory) {
		asker->request->memory.id = memory;
		ask(asker, ELISA_OP_MEMORY_RELEASE, 0);
	}
	return error;
}

/* Answers whoever asks, after some answers that are nobody's; true if somebody was let in. */
static bool answer_all(struct asker *asker, u32 object)
{
	bool in = false;

	while (!ask_plain(asker, ELISA_OP_EVENT, object)) {
		struct elisa_event event = asker->request->event;
		u64 value = asker_random(asker);
		int refusal = value % 8 ? 0 : -EACCES, error;

		if (event.pid != ~0u || event.uid != ~0u)
			judge(false, "a process of the host", event.pid, event.uid, 0);
		if (event.kind != ELISA_EVENT_ATTACH)
			continue;
		for (unsigned int i = 0; i < 4; i++, wrong_answers++) {
			u32 other = event.attachment + (i & 1 ? 1 + i : -1 - i);

			error = answer(asker, object, other, 0, i & 1);
			judge(error == -ENOENT, "answer for another", other, object, error);
		}
		error = answer(asker, object, event.attachment, value & 256 ? 5 : -4096, false);
		judge(error == -EINVAL, "an answer that is no errno", event.attachment, 0, error);
		error = answer(asker, object, event.attachment, refusal, value & 512);
		/* Unless it does not ask any more. */
		judge(!error || error == -ENOENT, "answer", event.attachment, refusal, error);
		if (!error) {
			answered++;
			in |= !refusal;
			error = answer(asker, object, event.attachment, 0, false);
			judge(error == -ENOENT, "answer twice", event.attachment, 0, error);
		}
	}
	return in;
}

static void end(struct asker *asker, u32 object)
{
	if (asker_random(asker) & 1)
		judge(!ask_plain(asker, ELISA_OP_WITHDRAW, object), "withdraw", object, 0, 0);
	while (ask_plain(asker, ELISA_OP_OBJECT_CLOSE, object) == -EINPROGRESS) {
		/* It was to outlive its manager, who now wants its memory back. */
		ask_plain(asker, ELISA_OP_WITHDRAW, object);
		usleep_range(100, 200);
	}
	/* From here on the memory is for other things. */
	memset(asker->play, 0xaa, PLAY_PAGES * ELISA_PAGE);
}

static int one_life(struct asker *asker)
{
	u32 flags = ELISA_CREATE_ASK | (asker_random(asker) & 1 ? ELISA_CREATE_OUTLIVE : 0);
	int object = create_object(asker, flags), memory, error;

	if (object < 0)
		return object;
	memory = name_pages(asker, asker->play + 2 * ELISA_PAGE, 2);
	if (memory < 0)
		return memory;
	asker->request->memory.id = memory;
	error = ask(asker, ELISA_OP_OBJECT_MEMORY, object);
	if (!error)
		error = give_code(asker, object);
	if (!error)
		error = grant(asker, object, ELISA_GRANT_ALL, 0, ELISA_RIGHT_WRITE);
	if (!error)
		error = publish(asker, object, "mortal");
	for (unsigned int wait = 0; !error && wait < 100; wait++) {
		if (answer_all(asker, object))
			break;
		usleep_range(200, 400);
	}
	usleep_range(1, 1 + asker_random(asker) % 3000);
	end(asker, object);
	return error;
}

int attack_churn(struct asker *asker)
{
	int error = 0;

	for (unsigned long i = 0; !error && i < count; i++) {
		error = one_life(asker);
		judge(!error, "a life", i, 0, error);
	}
	pr_info("hostile_manager: %llu were answered, %llu answers were for others\n", answered, wrong_answers);
	return error;
}
