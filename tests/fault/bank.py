# SPDX-License-Identifier: MIT
"""The object `ledger` and those who call it: what the tests of faults have in common."""

import random
import struct
from signal import SIGTERM

from harness import elisa
from harness.run import TREE
from harness.say import say
from monitor import Monitor

BUILT = TREE / "build" / "tests" / "fault"
CODE = BUILT / "objects" / "ledger" / "ledger.elf"
TELLER = BUILT / "programs" / "teller"
TURNS = 600  # of a call before it takes the lock, and as many with it
MEMORY = "64K"

# The layout of objects/ledger/ledger.c.
HEADER = struct.Struct("=3Q3Q2q64q")  # lock, repairs, transfers; journal: open, from, to, from_after, to_after; accounts
CALLER = struct.Struct("=4Q")  # number, vm, where, calls
CALLERS = 1024
INSIDE, LOCKED = 1, 2
STEP_S = 0.003


class Reading:
    """The object's memory at one moment."""

    def __init__(self, data):
        fields = HEADER.unpack_from(data)
        self.lock, self.repairs, self.transfers, self.open = fields[:4]
        self.sum = sum(fields[8:])
        self.touched = any(fields[8:])
        callers = (CALLER.unpack_from(data, HEADER.size + i * CALLER.size) for i in range(CALLERS))
        self.callers = {number: (vm, where, calls) for number, vm, where, calls in callers if number}

    def inside(self, vm=None, least=INSIDE):
        """The vCPUs that are inside, or were when their call was cut short; LOCKED: with the lock only."""
        return {number for number, (of, where, _) in self.callers.items() if where >= least and vm in (None, of)}

    def calls(self, vm):
        return sum(calls for of, _, calls in self.callers.values() if of == vm)


class Ledger:
    """One object, offered by a manager on the host or in a VM, whose memory is looked at from outside."""

    def __init__(self, test, name="ledger", where=None, **options):
        self.test, self.name, self.agent = test, name, where or test.host
        self.manager = test.manager(CODE, name=name, where=where, grant="all", memory=MEMORY, **options)
        pid = self.manager_pid()
        area = self.agent.call(f"grep memfd:elisa /proc/{pid}/maps").split()[0]
        low, high = (int(end, 16) for end in area.split("-"))
        # Somebody who outlives the manager holds the memory open.
        self.holder = self.agent.start(f"echo $$; exec sleep 1000000 < /proc/{pid}/map_files/{low:x}-{high:x}")
        self.memory = f"/proc/{self.holder.expect('^[0-9]+$').strip()}/fd/0"

    def manager_pid(self):
        if self.agent is self.test.host:
            return next(each["pid"] for each in self.test.listed("object") if each["name"] == self.name)
        return int(self.agent.call("pidof elisa-manager").split()[0])  # a VM of tests has one at a time

    def read(self):
        return Reading(self.agent.read(self.memory))

    def kill(self):
        return self.manager.kill()

    def close(self):
        if not self.manager.job.result:
            self.manager.kill()
        self.holder.kill()
        self.holder.wait()


class Teller:
    """A process in a VM that calls a ledger all the time."""

    def __init__(self, guest, name, seed=1, threads=1, turns=TURNS):
        self.guest, self.name = guest, name
        self.job = guest.start(f"exec {elisa.place(guest, TELLER)} {name} {seed} {turns} {threads}")
        self.job.expect("^attached")

    def said(self):
        return self.guest.read(self.job.out_path).decode()

    def kill(self):
        self.job.kill()
        return self.job.wait()

    def end(self):
        """Asks it to end; what it has counted."""
        self.job.kill(SIGTERM)
        words = self.job.wait().check().out.split("\n")[1].split()
        return dict(zip(words[::2], map(int, words[1::2])))

    def expect_error(self, name):
        self.job.expect(f"^error {name}$")
        self.job.wait()


def vm_of(test, guest):
    """The number under which the host's module knows a guest."""
    pid = int(test.host.call(f"cat {guest.folder}/pid"))
    return next(vm["id"] for vm in test.listed("vm") if vm["pid"] == pid)


def check_going_on(test, ledger, vm, what, limit_s=0.1):
    """A VM's calls go on: nothing holds the lock that it waits for."""
    before = ledger.read().calls(vm)
    for _ in range(int(limit_s / STEP_S)):
        test.host.call(f"usleep {int(STEP_S * 1e6)}")
        now = ledger.read().calls(vm)
        if now > before + 3:
            return
    test.fail(f"{what}: the calls of VM {vm} have stopped at {now}, {before} before")


class Scene:
    """A VM that things happen to by its QEMU's monitor, maybe another as a witness, and a ledger that they call.

    LIMITS: parameters of elisa.ko.
    """

    WAITS_US = range(500, 5000)

    def __init__(self, test, seed, name, witness=True, qemu_options=(), limits=None, **guest):
        test.elisa(**limits or {})
        self.test, self.random = test, points(test, seed)
        self.monitor = Monitor(test.host, name)
        self.guest = test.guest(vcpus=2, qemu_options=[*qemu_options, *self.monitor.options], **guest)
        self.other = test.guest() if witness else None
        guests = [each for each in (self.guest, self.other) if each]
        for each in guests:
            test.elisa_guest(each)
        self.monitor.begin()
        self.ledger = Ledger(test, "bank", vetted=True)
        self.vms = [vm_of(test, each) for each in guests]
        self.inside = 0

    def wait(self):
        """Until some moment or other: what comes next comes while the VM is inside, or while it is not."""
        self.test.host.call(f"usleep {self.random.choice(self.WAITS_US)}")
        self.inside += bool(self.ledger.read().inside(self.vms[0]))

    def until(self, happens, what):
        for _ in range(400):
            if happens():
                return
            self.test.host.call("usleep 5000")
        self.test.fail(what())

    def check(self, what, vms=None):
        """All go on, or those VMs."""
        for vm in self.vms if vms is None else vms:
            check_going_on(self.test, self.ledger, vm, what)

    def end(self):
        """Nobody calls any more."""
        check_whole(self.test, self.ledger)
        self.ledger.close()
        self.monitor.end()


def check_whole(test, ledger):
    """Nobody calls any more: the accounts are whole, and what somebody left open was finished."""
    reading = ledger.read()
    test.check(reading.touched and reading.transfers, f"{ledger.name}: nothing was ever moved")
    test.equal((reading.sum, reading.open), (0, 0), f"{ledger.name}: sum, and entries of the journal that are open")
    return reading


def points(test, seed):
    """Where the faults strike: a generator of random numbers; the same seed gives the same ones."""
    say(f"       {test.entry.name}: seed {seed}")
    return random.Random(seed)
