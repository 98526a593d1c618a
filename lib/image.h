/* SPDX-License-Identifier: MIT */
/*
 * Trusted code as an ELF file: checked, and taken apart. The kit's linker script (sub/link.ld) lays it out.
 *
 * | errno            | the file                                                                  |
 * |------------------|---------------------------------------------------------------------------|
 * | ENOEXEC          | is not ELF                                                                |
 * | ELIBBAD          | ends too early, or contradicts itself                                     |
 * | EOPNOTSUPP       | is for another CPU                                                        |
 * | ELIBEXEC         | is not a program linked for a fixed address                               |
 * | ENOMSG           | was not built with the kit                                                |
 * | EPROTONOSUPPORT  | was built with another version of the kit                                 |
 * | ELIBACC          | needs libraries, relocations or thread-local storage                      |
 * | ENOLINK          | has an undefined symbol                                                   |
 * | EACCES           | has a segment that is writable and executable                             |
 * | EPERM            | has a segment with other permissions than its place allows                |
 * | ERANGE           | has a segment outside of the ranges of layout.h, or two in one            |
 * | EFBIG            | has a segment that is too large                                           |
 * | ENODATA          | offers no function                                                        |
 * | E2BIG            | offers more than ELISA_FUNCTIONS_MAX                                      |
 * | EINVAL           | offers a function without a name                                          |
 * | ENAMETOOLONG     | offers a function whose name does not end                                 |
 * | EEXIST           | offers two functions of one name                                          |
 * | EFAULT           | offers a function that is not in its code                                 |
 */
#ifndef ELISA_IMAGE_H
#define ELISA_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "../include/uapi/elisa/elisa.h"

enum elisa_part {
	ELISA_PART_CODE,
	ELISA_PART_RODATA,
	ELISA_PART_DATA,   /* of each attachment */
	ELISA_PART_SHARED, /* the first of the object's memory */
	ELISA_PARTS,
};

struct elisa_segment {
	const void *data;    /* within the file */
	uint64_t file_bytes; /* of data; what follows is zero */
	uint64_t bytes;      /* in memory, whole pages; 0: there is none */
};

struct elisa_image {
	const void *file;
	size_t size;
	struct elisa_segment part[ELISA_PARTS];
	const void *table; /* struct elisa_function_entry[functions], perhaps not aligned */
	uint32_t functions;
};

/*
 * Checks a file in memory, however hostile, and fills the image, which points into it. The file is only read, and
 * nothing stays allocated. After an error `reason` says in a line what is wrong.
 */
int elisa_image_parse(const void *file, size_t size, struct elisa_image *image, char *reason, size_t reason_size);

/* Parses a file, which elisa_image_free() lets go of. Sets elisa_reason(). */
int elisa_image_read(const char *path, struct elisa_image *image);
void elisa_image_free(struct elisa_image *image);

/* Where each part lies, from ELISA_BASE. */
uint64_t elisa_image_offset(enum elisa_part part);

/* Writes a whole part to memory that holds its `bytes`. */
void elisa_image_copy(const struct elisa_image *image, enum elisa_part part, void *to);

/* The function's index, or -1. */
int elisa_image_function(const struct elisa_image *image, const char *name);
struct elisa_function_entry elisa_image_entry(const struct elisa_image *image, uint32_t index);

/*
 * The names of all functions in the code, also of those not offered, by rising address: `*table` is the caller's to
 * free. Names that are too long are cut, those with bytes other than printable ASCII are left out, and so are the last
 * of more than ELISA_SYMBOLS_MAX. -ENOMEM.
 */
int elisa_image_symbols(const struct elisa_image *image, struct elisa_function_entry **table, uint32_t *count);

/* The address of a variable by its name: 0, or -ENOENT. */
int elisa_image_symbol(const struct elisa_image *image, const char *name, uint64_t *address);

#endif
