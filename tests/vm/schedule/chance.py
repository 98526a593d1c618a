# SPDX-License-Identifier: MIT
"""Interrupts, NMIs and pauses of a CPU after any instruction of host and guests, or of a module of the host's, from a seed:
see docs/testing.md, "Schedules"."""

import re

from harness import elisa
from harness.run import TREE
from harness.say import say

WITNESS = TREE / "tests" / "vm" / "schedule" / "witness"
VAULT = TREE / "build" / "tests" / "vm" / "objects" / "vault" / "vault.elf"
INTERRUPT, NMI, PAUSE = 1 << 1, 1 << 2, 1 << 5  # testbed/agent/schedule.h
SAID = re.compile(r"interrupts (\d+) nmis (\d+) pauses (\d+) places (\d+)\n")
PLACES = 500  # different instructions that events must have come at
ATTACHES = 30  # of a guest in each round, half of them with buffers


def one_round(test, guests, seed, calls=6000, locked=6000, turns=5, ticks=20000, seconds=1, module=""):
    """Calls with and without a lock, attaching and detaching, disturbed; how many events there were."""
    host = test.host
    handled = int(host.call("cat /sys/module/witness/parameters/handled"))
    events = INTERRUPT | NMI | PAUSE
    before = int(guests[0].call(f"{test.program(guests[0], 'call')} counter read 1"))
    job = host.start(f"exec {test.program(host, 'strike')} random {seed} {ticks} {events} {seconds} {module}")
    counting = [guest.start(f"{test.program(guest, 'call-many')} counter gate 2 {calls}") for guest in guests]
    locking = [guest.start(f"{test.program(guest, 'vault')} vault {locked} {turns} 2") for guest in guests]
    rounds = [guest.start(f"{program} nop gate {ATTACHES // 2} && exec {program} nop gate {ATTACHES // 2} 4")
              for guest in guests for program in [test.program(guest, "attach-rounds")]]
    for each in counting + rounds:
        each.wait(200).check()
    done = aborted = 0
    for each in locking:
        words = each.wait(200).check().out.split()
        done, aborted = done + int(words[2]), aborted + int(words[4])
    found = SAID.fullmatch(job.wait(200).check().out)
    interrupts, nmis, pauses, places = map(int, found.groups())
    after = int(guests[0].call(f"{test.program(guests[0], 'call')} counter read 1"))
    test.equal(after - before, 2 * calls * len(guests), f"seed {seed}: counted")
    test.equal(done + aborted, 2 * locked * len(guests), f"seed {seed}: calls with a lock that returned")
    test.check(aborted <= done // 20, f"seed {seed}: {aborted} calls were aborted, {done} not")
    handled = int(host.call("cat /sys/module/witness/parameters/handled")) - handled
    test.check(places >= PLACES, f"seed {seed}: events at {places} different instructions only")
    # One that comes while another waits is no more than that one.
    test.check(nmis * 0.9 <= handled <= nmis, f"seed {seed}: {nmis} NMIs, the host got {handled}")
    say(f"       seed {seed}: {interrupts} interrupts, {nmis} NMIs, {pauses} pauses of a CPU, at {places} different "
        f"instructions{' of ' + module if module else ''}; {aborted} of {done + aborted} calls with a lock aborted")
    return interrupts + nmis + pauses


def run(test, seed=1, rounds=1, **kind):
    test.need_emulator()
    test.elisa()
    guests = [test.elisa_guest(guest) for guest in test.guests(2, vcpus=2)]
    test.manager("counter", name="counter", vetted=True, grant="all")
    test.manager(VAULT, name="vault", grant="all")
    test.manager("nop", name="nop", vetted=True, grant="all")
    elisa.insert(test.host, WITNESS, test.host.kernel)
    total = sum(one_round(test, guests, seed + number, **kind) for number in range(rounds))
    test.contained(total, total, f"events at random {kind.get('module', '')}".strip())
    test.host.call("rmmod witness")
