// SPDX-License-Identifier: MIT
/* The client's end, apart from the calls themselves (call.S). */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../include/uapi/elisa/hypercall.h"
#include "call.h"
#include "internal.h"

_Static_assert(offsetof(struct elisa_function, slot) == CALL_SLOT, "call.S");
_Static_assert(offsetof(struct elisa_function, index) == CALL_INDEX, "call.S");
_Static_assert(offsetof(struct elisa_function, enter) == CALL_ENTER, "call.S");
_Static_assert(ELISA_HYPERCALL_CALL == CALL_HYPERCALL, "call.S");
_Static_assert((int)ELISA_BY_GATE == ELISA_SCHEME_GATE && (int)ELISA_BY_VMCALL == ELISA_SCHEME_VMCALL &&
		       (int)ELISA_BY_DIRECT == ELISA_SCHEME_DIRECT &&
		       (int)ELISA_BUFFER_READ_ONLY == ELISA_SHARE_READ_ONLY &&
		       (int)ELISA_BUFFER_EXCHANGE == ELISA_SHARE_EXCHANGE,
	       "handed on as they are");

#define STUB_START ((void *)(ELISA_GATE - ELISA_PAGE))
#define STUB_SIZE (3 * ELISA_PAGE)

/*
 * Where this thread goes, by scheme. Initial-exec: their distance from the thread pointer is the same in all threads. A
 * child of fork() keeps what its parent could, as the right to mask interrupts survives with it.
 */
typedef void (*enter_fn)(void);
#define BY_IOCTL 3 /* ELISA_BY_VMCALL of a process of the host */
static _Thread_local enter_fn enter[4] __attribute__((tls_model("initial-exec"))) = {
	[ELISA_BY_GATE] = elisa_call_first,
	[ELISA_BY_VMCALL] = elisa_call_vmcall,
	[ELISA_BY_DIRECT] = elisa_call_direct,
	[BY_IOCTL] = elisa_call_ioctl,
};

/*
 * The stub's pages serve all attachments. They belong to an open file of their own, as a mapping of an attachment's
 * would keep that attachment alive.
 */
static pthread_mutex_t stub_lock = PTHREAD_MUTEX_INITIALIZER; /* protects stub_users, and the mapping */
static unsigned int stub_users;

static int map_stub(void)
{
	void *at;
	int error = 0, fd;

	fd = elisa_open(0);
	if (fd < 0)
		return fd;
	at = mmap(STUB_START, STUB_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, ELISA_MMAP_STUB);
	if (at == MAP_FAILED) {
		error = elisa_fail(-errno, "cannot map the stub at %p: %s", STUB_START, strerror(errno));
	} else if (at != STUB_START) { /* a kernel that does not know MAP_FIXED_NOREPLACE */
		munmap(at, STUB_SIZE);
		error = elisa_fail(-EEXIST, "something of this process lies at %p", STUB_START);
	}
	close(fd);
	return error;
}

static int get_stub(void)
{
	int error = 0;

	pthread_mutex_lock(&stub_lock);
	if (!stub_users)
		error = map_stub();
	if (!error)
		stub_users++;
	pthread_mutex_unlock(&stub_lock);
	return error;
}

static void put_stub(void)
{
	pthread_mutex_lock(&stub_lock);
	if (!--stub_users)
		munmap(STUB_START, STUB_SIZE);
	pthread_mutex_unlock(&stub_lock);
}

long elisa_thread_prepare(const struct elisa_function *function)
{
	int error = elisa_ioctl(function->attachment->fd, ELISA_IOC_THREAD, NULL);

	if (!error)
		enter[ELISA_BY_GATE] = (enter_fn)ELISA_STUB;
	return error;
}

long elisa_call_by_ioctl(const struct elisa_function *function, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3,
			 uint64_t a4)
{
	struct elisa_ioc_call call = { .size = sizeof(call),
				       .function = function->index,
				       .arguments = { a0, a1, a2, a3, a4 } };

	return ioctl(function->attachment->fd, ELISA_IOC_CALL, &call) ? -errno : call.result;
}

/* Attaches; `attach` is what was answered. */
static int attach_by(struct elisa_attachment **attachment, const char *name, enum elisa_scheme scheme,
		     struct elisa_ioc_attach *attach)
{
	struct elisa_attachment *new;
	int error;

	*attach = (struct elisa_ioc_attach){ .size = sizeof(*attach), .scheme = scheme };
	error = elisa_name(attach->name, name);
	if (error)
		return error;
	new = calloc(1, sizeof(*new));
	if (!new)
		return elisa_fail(-ENOMEM, "no memory");
	new->scheme = scheme;
	/* Of several threads that wait, one reads what woke them all. */
	new->fd = elisa_open(O_NONBLOCK);
	if (new->fd < 0) {
		error = new->fd;
		goto free;
	}
	error = elisa_ioctl(new->fd, ELISA_IOC_ATTACH, attach);
	if (!error && scheme == ELISA_BY_GATE)
		error = get_stub();
	if (error)
		goto close;
	new->slot = attach->slot;
	new->writable = !!attach->writable;
	new->number = attach->attachment;
	new->by_ioctl = !!attach->by_ioctl;
	*attachment = new;
	return 0;

close:
	close(new->fd);
free:
	free(new);
	return error;
}

int elisa_attach(struct elisa_attachment **attachment, const char *name, enum elisa_scheme scheme)
{
	struct elisa_ioc_attach attach;

	if (scheme != ELISA_BY_GATE && scheme != ELISA_BY_VMCALL)
		return elisa_fail(-EINVAL, "no such scheme (ELISA_BY_DIRECT: use elisa_attach_direct)");
	return attach_by(attachment, name, scheme, &attach);
}

/* Apart from the others, so that only who calls it links what reads ELF files. */
int elisa_attach_direct(struct elisa_attachment **attachment, const char *name, const char *path)
{
	struct elisa_ioc_attach attach;
	struct elisa_attachment *new;
	int error;

	error = attach_by(&new, name, ELISA_BY_DIRECT, &attach);
	if (error)
		return error;
	error = elisa_direct_map(&new->direct, new->fd, &attach, path);
	if (error)
		elisa_detach(new);
	else
		*attachment = new;
	return error;
}

int elisa_function_find(struct elisa_attachment *attachment, const char *name, struct elisa_function *function)
{
	struct elisa_ioc_function find = { .size = sizeof(find) };
	int error;

	error = elisa_name(find.name, name);
	if (error)
		return error;
	if (attachment->scheme == ELISA_BY_DIRECT)
		error = elisa_direct_find(attachment->direct, name, &find.index);
	else
		error = elisa_ioctl(attachment->fd, ELISA_IOC_FUNCTION, &find);
	if (error)
		return error;
	*function = (struct elisa_function){
		.slot = attachment->scheme == ELISA_BY_GATE ? ELISA_GATE_SLOT(attachment->slot) : attachment->slot,
		.index = find.index,
		.enter = (char *)&enter[attachment->by_ioctl ? BY_IOCTL : (int)attachment->scheme] -
			 (char *)__builtin_thread_pointer(),
		.attachment = attachment,
	};
	return 0;
}

int elisa_share(struct elisa_attachment *attachment, void *address, size_t bytes, unsigned int flags, uint32_t *buffer)
{
	struct elisa_ioc_share share = {
		.size = sizeof(share),
		.flags = flags,
		.address = (uintptr_t)address,
		.bytes = bytes,
	};
	int error;

	if (attachment->scheme == ELISA_BY_DIRECT)
		return elisa_direct_share(attachment->direct, address, bytes, flags, buffer);
	error = elisa_ioctl(attachment->fd, ELISA_IOC_SHARE, &share);
	if (!error)
		*buffer = share.buffer;
	return error;
}

int elisa_unshare(struct elisa_attachment *attachment, uint32_t buffer)
{
	struct elisa_ioc_unshare unshare = { .size = sizeof(unshare), .buffer = buffer };

	if (attachment->scheme == ELISA_BY_DIRECT)
		return elisa_direct_unshare(attachment->direct, buffer);
	return elisa_ioctl(attachment->fd, ELISA_IOC_UNSHARE, &unshare);
}

int elisa_wait(struct elisa_attachment *attachment, int limit_ms)
{
	struct pollfd ready = { .fd = attachment->fd, .events = POLLIN };
	uint64_t woken;
	int count;

	if (attachment->scheme == ELISA_BY_DIRECT)
		return elisa_fail(-EOPNOTSUPP, "with direct mapping there is nobody to wake this process");
	count = poll(&ready, 1, limit_ms);
	if (count < 0)
		return elisa_fail(-errno, "waiting: %s", strerror(errno));
	if (!count)
		return elisa_fail(-ETIMEDOUT, "nobody has woken this process for %d ms", limit_ms);
	/* Others of the process may have read it first, which is as good. */
	if (read(attachment->fd, &woken, sizeof(woken)) < 0 && errno != EAGAIN)
		return elisa_fail(-errno, "waiting: %s", strerror(errno));
	return 0;
}

int elisa_attachment_fd(const struct elisa_attachment *attachment)
{
	return attachment->fd;
}

uint32_t elisa_attachment_number(const struct elisa_attachment *attachment)
{
	return attachment->number;
}

int elisa_attachment_writable(const struct elisa_attachment *attachment)
{
	return attachment->writable;
}

void elisa_detach(struct elisa_attachment *attachment)
{
	if (!attachment)
		return;
	if (attachment->scheme == ELISA_BY_GATE)
		put_stub();
	elisa_direct_unmap(attachment->direct);
	close(attachment->fd);
	free(attachment);
}
