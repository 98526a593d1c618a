// SPDX-License-Identifier: MIT
/* What trusted code is given by elisa/object.h, and the counter, as part of an ordinary program. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ELISA_TEST
#include "../../objects/counter/counter.c"

static struct elisa_info info;

static void within_a_buffer(void **state)
{
	char *memory = malloc(100);

	(void)state;
	info.buffers[2] = (struct elisa_range){ (uintptr_t)memory, 100 };
	info.buffers[63] = (struct elisa_range){ (uintptr_t)memory + 50, 1 };
	assert_ptr_equal(elisa_buffer(&info, 2, 0, 100), memory);
	assert_ptr_equal(elisa_buffer(&info, 2, 90, 10), memory + 90);
	assert_ptr_equal(elisa_buffer(&info, 2, 100, 0), memory + 100);
	assert_ptr_equal(elisa_buffer(&info, 63, 0, 1), memory + 50);
	assert_null(elisa_buffer(&info, 2, 90, 11));
	assert_null(elisa_buffer(&info, 2, 101, 0));
	assert_null(elisa_buffer(&info, 2, 0, 101));
	assert_null(elisa_buffer(&info, 2, ~0ul, 2)); /* their sum is 1 */
	assert_null(elisa_buffer(&info, 2, 1, ~0ul));
	assert_null(elisa_buffer(&info, 2, ~0ul, ~0ul));
	assert_null(elisa_buffer(&info, 1, 0, 1)); /* not shared */
	assert_null(elisa_buffer(&info, 64, 0, 0));
	assert_null(elisa_buffer(&info, ~0ul, 0, 0));
	assert_null(elisa_memory(&info, 0, 1));
	free(memory);
}

static void masks(void **state)
{
	(void)state;
	assert_int_equal(elisa_index_mask(0, 1), ~0ul);
	assert_int_equal(elisa_index_mask(63, 64), ~0ul);
	assert_int_equal(elisa_index_mask(64, 64), 0);
	assert_int_equal(elisa_index_mask(0, 0), 0);
	assert_int_equal(elisa_index_mask(~0ul, 64), 0);
}

static void locks(void **state)
{
	struct elisa_lock lock = { 0 };

	(void)state;
	info.attachment = 5;
	assert_int_equal(elisa_lock(&lock, &info), 0);
	assert_int_equal(lock.word, 6);
	assert_int_equal(elisa_trylock(&lock, &info), -EBUSY);
	info.attachment = 6; /* not the owner */
	assert_int_equal(elisa_unlock(&lock, &info), -EOWNERDEAD);
	info.attachment = 5;
	assert_int_equal(elisa_unlock(&lock, &info), 0);
	assert_int_equal(lock.word, 0);
}

/* The host takes a lock away: the holder's unlock fails, and the next to take it is told once. */
static void a_lock_that_was_taken_away(void **state)
{
	struct elisa_lock lock = { 0 };

	(void)state;
	info.attachment = 5;
	assert_int_equal(elisa_lock(&lock, &info), 0);
	lock.word = ELISA_LOCK_DEAD;
	assert_int_equal(elisa_unlock(&lock, &info), -EOWNERDEAD);
	assert_int_equal(elisa_lock(&lock, &info), -EOWNERDEAD);
	assert_int_equal(lock.word, 6);
	assert_int_equal(elisa_unlock(&lock, &info), 0);
	assert_int_equal(elisa_lock(&lock, &info), 0);
	assert_int_equal(elisa_unlock(&lock, &info), 0);
}

static void copies(void **state)
{
	char text[16] = "abcdefg";

	(void)state;
	elisa_copy(text + 8, text, 8);
	assert_string_equal(text + 8, "abcdefg");
	elisa_zero(text, 8);
	assert_int_equal(text[7], 0);
	assert_int_equal(text[8], 'a');
}

static void counts(void **state)
{
	(void)state;
	assert_int_equal(add(&info, 5), 5);
	assert_int_equal(add(&info, 1), 6);
	assert_int_equal(read(&info), 6);
	assert_int_equal(read_own(&info), 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(within_a_buffer), cmocka_unit_test(masks),
		cmocka_unit_test(locks),           cmocka_unit_test(a_lock_that_was_taken_away),
		cmocka_unit_test(copies),          cmocka_unit_test(counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
