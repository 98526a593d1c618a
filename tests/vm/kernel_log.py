# SPDX-License-Identifier: MIT
"""A complaint in the log of the host's or a guest's kernel, or on the console of a dead guest, is noticed."""

from harness import runner

LINES = ("------------[ cut here ]------------", "WARNING: CPU: 0 PID: 1 at a/file.c:1", "BUG: unable to handle page fault",
         "INFO: rcu_sched detected stalls", "WARNING: possible circular locking dependency detected",
         "unchecked MSR access error", "kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)")


def run(test):
    guest = test.guest()
    test.equal(runner.kernel_complaints(test.host), [], "complaints of a quiet machine")
    for agent in (test.host, guest):
        for line in LINES:
            agent.write("/dev/kmsg", f"<4>{line}\n")
            found = runner.kernel_complaints(test.host)
            test.equal([f"{agent.name}: " in text and line in text for text in found], [True], f"{line!r} on {agent.name}")
    guest.write("/dev/kmsg", "<3>BUG: the last words of a guest\n")
    guest.expect_console("the last words")
    guest.kill()
    test.check("last words" in str(runner.kernel_complaints(test.host)), "a dead guest's console was not looked at")
    test.equal(runner.kernel_complaints(test.host), [], "complaints after all were looked at")
