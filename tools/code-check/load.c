// SPDX-License-Identifier: MIT
#include "load.h"

#include <errno.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>

#include "elisa.h"

#define CODE (ELISA_BASE + ELISA_CODE_OFFSET)
#define FUNCTIONS_MAX 65536 /* all of a file's; far more than there is room for code */

static int by_offset(const void *a, const void *b)
{
	const struct code_function *left = a, *right = b;

	return left->offset < right->offset ? -1 : left->offset > right->offset;
}

/* Of two at one place, the first names it. */
static int append(struct loaded *loaded, uint64_t address, const char *name)
{
	struct code *code = &loaded->code;
	struct code_function *functions;
	char *copy;

	if (address - CODE >= code->size)
		return 0;
	for (size_t i = 0; i < code->count; i++) {
		if (loaded->functions[i].offset == address - CODE)
			return 0;
	}
	if (code->count == FUNCTIONS_MAX)
		return -E2BIG;
	copy = strndup(name, ELISA_NAME_MAX);
	functions = realloc(loaded->functions, (code->count + 1) * sizeof(*functions));
	if (functions)
		loaded->functions = functions;
	if (!functions || !copy) {
		free(copy);
		return -ENOMEM;
	}
	functions[code->count++] = (struct code_function){ address - CODE, copy };
	code->functions = functions;
	return 0;
}

static int append_section(struct loaded *loaded, Elf *elf, Elf_Scn *section, const GElf_Shdr *header)
{
	Elf_Data *symbols = elf_getdata(section, NULL);
	GElf_Sym symbol;
	int error = 0;

	for (int i = 1; !error && gelf_getsym(symbols, i, &symbol); i++) {
		const char *name = elf_strptr(elf, header->sh_link, symbol.st_name);

		if (GELF_ST_TYPE(symbol.st_info) == STT_FUNC)
			error = append(loaded, symbol.st_value, name ? name : "?");
	}
	return error;
}

static int append_symbols(struct loaded *loaded)
{
	Elf *elf = elf_memory((char *)loaded->image.file, loaded->image.size);
	Elf_Scn *section = NULL;
	GElf_Shdr header;
	int error = 0;

	while (!error && (section = elf_nextscn(elf, section)) && gelf_getshdr(section, &header)) {
		if (header.sh_type == SHT_SYMTAB)
			error = append_section(loaded, elf, section, &header);
	}
	elf_end(elf);
	return error;
}

int code_load(const char *path, struct loaded *loaded, const char **reason)
{
	const struct elisa_segment *part = &loaded->image.part[ELISA_PART_CODE];
	int error;

	*loaded = (struct loaded){};
	error = elisa_image_read(path, &loaded->image);
	*reason = elisa_reason();
	if (error)
		return error;
	loaded->code.bytes = part->data;
	loaded->code.size = part->file_bytes;
	for (uint32_t i = 0; !error && i < loaded->image.functions; i++) {
		struct elisa_function_entry entry = elisa_image_entry(&loaded->image, i);

		error = append(loaded, entry.address, entry.name);
	}
	if (!error)
		error = append_symbols(loaded);
	if (error) {
		*reason = strerror(-error);
		code_unload(loaded);
		return error;
	}
	qsort(loaded->functions, loaded->code.count, sizeof(*loaded->functions), by_offset);
	return 0;
}

void code_unload(struct loaded *loaded)
{
	for (size_t i = 0; i < loaded->code.count; i++)
		free((char *)loaded->functions[i].name);
	free(loaded->functions);
	elisa_image_free(&loaded->image);
}
