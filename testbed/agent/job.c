// SPDX-License-Identifier: MIT
#include "job.h"
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define JOBS 256
#define JOB_DIR "/run/testbed"

struct job {
	pid_t pid; /* 0: free */
	uint32_t id;
};

static struct job jobs[JOBS];
static uint32_t next_id = 1;
static sigset_t child_signal;

int job_init(void)
{
	if (mkdir(JOB_DIR, 0700) && errno != EEXIST)
		return -errno;
	sigemptyset(&child_signal);
	sigaddset(&child_signal, SIGCHLD);
	return sigprocmask(SIG_BLOCK, &child_signal, NULL) ? -errno : 0;
}

static void output_path(char *path, size_t size, uint32_t id, const char *stream)
{
	snprintf(path, size, JOB_DIR "/%u.%s", id, stream);
}

static struct job *job_find(uint32_t id)
{
	for (struct job *job = jobs; job < jobs + JOBS; job++)
		if (job->pid && job->id == id)
			return job;
	return NULL;
}

static void redirect(uint32_t id, const char *stream, int fd)
{
	char path[64];
	int file;

	output_path(path, sizeof(path), id, stream);
	file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
	if (file < 0 || dup2(file, fd) < 0)
		_exit(127);
	close(file);
}

static void run(uint32_t id, const char *command)
{
	int null = open("/dev/null", O_RDONLY);

	setsid();
	sigprocmask(SIG_UNBLOCK, &child_signal, NULL);
	if (null < 0 || dup2(null, 0) < 0)
		_exit(127);
	redirect(id, "out", 1);
	redirect(id, "err", 2);
	close_range(3, ~0U, 0);
	execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	_exit(127);
}

struct message *job_spawn(const char *command)
{
	struct job *job = jobs;
	struct message *reply;

	while (job < jobs + JOBS && job->pid)
		job++;
	if (job == jobs + JOBS)
		return message_new(EAGAIN, 0);
	job->id = next_id++;
	job->pid = fork();
	if (job->pid < 0) {
		job->pid = 0;
		return message_new(errno, 0);
	}
	if (job->pid == 0)
		run(job->id, command);
	reply = message_new(0, 0);
	reply->a = job->id;
	return reply;
}

static struct message *job_output(uint32_t op, uint32_t id)
{
	char path[64];
	struct message *out, *err, *reply;
	uint32_t out_length;

	output_path(path, sizeof(path), id, "out");
	out = file_read(path, 0, MESSAGE_MAX / 4);
	output_path(path, sizeof(path), id, "err");
	err = file_read(path, 0, MESSAGE_MAX / 4);
	out_length = out->length;
	reply = message_new(op, sizeof(out_length) + out->length + err->length);
	memcpy(reply->data, &out_length, sizeof(out_length));
	memcpy(reply->data + sizeof(out_length), out->data, out->length);
	memcpy(reply->data + sizeof(out_length) + out->length, err->data, err->length);
	free(out);
	free(err);
	return reply;
}

struct message *job_wait(uint32_t id, uint32_t limit_ms)
{
	struct job *job = job_find(id);
	struct message *reply;
	struct timespec now, deadline;
	int status;

	if (!job)
		return message_new(ESRCH, 0);
	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += limit_ms / 1000;
	deadline.tv_nsec += limit_ms % 1000 * 1000000L;
	while (waitpid(job->pid, &status, WNOHANG) == 0) {
		struct timespec left;
		int64_t left_ns;

		clock_gettime(CLOCK_MONOTONIC, &now);
		left_ns = (deadline.tv_sec - now.tv_sec) * 1000000000LL + deadline.tv_nsec - now.tv_nsec;
		if (left_ns <= 0)
			return job_output(ETIMEDOUT, id);
		left = (struct timespec){ left_ns / 1000000000, left_ns % 1000000000 };
		/* Any child's end wakes us; which one it was is asked above. */
		sigtimedwait(&child_signal, NULL, &left);
	}
	job->pid = 0;
	reply = job_output(0, id);
	reply->a = WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
	for (const char **stream = (const char *[]){ "out", "err", NULL }; *stream; stream++) {
		char path[64];

		output_path(path, sizeof(path), id, *stream);
		unlink(path);
	}
	return reply;
}

struct message *job_kill(uint32_t id, uint32_t signal)
{
	struct job *job = job_find(id);
	int error;

	if (!job)
		return message_new(ESRCH, 0);
	error = kill(-job->pid, signal) ? errno : 0;
	if (error == ESRCH) /* it has not come to its setsid() yet, and is alone */
		error = kill(job->pid, signal) ? errno : 0;
	return message_new(error, 0);
}
