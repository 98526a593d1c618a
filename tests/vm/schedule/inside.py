# SPDX-License-Identifier: MIT
"""Each instruction inside meets each event: see docs/testing.md, "Schedules"."""

import errno
import re
import sys

from harness import elisa
from harness.run import TREE
from harness.say import say

sys.path.append(str(TREE / "tests" / "fault"))
from monitor import Monitor  # noqa: E402  QEMU's threads are asked for

VMM = TREE / "build" / "tests" / "attack" / "vmm" / "vmm"
LOCKS = TREE / "build" / "tests" / "attack" / "victim" / "locks.elf"
WITNESS = TREE / "tests" / "vm" / "schedule" / "witness"
LIMIT_S = 400

# What is called: the object's code, and whether it is vetted, as these have different ways out.
CALLS = {
    "counter": ("counter", True, "counter"),
    "counter-other": ("counter", False, "counter"),
    "refused": ("counter", True, "refused"),  # a function that the object has not
    "refused-other": ("counter", False, "refused"),
    "lock": (LOCKS, True, "lock"),
    "lock-other": (LOCKS, False, "lock"),
    "dead": (LOCKS, True, "dead"),  # a lock that a call has left taken: waiting for it, and taking it over
    "dead-other": (LOCKS, False, "dead"),
}

# What each event ends a call with; 0: it goes on. All but the first row need a second CPU.
EVENTS = {"interrupt": 0, "nmi": 0, "smi": 0, "init": errno.ECANCELED,
          "kick": 0, "roots": 0, "detach": errno.ENOTCONN, "manager": errno.ESHUTDOWN, "client": 0, "vmm": 0}
BY_STRIKE = ("kick", "roots", "manager")  # by a process on the host, while the CPU is held
BY_SWEEP = ("interrupt", "nmi", "smi", "init", "detach", "client")


class Scene:
    """A VM whose first vCPU has the host's first CPU for itself; all else has the others."""

    def __init__(self, test):
        test.need_emulator()
        test.elisa()
        self.test = test
        self.monitor = Monitor(test.host, "schedule")
        self.guest = test.elisa_guest(test.guest(vcpus=2, qemu_options=self.monitor.options))
        self.monitor.begin()
        self.pid = test.host.call(f"cat {self.guest.folder}/pid").strip()
        self.thread = next(each["thread-id"] for each in self.monitor.ask("query-cpus-fast") if each["cpu-index"] == 0)
        if test.host.call("nproc").strip() != "1":
            test.host.call(f"taskset -ap 2 {self.pid} > /dev/null; taskset -p 1 {self.thread} > /dev/null")
        elisa.insert(test.host, WITNESS, test.host.kernel)
        self.nmis = 0

    def nmis_handled(self):
        return int(self.test.host.call("cat /sys/module/witness/parameters/handled"))

    def end(self):
        self.test.host.call("rmmod witness")
        self.monitor.end()


def sweep_vmms(test, name, how):
    """A small VMM each, which another of them outlives."""
    return test.host.call(f"{elisa.place(test.host, VMM)} struck-{how} {name} 20000", LIMIT_S).splitlines()[-2] + "\n"


def strike(scene, event, command):
    """The process on the host that does it, when it is ready; None if the guest does it, or the emulator."""
    if event not in BY_STRIKE:
        return None
    words = {"kick": f"{scene.pid} {scene.thread}", "roots": "", "manager": command}[event]
    job = scene.test.host.start(f"exec taskset 2 {scene.test.program(scene.test.host, 'strike')} {event} {words}")
    job.expect("^ready")
    return job


def sweep(scene, call, event):
    """(instructions, those that the event came before, calls that were ended)"""
    test, guest = scene.test, scene.guest
    code, vetted, how = CALLS[call]
    name = f"{call}-{event}"
    manager = None
    file = elisa.place(test.host, code if code is LOCKS else elisa.code_of(code))
    command = f"{elisa.place(test.host, elisa.MANAGER)} --code {file} --name {name} --grant=all" + (" --vetted" if vetted else "")
    if event != "manager":
        manager = test.manager(code, name=name, vetted=vetted, grant="all")
    if event == "vmm":
        return result(sweep_vmms(test, name, how), manager)
    stub = test.manager("nop", name="stub", vetted=True, grant="all") if event == "detach" else None
    job = strike(scene, event, command)
    each = " each" if how == "dead" else ""
    asked = event if event in BY_SWEEP else "hold"
    said = guest.call(f"{test.program(guest, 'sweep')} {name} {how} {asked} {EVENTS[event]}{each}", LIMIT_S)
    if job:
        job.kill()
        job.wait()
    if stub:
        stub.stop()
    return result(said, manager)


def result(said, manager):
    if manager:
        manager.stop()
    found = re.fullmatch(r"instructions (\d+) tried (\d+) ended (\d+)\n", said)
    if not found:
        raise elisa.Failure(f"it said {said!r}")
    return tuple(map(int, found.groups()))


def check(test, call, event, instructions, tried, ended):
    """Each was tried, and the one at the landing, where the call is over; that one's call was not ended."""
    test.equal(tried, instructions + (event != "init"), f"{call}, {event}: tried, of {instructions} instructions and the landing")
    wanted = tried if event in ("client", "vmm") else instructions if EVENTS[event] else 0
    test.equal(ended, wanted, f"{call}, {event}: calls that were ended, of {tried}")


def run(test, calls, events):
    scene = Scene(test)
    instructions, total = {}, 0
    for call in calls:
        for event in events:
            before = scene.nmis_handled()
            found, tried, ended = sweep(scene, call, event)
            check(test, call, event, found, tried, ended)
            test.equal(scene.nmis_handled() - before, tried if event == "nmi" else 0, f"{call}, {event}: NMIs that the host got")
            test.equal(instructions.setdefault(call, found), found, f"{call}, {event}: instructions")
            say(f"       {call}, {event}: {found} instructions, {tried} tried, {ended} calls ended")
            total += found
    test.contained(total, total, f"{sum(instructions.values())} instructions x {len(events)} events")
    scene.end()
