# SPDX-License-Identifier: MIT
"""Two runs from power-on, with the same requests, count the same and take the same time, to the tick."""

from harness.machine import Machine


def one_run(test, number, seed=None):
    like = test.host
    machine = Machine(like.emulator, like.kernel, test.folder / f"machine{number}", seed=seed)
    try:
        machine.boot().load_kvm()
        guest = machine.guest()
        machine.call("marker begin all")
        for agent in (machine, guest):
            agent.call(agent.put(test.build / "tests" / "vm" / "count"))
        machine.call("marker end all")
        return machine.counts, machine.channel.ticks
    finally:
        machine.stop()


def run(test):
    test.need_emulator()
    first, second = one_run(test, 1), one_run(test, 2)
    test.equal(len(first[0]), 61, "regions")
    for one, other in zip(first[0], second[0]):
        test.equal(other, one, "the same region in the second run")
    test.equal(second[1], first[1], "ticks from power-on to the end")
    # With a seed it is another run, which repeats just as well.
    third = one_run(test, 3, seed=1)
    test.check(third[1] != first[1], "a seed changes nothing")
