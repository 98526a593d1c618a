# SPDX-License-Identifier: MIT
"""Each allocation of the host's module fails in turn: an errno, nothing leaked, and the next attempt works."""

from harness import elisa, modules
from harness.run import TREE
from harness.say import say

FAILING = TREE / "tests" / "fault" / "failing"
PARAMETERS = "/sys/module/failing/parameters"
MOST = 2000  # allocations of one attempt


def held_now(test):
    stats = test.stats()
    return {name: stats[name] for name in ("objects", "attachments", "pinned_pages", "allocated_pages")}


class Sweep:
    """Attempts, each with one allocation more that works before one fails, until none is left to fail."""

    def __init__(self, test, what):
        self.test, self.what = test, what
        self.tried = self.errors = 0

    def run(self, attempt, every, first=False):
        """ATTEMPT(nth) arms the failure, and returns how what was tried ended.

        What the module holds is as before after each. FIRST: but once it has grown, by what a vCPU gets at its first call
        and keeps.
        """
        test = self.test
        if not first:
            attempt(0).check()
        before, grown = held_now(test), False
        for nth in range(1, MOST, every):
            for _ in range(2):  # the other vCPU may have been in the module just then, which is not told apart
                result = attempt(nth)
                failed = test.host.call(f"cat {PARAMETERS}/failed; echo 0 > {PARAMETERS}/nth").strip() != "0"
                if failed:
                    break
                result.check()
            if not failed:
                break
            self.tried += 1
            self.errors += result.status != 0
            test.check(result.status < 128, f"{self.what}: allocation {nth}: {result.status} {result.err}")
            test.check(not result.status or result.err.strip(), f"{self.what}: allocation {nth}: not a word of why")
            now = held_now(test)
            if first and not grown and now["allocated_pages"] > before["allocated_pages"]:
                grown, before["allocated_pages"] = True, now["allocated_pages"]
            test.equal(now, before, f"{self.what}: held after allocation {nth} failed ({result.err.strip()})")
        else:
            test.fail(f"{self.what}: more than {MOST} allocations")
        test.contained(self.tried, self.tried, f"failed allocations of {self.what}")
        test.check(self.errors, f"{self.what}: no attempt has failed")
        say(f"       {self.what}: {self.tried} allocations failed in turn, {self.errors} attempts with an errno")


def attach(test, guest, pid, every, cpu):
    """Attach, the first call on a vCPU, buffers; on vCPU 1 for the first time at all."""
    program = test.program(guest, "attach-rounds")

    def attempt(nth):
        test.host.call(f"echo {pid} > {PARAMETERS}/pid; echo {nth} > {PARAMETERS}/nth")
        return guest.run(f"taskset {1 << cpu} {program} nop gate 1 2")

    Sweep(test, f"attaching on vCPU {cpu}").run(attempt, every, first=cpu > 0)


def offer(test, agent, pid, every, what):
    """An object of a manager."""
    manager, code = elisa.place(agent, elisa.MANAGER), elisa.place(agent, elisa.code_of("nop"))
    command = f"{manager} --code {code} --name offered --grant all --memory 64K"

    def attempt(nth):
        arm = f"echo {nth} > {PARAMETERS}/nth"
        if agent is test.host:
            job = agent.start(f"echo $$ > {PARAMETERS}/pid; {arm}; exec {command}")
        else:
            test.host.call(f"echo {pid} > {PARAMETERS}/pid; {arm}")
            job = agent.start(f"exec {command}")
        manager = elisa.Manager(agent, job, "offered")
        try:
            manager.wait_ready()
        except elisa.Failure:
            return job.wait()
        return manager.stop()

    Sweep(test, what).run(attempt, every)


def limited(test, limit_kib=32):
    """A manager with less locked memory than its object: refused, and it is told what limits it."""
    host = test.host
    manager, code = elisa.place(host, elisa.MANAGER), elisa.place(host, elisa.code_of("nop"))
    host.call("grep -q nobody /etc/passwd || echo nobody:x:65534:65534::/:/bin/sh >> /etc/passwd; chmod 666 /dev/elisa")
    before = held_now(test)
    tried = 0
    for kib in range(0, limit_kib + 1, 4):
        inner = f"ulimit -l {kib}; exec {manager} --code {code} --name limited --memory 64K"
        result = host.run(f"exec su nobody -s /bin/sh -c '{inner}'", 5)
        test.check(result.status == 1 and "RLIMIT_MEMLOCK" in result.err, f"with {kib} KiB: {result.status} {result.err}")
        test.equal(held_now(test), before, f"held after {kib} KiB")
        tried += 1
    host.call("chmod 600 /dev/elisa")
    test.contained(tried, tried, "objects beyond RLIMIT_MEMLOCK")


def need_places(test):
    """Skips the test on kernels whose allocators do not call anything that could make them fail."""
    if test.host.kernel.linux >= (6, 11):
        test.skip("since Linux 6.11 should_failslab() is there only in kernels that inject failures")


def run(test, every=1):
    need_places(test)
    test.elisa(guest_managers=1)
    guest = test.client(vcpus=2)
    test.manager("nop", name="nop", grant="all")
    elisa.insert(test.host, FAILING, test.host.kernel)
    pid = int(test.host.call(f"cat {guest.folder}/pid"))
    try:
        for cpu in (0, 1):
            attach(test, guest, pid, every, cpu)
        offer(test, test.host, 0, every, "a manager")
        offer(test, guest, pid, every, "a manager in a VM")
        limited(test)
    finally:
        test.host.call(f"rmmod {modules.name_of(FAILING)}")
