# SPDX-License-Identifier: MIT
"""Finds in a kernel's log what must fail a test, whatever the test itself said."""

import re

BAD = re.compile(r"""
    \bWARNING:\ | \bBUG:\ | \bBUG\ at | \bOops\b | cut\ here | general\ protection\ fault | Kernel\ panic
  | unable\ to\ handle | kernel\ NULL\ pointer | (possible|inconsistent).*(locking|lock\ state) | suspicious\ RCU
  | INFO:\ (rcu|task|possible|trying) | rcu_(sched|preempt).*(stall|kthread) | soft\ lockup | hard\ LOCKUP
  | hung\ task | kmemleak:\ .*new\ suspected | memory\ leak | KASAN | UBSAN | KCSAN | refcount_t:
  | scheduling\ while\ atomic | sleeping\ function\ called | Call\ Trace: | unchecked\ MSR | double\ fault
  | segfault\ at | Out\ of\ memory | bad\ page | leaked
""", re.X)

# Each with its reason. Nothing else is forgiven.
HARMLESS = re.compile(r"""
    ^$   # (none so far)
""", re.X)


def complaints(log):
    """The lines of a kernel log that a test may not cause."""
    return [line.strip() for line in log.splitlines() if BAD.search(line) and not HARMLESS.search(line)]
