# SPDX-License-Identifier: MIT
"""Interrupts, NMIs and pauses of a CPU after any instruction of host and guests, from a seed: see docs/testing.md."""

import re

from harness import elisa
from harness.run import TREE
from harness.say import say

WITNESS = TREE / "tests" / "vm" / "schedule" / "witness"
VAULT = TREE / "build" / "tests" / "vm" / "objects" / "vault" / "vault.elf"
INTERRUPT, NMI, PAUSE = 1 << 1, 1 << 2, 1 << 5  # testbed/agent/schedule.h
SAID = re.compile(r"interrupts (\d+) nmis (\d+) pauses (\d+)\n")


def one_round(test, guests, seed, calls, ticks, seconds):
    """Calls with and without a lock, disturbed; how many events there were."""
    host = test.host
    handled = int(host.call("cat /sys/module/witness/parameters/handled"))
    events = INTERRUPT | NMI | PAUSE
    before = int(guests[0].call(f"{test.program(guests[0], 'call')} counter read 1"))
    job = host.start(f"exec {test.program(host, 'strike')} random {seed} {ticks} {events} {seconds}")
    counting = [guest.start(f"{test.program(guest, 'call-many')} counter gate 2 {calls}") for guest in guests]
    locking = [guest.start(f"{test.program(guest, 'vault')} vault {calls} 5 2") for guest in guests]
    for each in counting:
        each.wait(200).check()
    done = aborted = 0
    for each in locking:
        words = each.wait(200).check().out.split()
        done, aborted = done + int(words[2]), aborted + int(words[4])
    found = SAID.fullmatch(job.wait(200).check().out)
    interrupts, nmis, pauses = map(int, found.groups())
    after = int(guests[0].call(f"{test.program(guests[0], 'call')} counter read 1"))
    test.equal(after - before, 2 * calls * len(guests), f"seed {seed}: counted")
    test.equal(done + aborted, 2 * calls * len(guests), f"seed {seed}: calls with a lock that returned")
    test.check(aborted <= done // 20, f"seed {seed}: {aborted} calls were aborted, {done} not")
    handled = int(host.call("cat /sys/module/witness/parameters/handled")) - handled
    # One that comes while another waits is no more than that one.
    test.check(nmis * 0.9 <= handled <= nmis, f"seed {seed}: {nmis} NMIs, the host got {handled}")
    say(f"       seed {seed}: {interrupts} interrupts, {nmis} NMIs, {pauses} pauses of a CPU; {aborted} of "
        f"{done + aborted} calls with a lock aborted")
    return interrupts + nmis + pauses


def run(test, seed=1, rounds=1, calls=6000, ticks=20000, seconds=1):
    test.need_emulator()
    test.elisa()
    guests = [test.elisa_guest(guest) for guest in test.guests(2, vcpus=2)]
    test.manager("counter", name="counter", vetted=True, grant="all")
    test.manager(VAULT, name="vault", grant="all")
    elisa.insert(test.host, WITNESS, test.host.kernel)
    total = sum(one_round(test, guests, seed + number, calls, ticks, seconds) for number in range(rounds))
    test.contained(total, total, "events at random")
    test.host.call("rmmod witness")
