// SPDX-License-Identifier: MIT
/* The file may come from anyone, so nothing in it is believed; see image.h. libelf bounds what it hands out. */
#include <errno.h>
#include <gelf.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image.h"

#define NOTE_NAME "ELISA"
#define NOTE_TYPE 1
#define NOTE_VERSION 1

/* The kit makes 6 segments and a note of 48 bytes. libelf may copy each segment of notes, however large. */
#define SEGMENTS_MAX 64
#define NOTES_MAX ELISA_PAGE

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
	Elf *elf;
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
	/* Names in it are the file's, and it is shown on terminals. */
	for (char *c = parse->reason; parse->reason_size && *c; c++) {
		if (*c < ' ' || *c > '~')
			*c = '?';
	}
	return error;
}

static bool within(uint64_t offset, uint64_t bytes, uint64_t size)
{
	return offset <= size && bytes <= size - offset;
}

static int corrupt(const struct parse *parse, const char *what)
{
	return refuse(parse, -ELIBBAD, "the file is damaged: %s", what);
}

/* For reading only: libelf writes to such a file no more than we do. */
static Elf *open_file(const struct elisa_image *image)
{
	elf_version(EV_CURRENT);
	return elf_memory((char *)image->file, image->size);
}

static int parse_header(const struct parse *parse, size_t *segments)
{
	GElf_Ehdr header;

	if (!parse->elf)
		return corrupt(parse, "its header, or its section headers");
	if (elf_kind(parse->elf) != ELF_K_ELF)
		return refuse(parse, -ENOEXEC, "not an ELF file");
	if (!gelf_getehdr(parse->elf, &header))
		return corrupt(parse, "its header");
	if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
	    header.e_machine != EM_X86_64)
		return refuse(parse, -EOPNOTSUPP, "not for x86-64");
	if (header.e_type != ET_EXEC)
		return refuse(parse, -ELIBEXEC,
			      "not linked for a fixed address (an object file, a library, or linked with -pie?)");
	/* libelf shows a file with its section headers outside as one without sections. */
	if (header.e_shnum && !elf_getscn(parse->elf, header.e_shnum - 1))
		return corrupt(parse, "its section headers");
	if (elf_getphdrnum(parse->elf, segments))
		return corrupt(parse, "its program headers");
	return *segments > SEGMENTS_MAX ? corrupt(parse, "too many program headers") : 0;
}

/* The kit's note in a segment of notes: 1 found, 0 not, or an error. */
static int parse_notes(const struct parse *parse, const GElf_Phdr *segment, struct note *note)
{
	size_t at, next, name, content;
	GElf_Nhdr header;
	Elf_Data *data;

	if (segment->p_filesz > NOTES_MAX)
		return corrupt(parse, "a note is too long");
	data = elf_getdata_rawchunk(parse->elf, (int64_t)segment->p_offset, segment->p_filesz, ELF_T_NHDR);
	if (!data)
		return corrupt(parse, "a note lies outside");
	for (at = 0; (next = gelf_getnote(data, at, &header, &name, &content)); at = next) {
		if (header.n_type != NOTE_TYPE || header.n_namesz != sizeof(NOTE_NAME) ||
		    memcmp((char *)data->d_buf + name, NOTE_NAME, sizeof(NOTE_NAME)) ||
		    header.n_descsz < sizeof(*note) || !within(content, sizeof(*note), data->d_size))
			continue;
		memcpy(note, (char *)data->d_buf + content, sizeof(*note));
		return 1;
	}
	return within(at, sizeof(header), data->d_size) ? corrupt(parse, "a note is too long") : 0;
}

static int find_note(const struct parse *parse, size_t segments, struct note *note)
{
	GElf_Phdr segment;
	int found = 0;

	for (size_t i = 0; i < segments && !found; i++) {
		if (!gelf_getphdr(parse->elf, (int)i, &segment))
			return corrupt(parse, "its program headers");
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

static int parse_load(const struct parse *parse, const GElf_Phdr *segment)
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

static int parse_segments(const struct parse *parse, size_t segments)
{
	GElf_Phdr segment;
	int error;

	for (size_t i = 0; i < segments; i++) {
		if (!gelf_getphdr(parse->elf, (int)i, &segment))
			return corrupt(parse, "its program headers");
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

/* The table of symbols, and the section of their names. NULL if there is none, or it is damaged. */
static Elf_Data *find_symbols(Elf *elf, size_t *names)
{
	Elf_Scn *section = NULL;
	GElf_Shdr header;

	while ((section = elf_nextscn(elf, section)) && gelf_getshdr(section, &header)) {
		if (header.sh_type == SHT_SYMTAB) {
			*names = header.sh_link;
			return elf_getdata(section, NULL);
		}
	}
	return NULL;
}

static int parse_sections(const struct parse *parse)
{
	Elf_Scn *section = NULL;
	Elf_Data *symbols;
	GElf_Shdr header;
	GElf_Sym symbol;
	size_t names;

	while ((section = elf_nextscn(parse->elf, section))) {
		if (!gelf_getshdr(section, &header))
			return corrupt(parse, "its section headers");
		if ((header.sh_type == SHT_RELA || header.sh_type == SHT_REL) && header.sh_size &&
		    (header.sh_flags & SHF_ALLOC))
			return refuse(parse, -ELIBACC, "has relocations left");
	}
	symbols = find_symbols(parse->elf, &names);
	/* The first is always empty. */
	for (int i = 1; gelf_getsym(symbols, i, &symbol); i++) {
		if (symbol.st_shndx == SHN_UNDEF) {
			const char *name = elf_strptr(parse->elf, names, symbol.st_name);

			return refuse(parse, -ENOLINK, "the symbol %s is not defined", name ? name : "?");
		}
	}
	return 0;
}

int elisa_image_parse(const void *file, size_t size, struct elisa_image *image, char *reason, size_t reason_size)
{
	struct parse parse = { NULL, image, reason, reason_size };
	struct note note;
	size_t segments;
	int error;

	memset(image, 0, sizeof(*image));
	image->file = file;
	image->size = size;
	parse.elf = open_file(image);
	error = parse_header(&parse, &segments);
	if (!error)
		error = find_note(&parse, segments, &note);
	if (!error)
		error = parse_segments(&parse, segments);
	if (!error)
		error = parse_sections(&parse);
	if (!error)
		error = parse_functions(&parse, &note);
	elf_end(parse.elf);
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

int elisa_image_symbol(const struct elisa_image *image, const char *name, uint64_t *address)
{
	Elf *elf = open_file(image);
	size_t names;
	Elf_Data *symbols = elf ? find_symbols(elf, &names) : NULL;
	int error = -ENOENT;
	GElf_Sym symbol;

	for (int i = 1; error && gelf_getsym(symbols, i, &symbol); i++) {
		const char *found =
			GELF_ST_TYPE(symbol.st_info) == STT_OBJECT ? elf_strptr(elf, names, symbol.st_name) : NULL;

		if (found && !strcmp(found, name)) {
			*address = symbol.st_value;
			error = 0;
		}
	}
	elf_end(elf);
	return error;
}

static bool is_name(const char *name)
{
	for (const char *c = name; name && *c; c++)
		if (*c <= ' ' || *c > '~')
			return false;
	return name && name[0];
}

static int by_address(const void *a, const void *b)
{
	const struct elisa_function_entry *left = a, *right = b;

	return left->address < right->address ? -1 : left->address > right->address;
}

int elisa_image_symbols(const struct elisa_image *image, struct elisa_function_entry **table, uint32_t *count)
{
	uint64_t code = ELISA_BASE + ELISA_CODE_OFFSET;
	Elf *elf = open_file(image);
	size_t names;
	Elf_Data *symbols = elf ? find_symbols(elf, &names) : NULL;
	uint32_t found = 0;
	GElf_Sym symbol;

	*table = calloc(ELISA_SYMBOLS_MAX, sizeof(**table));
	if (!*table) {
		elf_end(elf);
		return -ENOMEM;
	}
	for (int i = 1; found < ELISA_SYMBOLS_MAX && gelf_getsym(symbols, i, &symbol); i++) {
		const char *name =
			GELF_ST_TYPE(symbol.st_info) == STT_FUNC ? elf_strptr(elf, names, symbol.st_name) : NULL;
		struct elisa_function_entry *entry = *table + found;

		if (!is_name(name) || symbol.st_value - code >= image->part[ELISA_PART_CODE].bytes)
			continue;
		entry->address = symbol.st_value;
		snprintf(entry->name, sizeof(entry->name), "%s", name);
		found++;
	}
	elf_end(elf);
	qsort(*table, found, sizeof(**table), by_address);
	*count = found;
	return 0;
}
