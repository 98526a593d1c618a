// SPDX-License-Identifier: GPL-2.0-only
#include "request.h"

#include <asm/io.h>
#include <linux/err.h>
#include <linux/mempool.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <uapi/linux/kvm_para.h>

#define RESERVE 4 /* requests that can be made whatever memory is left */

static struct kmem_cache *cache;
static mempool_t *pool;

int elisa_request_init(void)
{
	/* Aligned so that none crosses a page. */
	cache = kmem_cache_create("elisa_request", sizeof(struct elisa_request),
				  roundup_pow_of_two(sizeof(struct elisa_request)), 0, NULL);
	if (!cache)
		return -ENOMEM;
	pool = mempool_create_slab_pool(RESERVE, cache);
	if (!pool) {
		kmem_cache_destroy(cache);
		return -ENOMEM;
	}
	return 0;
}

void elisa_request_uninit(void)
{
	mempool_destroy(pool);
	kmem_cache_destroy(cache);
}

struct elisa_request *elisa_request_get(enum elisa_op op, u32 id)
{
	struct elisa_request *request = mempool_alloc(pool, GFP_KERNEL);

	BUILD_BUG_ON(sizeof(*request) > ELISA_PAGE);
	memset(request, 0, sizeof(*request));
	request->size = sizeof(*request);
	request->op = op;
	request->id = id;
	return request;
}

void elisa_request_put(struct elisa_request *request)
{
	mempool_free(request, pool);
}

int elisa_request_make(struct elisa_request *request, struct elisa_why *why)
{
	long result = ELISA_HYPERCALL;

	/* Not KVM's own wrapper: it becomes VMMCALL on AMD, where there is no VMFUNC to go on with. */
	asm volatile("vmcall" : "+a"(result) : "b"(virt_to_phys(request)) : "memory", "cc");
	if (result == -KVM_ENOSYS)
		return elisa_refuse(why, -ENODEV, "this host does not have ELISA loaded (elisa.ko)");
	if (result)
		return elisa_refuse(why, IS_ERR_VALUE(result) ? (int)result : -EIO,
				    "the host could not read the request (%ld)", result);
	if (request->error > 0 || request->error < -MAX_ERRNO)
		return elisa_refuse(why, -EIO, "the host answered %d, which is no error", request->error);
	if (!request->error)
		return 0;
	if (!request->reason[0])
		return elisa_refuse(why, request->error, "the host refuses (%d)", request->error);
	return elisa_refuse(why, request->error, "%.*s", (int)sizeof(request->reason) - 1, request->reason);
}

int elisa_request_simple(enum elisa_op op, u32 id, struct elisa_why *why)
{
	struct elisa_request *request = elisa_request_get(op, id);
	int error = elisa_request_make(request, why);

	elisa_request_put(request);
	return error;
}
