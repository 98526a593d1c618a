# SPDX-License-Identifier: MIT
"""One guest: boots, answers, shows its console, ends in each way, and says why it does not start."""

from harness.guest import GuestDied
from harness.say import Failure


def run(test):
    host = test.host
    guest = test.guest(vcpus=2, command_line="testbed.word=one")
    test.equal(guest.call("uname -r").strip(), host.guest_kernel.version, "the guest's kernel")
    test.equal(int(guest.call("nproc")), 2, "vCPUs")
    test.check("testbed.word=one" in guest.call("cat /proc/cmdline"), "the command line lacks what was asked for")
    guest.call("echo from the guest > /dev/console")
    test.equal(guest.expect_console("^from the"), "from the guest", "line on the console")

    # It ends by itself.
    guest.start("poweroff -f")
    test.equal(guest.qemu.wait(10).status, 0, "QEMU's exit code after a power-off")
    guest.forget()

    # It is killed, and whoever asks it something is told so.
    guest = test.guest()
    guest.qemu.kill()
    try:
        guest.call("true")
        test.fail("a killed guest answered")
    except GuestDied as death:
        test.check("ended with 265" in str(death), f"unclear: {death}")
    guest.forget()

    # It cannot start.
    try:
        test.guest(qemu_options=["-device", "no-such-device"])
        test.fail("a guest with a bad option started")
    except Failure as failure:
        test.check("no-such-device" in str(failure), f"unclear: {failure}")
    host.guests[-1].forget()
