/* SPDX-License-Identifier: MIT */
/* Requirements, one after another. */
#ifndef DOCTOR_H
#define DOCTOR_H

#include <stdio.h>

#include "elisactl.h"

enum answer { NO, YES, UNKNOWN };

/* WANTED: something is worse without it, but works. */
enum need { NEEDED, WANTED };

/* Notes one requirement: its name, how it stands, and what to do about a no. */
void elisactl_note(const char *name, enum need need, enum answer answer, const char *remedy, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

void elisactl_doctor_host(void);
void elisactl_doctor_guest(void);
/* In both: the module NAME, its device, memory that may be pinned. */
void elisactl_doctor_module(const char *name);
void elisactl_doctor_device(const char *module);
void elisactl_doctor_memory(void);

/* --- facts.c: all files are below elisactl_root. */

bool elisactl_exists(const char *path);
/* The first line of a file, or NULL; static until the next call. */
const char *elisactl_line(const char *path);
/* Whether a line of the file has TEXT in it; UNKNOWN: it cannot be read. */
enum answer elisactl_file_has(const char *path, const char *text);
/* Whether the first CPU's FIELD ("flags", "vmx flags", "vendor_id") in /proc/cpuinfo has WORD. */
enum answer elisactl_cpu_has(const char *field, const char *word);
/* The hypervisor's signature, "" if there is none. Static. */
const char *elisactl_hypervisor(void);
/* A file's stream, or NULL. */
FILE *elisactl_file(const char *path);

#endif
