/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Makes a kernel module of an object's source, for host interposition: a file that includes the source, this header,
 * and says ELISA_INTERPOSE("the object's name"). The module's parameter `name` gives it another. It serves objects that
 * are vetted and not mapped by clients; ELISA_INTERPOSE_ANY() any that has the name: see elisa/interpose.h.
 */
#ifndef ELISA_MODULE_H
#define ELISA_MODULE_H

#include <linux/module.h>

#include <elisa/object.h>

/* The table lies between two entries without a name. */
static const struct elisa_interpose_function elisa_entries_end[1] ELISA_INTERPOSE_TABLE = { { 0, 0 } };

#define ELISA_INTERPOSE(object) ELISA_INTERPOSE_OF(object, 0)
#define ELISA_INTERPOSE_ANY(object) ELISA_INTERPOSE_OF(object, 1)

#define ELISA_INTERPOSE_OF(object, any)                                                                       \
	static char *elisa_interpose_name = object;                                                           \
	static struct elisa_interpose elisa_interpose = { .owner = THIS_MODULE, .any_object = any };          \
	static int __init elisa_interpose_init(void)                                                          \
	{                                                                                                     \
		const struct elisa_interpose_function *begin = elisa_entries_begin, *end = elisa_entries_end; \
                                                                                                              \
		OPTIMIZER_HIDE_VAR(begin); /* to the compiler they are two objects */                         \
		elisa_interpose.name = elisa_interpose_name;                                                  \
		elisa_interpose.functions = begin + 1;                                                        \
		elisa_interpose.count = (unsigned int)(end - begin - 1);                                      \
		return elisa_interpose_register(&elisa_interpose);                                            \
	}                                                                                                     \
	static void __exit elisa_interpose_exit(void)                                                         \
	{                                                                                                     \
		elisa_interpose_unregister(&elisa_interpose);                                                 \
	}                                                                                                     \
	module_param_named(name, elisa_interpose_name, charp, 0444);                                          \
	module_init(elisa_interpose_init);                                                                    \
	module_exit(elisa_interpose_exit);                                                                    \
	MODULE_DESCRIPTION("ELISA: the object " object ", executed by the host");                             \
	MODULE_LICENSE("GPL")

#endif
