// SPDX-License-Identifier: GPL-2.0-only
#include "stub.h"

#include <asm/text-patching.h>
#include <linux/mm.h>
#include <linux/string.h>

#include "compat.h"

#define START (ELISA_GATE - ELISA_PAGE)
#define PAGES 3
#define LANDING 2 /* the page's number; between the two is page G, which is never there */

static struct page *pages[PAGES];

/* At the very end of its page: after VMFUNC the CPU is at the start of page G, in the gate. */
static const u8 stub[] = {
	0xfa,             /* cli */
	0x31, 0xc0,       /* xor %eax, %eax */
	0x0f, 0x01, 0xd4, /* vmfunc */
};
static_assert(sizeof(stub) == ELISA_STUB_BYTES);

/* At the very start. */
static const u8 landing[] = {
	0x48, 0x89, 0xd0, /* mov %rdx, %rax */
	0xfb,             /* sti */
	0xc3,             /* ret */
};

static struct page *make_page(const u8 *code, size_t bytes, size_t offset)
{
	struct page *page = alloc_page(GFP_KERNEL);

	if (page) {
		memset(page_address(page), INT3_INSN_OPCODE, PAGE_SIZE);
		memcpy(page_address(page) + offset, code, bytes);
	}
	return page;
}

int elisa_stub_init(void)
{
	pages[0] = make_page(stub, sizeof(stub), PAGE_SIZE - sizeof(stub));
	pages[LANDING] = make_page(landing, sizeof(landing), 0);
	if (pages[0] && pages[LANDING])
		return 0;
	elisa_stub_uninit();
	return -ENOMEM;
}

void elisa_stub_uninit(void)
{
	for (int i = 0; i < PAGES; i++)
		if (pages[i])
			put_page(pages[i]);
}

static vm_fault_t fault(struct vm_fault *vmf)
{
	if (vmf->pgoff >= PAGES || !pages[vmf->pgoff])
		return VM_FAULT_SIGBUS;
	vmf->page = pages[vmf->pgoff];
	get_page(vmf->page);
	return 0;
}

/* What is called lies at its address or nowhere. */
static int refuse_to_move(struct vm_area_struct *vma)
{
	return -EINVAL;
}

static const struct vm_operations_struct operations = {
	.fault = fault,
	.mremap = refuse_to_move,
};

int elisa_stub_mmap(struct vm_area_struct *vma, struct elisa_why *why)
{
	int error = 0;

	if (vma->vm_start != START || vma->vm_end - vma->vm_start != PAGES * PAGE_SIZE)
		return elisa_refuse(why, -EINVAL, "the stub is %d pages at %#lx", PAGES, START);
	if (vma->vm_flags & VM_WRITE || !(vma->vm_flags & VM_MAYSHARE))
		return elisa_refuse(why, -EINVAL, "the stub is mapped shared, and not for writing");
	vma->vm_ops = &operations;
	vm_flags_mod(vma, VM_DONTEXPAND | VM_DONTDUMP, VM_MAYWRITE);
	/* At once: a call that lands has interrupts off, and need not take a fault. A child of fork() gets them copied,
	 * too. */
	for (int i = 0; !error && i < PAGES; i++)
		if (pages[i])
			error = vm_insert_page(vma, vma->vm_start + i * PAGE_SIZE, pages[i]);
	return error ? elisa_refuse(why, error, "no memory for the stub") : 0;
}
