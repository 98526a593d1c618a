// SPDX-License-Identifier: MIT
/* Each way in which a file of trusted code can be wrong: a good file in which only that one thing is changed. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "image.h"

static const char *good_path, *many_path, *none_path;
static char *good; /* as built; each test changes a copy */
static size_t good_size;
static char *file;

static char *read_file(const char *path, size_t *size)
{
	struct stat status;
	int fd = open(path, O_RDONLY);
	char *data;

	assert_true(fd >= 0 && !fstat(fd, &status));
	*size = (size_t)status.st_size;
	data = malloc(*size);
	assert_int_equal(read(fd, data, *size), *size);
	close(fd);
	return data;
}

static int setup(void **state)
{
	(void)state;
	file = malloc(good_size);
	memcpy(file, good, good_size);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(file);
	return 0;
}

static Elf64_Ehdr *header(void)
{
	return (Elf64_Ehdr *)file;
}

static Elf64_Phdr *segment(unsigned int i)
{
	return (Elf64_Phdr *)(file + header()->e_phoff) + i;
}

/* As the linker script orders them. */
enum { CODE, RODATA, DATA, SHARED, NOTE, STACK };

static Elf64_Nhdr *note(void)
{
	return (Elf64_Nhdr *)(file + segment(NOTE)->p_offset);
}

static uint32_t *note_version(void)
{
	return (uint32_t *)((char *)(note() + 1) + 8);
}

typedef uint64_t unaligned __attribute__((aligned(4)));

/* Addresses of the table's start and end. */
static unaligned *note_table(void)
{
	return (unaligned *)(note_version() + 2);
}

static struct elisa_function_entry *function(unsigned int i)
{
	return (struct elisa_function_entry *)(file + segment(RODATA)->p_offset + *note_table() -
					       segment(RODATA)->p_vaddr) +
	       i;
}

/*
 * Parses a copy that ends where memory does and cannot be written, so that nobody, libelf neither, reads beyond it or
 * writes to it. It is not aligned unless its size is.
 */
static int parse(size_t size, char reason[160])
{
	static char *room;
	size_t bytes = (good_size | (ELISA_PAGE - 1)) + 1;
	struct elisa_image image;
	struct elisa_function_entry *symbols;
	uint64_t address;
	uint32_t count;
	char *copy;
	int error;

	if (!room) {
		room = mmap(NULL, bytes + ELISA_PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		assert_ptr_not_equal(room, MAP_FAILED);
		assert_int_equal(mprotect(room + bytes, ELISA_PAGE, PROT_NONE), 0);
	}
	assert_int_equal(mprotect(room, bytes, PROT_READ | PROT_WRITE), 0);
	copy = memcpy(room + bytes - size, file, size);
	assert_int_equal(mprotect(room, bytes, PROT_READ), 0);
	reason[0] = 0;
	error = elisa_image_parse(copy, size, &image, reason, 160);
	if (!error) {
		elisa_image_symbol(&image, "totals", &address);
		assert_int_equal(elisa_image_symbols(&image, &symbols, &count), 0);
		free(symbols);
	}
	return error;
}

static void refused(int error, const char *part)
{
	char reason[160];

	assert_int_equal(parse(good_size, reason), error);
	if (!strstr(reason, part))
		fail_msg("the reason is \"%s\", not one with \"%s\"", reason, part);
}

static void accepts(void **state)
{
	struct elisa_image image;
	struct elisa_function_entry *symbols;
	unsigned int found = 0;
	char reason[160];
	uint64_t address;
	uint32_t count;
	char *code;

	(void)state;
	assert_int_equal(elisa_image_parse(file, good_size, &image, reason, sizeof(reason)), 0);
	assert_int_equal(image.functions, 3);
	assert_true(elisa_image_function(&image, "add") >= 0);
	assert_int_equal(elisa_image_function(&image, "ad"), -1);
	assert_int_equal(elisa_image_symbol(&image, "total", &address), 0);
	assert_int_equal(address, ELISA_BASE + ELISA_MEMORY_OFFSET);
	assert_int_equal(elisa_image_symbol(&image, "totals", &address), -ENOENT);
	assert_int_equal(elisa_image_symbols(&image, &symbols, &count), 0);
	assert_true(count >= image.functions);
	for (uint32_t i = 0; i < count; i++) {
		assert_true(!i || symbols[i].address >= symbols[i - 1].address);
		found += !strcmp(symbols[i].name, "add");
	}
	assert_int_equal(found, 1);
	free(symbols);
	assert_int_equal(image.part[ELISA_PART_DATA].bytes, ELISA_PAGE);
	assert_int_equal(image.part[ELISA_PART_DATA].file_bytes, 0);
	code = malloc(image.part[ELISA_PART_CODE].bytes);
	elisa_image_copy(&image, ELISA_PART_CODE, code);
	assert_int_equal(code[ELISA_PAGE - 1] & 0xff, 0xcc);
	free(code);
}

static void not_elf(void **state)
{
	(void)state;
	file[0]++;
	refused(-ENOEXEC, "not an ELF file");
}

static void other_cpu(void **state)
{
	(void)state;
	header()->e_machine = EM_AARCH64;
	refused(-EOPNOTSUPP, "x86-64");
}

static void other_class(void **state)
{
	(void)state;
	header()->e_ident[EI_CLASS] = ELFCLASS32;
	refused(-EOPNOTSUPP, "x86-64");
}

static void library(void **state)
{
	(void)state;
	header()->e_type = ET_DYN;
	refused(-ELIBEXEC, "fixed address");
}

static void object_file(void **state)
{
	(void)state;
	header()->e_type = ET_REL;
	refused(-ELIBEXEC, "fixed address");
}

static void without_kit(void **state)
{
	(void)state;
	segment(NOTE)->p_type = PT_NULL;
	refused(-ENOMSG, "not built with the kit");
}

static void other_kit(void **state)
{
	(void)state;
	++*note_version();
	refused(-EPROTONOSUPPORT, "version 2");
}

static void dynamic(void **state)
{
	(void)state;
	segment(STACK)->p_type = PT_DYNAMIC;
	refused(-ELIBACC, "shared libraries");
}

static void interpreter(void **state)
{
	(void)state;
	segment(STACK)->p_type = PT_INTERP;
	refused(-ELIBACC, "shared libraries");
}

static void thread_local(void **state)
{
	(void)state;
	segment(STACK)->p_type = PT_TLS;
	refused(-ELIBACC, "thread-local");
}

static void relocations(void **state)
{
	Elf64_Shdr *section = (Elf64_Shdr *)(file + header()->e_shoff);

	(void)state;
	section[1].sh_type = SHT_RELA;
	refused(-ELIBACC, "relocations");
}

/* The linker would not have it. */
static void undefined(void **state)
{
	Elf64_Shdr *section = (Elf64_Shdr *)(file + header()->e_shoff);

	(void)state;
	while (section->sh_type != SHT_SYMTAB)
		section++;
	((Elf64_Sym *)(file + section->sh_offset + section->sh_size))[-1].st_shndx = SHN_UNDEF;
	refused(-ENOLINK, "not defined");
}

static void writable_code(void **state)
{
	(void)state;
	segment(CODE)->p_flags |= PF_W;
	refused(-EACCES, "writable and executable");
}

static void writable_constants(void **state)
{
	(void)state;
	segment(RODATA)->p_flags |= PF_W;
	refused(-EPERM, "constants: wrong permissions");
}

static void executable_constants(void **state)
{
	(void)state;
	segment(RODATA)->p_flags |= PF_X;
	refused(-EPERM, "constants: wrong permissions");
}

static void unwritable_shared(void **state)
{
	(void)state;
	segment(SHARED)->p_flags = PF_R;
	refused(-EPERM, "shared data: wrong permissions");
}

static void elsewhere(void **state)
{
	(void)state;
	segment(DATA)->p_vaddr = 0x400000;
	refused(-ERANGE, "0x400000");
}

static void twice(void **state)
{
	(void)state;
	*segment(STACK) = *segment(RODATA);
	refused(-ERANGE, "two segments");
}

static void too_large(void **state)
{
	(void)state;
	segment(DATA)->p_memsz = ELISA_DATA_MAX + 1;
	refused(-EFBIG, "data");
}

static void segment_outside(void **state)
{
	(void)state;
	segment(CODE)->p_offset = good_size;
	refused(-ELIBBAD, "segment");
}

static void more_in_file(void **state)
{
	(void)state;
	segment(CODE)->p_memsz = segment(CODE)->p_filesz - 1;
	refused(-ELIBBAD, "segment");
}

static void headers_outside(void **state)
{
	(void)state;
	header()->e_phoff = ~0ul - 8;
	refused(-ELIBBAD, "program headers");
}

static void sections_outside(void **state)
{
	(void)state;
	header()->e_shoff = ~0ul - 8;
	refused(-ELIBBAD, "section headers");
}

static void note_too_long(void **state)
{
	(void)state;
	note()->n_descsz = ~0u;
	refused(-ELIBBAD, "note");
}

static void no_functions(void **state)
{
	(void)state;
	note_table()[1] = note_table()[0];
	refused(-ENODATA, "offers no function");
}

static void table_outside(void **state)
{
	(void)state;
	note_table()[1] += 1000 * sizeof(struct elisa_function_entry);
	refused(-ELIBBAD, "table of functions");
}

static void table_backwards(void **state)
{
	(void)state;
	note_table()[0] += 4 * sizeof(struct elisa_function_entry);
	refused(-ELIBBAD, "table of functions");
}

static void outside_code(void **state)
{
	(void)state;
	function(1)->address = ELISA_BASE + ELISA_CODE_OFFSET + segment(CODE)->p_filesz;
	refused(-EFAULT, "not in the code");
}

static void endless_name(void **state)
{
	(void)state;
	memset(function(1)->name, 'x', ELISA_NAME_MAX);
	refused(-ENAMETOOLONG, "does not end");
}

static void no_name(void **state)
{
	(void)state;
	function(1)->name[0] = 0;
	refused(-EINVAL, "no name");
}

static void same_name(void **state)
{
	(void)state;
	memcpy(function(1)->name, function(0)->name, ELISA_NAME_MAX);
	refused(-EEXIST, "two functions");
}

/* Built wrong, rather than changed. */
static void built(const char *path, int error, const char *part)
{
	struct elisa_image image;
	char reason[160];
	size_t size;
	char *data = read_file(path, &size);

	assert_int_equal(elisa_image_parse(data, size, &image, reason, sizeof(reason)), error);
	assert_non_null(strstr(reason, part));
	free(data);
}

static void built_with_too_many(void **state)
{
	(void)state;
	built(many_path, -E2BIG, "256");
}

static void built_with_none(void **state)
{
	(void)state;
	built(none_path, -ENODATA, "ELISA_ENTRY");
}

static void an_ordinary_program(void **state)
{
	(void)state;
	built("/proc/self/exe", -ELIBEXEC, "-pie");
}

static void truncated(void **state)
{
	char reason[160];

	(void)state;
	for (size_t size = 0; size < good_size; size += 7) {
		int error = parse(size, reason);

		assert_true(error < 0);
		assert_true(reason[0]);
	}
}

/* Bytes at random in what is parsed: it ends, and a sanitizer is content. */
static void damaged(void **state)
{
	uint64_t random = 1;
	char reason[160];

	(void)state;
	for (unsigned int round = 0; round < 20000; round++) {
		memcpy(file, good, good_size);
		for (unsigned int i = 0; i < 1 + round % 8; i++) {
			random = random * 6364136223846793005 + 1442695040888963407;
			/* Mostly headers, notes and tables. */
			size_t at = (random >> 20) % (round % 2 ? 512 : good_size);
			if (round % 3 == 0)
				at = segment(RODATA)->p_offset % good_size + (random >> 20) % 512;
			if (at < good_size)
				file[at] = (char)(random >> 56);
		}
		parse(good_size, reason);
	}
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int count, char **arguments)
{
	const struct CMUnitTest tests[] = {
		CASE(accepts),
		CASE(not_elf),
		CASE(other_cpu),
		CASE(other_class),
		CASE(library),
		CASE(object_file),
		CASE(without_kit),
		CASE(other_kit),
		CASE(dynamic),
		CASE(interpreter),
		CASE(thread_local),
		CASE(relocations),
		CASE(writable_code),
		CASE(writable_constants),
		CASE(executable_constants),
		CASE(unwritable_shared),
		CASE(elsewhere),
		CASE(twice),
		CASE(too_large),
		CASE(segment_outside),
		CASE(more_in_file),
		CASE(headers_outside),
		CASE(sections_outside),
		CASE(note_too_long),
		CASE(no_functions),
		CASE(table_outside),
		CASE(table_backwards),
		CASE(outside_code),
		CASE(endless_name),
		CASE(no_name),
		CASE(same_name),
		CASE(undefined),
		CASE(built_with_too_many),
		CASE(built_with_none),
		CASE(an_ordinary_program),
		CASE(truncated),
		CASE(damaged),
	};

	(void)count;
	(void)arguments;
	good_path = IMAGE_COUNTER;
	many_path = IMAGE_MANY;
	none_path = IMAGE_NONE;
	good = read_file(good_path, &good_size);
	count = cmocka_run_group_tests(tests, NULL, NULL);
	free(good);
	return count;
}
