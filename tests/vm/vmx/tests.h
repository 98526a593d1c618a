/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VMX_TESTS_H
#define VMX_TESTS_H

#include <linux/types.h>

/* 0 if both are equal; else says so in the kernel log and returns -EPROTO. */
int expect(const char *what, u64 got, u64 wanted);

/* monitor.c */
int monitor_wakes(void);

#endif
