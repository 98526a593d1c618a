// SPDX-License-Identifier: GPL-2.0-only
/* `insmod hostile_manager.ko what=NAME [count=N] [seed=N] ram=BYTES`: logs what was tried, and how much was contained.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include "manager.h"

#include <asm/io.h>
#include <asm/segment.h>
#include <linux/gfp.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>

static char *what = "";
static ulong seed;
ulong count = 1000, ram_bytes;
uint threads = 2;
module_param(what, charp, 0);
module_param(seed, ulong, 0);
module_param(count, ulong, 0);
module_param(threads, uint, 0);
module_param_named(ram, ram_bytes, ulong, 0);

u64 tried, contained, region;
static unsigned int said;

void judge(bool right, const char *name, u64 a, u64 b, int error)
{
	tried++;
	contained += right;
	if (!right && said++ < 20)
		pr_info("BREACH %s %#llx %#llx: %d\n", name, a, b, error);
}

void expect(const char *name, int error, int wanted)
{
	judge(error == wanted, name, wanted, 0, error);
}

u64 asker_random(struct asker *asker)
{
	asker->state ^= asker->state << 13;
	asker->state ^= asker->state >> 7;
	asker->state ^= asker->state << 17;
	return asker->state;
}

struct asker *asker_create(u64 state)
{
	struct asker *asker = kzalloc(sizeof(*asker), GFP_KERNEL);

	if (!asker)
		return NULL;
	asker->state = state * 2 + 1;
	asker->request = (void *)get_zeroed_page(GFP_KERNEL);
	asker->extents = (void *)get_zeroed_page(GFP_KERNEL);
	asker->play = (void *)__get_free_pages(GFP_KERNEL | __GFP_ZERO, ilog2(PLAY_PAGES));
	if (asker->request && asker->extents && asker->play)
		return asker;
	asker_destroy(asker);
	return NULL;
}

void asker_destroy(struct asker *asker)
{
	free_page((unsigned long)asker->request);
	free_page((unsigned long)asker->extents);
	free_pages((unsigned long)asker->play, ilog2(PLAY_PAGES));
	kfree(asker);
}

int ask(struct asker *asker, u32 op, u32 id)
{
	struct elisa_request *request = asker->request;
	long result = ELISA_HYPERCALL;

	request->size = sizeof(*request);
	request->op = op;
	request->id = id;
	asm volatile("vmcall" : "+a"(result) : "b"(virt_to_phys(request)) : "memory", "cc");
	return result ? (int)result : request->error;
}

int ask_plain(struct asker *asker, u32 op, u32 id)
{
	memset(asker->request, 0, sizeof(*asker->request));
	return ask(asker, op, id);
}

int name_extents(struct asker *asker, unsigned int count)
{
	int error;

	memset(asker->request, 0, sizeof(*asker->request));
	asker->request->memory.extents = count;
	asker->request->memory.gpa = virt_to_phys(asker->extents);
	error = ask(asker, ELISA_OP_MEMORY, 0);
	return error ? error : (int)asker->request->memory.id;
}

int name_pages(struct asker *asker, void *at, unsigned int pages)
{
	asker->extents[0] = (struct elisa_extent){ virt_to_phys(at), pages * ELISA_PAGE };
	return name_extents(asker, 1);
}

int create_object(struct asker *asker, u32 flags)
{
	int error;

	memset(asker->request, 0, sizeof(*asker->request));
	asker->request->create.flags = flags;
	error = ask(asker, ELISA_OP_CREATE, 0);
	return error ? error : (int)asker->request->id;
}

static void fill_blob(void *blob)
{
	static const struct {
		const char *name;
		u8 code[16];
	} functions[] = {
		{ "nop", { 0x31, 0xc0, 0xc3 } },                     /* xor eax, eax; ret */
		{ "check", { 0xb8, 0x01, 0x00, 0x00, 0x00, 0xc3 } }, /* mov $1, eax; ret */
		/* mov $0x20000, ecx; 1: dec ecx; jnz 1b; xor eax, eax; ret */
		{ "spin", { 0xb9, 0x00, 0x00, 0x02, 0x00, 0xff, 0xc9, 0x75, 0xfc, 0x31, 0xc0, 0xc3 } },
	};
	struct elisa_function_entry *entries = blob;
	u8 *code = (u8 *)(entries + ARRAY_SIZE(functions));

	memset(blob, 0, 2 * ELISA_PAGE);
	for (unsigned int i = 0; i < ARRAY_SIZE(functions); i++) {
		strscpy(entries[i].name, functions[i].name, sizeof(entries[i].name));
		entries[i].address = ELISA_BASE + ELISA_CODE_OFFSET + 16 * i;
		memcpy(code + 16 * i, functions[i].code, 16);
	}
}

int give_code_of(struct asker *asker, u32 object, unsigned int pages)
{
	int memory, error;

	fill_blob(asker->play);
	memory = name_pages(asker, asker->play, pages);
	if (memory < 0)
		return memory;
	memset(asker->request, 0, sizeof(*asker->request));
	asker->request->memory.id = memory;
	asker->request->code.functions = 3;
	asker->request->code.code_bytes = ELISA_PAGE;
	error = ask(asker, ELISA_OP_OBJECT_CODE, object);
	memset(asker->request, 0, sizeof(*asker->request));
	asker->request->memory.id = memory;
	ask(asker, ELISA_OP_MEMORY_RELEASE, 0);
	return error;
}

int give_code(struct asker *asker, u32 object)
{
	return give_code_of(asker, object, 2);
}

int publish(struct asker *asker, u32 object, const char *name)
{
	memset(asker->request, 0, sizeof(*asker->request));
	strscpy(asker->request->publish.name, name, sizeof(asker->request->publish.name));
	return ask(asker, ELISA_OP_PUBLISH, object);
}

int grant(struct asker *asker, u32 object, u32 kind, u32 id, u32 rights)
{
	memset(asker->request, 0, sizeof(*asker->request));
	asker->request->grant.kind = kind;
	asker->request->grant.id = id;
	asker->request->grant.rights = rights;
	return ask(asker, ELISA_OP_GRANT, object);
}

/* Whose VM the host does not know yet may only say hello. */
static void before_hello(struct asker *asker)
{
	for (u32 op = ELISA_OP_HELLO + 1; op <= ELISA_OP_DETACH; op++)
		expect("a request before hello", ask_plain(asker, op, 1), -ENOTCONN);
}

static int hello(struct asker *asker)
{
	int error;

	memset(asker->request, 0, sizeof(*asker->request));
	asker->request->hello.version = ELISA_HYPERCALL_VERSION;
	asker->request->hello.user_cs = __USER_CS;
	asker->request->hello.user_ss = __USER_DS;
	error = ask(asker, ELISA_OP_HELLO, 0);
	region = asker->request->hello.base;
	return error;
}

static int __init manager_init(void)
{
	static const struct {
		const char *name;
		int (*run)(struct asker *asker);
	} attacks[] = {
		{ "rights", attack_rights },
		{ "memory", attack_memory },
		{ "churn", attack_churn },
		{ "storm", attack_storm },
	};
	struct asker *asker = asker_create(seed);
	int error;

	if (!asker)
		return -ENOMEM;
	before_hello(asker);
	error = hello(asker);
	for (unsigned int i = 0; !error && i < ARRAY_SIZE(attacks); i++) {
		if (strcmp(what, attacks[i].name))
			continue;
		error = attacks[i].run(asker);
		pr_info("%s: tried %llu contained %llu seed %lu error %d\n", what, tried, contained, seed, error);
	}
	ask_plain(asker, ELISA_OP_BYE, 0);
	asker_destroy(asker);
	return error;
}

/* All is given back already. */
static void __exit manager_exit(void)
{
}

module_init(manager_init);
module_exit(manager_exit);
MODULE_LICENSE("GPL v2");
MODULE_DESCRIPTION("A hostile manager VM, to test ELISA with");
