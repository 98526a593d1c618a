/* SPDX-License-Identifier: MIT */
/* Commands that the agent runs: each one a process group with its output in files. */
#ifndef TESTBED_JOB_H
#define TESTBED_JOB_H

#include "message.h"

int job_init(void);
struct message *job_spawn(const char *command);
struct message *job_wait(uint32_t id, uint32_t limit_ms);
struct message *job_kill(uint32_t id, uint32_t signal);

#endif
