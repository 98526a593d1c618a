# SPDX-License-Identifier: MIT
"""Attaching and detaching a hundred times leaves no page and no memory behind, also with buffers."""


def held(test, guest):
    kept = ("attachments", "pinned_pages", "allocated_pages")
    stats = [test.stats(agent) for agent in (test.host, guest)]
    return [{name: each[name] for name in kept} for each in stats]


def run(test, rounds=100):
    guest = test.client(vcpus=2)
    test.manager("nop", name="again", vetted=True, memory="1M", grant="all")
    program = test.program(guest, "attach-rounds")
    for cpu in (0, 1):  # what a vCPU gets at its first call stays with it
        guest.call(f"taskset {1 << cpu:x} {program} again gate 1", 10)
    before = held(test, guest)
    for buffers in (0, 16):
        guest.call(f"{program} again gate {rounds if not buffers else rounds // 2} {buffers}", 60)
        test.equal(held(test, guest), before, f"pages held after rounds with {buffers} buffers")
