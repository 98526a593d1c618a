// SPDX-License-Identifier: GPL-2.0-only
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt
#include "file.h"

#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/sched/task_stack.h>
#include <linux/security.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>

#include "attachment.h"
#include "interrupt.h"
#include "memory.h"
#include "object.h"
#include "stub.h"

struct elisa_file {
	struct mutex lock;
	/* The file's role: at most one is set, once. */
	struct elisa_object *object;
	struct elisa_attachment *attachment;
	atomic64_t seen; /* how often its client has been woken, as far as it knows */
	struct list_head buffers;
	spinlock_t reason_lock;  /* reason; taken last */
	struct elisa_why reason; /* of the last error */
};

union argument {
	u32 size;
	struct elisa_ioc_create create;
	struct elisa_ioc_memory memory;
	struct elisa_ioc_code code;
	struct elisa_ioc_publish publish;
	struct elisa_ioc_grant grant;
	struct elisa_ioc_answer answer;
	struct elisa_ioc_attach attach;
	struct elisa_ioc_function function;
	struct elisa_ioc_share share;
	struct elisa_ioc_unshare unshare;
	struct elisa_ioc_reason reason;
	struct elisa_ioc_stats stats;
	struct elisa_ioc_list list;
};

/* What a file must be for an ioctl. */
enum role { NOTHING_YET, OBJECT, ATTACHMENT, ANYTHING };

static int create(struct elisa_file *file, union argument *argument, struct elisa_why *why)
{
	struct elisa_object *object;
	int error = elisa_object_create(&object, &argument->create, why);

	/* For read(), poll() and mmap(), which take no lock. */
	if (!error)
		smp_store_release(&file->object, object);
	return error;
}

static int memory(struct elisa_file *file, union argument *argument, struct elisa_why *why)
{
	return elisa_object_set_memory(file->object, &argument->memory, why);
}

static int code(struct elisa_file *file, union argument *argument, struct elisa_why *why)
{
	return elisa_object_set_code(file->object, &argument->code, why);
}

static int publish(struct elisa_file *file, union argument *argument, struct elisa_why *why)
{
	return elisa_object_publish(file->object, &argument->publish, why);
}

static int grant(struct elisa_file *file, union argument *argument, struct elisa_why *why)
{
	return elisa_object_grant(file->object, &argument->grant, why);
}

static int answer(struct elisa_file *file, union argument *argument, struct elisa_why *why)
{
	return elisa_object_answer(file->object, &argument->answer, why);
}

static int withdraw(struct elisa_file *file, union argument *argument, struct elisa_why *why)
{
	return elisa_object_withdraw(file->object, why);
}

static int attach(struct elisa_file *file, union argument *argument, struct elisa_why *why)
{
	struct elisa_attachment *attachment;
	int error = elisa_attachment_get(&attachment, &argument->attach, why);

	atomic64_set(&file->seen, elisa_interrupt_count());
	if (!error)
		smp_store_release(&file->attachment, attachment);
	return error;
}

static int function(struct elisa_file *file, union argument *argument, struct elisa_why *why)
{
	return elisa_attachment_function(file->attachment, &argument->function, why);
}

/* What iopl(3) did before Linux emulated it. Lasts for the thread and its children, until exec. */
static int thread(struct elisa_file *file, union argument *argument, struct elisa_why *why)
{
	int error = security_locked_down(LOCKDOWN_IOPORT);

	if (error)
		return elisa_refuse(why, error, "the kernel is locked down: no process may mask interrupts");
	task_pt_regs(current)->flags |= X86_EFLAGS_IOPL;
	return 0;
}

static int share(struct elisa_file *file, union argument *argument, struct elisa_why *why)
{
	return elisa_attachment_share(file->attachment, &file->buffers, &argument->share, why);
}

static int unshare(struct elisa_file *file, union argument *argument, struct elisa_why *why)
{
	return elisa_attachment_unshare(file->attachment, &file->buffers, argument->unshare.buffer, why);
}

static int reason(struct elisa_file *file, union argument *argument, struct elisa_why *why)
{
	if (argument->reason.reserved)
		return -EINVAL;
	spin_lock(&file->reason_lock);
	memcpy(argument->reason.text, file->reason.text, sizeof(argument->reason.text));
	spin_unlock(&file->reason_lock);
	return 0;
}

static int stats(struct elisa_file *file, union argument *argument, struct elisa_why *why)
{
	argument->stats = (struct elisa_ioc_stats){
		.objects = elisa_objects_count(),
		.attachments = elisa_attachments_count(),
		.pinned_pages = elisa_memory_pinned(),
		.allocated_pages = elisa_memory_copied() + ELISA_STUB_PAGES,
	};
	return 0;
}

static int list(struct elisa_file *file, union argument *argument, struct elisa_why *why)
{
	return elisa_refuse(why, -EOPNOTSUPP, "a guest has no list: it is the host's");
}

/* All ioctls. A structure may be shorter than ours, down to what it was at first, or longer with zeros. */
#define ENTRY(name, role, type, last, handle)                                                       \
	{                                                                                           \
		ELISA_IOC_##name, role, sizeof(struct type), offsetofend(struct type, last), handle \
	}
static const struct entry {
	unsigned int command;
	enum role role;
	size_t size, least;
	int (*handle)(struct elisa_file *file, union argument *argument, struct elisa_why *why);
} entries[] = {
	ENTRY(CREATE, NOTHING_YET, elisa_ioc_create, flags, create),
	ENTRY(MEMORY, OBJECT, elisa_ioc_memory, bytes, memory),
	ENTRY(CODE, OBJECT, elisa_ioc_code, data_bytes, code),
	ENTRY(PUBLISH, OBJECT, elisa_ioc_publish, name, publish),
	ENTRY(GRANT, OBJECT, elisa_ioc_grant, rights, grant),
	ENTRY(ANSWER, OBJECT, elisa_ioc_answer, bytes, answer),
	{ ELISA_IOC_WITHDRAW, OBJECT, 0, 0, withdraw },
	ENTRY(ATTACH, NOTHING_YET, elisa_ioc_attach, memory_bytes, attach),
	ENTRY(FUNCTION, ATTACHMENT, elisa_ioc_function, name, function),
	{ ELISA_IOC_THREAD, ATTACHMENT, 0, 0, thread },
	ENTRY(SHARE, ATTACHMENT, elisa_ioc_share, reserved, share),
	ENTRY(UNSHARE, ATTACHMENT, elisa_ioc_unshare, buffer, unshare),
	ENTRY(REASON, ANYTHING, elisa_ioc_reason, text, reason),
	ENTRY(STATS, ANYTHING, elisa_ioc_stats, allocated_pages, stats),
	ENTRY(LIST, ANYTHING, elisa_ioc_list, name, list),
};

/* The size in a command's number is that of its structure when the caller was built. */
static const struct entry *find_entry(unsigned int command)
{
	const unsigned int size = _IOC_SIZEMASK << _IOC_SIZESHIFT;

	for (unsigned int i = 0; i < ARRAY_SIZE(entries); i++)
		if ((entries[i].command & ~size) == (command & ~size))
			return entries + i;
	return NULL;
}

static int copy_in(const struct entry *entry, union argument *argument, void __user *user, u32 *size,
		   struct elisa_why *why)
{
	int error;

	if (get_user(*size, (u32 __user *)user))
		return elisa_refuse(why, -EFAULT, "no structure at %#lx", (unsigned long)user);
	if (*size < entry->least || *size > PAGE_SIZE)
		return elisa_refuse(why, -EINVAL, "a structure of %u bytes; the driver's has %zu", *size, entry->size);
	error = copy_struct_from_user(argument, entry->size, user, *size);
	if (error == -E2BIG)
		return elisa_refuse(why, error, "the driver is too old for what is asked (%u bytes, it knows %zu)",
				    *size, entry->size);
	if (error)
		return elisa_refuse(why, error, "no structure of %u bytes", *size);
	/* Ours from here on, whatever the caller has changed it to since. */
	argument->size = entry->size;
	return 0;
}

static int copy_out(const struct entry *entry, union argument *argument, void __user *user, u32 size,
		    struct elisa_why *why)
{
	argument->size = size;
	if (copy_to_user(user, argument, min_t(size_t, size, entry->size)))
		return elisa_refuse(why, -EFAULT, "the answer cannot be written");
	return 0;
}

static int check_role(const struct elisa_file *file, enum role wanted, struct elisa_why *why)
{
	if (wanted == NOTHING_YET && (file->object || file->attachment))
		return elisa_refuse(why, -EBUSY, "this file is an %s already", file->object ? "object" : "attachment");
	if (wanted == OBJECT && !file->object)
		return elisa_refuse(why, -EINVAL, "this file is no object");
	if (wanted == ATTACHMENT && !file->attachment)
		return elisa_refuse(why, -EINVAL, "this file is no attachment");
	return 0;
}

static int carry_out(struct elisa_file *file, const struct entry *entry, union argument *argument,
		     struct elisa_why *why)
{
	int error;

	/* These need no role and no lock, so that they answer while the file waits for a manager. */
	if (entry->role == ANYTHING)
		return entry->handle(file, argument, why);
	error = mutex_lock_interruptible(&file->lock);
	if (error)
		return error;
	error = check_role(file, entry->role, why);
	if (!error)
		error = entry->handle(file, argument, why);
	mutex_unlock(&file->lock);
	return error;
}

/* Keeps the reason for ELISA_IOC_REASON, and for the log. */
static long explain(struct elisa_file *file, long error, const struct elisa_why *why)
{
	if (error >= 0)
		return error;
	spin_lock(&file->reason_lock);
	file->reason = *why; /* empty: no older one is taken for this one's */
	spin_unlock(&file->reason_lock);
	if (why->text[0])
		pr_notice_ratelimited("%s: %s\n", current->comm, why->text);
	return error;
}

static long control(struct file *filp, unsigned int command, unsigned long user)
{
	const struct entry *entry = find_entry(command);
	struct elisa_file *file = filp->private_data;
	struct elisa_why why = {};
	union argument argument = {};
	int error = 0;
	u32 size = 0;

	if (!entry)
		return -ENOTTY;
	if (entry->size)
		error = copy_in(entry, &argument, (void __user *)user, &size, &why);
	if (!error)
		error = carry_out(file, entry, &argument, &why);
	if (!error && _IOC_DIR(entry->command) & _IOC_READ)
		error = copy_out(entry, &argument, (void __user *)user, size, &why);
	return explain(file, error, &why);
}

/* How often the client was woken since it last asked. */
static ssize_t read_woken(struct elisa_file *file, char __user *to, size_t bytes, bool wait, struct elisa_why *why)
{
	u64 seen = atomic64_read(&file->seen), now;
	int error;

	if (bytes < sizeof(now))
		return elisa_refuse(why, -EINVAL, "a count has %zu bytes", sizeof(now));
	error = elisa_interrupt_wait(seen, wait, &now);
	if (error == -EOPNOTSUPP)
		return elisa_refuse(why, error, "this kernel has no interrupt to wake clients by");
	if (error)
		return error;
	atomic64_set(&file->seen, now);
	now -= seen;
	if (copy_to_user(to, &now, sizeof(now)))
		return elisa_refuse(why, -EFAULT, "the count cannot be written to %#lx", (unsigned long)to);
	return sizeof(now);
}

static ssize_t read(struct file *filp, char __user *to, size_t bytes, loff_t *offset)
{
	struct elisa_file *file = filp->private_data;
	struct elisa_object *object = smp_load_acquire(&file->object);
	bool wait = !(filp->f_flags & O_NONBLOCK);
	struct elisa_why why = {};

	if (smp_load_acquire(&file->attachment))
		return explain(file, read_woken(file, to, bytes, wait, &why), &why);
	if (!object)
		return explain(file, elisa_refuse(&why, -EINVAL, "this file is neither object nor attachment"), &why);
	return explain(file, elisa_object_read(object, to, bytes, wait, &why), &why);
}

static __poll_t poll(struct file *filp, struct poll_table_struct *table)
{
	struct elisa_file *file = filp->private_data;
	struct elisa_object *object = smp_load_acquire(&file->object);

	if (smp_load_acquire(&file->attachment))
		return elisa_interrupt_poll(atomic64_read(&file->seen), filp, table);
	return object ? elisa_object_poll(object, filp, table) : EPOLLERR;
}

static int map(struct file *filp, struct vm_area_struct *vma)
{
	struct elisa_file *file = filp->private_data;
	struct elisa_attachment *attachment = smp_load_acquire(&file->attachment);
	u64 offset = (u64)vma->vm_pgoff << PAGE_SHIFT;
	struct elisa_why why = {};
	int error;

	if (offset == ELISA_MMAP_STUB) /* the same for all attachments: before there is one, too */
		error = elisa_stub_mmap(vma, &why);
	else if (offset < ELISA_MMAP_MEMORY)
		error = elisa_refuse(&why, -EINVAL, "there is nothing to map at %#llx", offset);
	else if (!attachment)
		error = elisa_refuse(&why, -EINVAL, "this file is no attachment");
	else
		error = elisa_attachment_mmap(attachment, vma, offset - ELISA_MMAP_MEMORY, &why);
	return explain(file, error, &why);
}

static int open(struct inode *inode, struct file *filp)
{
	struct elisa_file *file = kzalloc(sizeof(*file), GFP_KERNEL_ACCOUNT);

	if (!file)
		return -ENOMEM;
	mutex_init(&file->lock);
	spin_lock_init(&file->reason_lock);
	INIT_LIST_HEAD(&file->buffers);
	filp->private_data = file;
	return stream_open(inode, filp);
}

/* Nobody else has the file: no ioctl is under way, nothing of it is mapped. */
static int release(struct inode *inode, struct file *filp)
{
	struct elisa_file *file = filp->private_data;

	if (file->attachment) {
		elisa_attachment_unshare_all(file->attachment, &file->buffers);
		elisa_attachment_put(file->attachment);
	}
	if (file->object)
		elisa_object_close(file->object);
	mutex_destroy(&file->lock);
	kfree(file);
	return 0;
}

const struct file_operations elisa_file_operations = {
	.owner = THIS_MODULE,
	.open = open,
	.release = release,
	.unlocked_ioctl = control,
	.read = read,
	.poll = poll,
	.mmap = map,
};
