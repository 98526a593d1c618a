# SPDX-License-Identifier: MIT
"""What is in a guest's initramfs and on its disk is for each test to choose."""


def run(test):
    disk = test.folder / "disk"
    disk.write_bytes(b"on the disk\n".ljust(1 << 20, b"\0"))
    file = test.folder / "file"
    file.write_text("in the initramfs\n", encoding="ascii")
    guest = test.guest(extra=[("/etc/testbed-file", file), ("/usr/bin/a-program", "/usr/bin/env")], disk=disk,
                       modules=["vsock"])
    test.equal(guest.call("cat /etc/testbed-file"), "in the initramfs\n", "a file of the initramfs")
    test.equal(guest.call("/usr/bin/a-program A=1 sh -c 'echo $A'"), "1\n", "a program with its shared libraries")
    test.equal(guest.call("head -n 1 /dev/vda"), "on the disk\n", "the disk")
    test.check("vsock" in guest.call("lsmod"), "the module that was asked for is not loaded")
