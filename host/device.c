// SPDX-License-Identifier: GPL-2.0-only
/* /dev/elisa on the host: for managers, the tool, and clients for which the host executes functions. */
#include "device.h"

#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include "attachment.h"
#include "client.h"
#include "list.h"

/* An open file: a manager's object or a client, once it was made. */
struct session {
	struct mutex lock; /* one ioctl at a time; taken before elisa_lock */
	struct elisa_object *object;
	struct elisa_client *client;
	bool steward;         /* the object is another file's, opened by its name */
	struct elisa_why why; /* of the last refusal */
};

union argument {
	u32 size;
	struct elisa_ioc_create create;
	struct elisa_ioc_memory memory;
	struct elisa_ioc_code code;
	struct elisa_ioc_publish publish;
	struct elisa_ioc_grant grant;
	struct elisa_ioc_open open;
	struct elisa_ioc_answer answer;
	struct elisa_ioc_attach attach;
	struct elisa_ioc_function function;
	struct elisa_ioc_share share;
	struct elisa_ioc_unshare unshare;
	struct elisa_ioc_call call;
	struct elisa_ioc_reason reason;
	struct elisa_ioc_stats stats;
	struct elisa_ioc_list list;
};

static int create(struct session *session, union argument *argument)
{
	struct elisa_object *object;
	int error;

	mutex_lock(&elisa_lock);
	error = elisa_object_create(&object, NULL, argument->create.flags, &session->why);
	mutex_unlock(&elisa_lock);
	/* For read() and poll(), which take no lock. */
	if (!error)
		smp_store_release(&session->object, object);
	return error;
}

/* Only what is published has a name, and only the manager goes on to be told of events. */
static int open_object(struct session *session, union argument *argument)
{
	struct elisa_object *object;

	if (argument->open.reserved)
		return elisa_refuse(&session->why, -EINVAL, "a reserved field is not zero");
	if (!capable(CAP_SYS_ADMIN))
		return elisa_refuse(&session->why, -EPERM, "only host root changes objects of other managers");
	if (strnlen(argument->open.name, ELISA_NAME_MAX) == ELISA_NAME_MAX)
		return elisa_refuse(&session->why, -ENAMETOOLONG, "the name has more than %d bytes",
				    ELISA_NAME_MAX - 1);
	mutex_lock(&elisa_lock);
	object = argument->open.name[0] ? elisa_object_find(argument->open.name) : NULL;
	if (object)
		elisa_object_get(object);
	mutex_unlock(&elisa_lock);
	if (!object)
		return elisa_refuse(&session->why, -ENOENT, "there is no object %s", argument->open.name);
	session->steward = true;
	smp_store_release(&session->object, object);
	return 0;
}

static int get_memory(struct session *session, u64 address, u64 bytes, struct elisa_memory **memory)
{
	int error;

	*memory = elisa_memory_create(NULL);
	if (!*memory)
		return elisa_refuse(&session->why, -ENOMEM, "out of memory");
	error = elisa_memory_add(*memory, 0, address, bytes, &session->why);
	if (error) {
		elisa_memory_destroy(*memory);
		return error;
	}
	elisa_memory_find_file(*memory, address, bytes);
	return 0;
}

static int set_memory(struct session *session, union argument *argument)
{
	struct elisa_memory *memory;
	int error;

	if (argument->memory.reserved)
		return elisa_refuse(&session->why, -EINVAL, "a reserved field is not zero");
	error = get_memory(session, argument->memory.address, argument->memory.bytes, &memory);
	if (error)
		return error;
	mutex_lock(&elisa_lock);
	error = elisa_object_set_memory(session->object, memory, &session->why);
	mutex_unlock(&elisa_lock);
	if (error)
		elisa_memory_destroy(memory);
	return error;
}

static int set_code(struct session *session, union argument *argument)
{
	u64 bytes = elisa_code_blob_bytes(&argument->code);
	void *blob;
	int error;

	if (!bytes)
		return elisa_refuse(&session->why, -EINVAL, "the code's parts do not add up");
	blob = vmemdup_user((void __user *)(unsigned long)argument->code.blob, bytes);
	if (IS_ERR(blob))
		return elisa_refuse(&session->why, PTR_ERR(blob), "cannot read the code");
	mutex_lock(&elisa_lock);
	error = elisa_object_set_code(session->object, &argument->code, blob, bytes, &session->why);
	mutex_unlock(&elisa_lock);
	kvfree(blob);
	return error;
}

static int publish(struct session *session, union argument *argument)
{
	int error;

	if (argument->publish.reserved)
		return elisa_refuse(&session->why, -EINVAL, "a reserved field is not zero");
	mutex_lock(&elisa_lock);
	error = elisa_object_publish(session->object, argument->publish.name, &session->why);
	mutex_unlock(&elisa_lock);
	return error;
}

static int grant(struct session *session, union argument *argument)
{
	int error;

	mutex_lock(&elisa_lock);
	error = elisa_object_grant(session->object, &argument->grant, &session->why);
	mutex_unlock(&elisa_lock);
	return error;
}

static int answer(struct session *session, union argument *argument)
{
	struct elisa_memory *extra = NULL;
	int error;

	if (argument->answer.reserved)
		return elisa_refuse(&session->why, -EINVAL, "a reserved field is not zero");
	if (argument->answer.bytes && !argument->answer.error) {
		error = get_memory(session, argument->answer.address, argument->answer.bytes, &extra);
		if (error)
			return error;
	}
	mutex_lock(&elisa_lock);
	error = elisa_attachment_answer(session->object, &argument->answer, extra, &session->why);
	mutex_unlock(&elisa_lock);
	if (error)
		elisa_memory_destroy(extra);
	return error;
}

static int withdraw(struct session *session, union argument *argument)
{
	mutex_lock(&elisa_lock);
	elisa_object_withdraw(session->object, -ESHUTDOWN);
	mutex_unlock(&elisa_lock);
	return 0;
}

static int attach(struct session *session, union argument *argument)
{
	struct elisa_client *client;
	int error = elisa_client_attach(&client, &argument->attach, &session->why);

	/* For calls, read() and poll(), which take no lock. */
	if (!error)
		smp_store_release(&session->client, client);
	return error;
}

static int function(struct session *session, union argument *argument)
{
	return elisa_client_function(session->client, &argument->function, &session->why);
}

static int share(struct session *session, union argument *argument)
{
	return elisa_client_share(session->client, &argument->share, &session->why);
}

static int unshare(struct session *session, union argument *argument)
{
	return elisa_client_unshare(session->client, argument->unshare.buffer, &session->why);
}

static int thread(struct session *session, union argument *argument)
{
	return elisa_refuse(&session->why, -EOPNOTSUPP, "a process of the host enters nothing: nothing is masked");
}

static int reason(struct session *session, union argument *argument)
{
	if (argument->reason.reserved)
		return -EINVAL;
	memcpy(argument->reason.text, session->why.text, sizeof(argument->reason.text));
	return 0;
}

static int stats(struct session *session, union argument *argument)
{
	u32 size = argument->size;

	elisa_memory_settle();
	memset(argument, 0, sizeof(*argument));
	argument->stats.size = size;
	mutex_lock(&elisa_lock);
	elisa_stats_get(&argument->stats);
	mutex_unlock(&elisa_lock);
	return 0;
}

static int list(struct session *session, union argument *argument)
{
	int error;

	mutex_lock(&elisa_lock);
	error = elisa_list_next(&argument->list);
	mutex_unlock(&elisa_lock);
	return error;
}

/* What a file must be for an ioctl. */
enum role { NOTHING_YET, OBJECT, MANAGED, CLIENT, ANYTHING };

/* What the ioctls are, by number. */
static const struct operation {
	unsigned int command;
	int (*carry_out)(struct session *session, union argument *argument);
	enum role role;
} operations[] = {
	{ ELISA_IOC_CREATE, create, NOTHING_YET }, { ELISA_IOC_MEMORY, set_memory, MANAGED },
	{ ELISA_IOC_CODE, set_code, MANAGED },     { ELISA_IOC_PUBLISH, publish, MANAGED },
	{ ELISA_IOC_GRANT, grant, OBJECT },        { ELISA_IOC_ANSWER, answer, MANAGED },
	{ ELISA_IOC_WITHDRAW, withdraw, OBJECT },  { ELISA_IOC_OPEN, open_object, NOTHING_YET },
	{ ELISA_IOC_ATTACH, attach, NOTHING_YET }, { ELISA_IOC_FUNCTION, function, CLIENT },
	{ ELISA_IOC_THREAD, thread, CLIENT },      { ELISA_IOC_SHARE, share, CLIENT },
	{ ELISA_IOC_UNSHARE, unshare, CLIENT },    { ELISA_IOC_REASON, reason, ANYTHING },
	{ ELISA_IOC_STATS, stats, ANYTHING },      { ELISA_IOC_LIST, list, ANYTHING },
};

static int check_role(struct session *session, enum role wanted)
{
	if (wanted == NOTHING_YET && (session->object || session->client))
		return elisa_refuse(&session->why, -EBUSY, "this file is an %s already: open another",
				    session->object ? "object" : "attachment");
	if ((wanted == OBJECT || wanted == MANAGED) && !session->object)
		return elisa_refuse(&session->why, -EINVAL, "this file is no object: make one first");
	if (wanted == MANAGED && session->steward)
		return elisa_refuse(&session->why, -EPERM,
				    "the object is another manager's: it can be granted and withdrawn");
	if (wanted == CLIENT && !session->client)
		return elisa_refuse(&session->why, -EINVAL, "this file is no attachment: attach first");
	return 0;
}

static int carry_out(struct session *session, const struct operation *operation, union argument *argument)
{
	int error = check_role(session, operation->role);

	if (!error)
		error = operation->carry_out(session, argument);
	/* The end of a list is no refusal. */
	if (error && operation->command != ELISA_IOC_LIST)
		pr_notice_ratelimited("elisa: %s: %s\n", current->comm, session->why.text);
	return error;
}

/* A structure that is longer than ours is fine while what we do not know is zero; a shorter one is as if it were. */
static int copy_in(const struct operation *operation, union argument *argument, void __user *from,
		   struct elisa_why *why)
{
	u32 size, known = _IOC_SIZE(operation->command);
	int error;

	memset(argument, 0, sizeof(*argument));
	if (!known)
		return 0;
	if (get_user(size, (u32 __user *)from))
		return -EFAULT;
	if (size < sizeof(size) || size > PAGE_SIZE)
		return elisa_refuse(why, -EINVAL, "the structure's size is %u", size);
	error = copy_struct_from_user(argument, known, from, size);
	if (error)
		return elisa_refuse(why, error, "the structure is not one that this kernel knows");
	argument->size = size;
	return 0;
}

/* Of many threads at once: no lock, and no reason but the number. */
static long call(struct session *session, struct elisa_ioc_call __user *where)
{
	struct elisa_client *client = smp_load_acquire(&session->client);
	struct elisa_ioc_call call;
	u32 size;
	int error;

	if (!client)
		return -EINVAL;
	if (get_user(size, &where->size))
		return -EFAULT;
	if (size < sizeof(call) || size > PAGE_SIZE)
		return -EINVAL;
	error = copy_struct_from_user(&call, sizeof(call), where, size);
	if (error)
		return error;
	return put_user(elisa_client_call(client, &call), &where->result);
}

/* The size in a command's number is that of its structure when the caller was built. */
static bool is_command(unsigned int command, unsigned int known)
{
	return !((command ^ known) & ~(_IOC_SIZEMASK << _IOC_SIZESHIFT));
}

static long session_ioctl(struct file *file, unsigned int command, unsigned long where)
{
	struct session *session = file->private_data;
	const struct operation *operation = operations;
	union argument argument;
	long error;

	if (is_command(command, ELISA_IOC_CALL))
		return call(session, (void __user *)where);
	while (operation < operations + ARRAY_SIZE(operations) && !is_command(command, operation->command))
		operation++;
	if (operation == operations + ARRAY_SIZE(operations))
		return -ENOTTY;
	mutex_lock(&session->lock);
	error = copy_in(operation, &argument, (void __user *)where, &session->why);
	if (!error)
		error = carry_out(session, operation, &argument);
	if (!error && _IOC_DIR(command) & _IOC_READ &&
	    copy_to_user((void __user *)where, &argument, min(argument.size, _IOC_SIZE(operation->command))))
		error = -EFAULT;
	mutex_unlock(&session->lock);
	return error;
}

static int session_open(struct inode *inode, struct file *file)
{
	struct session *session = kzalloc(sizeof(*session), GFP_KERNEL_ACCOUNT);

	if (!session)
		return -ENOMEM;
	mutex_init(&session->lock);
	file->private_data = session;
	return 0;
}

static int session_release(struct inode *inode, struct file *file)
{
	struct session *session = file->private_data;

	if (session->object) {
		mutex_lock(&elisa_lock);
		if (session->steward)
			elisa_object_put(session->object);
		else
			elisa_object_close(session->object);
		mutex_unlock(&elisa_lock);
	}
	if (session->client)
		elisa_client_detach(session->client);
	kfree(session);
	return 0;
}

static ssize_t read_woken(struct elisa_client *client, struct file *file, char __user *to, size_t size)
{
	u64 woken;
	int error;

	if (size < sizeof(woken))
		return -EINVAL;
	error = elisa_client_read(client, &woken, !(file->f_flags & O_NONBLOCK));
	if (error)
		return error;
	return put_user(woken, (u64 __user *)to) ? -EFAULT : sizeof(woken);
}

static ssize_t session_read(struct file *file, char __user *to, size_t size, loff_t *offset)
{
	struct session *session = file->private_data;
	struct elisa_object *object = smp_load_acquire(&session->object);
	struct elisa_client *client = smp_load_acquire(&session->client);
	struct elisa_event event;
	int error;

	if (client)
		return read_woken(client, file, to, size);
	if (!object || session->steward || size < sizeof(event))
		return -EINVAL;
	error = elisa_event_next(&object->events, &event);
	if (error && !(file->f_flags & O_NONBLOCK) &&
	    wait_event_interruptible(object->events.wait, !(error = elisa_event_next(&object->events, &event))))
		return -ERESTARTSYS;
	if (error)
		return error;
	return copy_to_user(to, &event, sizeof(event)) ? -EFAULT : sizeof(event);
}

static __poll_t session_poll(struct file *file, poll_table *table)
{
	struct session *session = file->private_data;
	struct elisa_object *object = smp_load_acquire(&session->object);
	struct elisa_client *client = smp_load_acquire(&session->client);

	if (client)
		return elisa_client_poll(client, file, table);
	if (!object || session->steward)
		return EPOLLERR;
	poll_wait(file, &object->events.wait, table);
	return elisa_event_waits(&object->events) ? EPOLLIN | EPOLLRDNORM : 0;
}

static const struct file_operations session_operations = {
	.owner = THIS_MODULE,
	.open = session_open,
	.release = session_release,
	.unlocked_ioctl = session_ioctl,
	.read = session_read,
	.poll = session_poll,
	.llseek = noop_llseek,
};

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "elisa",
	.fops = &session_operations,
	.mode = 0600,
};

int elisa_device_init(void)
{
	return misc_register(&device);
}

void elisa_device_uninit(void)
{
	misc_deregister(&device);
}
