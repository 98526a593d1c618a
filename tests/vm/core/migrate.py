# SPDX-License-Identifier: MIT
"""vCPUs move between the host's CPUs all the time while they call, and other CPUs attach, detach, kill, and make KVM build its
roots anew: no call is lost, and nothing is left behind."""

import random
from signal import SIGTERM

ROOTS = "/sys/module/kvm/parameters/nx_huge_pages"
CALLS, ATTACHMENTS, BUFFERS = 10000, 20, 4


def held(test, guest):
    return [(stats["attachments"], stats["pinned_pages"]) for stats in (test.stats(), test.stats(guest))]


def disturb(test, guest, points):
    """One client more, which dies while it calls; and new roots."""
    doomed = guest.start(f"exec {test.program(guest, 'call-many')} doomed gate 2 1000000000")
    test.until_called("doomed")
    test.host.call(f"usleep {points.randrange(30000)}; echo force > {ROOTS}")
    doomed.kill()
    doomed.wait()
    test.host.call(f"echo off > {ROOTS}; usleep {points.randrange(5000)}")


def run(test, rounds=4, seed=1):
    cpus, points = test.entry.cpus, random.Random(seed)
    guest = test.client(vcpus=cpus)
    for name, code in (("counter", "counter"), ("doomed", "counter"), ("nop", "nop")):
        test.manager(code, name=name, vetted=True, memory="64K", grant="all")
    before = held(test, guest)
    shuffle = test.host.start(f"exec {test.program(test.host, 'shuffle')} $(cat {guest.folder}/pid) {cpus} {seed}")
    adds = guest.start(f"exec {test.program(guest, 'call-many')} counter gate {cpus} {CALLS}")
    rejoins = guest.start(f"exec {test.program(guest, 'attach-rounds')} nop gate {ATTACHMENTS} {BUFFERS}")
    for _ in range(rounds):
        disturb(test, guest, points)
    test.equal(adds.wait(60).check().out.split(), ["added", str(cpus * CALLS), "total", str(cpus * CALLS)],
               "calls, and the counter")
    test.equal(rejoins.wait(60).check().out, f"{ATTACHMENTS} rounds\n", "attachments")
    shuffle.kill(SIGTERM)
    moves = int(shuffle.wait(10).check().out.split()[1])
    test.check(moves > 200, f"vCPUs were moved {moves} times only")
    test.equal(held(test, guest), before, "attachments and pages held")
    print(f"{cpus} CPUs: {moves} moves, {rounds} deaths, {2 * rounds} changes of roots")
