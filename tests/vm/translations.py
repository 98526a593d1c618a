# SPDX-License-Identifier: MIT
"""What ends translations: scenes in which a CPU has kept some, with the product as it is, or without one invalidation.

docs/fidelity.md: the checker must be silent about the former, and must find the latter.
"""

import sys
from signal import SIGUSR1

from harness import elisa, modules, planted
from harness.run import TREE

sys.path.append(str(TREE / "tests" / "vm" / "core"))
sys.path.append(str(TREE / "tests" / "attack"))
sys.path.append(str(TREE / "tests" / "fault"))
import exchange  # noqa: E402
from oom import FAILING, need_places  # noqa: E402
from vmm import VMM  # noqa: E402

ATTACK = TREE / "build" / "tests" / "attack"
VICTIM = ATTACK / "victim" / "victim.elf"


def detach(test):
    guest = test.client()
    test.manager("nop", name="again", vetted=True, memory="64K", grant="all")
    guest.call(f"{test.program(guest, 'attach-rounds')} again gate 3", 20)


def buffers(test):
    guest = test.client()
    test.manager("nop", name="nop", vetted=True, memory="64K", grant="all")
    guest.call(f"{test.program(guest, 'share')} nop gate", 20)


def owner(test):
    """A buffer of the exchange goes while another VM's call uses it."""
    (one, two), _ = exchange.start(test)
    for _ in range(3):
        job, number, index = exchange.sit(test, one)
        lingering = two.start(f"exec {exchange.program(test, two)} linger {number} {index} 20000")
        lingering.expect("^lingers")
        two.call("usleep 20000")
        job.kill()
        job.wait(10)
        lingering.wait(20).check()


def vmm(test, attack, count):
    test.manager(VICTIM, name="victim", vetted=True, grant="all")
    said = test.host.call(f"{elisa.place(test.host, VMM)} {attack} victim {count}", 60)
    test.check(f"tried {count} contained {count} " in said, said)


def roots(test):
    """Pages that were KVM's roots become roots of gate and sub contexts."""
    vmm(test, "roots", 16)


def control(test):
    """A VMM changes CR3, CR4 or EFER of a vCPU that has called, and lets it call again."""
    vmm(test, "spaces", 6)


def spread(test):
    """A guest whose two vCPUs stay on CPUs of their own."""
    guest = test.client(vcpus=2, qemu_options=("-name", "spread,debug-threads=on"))
    # KVM invalidates all when a vCPU comes to another CPU.
    test.host.call(f"cd /proc/$(cat {guest.folder}/pid)/task; for cpu in 0 1; do "
                   "taskset -p $((1 << cpu)) $(dirname $(grep -l \"^CPU $cpu/KVM\" */comm)); done")
    return guest


def cpus(test):
    """A VM is on both CPUs. Who takes its object away is on one of them, which one the host's kernel chooses."""
    guest = spread(test)
    manager = test.manager("nop", name="far", vetted=True, memory="64K", grant="all")
    jobs = [guest.start(f"exec taskset {1 << cpu} {test.program(guest, 'hold')} far") for cpu in range(2)]
    for job in jobs:
        job.expect("^attached")
    guest.call("usleep 50000")
    manager.kill()
    test.host.call("usleep 50000")
    for job in jobs:
        job.kill()


def switches(test):
    """Processes of a VM that call in turn: each has a CR3 of its own."""
    guest = test.client()
    test.manager("counter", name="counter", vetted=True, grant="all")
    program = test.program(guest, "call-many")
    guest.call(f"for i in 1 2 3; do {program} counter gate 1 100 & done; wait", 20)


def neighbours(test):
    """Such a guest, with hostile code that reads what it is told to; its manager stays on one CPU."""
    guest = spread(test)
    test.manager(ATTACK / "victim" / "hostile.elf", name="hostile", grant="all", exchange=True)
    test.host.call("taskset -ap 1 $(pidof elisa-manager)")
    return guest, f"exec {elisa.place(guest, ATTACK / 'programs' / 'halfway')} hostile"


def halfway(test, flags="", attempts=5):
    """Sharing fails in the middle, when another vCPU has read what was mapped until then; the rest is not mapped at all."""
    need_places(test)
    guest, program = neighbours(test)
    elisa.insert(test.host, FAILING, test.host.kernel, "window=elisa:elisa_memory_map")
    try:
        arm = f"cd /sys/module/failing/parameters; cat {guest.folder}/pid > pid; echo 1 > nth"
        job = guest.start(f"{program} {flags}")
        job.expect("^ready")
        for number in range(attempts):
            test.host.call(arm)
            job.kill(SIGUSR1)
            said = job.expect(f"^share {number} ")
            test.check("ENOMEM" in said, f"how sharing ended: {said}")
            if said.endswith(" met"):
                break
        else:
            test.fail(f"nobody has read what was mapped for a moment, in {attempts} attempts")
        job.kill()
        job.wait(10)
    finally:
        test.host.call(f"rmmod {modules.name_of(FAILING)}")


def halfway_exchange(test):
    """The same of a buffer that all attachments of the object would reach."""
    halfway(test, "exchange")


def whole(test, flags=""):
    """Another vCPU reads a buffer all the time, also when it is unshared."""
    guest, program = neighbours(test)
    job = guest.start(f"{program} whole {flags}")
    job.expect("^ready")
    job.kill(SIGUSR1)
    said = job.expect("^share 0 ", 20)
    test.check(said.endswith(" ok met"), f"how sharing ended: {said}")
    job.kill()
    job.wait(10)


def whole_exchange(test):
    whole(test, "exchange")


SCENES = {"detach": detach, "buffers": buffers, "owner": owner, "roots": roots, "control": control, "cpus": cpus,
          "switches": switches, "halfway": halfway, "halfway-exchange": halfway_exchange,
          "whole": whole, "whole-exchange": whole_exchange}


def run(test, scenes, fault=None, report=None):
    """FAULT: the mutation to leave an invalidation out with; REPORT: what the checker must then say, a regular expression."""
    test.need_emulator()
    if fault and fault.startswith("invvpid") and test.host.kernel.linux >= (6, 7):
        test.skip("KVM of Linux 6.7 and later does INVVPID when a VMM changes control registers")
    test.host.stop_guests()
    test.host.elisa.unload()
    if fault:
        test.expected_report = report
        test.host.elisa.load(source=planted.source(fault))
    for scene in scenes:
        SCENES[scene](test)
        if fault is None:
            test.clean_up()
