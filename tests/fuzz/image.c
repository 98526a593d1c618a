// SPDX-License-Identifier: MIT
/* Files of trusted code that come from anyone: whatever is in one, it is taken apart as image.h says, or refused. */
#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "image.h"

#define FILE_MAX (1 << 20)
#define COPY_MAX (1 << 20) /* parts larger than this are not copied out: that takes time, and shows nothing new */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

/* Where a file ends when memory does, so that libelf, which has no sanitizer, does not read beyond it either. */
static char *room(void)
{
	static char *start;

	if (!start) {
		start = mmap(NULL, FILE_MAX + ELISA_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		require(start != MAP_FAILED);
		require(!mprotect(start + FILE_MAX, ELISA_PAGE, PROT_NONE));
	}
	return start;
}

static void check_parts(const struct elisa_image *image)
{
	const char *file = image->file;

	for (unsigned int i = 0; i < ELISA_PARTS; i++) {
		const struct elisa_segment *part = &image->part[i];
		const char *data = part->data;
		char *copy;

		require(part->file_bytes <= part->bytes && part->bytes % ELISA_PAGE == 0 && part->bytes <= ELISA_1G);
		if (!part->bytes)
			continue;
		require(data >= file && data <= file + image->size &&
			part->file_bytes <= image->size - (size_t)(data - file));
		if (part->bytes > COPY_MAX)
			continue;
		copy = malloc(part->bytes);
		require(copy != NULL);
		elisa_image_copy(image, i, copy);
		free(copy);
	}
}

static void check_functions(const struct elisa_image *image)
{
	const struct elisa_segment *code = &image->part[ELISA_PART_CODE];
	uint64_t address;

	require(image->functions && image->functions <= ELISA_FUNCTIONS_MAX);
	for (unsigned int i = 0; i < image->functions; i++) {
		struct elisa_function_entry entry = elisa_image_entry(image, i);

		require(entry.name[0] && memchr(entry.name, 0, sizeof(entry.name)));
		require(entry.address - (ELISA_BASE + ELISA_CODE_OFFSET) < code->file_bytes);
		require(elisa_image_function(image, entry.name) == (int)i);
		elisa_image_symbol(image, entry.name, &address);
	}
	elisa_image_symbol(image, "", &address);
}

static void check_symbols(const struct elisa_image *image)
{
	const struct elisa_segment *code = &image->part[ELISA_PART_CODE];
	struct elisa_function_entry *symbols;
	uint32_t count;

	require(!elisa_image_symbols(image, &symbols, &count) && count <= ELISA_SYMBOLS_MAX);
	for (uint32_t i = 0; i < count; i++) {
		require(symbols[i].name[0] && memchr(symbols[i].name, 0, sizeof(symbols[i].name)));
		require(symbols[i].address - (ELISA_BASE + ELISA_CODE_OFFSET) < code->bytes);
		require(!i || symbols[i].address >= symbols[i - 1].address);
		for (const char *c = symbols[i].name; *c; c++)
			require(isgraph((unsigned char)*c));
	}
	free(symbols);
}

static void parse(const void *file, size_t size)
{
	struct elisa_image image;
	char reason[160] = "";
	int error = elisa_image_parse(file, size, &image, reason, sizeof(reason));

	if (!error) {
		check_parts(&image);
		check_functions(&image);
		check_symbols(&image);
		return;
	}
	require(error < 0 && reason[0] && memchr(reason, 0, sizeof(reason)));
	/* It is shown to somebody, on a terminal perhaps, and has names from the file in it. */
	for (const char *c = reason; *c; c++)
		require(isprint((unsigned char)*c));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *end = room() + FILE_MAX;
	size_t aligned = (size + 15) & ~15ul;

	if (size > FILE_MAX)
		return 0;
	/* libelf copies what is not aligned, and looks at the rest in place. */
	parse(memcpy(end - size, data, size), size);
	if (aligned != size)
		parse(memcpy(end - aligned, data, size), size);
	return 0;
}
