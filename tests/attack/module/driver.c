// SPDX-License-Identifier: GPL-2.0-only
#include "driver.h"

#include <asm/io.h>
#include <asm/segment.h>
#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/string.h>

struct elisa_request *request;
u64 region;
u32 slot, attachment;
static struct elisa_extent *extents;

long hypercall(u64 gpa)
{
	long result = ELISA_HYPERCALL;

	asm volatile("vmcall" : "+a"(result) : "b"(gpa) : "memory", "cc");
	return result;
}

int ask(u32 op, u32 id)
{
	long result;

	request->size = sizeof(*request);
	request->op = op;
	request->id = id;
	result = hypercall(virt_to_phys(request));
	if (result || request->error)
		pr_debug("attack: op %u: %ld, %d: %s\n", op, result, request->error, request->reason);
	return result ? (int)result : request->error;
}

int driver_connect(const char *object)
{
	int error;

	request = (void *)get_zeroed_page(GFP_KERNEL);
	extents = (void *)get_zeroed_page(GFP_KERNEL);
	if (!request || !extents)
		return -ENOMEM;
	request->hello.version = ELISA_HYPERCALL_VERSION;
	/* With privilege level 0, which the host does not heed. */
	request->hello.user_cs = __USER_CS & ~3;
	request->hello.user_ss = __USER_DS & ~3;
	error = ask(ELISA_OP_HELLO, 0);
	if (error)
		return error;
	region = request->hello.base;
	memset(request, 0, sizeof(*request));
	strscpy(request->attach.name, object, sizeof(request->attach.name));
	error = ask(ELISA_OP_ATTACH, 0);
	slot = request->attach.slot;
	attachment = request->id;
	return error;
}

void driver_disconnect(void)
{
	ask(ELISA_OP_BYE, 0);
	free_page((unsigned long)request);
	free_page((unsigned long)extents);
}

int driver_function(const char *name)
{
	int error;

	memset(request, 0, sizeof(*request));
	strscpy(request->function.name, name, sizeof(request->function.name));
	error = ask(ELISA_OP_FUNCTION, attachment);
	return error ? error : (int)request->function.index;
}

int driver_share(void *pages, unsigned int count)
{
	int error;
	u32 memory;

	extents[0] = (struct elisa_extent){ virt_to_phys(pages), count * ELISA_PAGE };
	memset(request, 0, sizeof(*request));
	request->memory.extents = 1;
	request->memory.gpa = virt_to_phys(extents);
	error = ask(ELISA_OP_MEMORY, 0);
	if (error)
		return error;
	memory = request->memory.id;
	memset(request, 0, sizeof(*request));
	request->memory.id = memory;
	request->share.bytes = count * ELISA_PAGE;
	error = ask(ELISA_OP_SHARE, attachment);
	return error ? error : (int)request->share.buffer;
}
