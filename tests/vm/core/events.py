# SPDX-License-Identifier: MIT
"""Events for a VM that come while it is inside: delivered when the call returns, none lost, no call cut short."""

from harness import elisa
from harness.channel import TimedOut
from harness.run import TREE

NMIS = 300


def nmi(test):
    guest = test.client(vcpus=2)
    manager = test.manager("counter", name="counter", vetted=True, grant="all")
    other = test.manager("counter", name="other", grant="all")
    jobs = [guest.start(f"exec taskset 2 {test.program(guest, 'call-many')} {name} gate 1 1000000000")
            for name in ("counter", "other")]
    test.host.call("usleep 100000")
    elisa.insert(guest, TREE / "tests" / "vm" / "nmi", guest.kernel, f"target=1 count={NMIS} pause_us=31")
    calls = [entry["calls"] for entry in test.listed("attach")]
    for job in jobs:
        job.kill()
        test.equal(job.wait(5).err, "", "what a client said")
    aborts = [line for each in (manager, other) for line in each.events() if "abort" in line]
    test.equal(aborts, [], "calls that were aborted")
    test.check(len(calls) == 2 and min(calls) > NMIS, f"calls meanwhile: {calls}")


def interrupts(test):
    """The VM's own timer, and another vCPU's interrupts: the time that its clock shows goes on as the host's."""
    guest = test.client(vcpus=2)
    manager = test.manager("counter", name="counter", vetted=True, grant="all")
    before = [float(agent.call("cut -d' ' -f1 /proc/uptime")) for agent in (test.host, guest)]
    guest.call(f"{test.program(guest, 'call-many')} counter gate 4 100000", 60)
    after = [float(agent.call("cut -d' ' -f1 /proc/uptime")) for agent in (test.host, guest)]
    host_s, guest_s = (b - a for a, b in zip(before, after))
    test.check(abs(host_s - guest_s) < 0.1, f"{host_s} s on the host, {guest_s} s in the guest")
    test.check(not [line for line in manager.events() if "abort" in line], f"aborts: {manager.events()}")


def none_lost(test, calls=1_000_000, each=500):
    """Another vCPU interrupts one that calls, again and again, all through so many calls: counted where they are sent, and
    where they are handled."""
    guest = test.client(vcpus=2)
    manager = test.manager("counter", name="counter", vetted=True, grant="all")
    job = guest.start(f"exec taskset 2 {test.program(guest, 'call-many')} counter gate 1 {calls}")
    sent = 0
    while True:
        elisa.insert(guest, TREE / "tests" / "vm" / "nmi", guest.kernel, f"target=1 count={each} pause_us=7 interrupts=1")
        sent += each  # and as many were handled, or it would not have been loaded
        guest.call("rmmod nmi")
        try:
            job.wait(0.01)
            break
        except TimedOut:
            continue
    test.equal(job.result.check().err, "", "what the client said")
    test.check(not [line for line in manager.events() if "abort" in line], f"aborts: {manager.events()}")
    print(f"{calls} calls, {sent} interrupts sent, {sent} handled")


def run(test, what, **options):
    globals()[what](test, **options)
