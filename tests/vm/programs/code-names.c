// SPDX-License-Identifier: MIT
/* code-names: trusted code whose names of functions or symbols are not proper is refused, each for its reason. */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../../../include/uapi/elisa/elisa.h"
#include "program.h"

#define CODE (ELISA_BASE + ELISA_CODE_OFFSET)

static struct {
	struct elisa_function_entry function, symbols[2];
	char code[ELISA_PAGE];
} blob; /* no gaps: the entries are a multiple of 8 bytes */

static int offer(char reason[ELISA_REASON_MAX])
{
	struct elisa_ioc_create create = { .size = sizeof(create) };
	struct elisa_ioc_code code = {
		.size = sizeof(code),
		.functions = 1,
		.symbols = 2,
		.blob = (uintptr_t)&blob,
		.code_bytes = ELISA_PAGE,
	};
	struct elisa_ioc_reason why = { .size = sizeof(why) };
	int fd = open("/dev/elisa", O_RDWR), error;

	if (fd < 0 || ioctl(fd, ELISA_IOC_CREATE, &create))
		die("no object: %s", strerror(errno));
	error = ioctl(fd, ELISA_IOC_CODE, &code) ? errno : 0;
	ioctl(fd, ELISA_IOC_REASON, &why);
	memcpy(reason, why.text, ELISA_REASON_MAX);
	close(fd);
	return error;
}

static void fill(const char *function, const char *first, uint64_t first_at, const char *second, uint64_t second_at)
{
	const struct {
		struct elisa_function_entry *entry;
		const char *name;
		uint64_t address;
	} entries[] = { { &blob.function, function, CODE },
			{ blob.symbols, first, first_at },
			{ blob.symbols + 1, second, second_at } };

	memset(&blob, 0, sizeof(blob));
	for (unsigned int i = 0; i < 3; i++) {
		/* Perhaps without an end. */
		memcpy(entries[i].entry->name, entries[i].name, strnlen(entries[i].name, ELISA_NAME_MAX));
		entries[i].entry->address = entries[i].address;
	}
}

static void refused(const char *what, const char *part)
{
	char reason[ELISA_REASON_MAX];
	int error = offer(reason);

	if (error != EINVAL || !strstr(reason, part))
		die("%s: %s: %s", what, strerror(error), reason);
}

int main(void)
{
	char reason[ELISA_REASON_MAX], endless[ELISA_NAME_MAX + 1];

	memset(endless, 'a', ELISA_NAME_MAX);
	endless[ELISA_NAME_MAX] = 0;
	fill("f", "a", CODE, "b", CODE + 16);
	expect("proper code", offer(reason), 0);
	fill("f\033[2J", "a", CODE, "b", CODE + 16);
	refused("a function that clears the screen", "no proper name");
	fill("f", "a", CODE, "b\033[2J", CODE + 16);
	refused("a symbol that clears the screen", "no proper name");
	fill("f", "", CODE, "b", CODE + 16);
	refused("a symbol without a name", "no proper name");
	fill("f", "a", CODE, endless, CODE + 16);
	refused("a symbol whose name does not end", "no proper name");
	fill("f", "a", CODE, "b", CODE + ELISA_PAGE);
	refused("a symbol behind the code", "outside of the code");
	fill("f", "a", CODE + 16, "b", CODE);
	refused("symbols that fall", "not in order");
	puts("refused");
	return 0;
}
