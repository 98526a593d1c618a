// SPDX-License-Identifier: MIT
/* The file is copied from where others may have written it, so nothing in it is believed; see image.h. */
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "image.h"

#define NOTE_NAME "ELISA"
#define NOTE_TYPE 1
#define NOTE_VERSION 1

/* What the linker script writes into the note. */
struct note {
	uint32_t version, reserved;
	uint64_t functions, functions_end; /* addresses */
};

static const struct {
	const char *name;
	uint64_t offset, most;
	uint32_t flags, optional; /* permissions */
} places[ELISA_PARTS] = {
	[ELISA_PART_CODE] = { "code", ELISA_CODE_OFFSET, ELISA_CODE_MAX, PF_X, PF_R },
	[ELISA_PART_RODATA] = { "constants", ELISA_RODATA_OFFSET, ELISA_RODATA_MAX, PF_R, 0 },
	[ELISA_PART_DATA] = { "data", ELISA_DATA_OFFSET, ELISA_DATA_MAX, PF_R | PF_W, 0 },
	[ELISA_PART_SHARED] = { "shared data", ELISA_MEMORY_OFFSET, ELISA_1G, PF_R | PF_W, 0 },
};

/* Parsing: the image, and where the reason goes. */
struct parse {
	struct elisa_image *image;
	char *reason;
	size_t reason_size;
};

__attribute__((format(printf, 3, 4))) static int refuse(const struct parse *parse, int error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(parse->reason, parse->reason_size, format, arguments);
	va_end(arguments);
	return error;
}

/* Copies out of the file: false if it does not reach that far. */
static bool get(const struct elisa_image *image, uint64_t offset, void *to, size_t bytes)
{
	if (offset > image->size || bytes > image->size - offset)
		return false;
	memcpy(to, (const char *)image->file + offset, bytes);
	return true;
}

static bool within(uint64_t offset, uint64_t bytes, uint64_t size)
{
	return offset <= size && bytes <= size - offset;
}

static int corrupt(const struct parse *parse, const char *what)
{
	return refuse(parse, -ELIBBAD, "the file is damaged: %s", what);
}

static int parse_header(const struct parse *parse, Elf64_Ehdr *header)
{
	struct elisa_image *image = parse->image;

	if (image->size < SELFMAG || memcmp(image->file, ELFMAG, SELFMAG))
		return refuse(parse, -ENOEXEC, "not an ELF file");
	if (!get(image, 0, header, sizeof(*header)))
		return corrupt(parse, "it ends within its header");
	if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB ||
	    header->e_machine != EM_X86_64)
		return refuse(parse, -EOPNOTSUPP, "not for x86-64");
	if (header->e_type != ET_EXEC)
		return refuse(parse, -ELIBEXEC,
			      "not linked for a fixed address (an object file, a library, or linked with -pie?)");
	if (header->e_phentsize != sizeof(Elf64_Phdr) ||
	    !within(header->e_phoff, (uint64_t)header->e_phnum * sizeof(Elf64_Phdr), image->size))
		return corrupt(parse, "its program headers");
	return 0;
}

/* The kit's note in a segment of notes: 1 found, 0 not, or an error. */
static int parse_notes(const struct parse *parse, const Elf64_Phdr *segment, struct note *note)
{
	uint64_t at = segment->p_offset, left = segment->p_filesz;
	Elf64_Nhdr header;
	char name[sizeof(NOTE_NAME)];

	if (!within(at, left, parse->image->size))
		return corrupt(parse, "a note lies outside");
	while (left >= sizeof(header)) {
		uint64_t name_bytes, bytes;

		get(parse->image, at, &header, sizeof(header));
		name_bytes = ((uint64_t)header.n_namesz + 3) & ~3ul;
		bytes = sizeof(header) + name_bytes + (((uint64_t)header.n_descsz + 3) & ~3ul);
		if (bytes > left)
			return corrupt(parse, "a note is too long");
		if (header.n_type == NOTE_TYPE && header.n_namesz == sizeof(NOTE_NAME) &&
		    header.n_descsz >= sizeof(*note)) {
			get(parse->image, at + sizeof(header), name, sizeof(name));
			if (!memcmp(name, NOTE_NAME, sizeof(name)))
				return get(parse->image, at + sizeof(header) + name_bytes, note, sizeof(*note));
		}
		at += bytes;
		left -= bytes;
	}
	return 0;
}

static int find_note(const struct parse *parse, const Elf64_Ehdr *header, struct note *note)
{
	Elf64_Phdr segment;
	int found = 0;

	for (unsigned int i = 0; i < header->e_phnum && !found; i++) {
		get(parse->image, header->e_phoff + i * sizeof(segment), &segment, sizeof(segment));
		if (segment.p_type == PT_NOTE)
			found = parse_notes(parse, &segment, note);
	}
	if (found < 0)
		return found;
	if (!found)
		return refuse(parse, -ENOMSG, "not built with the kit (pkg-config --cflags --libs elisa-sub)");
	if (note->version != NOTE_VERSION || note->reserved)
		return refuse(parse, -EPROTONOSUPPORT, "built with version %u of the kit; this library knows %u",
			      note->version, NOTE_VERSION);
	return 0;
}

static int parse_load(const struct parse *parse, const Elf64_Phdr *segment)
{
	struct elisa_segment *part;
	unsigned int i;

	if (!segment->p_memsz)
		return 0;
	if ((segment->p_flags & (PF_W | PF_X)) == (PF_W | PF_X))
		return refuse(parse, -EACCES, "the segment at %#lx is writable and executable", segment->p_vaddr);
	for (i = 0; i < ELISA_PARTS && segment->p_vaddr != ELISA_BASE + places[i].offset; i++)
		;
	if (i == ELISA_PARTS)
		return refuse(parse, -ERANGE, "no segment may begin at %#lx", segment->p_vaddr);
	if (segment->p_memsz > places[i].most)
		return refuse(parse, -EFBIG, "%s: %lu bytes, of which there may be %lu", places[i].name,
			      segment->p_memsz, places[i].most);
	if ((segment->p_flags & ~places[i].optional) != places[i].flags)
		return refuse(parse, -EPERM, "%s: wrong permissions", places[i].name);
	if (segment->p_filesz > segment->p_memsz || !within(segment->p_offset, segment->p_filesz, parse->image->size))
		return corrupt(parse, "a segment lies outside");
	part = &parse->image->part[i];
	if (part->bytes)
		return refuse(parse, -ERANGE, "%s: two segments", places[i].name);
	part->data = (const char *)parse->image->file + segment->p_offset;
	part->file_bytes = segment->p_filesz;
	part->bytes = (segment->p_memsz + ELISA_PAGE - 1) & ~(ELISA_PAGE - 1);
	return 0;
}

static int parse_segments(const struct parse *parse, const Elf64_Ehdr *header)
{
	Elf64_Phdr segment;
	int error;

	for (unsigned int i = 0; i < header->e_phnum; i++) {
		get(parse->image, header->e_phoff + i * sizeof(segment), &segment, sizeof(segment));
		switch (segment.p_type) {
		case PT_LOAD:
			error = parse_load(parse, &segment);
			if (error)
				return error;
			break;
		case PT_INTERP:
		case PT_DYNAMIC:
			return refuse(parse, -ELIBACC, "linked with shared libraries");
		case PT_TLS:
			return refuse(parse, -ELIBACC, "has thread-local variables");
		}
	}
	return 0;
}

static int parse_functions(const struct parse *parse, const struct note *note)
{
	struct elisa_image *image = parse->image;
	const struct elisa_segment *rodata = &image->part[ELISA_PART_RODATA], *code = &image->part[ELISA_PART_CODE];
	uint64_t offset = note->functions - (ELISA_BASE + ELISA_RODATA_OFFSET);
	uint64_t bytes = note->functions_end - note->functions;

	if (!bytes)
		return refuse(parse, -ENODATA, "offers no function (ELISA_ENTRY)");
	if (bytes % sizeof(struct elisa_function_entry) || !within(offset, bytes, rodata->file_bytes))
		return corrupt(parse, "the table of functions");
	if (bytes / sizeof(struct elisa_function_entry) > ELISA_FUNCTIONS_MAX)
		return refuse(parse, -E2BIG, "offers more than %d functions", ELISA_FUNCTIONS_MAX);
	image->table = (const char *)rodata->data + offset;
	for (unsigned int i = 0; i < bytes / sizeof(struct elisa_function_entry); i++) {
		struct elisa_function_entry entry = elisa_image_entry(image, i);

		if (!entry.name[0])
			return refuse(parse, -EINVAL, "function %u has no name", i);
		if (!memchr(entry.name, 0, sizeof(entry.name)))
			return refuse(parse, -ENAMETOOLONG, "the name of function %u does not end", i);
		if (elisa_image_function(image, entry.name) >= 0)
			return refuse(parse, -EEXIST, "offers two functions named %s", entry.name);
		if (!within(entry.address - (ELISA_BASE + ELISA_CODE_OFFSET), 1, code->file_bytes))
			return refuse(parse, -EFAULT, "the function %s is not in the code", entry.name);
		image->functions = i + 1;
	}
	return 0;
}

static bool get_section(const struct elisa_image *image, const Elf64_Ehdr *header, unsigned int i, Elf64_Shdr *section)
{
	return i < header->e_shnum &&
	       get(image, header->e_shoff + (uint64_t)i * sizeof(*section), section, sizeof(*section));
}

/* A string of a table of strings, copied and cut. */
static void get_string(const struct elisa_image *image, const Elf64_Shdr *strings, uint32_t offset, char *to,
		       size_t size)
{
	size_t i = 0;

	while (i + 1 < size && offset + (uint64_t)i < strings->sh_size &&
	       get(image, strings->sh_offset + offset + i, &to[i], 1) && to[i])
		i++;
	to[i] = 0;
}

/*
 * Calls `visit` for each symbol with a name until it returns something else than 0, which is returned. A file without a
 * table of symbols, or with a damaged one, has none.
 */
static int for_each_symbol(const struct elisa_image *image,
			   int (*visit)(const Elf64_Sym *symbol, const char *name, void *context), void *context)
{
	Elf64_Shdr table, strings;
	Elf64_Ehdr header;
	Elf64_Sym symbol;
	char name[256];
	int result;

	if (!get(image, 0, &header, sizeof(header)) || header.e_shentsize != sizeof(table))
		return 0;
	for (unsigned int i = 0; get_section(image, &header, i, &table); i++) {
		if (table.sh_type != SHT_SYMTAB || !get_section(image, &header, table.sh_link, &strings))
			continue;
		for (uint64_t at = 0; within(at, sizeof(symbol), table.sh_size); at += sizeof(symbol)) {
			if (!within(table.sh_offset, at, image->size) ||
			    !get(image, table.sh_offset + at, &symbol, sizeof(symbol)))
				break;
			get_string(image, &strings, symbol.st_name, name, sizeof(name));
			result = name[0] ? visit(&symbol, name, context) : 0;
			if (result)
				return result;
		}
		return 0; /* there is one table at most; a file with more could keep us busy */
	}
	return 0;
}

static int visit_undefined(const Elf64_Sym *symbol, const char *name, void *context)
{
	return symbol->st_shndx == SHN_UNDEF ? refuse(context, -ENOLINK, "the symbol %s is not defined", name) : 0;
}

static int parse_sections(const struct parse *parse, const Elf64_Ehdr *header)
{
	Elf64_Shdr section;

	if (header->e_shnum && header->e_shentsize != sizeof(section))
		return corrupt(parse, "its section headers");
	for (unsigned int i = 0; i < header->e_shnum; i++) {
		if (!get_section(parse->image, header, i, &section))
			return corrupt(parse, "its section headers");
		if ((section.sh_type == SHT_RELA || section.sh_type == SHT_REL) && section.sh_size &&
		    (section.sh_flags & SHF_ALLOC))
			return refuse(parse, -ELIBACC, "has relocations left");
	}
	return for_each_symbol(parse->image, visit_undefined, (void *)parse);
}

int elisa_image_parse(const void *file, size_t size, struct elisa_image *image, char *reason, size_t reason_size)
{
	struct parse parse = { image, reason, reason_size };
	Elf64_Ehdr header;
	struct note note;
	int error;

	memset(image, 0, sizeof(*image));
	image->file = file;
	image->size = size;
	error = parse_header(&parse, &header);
	if (!error)
		error = find_note(&parse, &header, &note);
	if (!error)
		error = parse_segments(&parse, &header);
	if (!error)
		error = parse_sections(&parse, &header);
	if (!error)
		error = parse_functions(&parse, &note);
	return error;
}

uint64_t elisa_image_offset(enum elisa_part part)
{
	return places[part].offset;
}

void elisa_image_copy(const struct elisa_image *image, enum elisa_part part, void *to)
{
	const struct elisa_segment *segment = &image->part[part];

	if (!segment->bytes)
		return;
	memcpy(to, segment->data, segment->file_bytes);
	/* After the code's end: int3. */
	memset((char *)to + segment->file_bytes, part == ELISA_PART_CODE ? 0xcc : 0,
	       segment->bytes - segment->file_bytes);
}

struct elisa_function_entry elisa_image_entry(const struct elisa_image *image, uint32_t index)
{
	struct elisa_function_entry entry;

	memcpy(&entry, (const char *)image->table + index * sizeof(entry), sizeof(entry));
	return entry;
}

int elisa_image_function(const struct elisa_image *image, const char *name)
{
	for (uint32_t i = 0; i < image->functions; i++) {
		struct elisa_function_entry entry = elisa_image_entry(image, i);

		if (!strncmp(entry.name, name, sizeof(entry.name)))
			return (int)i;
	}
	return -1;
}

struct wanted {
	const char *name;
	uint64_t address;
};

static int visit_wanted(const Elf64_Sym *symbol, const char *name, void *context)
{
	struct wanted *wanted = context;

	if (ELF64_ST_TYPE(symbol->st_info) != STT_OBJECT || strcmp(name, wanted->name))
		return 0;
	wanted->address = symbol->st_value;
	return 1;
}

int elisa_image_symbol(const struct elisa_image *image, const char *name, uint64_t *address)
{
	struct wanted wanted = { .name = name };

	if (!for_each_symbol(image, visit_wanted, &wanted))
		return -ENOENT;
	*address = wanted.address;
	return 0;
}
