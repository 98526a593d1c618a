# SPDX-License-Identifier: MIT
"""Guests that differ: other kernels, page tables, and memory under them. Each calls, shares a buffer, and is left whole."""

import re

from harness import kernel

OTHER = {"bookworm": "trixie", "trixie": "bookworm"}


def hugetlb(megabytes):
    """QEMU's options for memory of so many MB in pages of hugetlbfs."""
    return ["-object", f"memory-backend-file,id=ram,size={megabytes}M,mem-path=/dev/hugepages,prealloc=on",
            "-machine", "memory-backend=ram"]


def pages_of(test, size):
    """How many pages of that size ('4k', '2m', '1g') KVM has mapped for its guests."""
    return int(test.host.call(f"cat /sys/kernel/debug/kvm/pages_{size}"))


def use(test, guest, what):
    """All that a client does, in a guest that is somehow special."""
    test.elisa_guest(guest)
    guest.call(f"{test.program(guest, 'call-many')} counter gate 2 20000", 30)
    test.equal(guest.call(f"{test.program(guest, 'share')} nop gate", 30), "shared\n", f"{what}: what a client printed")
    test.equal(guest.run("dmesg | grep -E 'BUG|WARNING|Oops'").out, "", f"{what}: its kernel's complaints")
    print(f"{what}: called, shared a buffer")


def objects(test):
    """What use() calls; the function that is returned tells which calls were aborted, but for those that share means to be."""
    test.manager("nop", name="nop", vetted=True, memory="64K", grant="all")
    counter = test.manager("counter", name="counter", vetted=True, grant="all")
    return lambda: [line for line in counter.events() if "abort" in line]


def kernels(test):
    """Page-table isolation, without it, without most of what a kernel turns on by itself, and the other release's kernel."""
    aborts = objects(test)
    for what, options in (("pti=on", {"command_line": "pti=on"}), ("nopti", {"command_line": "nopti"}),
                          ("nokaslr nosmt", {"command_line": "nokaslr nosmt"}), ("4 vCPUs", {"vcpus": 4})):
        guest = test.guest(**{"vcpus": 2, **options})
        if "pti=on" in what:
            test.check("pti" in guest.call("cat /proc/cpuinfo"), "page-table isolation is not on")
        use(test, guest, what)
        guest.stop()
    other = kernel.current(OTHER[test.entry.release])
    guest = test.guest(vcpus=2, memory_mb=192, kernel=other)
    test.check(guest.release != test.host.call("uname -r").strip(), "the same kernel")
    use(test, guest, f"a guest with {guest.release} on a host with {test.host.call('uname -r').strip()}")
    test.equal(aborts(), [], "calls that were aborted")


def levels(test):
    """Five levels of page tables, in host and guest; and four in a guest beside it."""
    aborts = objects(test)
    test.equal(test.host.run("grep -qw la57 /proc/cpuinfo").status, 0, "the host's CPU has no five levels")
    for five in (True, False):
        guest = test.guest(vcpus=2, memory_mb=256, packed=five)
        test.equal("la57" in guest.call("cat /proc/cpuinfo").split(), five, "five levels of page tables")
        use(test, guest, f"a guest with {'five' if five else 'four'} levels of page tables")
    test.equal(aborts(), [], "calls that were aborted")


def memory(test, huge="2m", megabytes=128):
    """Small pages alone; then in pages of hugetlbfs."""
    aborts = objects(test)
    test.host.call("mountpoint -q /sys/kernel/debug || mount -t debugfs debugfs /sys/kernel/debug; "
                   "mkdir -p /dev/hugepages; mount -t hugetlbfs hugetlbfs /dev/hugepages")
    thp = "/sys/kernel/mm/transparent_hugepage/enabled"
    before = re.search(r"\[(\w+)\]", test.host.call(f"cat {thp}")).group(1)
    test.host.call(f"echo never > {thp}")
    guest = test.guest(vcpus=2)
    test.equal(pages_of(test, "2m") + pages_of(test, "1g"), 0, "large pages of a guest in small ones")
    use(test, guest, f"memory in {pages_of(test, '4k')} pages of 4 KiB")
    guest.stop()
    test.host.call(f"echo {before} > {thp}")
    if huge == "2m":
        test.host.call(f"echo {megabytes // 2} > /proc/sys/vm/nr_hugepages", 30)
    guest = test.guest(vcpus=2, memory_mb=megabytes, qemu_options=hugetlb(megabytes))
    # The kernel is not all over it by itself.
    guest.call(f"head -c {megabytes // 2}M /dev/zero > /tmp/fill; rm /tmp/fill", 60)
    use(test, guest, f"memory in {pages_of(test, huge)} pages of {huge}")
    test.check(pages_of(test, huge) > 0, f"no page of {huge} was mapped")
    guest.stop()
    test.equal(aborts(), [], "calls that were aborted")
    test.host.call("echo 0 > /proc/sys/vm/nr_hugepages; umount /dev/hugepages")


def run(test, what, **options):
    globals()[what](test, **options)
