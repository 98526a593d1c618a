/* SPDX-License-Identifier: MIT */
#ifndef CODE_CHECK_LOAD_H
#define CODE_CHECK_LOAD_H

#include "check.h"
#include "image.h"

struct loaded {
	struct elisa_image image;
	struct code code;                /* points into the image */
	struct code_function *functions; /* of the code, with names of their own */
};

/*
 * Takes the code out of an image, with the functions that it offers and those that its symbols name. 0, or -errno and
 * the reason, which is valid until the next call.
 */
int code_load(const char *path, struct loaded *loaded, const char **reason);
void code_unload(struct loaded *loaded);

#endif
