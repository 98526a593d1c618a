/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What the pure code needs from its surroundings: it runs in the module, and in user space in its tests. */
#ifndef ELISA_HOST_TYPES_H
#define ELISA_HOST_TYPES_H

#ifdef __KERNEL__

#include <linux/errno.h>
#include <linux/kvm_types.h>
#include <linux/string.h>
#include <linux/types.h>

#else

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef u64 gpa_t;
typedef u64 hpa_t;

#endif
#endif
