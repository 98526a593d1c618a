// SPDX-License-Identifier: GPL-2.0-only
#include "object.h"

#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "attachment.h"
#include "exchange.h"
#include "log.h"

DEFINE_MUTEX(elisa_lock);
LIST_HEAD(elisa_objects);
static u32 last_id;

#define GRANTS_MAX 1024 /* of one object: they are walked at each attach */

/*
 * What a VM names is bounded (change.c), and given back to it once it is copied: the copies of its objects' code, and
 * of the data that each attachment to them begins with, are not.
 */
static unsigned int copy_limit_mib = 256;
module_param(copy_limit_mib, uint, 0644);
MODULE_PARM_DESC(copy_limit_mib, "MiB of copies of code and data that the host makes of a manager VM's objects (256)");

struct grant {
	struct list_head list;
	u32 kind, id, rights;
	struct pid *vmm; /* ELISA_GRANT_PID: a number that is used again is not meant */
};

int elisa_object_create(struct elisa_object **created, struct elisa_vm *vm, u32 flags, struct elisa_why *why)
{
	struct elisa_object *object;

	if (flags & ~(ELISA_CREATE_VETTED | ELISA_CREATE_ASK | ELISA_CREATE_OUTLIVE | ELISA_CREATE_DIRECT |
		      ELISA_CREATE_EXCHANGE))
		return elisa_refuse(why, -EINVAL, "unknown flags %#x", flags);
	if (flags & ELISA_CREATE_VETTED && vm)
		return elisa_refuse(why, -EPERM, "the code of a manager VM is never vetted");
	if (flags & ELISA_CREATE_VETTED && !(capable(CAP_SYS_ADMIN) && capable(CAP_SYS_RAWIO)))
		return elisa_refuse(why, -EPERM, "only host root vets code");
	object = kzalloc(sizeof(*object), GFP_KERNEL_ACCOUNT);
	if (!object)
		return elisa_refuse(why, -ENOMEM, "out of memory");
	elisa_pages_init(&object->pages);
	if (flags & ELISA_CREATE_EXCHANGE && elisa_exchange_create(object)) {
		kfree(object);
		return elisa_refuse(why, -ENOMEM, "out of memory");
	}
	kref_init(&object->ref);
	object->id = ++last_id;
	object->flags = flags;
	object->vm = vm;
	if (vm)
		kref_get(&vm->ref);
	object->pid = vm ? vm->pid : pid_nr(task_tgid(current));
	object->uid = vm ? vm->uid : from_kuid(&init_user_ns, current_uid());
	object->managed = true;
	INIT_LIST_HEAD(&object->grants);
	INIT_LIST_HEAD(&object->attachments);
	elisa_events_init(&object->events);
	list_add_tail(&object->node, &elisa_objects);
	*created = object;
	return 0;
}

static int check_room(const struct elisa_object *object, u64 bytes, struct elisa_why *why)
{
	unsigned int most = READ_ONCE(copy_limit_mib);

	if (object->vm && object->vm->copied + bytes > (u64)most << 20)
		return elisa_refuse(why, -ENOSPC,
				    "the manager VM's objects have %u MiB of copied code and data already "
				    "(copy_limit_mib)",
				    most);
	return 0;
}

int elisa_object_charge(struct elisa_object *object, u64 bytes, struct elisa_why *why)
{
	int error = check_room(object, bytes, why);

	if (!error && object->vm)
		object->vm->copied += bytes;
	return error;
}

void elisa_object_uncharge(struct elisa_object *object, u64 bytes)
{
	if (object->vm)
		object->vm->copied -= bytes;
}

static void code_destroy(struct elisa_object *object)
{
	struct elisa_code *code = &object->code;

	for (unsigned int i = 0; i < ARRAY_SIZE(code->pts); i++)
		elisa_ept_destroy(code->pts + i);
	for (u64 i = 0; code->pages && i < code->page_count; i++)
		elisa_page_free(&object->pages, code->pages[i]);
	kvfree(code->pages);
	kvfree(code->data);
	kvfree(code->functions);
	kvfree(code->symbols);
	elisa_object_uncharge(object, code->charged);
	memset(code, 0, sizeof(*code));
}

static void grant_destroy(struct grant *grant)
{
	list_del(&grant->list);
	put_pid(grant->vmm);
	kfree(grant);
}

static void release(struct kref *ref)
{
	struct elisa_object *object = container_of(ref, struct elisa_object, ref);
	struct grant *grant, *next;

	list_for_each_entry_safe(grant, next, &object->grants, list)
		grant_destroy(grant);
	code_destroy(object);
	elisa_exchange_destroy(object);
	elisa_events_destroy(&object->events);
	WARN_ON(atomic_long_read(&object->pages.held));
	list_del(&object->node);
	if (object->vm)
		elisa_vm_put(object->vm);
	kfree(object);
}

void elisa_object_get(struct elisa_object *object)
{
	kref_get(&object->ref);
}

/* Nobody will be attached to it any more: its memory does not wait for who keeps the manager's file. */
static void give_memory_back(struct elisa_object *object)
{
	if (object->managed || !list_empty(&object->attachments))
		return;
	elisa_ept_destroy(&object->memory_ept);
	elisa_memory_destroy(object->memory);
	object->memory = NULL;
}

void elisa_object_put(struct elisa_object *object)
{
	give_memory_back(object);
	kref_put(&object->ref, release);
}

static int check_unpublished(const struct elisa_object *object, struct elisa_why *why)
{
	if (object->dead || !object->managed)
		return elisa_refuse(why, -ESHUTDOWN, "the object is withdrawn");
	if (object->name[0])
		return elisa_refuse(why, -EBUSY, "the object is published already, as %s", object->name);
	return 0;
}

int elisa_object_set_memory(struct elisa_object *object, struct elisa_memory *memory, struct elisa_why *why)
{
	int error = check_unpublished(object, why);

	if (error)
		return error;
	if (object->memory)
		return elisa_refuse(why, -EBUSY, "the object has its memory already");
	if (memory->bytes > ELISA_MEMORY_MAX)
		return elisa_refuse(why, -E2BIG, "more than %lu GiB of memory", ELISA_MEMORY_MAX >> 30);
	error = elisa_ept_create(&object->memory_ept, &object->pages.allocator, ELISA_EPT_PDPT);
	if (!error)
		error = elisa_memory_map(memory, &object->memory_ept, 0, ELISA_EPT_READ | ELISA_EPT_WRITE);
	if (error) {
		elisa_ept_destroy(&object->memory_ept);
		return elisa_refuse(why, error, "no memory for the object's tables");
	}
	object->memory = memory;
	memory->object = object;
	return 0;
}

/* Names are shown to people, by the tool and in the log: they must not steer a terminal. */
static bool is_printable(const char *name)
{
	for (; *name; name++)
		if (*name <= ' ' || *name > '~')
			return false;
	return true;
}

/* Proper names of places in the code. */
static int check_names(const struct elisa_function_entry *table, u32 count, u64 code_bytes, struct elisa_why *why)
{
	u64 base = ELISA_BASE + ELISA_CODE_OFFSET;

	for (u32 i = 0; i < count; i++) {
		if (!table[i].name[0] || strnlen(table[i].name, ELISA_NAME_MAX) == ELISA_NAME_MAX ||
		    !is_printable(table[i].name))
			return elisa_refuse(why, -EINVAL, "function %u has no proper name", i);
		if (table[i].address < base || table[i].address >= base + code_bytes)
			return elisa_refuse(why, -EINVAL, "function %s lies outside of the code", table[i].name);
	}
	return 0;
}

static int check_functions(const struct elisa_ioc_code *code, const struct elisa_function_entry *functions,
			   struct elisa_why *why)
{
	const struct elisa_function_entry *symbols = functions + code->functions;
	int error = check_names(functions, code->functions + code->symbols, code->code_bytes, why);

	if (error)
		return error;
	for (u32 i = 1; i < code->symbols; i++)
		if (symbols[i].address < symbols[i - 1].address)
			return elisa_refuse(why, -EINVAL, "the symbols are not in order");
	for (u32 i = 0; i < code->functions; i++) {
		for (u32 other = 0; other < i; other++)
			if (!strcmp(functions[i].name, functions[other].name))
				return elisa_refuse(why, -EEXIST, "function %s is there twice", functions[i].name);
	}
	return 0;
}

/* Copies a part of the blob into pages of the module's own, which nobody can write under any mapping. */
static int map_copy(struct elisa_object *object, const void *from, u64 bytes, u64 offset, u64 prot)
{
	struct elisa_code *code = &object->code;

	for (u64 done = 0; done < bytes; done += ELISA_PAGE) {
		u64 at = offset - ELISA_CODE_OFFSET + done;
		struct elisa_ept *pt = code->pts + at / ELISA_2M;
		void *page = elisa_page_alloc(&object->pages);
		int error;

		if (!page)
			return -ENOMEM;
		code->pages[code->page_count++] = page;
		memcpy(page, from + done, ELISA_PAGE);
		if (!pt->table) {
			error = elisa_ept_create(pt, &object->pages.allocator, ELISA_EPT_PT);
			if (error)
				return error;
		}
		error = elisa_ept_map_range(pt, at % ELISA_2M, elisa_page_physical(page), ELISA_PAGE, prot,
					    ELISA_EPT_PT);
		if (error)
			return error;
	}
	return 0;
}

static void *copy_of(const void *from, u64 bytes)
{
	void *copy = kvmalloc(bytes, GFP_KERNEL_ACCOUNT);

	return copy ? memcpy(copy, from, bytes) : NULL;
}

static int copy_code(struct elisa_object *object, const struct elisa_ioc_code *from, const void *blob)
{
	struct elisa_code *code = &object->code;
	u64 table = from->functions * sizeof(struct elisa_function_entry);
	u64 names = from->symbols * sizeof(struct elisa_function_entry);
	const void *text = blob + table + names, *rodata = text + from->code_bytes, *data = rodata + from->rodata_bytes;
	int error;

	code->functions = copy_of(blob, table);
	code->pages = kvcalloc((from->code_bytes + from->rodata_bytes) / ELISA_PAGE, sizeof(*code->pages),
			       GFP_KERNEL_ACCOUNT);
	if (!code->functions || !code->pages)
		return -ENOMEM;
	code->function_count = from->functions;
	if (names) {
		code->symbols = copy_of(blob + table, names);
		if (!code->symbols)
			return -ENOMEM;
		code->symbol_count = from->symbols;
	}
	if (from->data_bytes) {
		code->data = copy_of(data, from->data_bytes);
		if (!code->data)
			return -ENOMEM;
		code->data_bytes = from->data_bytes;
	}
	error = map_copy(object, text, from->code_bytes, ELISA_CODE_OFFSET, ELISA_EPT_EXEC);
	if (!error)
		error = map_copy(object, rodata, from->rodata_bytes, ELISA_RODATA_OFFSET, ELISA_EPT_READ);
	return error;
}

int elisa_object_check_code(const struct elisa_object *object, u64 bytes, struct elisa_why *why)
{
	int error = check_unpublished(object, why);

	if (error)
		return error;
	if (object->code.functions)
		return elisa_refuse(why, -EBUSY, "the object has its code already");
	return check_room(object, elisa_whole_pages(bytes), why);
}

int elisa_object_set_code(struct elisa_object *object, const struct elisa_ioc_code *code, const void *blob, u64 bytes,
			  struct elisa_why *why)
{
	int error = elisa_object_check_code(object, bytes, why);

	if (error)
		return error;
	if (!bytes || bytes != elisa_code_blob_bytes(code))
		return elisa_refuse(why, -EINVAL, "the code's parts do not add up");
	if (code->reserved)
		return elisa_refuse(why, -EINVAL, "a reserved field is not zero");
	error = check_functions(code, blob, why);
	if (error)
		return error;
	error = elisa_object_charge(object, elisa_whole_pages(bytes), why);
	if (error)
		return error;
	object->code.charged = elisa_whole_pages(bytes);
	error = copy_code(object, code, blob);
	if (error) {
		code_destroy(object);
		return elisa_refuse(why, error, "no memory for the code");
	}
	return 0;
}

struct elisa_object *elisa_object_find(const char *name)
{
	struct elisa_object *object;

	list_for_each_entry(object, &elisa_objects, node)
		if (object->name[0] && !strcmp(object->name, name))
			return object;
	return NULL;
}

int elisa_object_publish(struct elisa_object *object, const char *name, struct elisa_why *why)
{
	int error = check_unpublished(object, why);

	if (error)
		return error;
	if (!object->code.functions)
		return elisa_refuse(why, -ENOEXEC, "the object has no code");
	if (!name[0])
		return elisa_refuse(why, -EINVAL, "an empty name");
	if (strnlen(name, ELISA_NAME_MAX) == ELISA_NAME_MAX)
		return elisa_refuse(why, -ENAMETOOLONG, "the name has more than %d bytes", ELISA_NAME_MAX - 1);
	if (!is_printable(name))
		return elisa_refuse(why, -EINVAL, "the name has bytes other than printable ASCII");
	if (elisa_object_find(name))
		return elisa_refuse(why, -EEXIST, "there is an object %s already", name);
	strscpy(object->name, name, sizeof(object->name));
	strscpy(object->label, name, sizeof(object->label));
	elisa_log(ELISA_EVENT_PUBLISH, object, NULL);
	return 0;
}

static bool grant_is(const struct grant *grant, u32 kind, u32 id, const struct pid *vmm)
{
	return grant->kind == kind && (kind == ELISA_GRANT_PID ? grant->vmm == vmm : grant->id == id);
}

int elisa_object_grant(struct elisa_object *object, const struct elisa_ioc_grant *asked, struct elisa_why *why)
{
	u32 id = asked->kind == ELISA_GRANT_ALL ? 0 : asked->id, count = 0;
	struct pid *vmm = NULL;
	struct grant *grant, *old = NULL;

	if (asked->kind > ELISA_GRANT_UID)
		return elisa_refuse(why, -EINVAL, "unknown kind %u of grant", asked->kind);
	if (asked->rights && asked->rights != ELISA_RIGHT_READ && asked->rights != ELISA_RIGHT_WRITE)
		return elisa_refuse(why, -EINVAL, "unknown rights %#x", asked->rights);
	if (object->vm && asked->kind > ELISA_GRANT_VM)
		return elisa_refuse(why, -EPERM, "a manager VM knows other VMs by their numbers only");
	if (asked->kind == ELISA_GRANT_PID) {
		vmm = find_get_pid(asked->id);
		if (!vmm)
			return elisa_refuse(why, -ESRCH, "there is no process %u", asked->id);
	}
	list_for_each_entry(grant, &object->grants, list) {
		count++;
		if (grant_is(grant, asked->kind, id, vmm))
			old = grant;
	}
	if (old)
		grant_destroy(old);
	else if (asked->rights && count == GRANTS_MAX) {
		put_pid(vmm);
		return elisa_refuse(why, -ENOSPC, "the object has %d grants already", GRANTS_MAX);
	}
	if (!asked->rights) {
		put_pid(vmm);
		return 0;
	}
	grant = kzalloc(sizeof(*grant), GFP_KERNEL_ACCOUNT);
	if (!grant) {
		put_pid(vmm);
		return elisa_refuse(why, -ENOMEM, "out of memory");
	}
	*grant = (struct grant){ .kind = asked->kind, .id = id, .rights = asked->rights, .vmm = vmm };
	list_add_tail(&grant->list, &object->grants);
	return 0;
}

int elisa_object_grant_get(const struct elisa_object *object, unsigned int place, struct elisa_ioc_grant *grant)
{
	const struct grant *each;

	list_for_each_entry(each, &object->grants, list)
		if (!place--) {
			*grant = (struct elisa_ioc_grant){ .kind = each->kind, .id = each->id, .rights = each->rights };
			return 0;
		}
	return -ENOENT;
}

u32 elisa_object_rights(const struct elisa_object *object, const struct elisa_vm *vm)
{
	const u32 ids[] = { 0, vm->id, vm->pid, vm->uid };
	struct grant *grant;
	u32 rights = 0;

	list_for_each_entry(grant, &object->grants, list)
		if (grant_is(grant, grant->kind, ids[grant->kind], vm->vmm))
			rights |= grant->rights;
	return rights;
}

void elisa_object_withdraw(struct elisa_object *object, int error)
{
	struct elisa_attachment *attachment, *next;

	if (object->name[0])
		elisa_log(ELISA_EVENT_WITHDRAW, object, NULL);
	object->dead = error;
	object->name[0] = 0;
	/* Each puts the object; the caller has a reference. */
	list_for_each_entry_safe(attachment, next, &object->attachments, in_object)
		elisa_attachment_kill(attachment, error);
}

void elisa_object_abandon(struct elisa_object *object)
{
	struct elisa_attachment *attachment, *next;

	object->managed = false;
	if (!(object->flags & ELISA_CREATE_OUTLIVE)) {
		elisa_object_withdraw(object, -ESHUTDOWN);
	} else {
		object->name[0] = 0;
		/* Nobody answers those who wait any more. */
		list_for_each_entry_safe(attachment, next, &object->attachments, in_object)
			if (attachment->state == -EINPROGRESS)
				elisa_attachment_kill(attachment, -ESHUTDOWN);
	}
}

void elisa_object_close(struct elisa_object *object)
{
	elisa_object_abandon(object);
	elisa_object_put(object);
}

void elisa_object_event(struct elisa_object *object, const struct elisa_event *event)
{
	if (object->managed)
		elisa_event_add(&object->events, event);
}

const char *elisa_object_symbol(const struct elisa_object *object, u64 address, u32 *offset)
{
	const struct elisa_function_entry *symbols = object->code.symbols;
	u32 low = 0, high = object->code.symbol_count;

	if (address >= ELISA_GATE && address < ELISA_GATE + ELISA_PAGE) {
		*offset = address - ELISA_GATE;
		return "gate or entry";
	}
	if (address - ELISA_BASE - ELISA_CODE_OFFSET >= ELISA_CODE_MAX)
		return NULL;
	/* The last that does not lie behind it. */
	while (low < high) {
		u32 middle = (low + high) / 2;

		if (symbols[middle].address <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low)
		return NULL;
	*offset = address - symbols[low - 1].address;
	return symbols[low - 1].name;
}
