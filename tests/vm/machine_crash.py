# SPDX-License-Identifier: MIT
"""An emulated host that crashes, or hangs, is told apart, named, and stopped."""

from harness.channel import MachineDied
from harness.machine import Machine


def run(test):
    test.need_emulator()
    like = test.host
    for name, command, words in (("crash", "echo c > /proc/sysrq-trigger", "crashed"),
                                 ("hang", "kill -STOP $(pidof agent)", "hangs: no answer in 6 emulated seconds")):
        machine = Machine(like.emulator, like.kernel, test.folder / name)
        machine.boot()
        try:
            machine.run(command, limit_s=1)
            test.fail(f"{name}: the machine still answers")
        except MachineDied as death:
            test.check(words in str(death), f"{name}: unclear: {death}")
        finally:
            machine.stop()
        test.check(name == "hang" or "sysrq triggered crash" in machine.console().lower(), "the console does not show the crash")
