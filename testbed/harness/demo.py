# SPDX-License-Identifier: MIT
"""`make demo`: what there is to see, in a minute."""

import time

from . import emulator, kernel, modules, runner
from .machine import Machine
from .run import TREE
from .say import say

VMX = TREE / "tests" / "vm" / "vmx"


def show_vmfunc(machine):
    module = machine.put(modules.build(machine.kernel, VMX, "vmx"))
    machine.call(f"insmod {module} test=vmfunc && rmmod vmx")
    vcpu, = machine.count_of("vmfunc")["vcpus"]
    say(f"  a guest switched to another EPT with VMFUNC and back, reading a page in each: {vcpu['vmfunc']} VMFUNC, "
        f"{vcpu['guest']} instructions, {sum(vcpu['exits'].values())} VM exits")


def show_counts(guest):
    guest.call(guest.put(TREE / "build" / "tests" / "vm" / "count"))
    cost = min(region["cpus"][0]["host"] for region in guest.host.counts if region["name"] == "cpuid") // 20
    say(f"  one CPUID in a guest costs {cost} instructions of the host (KVM's handling of the exit), counted exactly")


def run():
    start = time.monotonic()

    def at(text):
        say(f"[{time.monotonic() - start:3.0f} s] {text}")

    machine = Machine(emulator.program(), kernel.current(), runner.new_folder("demo"))
    try:
        at("booting a stock Debian kernel on an emulated CPU with VT-x")
        machine.boot().load_kvm()
        at(f"the host is up: Linux {machine.kernel.version}, its own KVM loaded")
        show_vmfunc(machine)
        at("starting three guests: stock QEMU, the same stock kernel, 1, 2 and 4 vCPUs")
        guests = [machine.guest(vcpus=vcpus, wait=False) for vcpus in (1, 2, 4)]
        for guest in guests:
            guest.wait_ready(60)
            at(f"{guest.name} answers, with {guest.call('nproc').strip()} vCPUs")
        show_counts(guests[0])
        guests[1].kill()
        answers = [guest.call("echo alive").strip() for guest in (guests[0], guests[2])]
        at(f"killed {guests[1].name}; the others: {', '.join(answers)}")
        complaints = runner.kernel_complaints(machine)
        at(f"complaints in the kernels' logs: {len(complaints)}")
        return 1 if complaints else 0
    finally:
        machine.stop()
