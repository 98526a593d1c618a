// SPDX-License-Identifier: MIT
/*
 * locks NAME hold TURNS: holds all locks of the object `locks`; prints what became of the call.
 * locks NAME leave: takes each lock and forgets it.
 * locks NAME add ROUNDS: uses each; prints how many calls were carried out, how many were not, how many locks were
 * taken from somebody since the object was made, and how many microseconds the longest call took.
 */

#include "../../clock.h"
#include "../../vm/programs/program.h"

#define LOCKS 64

static void add(struct elisa_attachment *attachment, unsigned long rounds)
{
	struct elisa_function function = find(attachment, "add"), repaired = find(attachment, "repaired");
	unsigned long done = 0, failed = 0, longest = 0;

	for (unsigned long i = 0; i < rounds * LOCKS; i++) {
		unsigned long before = now_us(), took;
		long result = elisa_call1(&function, i);

		took = now_us() - before;
		longest = took > longest ? took : longest;
		if (result == -EIO)
			die("lock %lu: the numbers were not the same", i % LOCKS);
		done += result > 0;
		failed += result <= 0;
	}
	printf("done %lu failed %lu repaired %ld longest_us %lu\n", done, failed, elisa_call0(&repaired), longest);
}

int main(int count, char **arguments)
{
	struct elisa_attachment *attachment;
	struct elisa_function function;

	if (count < 3)
		die("locks NAME hold TURNS | leave | add ROUNDS");
	attachment = attach(arguments[1], "gate");
	function = find(attachment, strcmp(arguments[2], "hold") ? "leave" : "hold");
	puts("attached");
	fflush(stdout);
	if (!strcmp(arguments[2], "add")) {
		add(attachment, number(arguments[3]));
	} else if (!strcmp(arguments[2], "hold")) {
		printf("hold %ld\n", elisa_call1(&function, number(arguments[3])));
	} else {
		for (unsigned long i = 0; i < LOCKS; i++)
			expect("leave", elisa_call1(&function, i), 0);
	}
	elisa_detach(attachment);
	return 0;
}
