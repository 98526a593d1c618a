/* SPDX-License-Identifier: MIT */
#ifndef TESTBED_FILE_H
#define TESTBED_FILE_H

#include "message.h"

/* Each answers a request; see message.h. */
struct message *file_read(const char *path, uint32_t offset, uint32_t most);
struct message *file_write(const char *path, const char *data, uint32_t length, uint32_t mode, int append);
struct message *file_expect(const char *path, const char *pattern, uint32_t offset, uint32_t limit_ms);

#endif
