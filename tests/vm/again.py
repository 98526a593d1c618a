# SPDX-License-Identifier: MIT
"""Runs from power-on with the same requests count the same and take the same time, to the tick.

That must not depend on how fast the build machine is, so one of them is asked slowly.
"""

import time

from harness.machine import Machine


class Slow(Machine):
    def exchange(self, message, limit_ms):
        time.sleep(0.2)
        return super().exchange(message, limit_ms)


def one_run(test, name, cpus, kind=Machine, seed=None):
    like = test.host
    machine = kind(like.emulator, like.kernel, test.folder / name, cpus=cpus, seed=seed)
    try:
        machine.boot().load_kvm()
        guest = machine.guest(vcpus=2)
        machine.call("marker begin all")
        for agent in (machine, guest):
            agent.call(agent.put(test.build / "tests" / "vm" / "count"))
            agent.call("sleep 0.1; head -c 100000 /dev/zero | sha256sum")
        machine.call("marker end all")
        return machine.counts, machine.channel.ticks
    finally:
        machine.stop()


def run(test, cpus):
    test.need_emulator()
    first, second = one_run(test, "first", cpus), one_run(test, "slow", cpus, Slow)
    test.equal(len(first[0]), 61, "regions")
    for one, other in zip(first[0], second[0]):
        test.equal(other, one, "the same region in the second run")
    test.equal(second[1], first[1], "ticks from power-on to the end")
    # With a seed it is another run, which repeats too.
    seeded = one_run(test, "seed", cpus, seed=1)
    test.check(seeded[1] != first[1], "a seed changes nothing")
    test.check(one_run(test, "seed-again", cpus, seed=1) == seeded, "with a seed a run does not repeat")
