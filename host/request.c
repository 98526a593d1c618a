// SPDX-License-Identifier: GPL-2.0-only
/*
 * Requests of guest drivers: the guest's memory is hostile, so a request is copied in once, checked and carried out,
 * and its answer copied out. The thread is the vCPU's, so the VMM's memory is at hand.
 */
#include "request.h"

#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include "attachment.h"
#include "buffer.h"
#include "direct.h"
#include "inside.h"
#include "interpose.h"
#include "kvm.h"

#define MEMORIES_MAX 64 /* that a VM has named and not handed on */

#define OBJECTS_MAX 1024 /* that a VM manages */

static bool guest_managers;
module_param(guest_managers, bool, 0644);
MODULE_PARM_DESC(guest_managers, "VMs may make objects too (N)");

struct call {
	struct kvm_vcpu *vcpu;
	struct elisa_vm *vm;
	struct elisa_request *request;
	struct elisa_why *why;
};

static int copy_guest(struct kvm *kvm, gpa_t gpa, void *to, u64 bytes, bool write)
{
	u64 together = bytes;
	unsigned long address = elisa_vm_address(kvm, gpa, &together);

	if (!address || together < bytes)
		return -EFAULT;
	if (write)
		return copy_to_user((void __user *)address, to, bytes) ? -EFAULT : 0;
	return copy_from_user(to, (const void __user *)address, bytes) ? -EFAULT : 0;
}

/* A number for what the VM has at most so many of; WHAT it has too many of. */
static int find_number(struct call *call, struct xarray *all, u32 *number, void *entry, u32 most, const char *what)
{
	int error = xa_alloc(all, number, entry, XA_LIMIT(1, most), GFP_KERNEL);

	if (error == -EBUSY)
		return elisa_refuse(call->why, -ENOSPC, "the VM has %u %s already", most, what);
	return error ? elisa_refuse(call->why, error, "out of memory") : 0;
}

static int add_extent(struct call *call, struct elisa_memory *memory, struct elisa_extent extent)
{
	if (!extent.bytes || extent.gpa + extent.bytes < extent.gpa)
		return elisa_refuse(call->why, -EINVAL, "an extent is empty, or wraps around");
	if (extent.bytes > ELISA_MEMORY_MAX - memory->bytes)
		return elisa_refuse(call->why, -E2BIG, "more than %lu GiB of memory", ELISA_MEMORY_MAX >> 30);
	while (extent.bytes) {
		u64 together = extent.bytes;
		unsigned long address = elisa_vm_address(call->vm->kvm, extent.gpa, &together);
		int error;

		if (!address)
			return elisa_refuse(call->why, -EFAULT, "the VM has no memory at %#llx", extent.gpa);
		error = elisa_memory_add(memory, extent.gpa, address, together, call->why);
		if (error)
			return error;
		extent.gpa += together;
		extent.bytes -= together;
	}
	return 0;
}

/* Pinning takes its time, without elisa_lock: meanwhile the memory is in no list. */
static int name_memory(struct call *call)
{
	struct elisa_request *request = call->request;
	struct elisa_memory *memory;
	struct elisa_extent *extents;
	u32 count = request->memory.extents;
	int error;

	if (!count || count > ELISA_EXTENTS_MAX || request->memory.gpa % ELISA_PAGE)
		return elisa_refuse(call->why, -EINVAL, "a piece of memory has 1 to %zu extents on a page",
				    ELISA_EXTENTS_MAX);
	extents = kmalloc_array(count, sizeof(*extents), GFP_KERNEL);
	if (!extents)
		return elisa_refuse(call->why, -ENOMEM, "out of memory");
	error = copy_guest(call->vm->kvm, request->memory.gpa, extents, count * sizeof(*extents), false);
	if (error) {
		elisa_refuse(call->why, error, "the VM has no memory at %#llx", request->memory.gpa);
		goto free;
	}
	memory = request->memory.id ? xa_erase(&call->vm->memories, request->memory.id) : elisa_memory_create(call->vm);
	if (!memory) {
		error = request->memory.id
				? elisa_refuse(call->why, -ENOENT, "no memory has the number %u", request->memory.id)
				: elisa_refuse(call->why, -ENOMEM, "out of memory");
		goto free;
	}
	memory->vm_pages = elisa_vm_pages(call->vm->kvm);
	for (u32 i = 0; !error && i < count; i++)
		error = add_extent(call, memory, extents[i]);
	if (!error)
		error = find_number(call, &call->vm->memories, &request->memory.id, memory, MEMORIES_MAX,
				    "memories that it has named and does not use");
	if (error)
		elisa_memory_destroy(memory);
free:
	kfree(extents);
	return error;
}

/* Memory by the number that the request names, which is the caller's from now on. */
static int take_memory(struct call *call, struct elisa_memory **memory)
{
	*memory = xa_erase(&call->vm->memories, call->request->memory.id);
	return *memory ? 0 : elisa_refuse(call->why, -ENOENT, "no memory has the number %u", call->request->memory.id);
}

/* What an operation did not want is the VM's again, under the same number; it frees it. */
static void return_memory(struct call *call, struct elisa_memory *memory)
{
	if (memory && xa_insert(&call->vm->memories, call->request->memory.id, memory, GFP_KERNEL))
		elisa_memory_destroy(memory);
}

static int release_memory(struct call *call)
{
	struct elisa_memory *memory;
	int error = take_memory(call, &memory);

	elisa_memory_destroy(memory);
	return error;
}

static int check_cpu(struct call *call)
{
	const char *obstacle = elisa_inside_obstacle(call->vcpu);

	return obstacle ? elisa_refuse(call->why, -EOPNOTSUPP, "%s", obstacle) : 0;
}

static int hello(struct call *call)
{
	struct elisa_request *request = call->request;
	int error;

	if (request->hello.version != ELISA_HYPERCALL_VERSION)
		return elisa_refuse(call->why, -EPROTO,
				    "the host speaks version %d, the guest's driver %u: install the same",
				    ELISA_HYPERCALL_VERSION, request->hello.version);
	error = check_cpu(call);
	if (error)
		return error;
	/* A kernel that has started anew, without a farewell of the one before. */
	if (call->vm)
		elisa_vm_release_all(call->vm, true);
	error = elisa_vm_hello(call->vcpu, request->hello.user_cs, request->hello.user_ss, &call->vm, call->why);
	if (error)
		return error;
	request->hello.vm = call->vm->id;
	request->hello.base = elisa_inside.base;
	return 0;
}

/* The SDM, "Message Data Register Format": an interrupt like a device's. An NMI, SMI or INIT is not ours to send. */
static int interrupt(struct call *call)
{
	const u64 address = call->request->interrupt.address;
	const u32 data = call->request->interrupt.data;

	if (call->request->interrupt.reserved ||
	    (address && ((address & 0xfff00000) != 0xfee00000 || data & ~0xffu || data < 16)))
		return elisa_refuse(call->why, -EINVAL, "no message-signalled interrupt: %#x to %#llx", data, address);
	elisa_vm_set_interrupt(call->vm, address, data);
	return 0;
}

static int bye(struct call *call)
{
	elisa_vm_release_all(call->vm, true);
	return 0;
}

static int create(struct call *call)
{
	struct elisa_object *object;
	int error;

	if (!guest_managers)
		return elisa_refuse(call->why, -EPERM,
				    "VMs may not make objects on this host (module parameter guest_managers)");
	error = elisa_object_create(&object, call->vm, call->request->create.flags, call->why);
	if (error)
		return error;
	error = find_number(call, &call->vm->objects, &call->request->id, object, OBJECTS_MAX, "objects");
	if (error)
		elisa_object_close(object);
	return error;
}

static int find_object(struct call *call, struct elisa_object **object)
{
	*object = xa_load(&call->vm->objects, call->request->id);
	return *object ? 0 : elisa_refuse(call->why, -ENOENT, "the VM manages no object %u", call->request->id);
}

static int object_memory(struct call *call)
{
	struct elisa_object *object;
	struct elisa_memory *memory;
	int error = find_object(call, &object);

	if (!error)
		error = take_memory(call, &memory);
	if (error)
		return error;
	error = elisa_object_set_memory(object, memory, call->why);
	if (error)
		return_memory(call, memory);
	return error;
}

static int read_code(struct call *call, struct elisa_object *object, const struct elisa_memory *memory)
{
	u64 bytes = elisa_code_blob_bytes(&call->request->code);
	void *blob;
	int error;

	if (!bytes)
		return elisa_refuse(call->why, -EINVAL, "the code's parts do not add up");
	if (memory->bytes < bytes)
		return elisa_refuse(call->why, -EINVAL, "the code's memory is too short");
	/* What there is no room for costs no copy: it would cost the VM nothing to ask again and again. */
	error = elisa_object_check_code(object, bytes, call->why);
	if (error)
		return error;
	blob = kvmalloc(bytes, GFP_KERNEL);
	if (!blob)
		return elisa_refuse(call->why, -ENOMEM, "out of memory");
	elisa_memory_read(memory, 0, blob, bytes);
	error = elisa_object_set_code(object, &call->request->code, blob, bytes, call->why);
	kvfree(blob);
	return error;
}

/* The memory is taken for as long as it is read: other vCPUs find it by its number. */
static int object_code(struct call *call)
{
	struct elisa_object *object;
	struct elisa_memory *memory;
	int error = find_object(call, &object);

	if (!error)
		error = take_memory(call, &memory);
	if (error)
		return error;
	error = read_code(call, object, memory);
	return_memory(call, memory);
	return error;
}

static int publish(struct call *call)
{
	struct elisa_object *object;
	int error = find_object(call, &object);

	return error ? error : elisa_object_publish(object, call->request->publish.name, call->why);
}

static int grant(struct call *call)
{
	struct elisa_object *object;
	int error = find_object(call, &object);

	return error ? error : elisa_object_grant(object, &call->request->grant, call->why);
}

static int event(struct call *call)
{
	struct elisa_event *event = &call->request->event;
	struct elisa_object *object;
	int error = find_object(call, &object);

	if (!error)
		error = elisa_event_next(&object->events, event);
	/* Processes of the host are nobody's business in a VM. */
	if (!error)
		event->pid = event->uid = ~0u;
	return error;
}

static int answer(struct call *call)
{
	struct elisa_memory *memory = NULL;
	struct elisa_object *object;
	int error = find_object(call, &object);

	if (!error && call->request->memory.id)
		error = take_memory(call, &memory);
	if (error)
		return error;
	error = elisa_attachment_answer(object, &call->request->answer, memory, call->why);
	if (error)
		return_memory(call, memory);
	return error;
}

static int withdraw(struct call *call)
{
	struct elisa_object *object;
	int error = find_object(call, &object);

	if (!error)
		elisa_object_withdraw(object, -ESHUTDOWN);
	return error;
}

/* -EINPROGRESS while somebody still uses the memory of an object that outlives its manager: ask again. */
static int object_close(struct call *call)
{
	struct elisa_object *object;
	int error = find_object(call, &object);

	if (error)
		return error;
	if (object->managed && object->flags & ELISA_CREATE_OUTLIVE && !list_empty(&object->attachments)) {
		elisa_object_get(object);
		elisa_object_close(object);
		return -EINPROGRESS;
	}
	if (!object->managed && !list_empty(&object->attachments))
		return -EINPROGRESS;
	xa_erase(&call->vm->objects, call->request->id);
	if (object->managed)
		elisa_object_close(object);
	else
		elisa_object_put(object);
	return 0;
}

static int find_attachment(struct call *call, struct elisa_attachment **attachment)
{
	*attachment = elisa_attachment_find(call->vm, call->request->id);
	return *attachment ? 0 : elisa_refuse(call->why, -ENOENT, "the VM has no attachment %u", call->request->id);
}

static void describe(struct call *call, const struct elisa_attachment *attachment)
{
	struct elisa_ioc_attach *attach = &call->request->attach;
	const struct elisa_object *object = attachment->object;

	call->request->id = attachment->id;
	attach->slot = attachment->slot;
	attach->attachment = attachment->id;
	attach->writable = attachment->writable;
	if (object) {
		attach->functions = attachment->interpose ? attachment->interpose->count : object->code.function_count;
		attach->memory_bytes = object->memory ? object->memory->bytes : 0;
	}
	elisa_direct_describe(attachment, attach);
}

static int attach(struct call *call)
{
	struct elisa_ioc_attach *attach = &call->request->attach;
	struct elisa_attachment *attachment;
	int error;

	if (attach->scheme > ELISA_SCHEME_DIRECT)
		return elisa_refuse(call->why, -EINVAL, "there is no scheme %u", attach->scheme);
	if (strnlen(attach->name, ELISA_NAME_MAX) == ELISA_NAME_MAX)
		return elisa_refuse(call->why, -ENAMETOOLONG, "the name has more than %d bytes", ELISA_NAME_MAX - 1);
	error = check_cpu(call);
	if (error)
		return error;
	error = elisa_attach(call->vm, attach->name, attach->scheme, &attachment, call->why);
	if (!error || error == -EINPROGRESS)
		describe(call, attachment);
	return error;
}

static int attached(struct call *call)
{
	struct elisa_attachment *attachment;
	int error = find_attachment(call, &attachment);

	if (error)
		return error;
	describe(call, attachment);
	if (attachment->state && attachment->state != -EINPROGRESS)
		return elisa_refuse(call->why, attachment->state, "the manager has refused, or is gone (error %d)",
				    attachment->state);
	return attachment->state;
}

static int function(struct call *call)
{
	struct elisa_ioc_function *function = &call->request->function;
	struct elisa_attachment *attachment;
	int error = find_attachment(call, &attachment), index = -ENOENT;

	if (error)
		return error;
	if (!attachment->object)
		return elisa_refuse(call->why, attachment->state, "the object is gone");
	function->name[ELISA_NAME_MAX - 1] = 0;
	if (attachment->interpose) {
		index = elisa_interpose_function(attachment, function->name);
	} else {
		for (u32 i = 0; index < 0 && i < attachment->object->code.function_count; i++)
			if (!strcmp(attachment->object->code.functions[i].name, function->name))
				index = i;
	}
	if (index < 0)
		return elisa_refuse(call->why, -ENOENT, "object %s has no function %s", attachment->object->name,
				    function->name);
	function->index = index;
	return 0;
}

static int share(struct call *call)
{
	struct elisa_ioc_share *share = &call->request->share;
	struct elisa_attachment *attachment;
	struct elisa_memory *memory;
	int error = find_attachment(call, &attachment);

	if (!error)
		error = take_memory(call, &memory);
	if (error)
		return error;
	if (share->flags & ~(ELISA_SHARE_READ_ONLY | ELISA_SHARE_EXCHANGE) || share->reserved)
		error = elisa_refuse(call->why, -EINVAL, "unknown flags %#x, or a reserved field is not zero",
				     share->flags);
	else
		error = elisa_buffer_share(attachment, memory, share->flags, &share->buffer, call->why);
	if (error)
		return_memory(call, memory);
	return error;
}

static int unshare(struct call *call)
{
	struct elisa_attachment *attachment;
	int error = find_attachment(call, &attachment);

	return error ? error : elisa_buffer_unshare(attachment, call->request->unshare.buffer, call->why);
}

static int detach(struct call *call)
{
	struct elisa_attachment *attachment;
	int error = find_attachment(call, &attachment);

	if (!error)
		elisa_detach(attachment);
	return error;
}

static int (*const operations[])(struct call *) = {
	[ELISA_OP_HELLO] = hello,
	[ELISA_OP_INTERRUPT] = interrupt,
	[ELISA_OP_BYE] = bye,
	[ELISA_OP_MEMORY] = name_memory,
	[ELISA_OP_MEMORY_RELEASE] = release_memory,
	[ELISA_OP_CREATE] = create,
	[ELISA_OP_OBJECT_MEMORY] = object_memory,
	[ELISA_OP_OBJECT_CODE] = object_code,
	[ELISA_OP_PUBLISH] = publish,
	[ELISA_OP_GRANT] = grant,
	[ELISA_OP_EVENT] = event,
	[ELISA_OP_ANSWER] = answer,
	[ELISA_OP_WITHDRAW] = withdraw,
	[ELISA_OP_OBJECT_CLOSE] = object_close,
	[ELISA_OP_ATTACH] = attach,
	[ELISA_OP_ATTACHED] = attached,
	[ELISA_OP_FUNCTION] = function,
	[ELISA_OP_SHARE] = share,
	[ELISA_OP_UNSHARE] = unshare,
	[ELISA_OP_DETACH] = detach,
};

static int carry_out(struct kvm_vcpu *vcpu, struct elisa_request *request, struct elisa_why *why)
{
	struct call call = { vcpu, elisa_vm_find(vcpu->kvm), request, why };
	int error;

	if (request->size != sizeof(*request))
		return elisa_refuse(why, -EPROTO, "a request of %u bytes, the host's have %zu", request->size,
				    sizeof(*request));
	if (request->op >= ARRAY_SIZE(operations))
		return elisa_refuse(why, -EOPNOTSUPP, "the host knows no request %u", request->op);
	if (!call.vm && request->op != ELISA_OP_HELLO)
		return elisa_refuse(why, -ENOTCONN,
				    "no hello yet: the host's module was loaded after the guest's driver");
	if (request->op == ELISA_OP_MEMORY)
		return name_memory(&call);
	mutex_lock(&elisa_lock);
	error = operations[request->op](&call);
	mutex_unlock(&elisa_lock);
	return error;
}

s64 elisa_request(struct kvm_vcpu *vcpu)
{
	gpa_t gpa = vcpu->arch.regs[VCPU_REGS_RBX];
	struct elisa_request request;
	struct elisa_why why = {};

	if (offset_in_page(gpa) > ELISA_PAGE - sizeof(request))
		return -EINVAL;
	if (copy_guest(vcpu->kvm, gpa, &request, sizeof(request), false))
		return -EFAULT;
	request.error = carry_out(vcpu, &request, &why);
	memcpy(request.reason, why.text, sizeof(request.reason));
	return copy_guest(vcpu->kvm, gpa, &request, sizeof(request), true);
}
