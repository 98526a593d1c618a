# SPDX-License-Identifier: MIT
"""One counter for three VMs, incremented by all their vCPUs at once: the sum is right, and no call was lost."""

CALLS = 20000


def clients(test, count, vcpus):
    return [test.elisa_guest(guest) for guest in test.guests(count, vcpus=vcpus)]


def totals(test, guest, job):
    """What one VM added, and the counter after that."""
    words = job.wait(60).check().out.split()
    test.equal(words[::2], ["added", "total"], f"{guest.name}: what its client printed")
    return int(words[1]), int(words[3])


def run(test, manager_in="host", vetted=True, vcpus=2, children=0):
    test.elisa(guest_managers=int(manager_in == "guest"))
    guests = clients(test, 3, vcpus)
    where = test.client() if manager_in == "guest" else test.host
    options = {"vetted": True} if vetted else {}
    manager = test.manager("counter", name="shared", where=where, grant="all", **options)
    jobs = [guest.start(f"{test.program(guest, 'call-many')} shared gate {vcpus + 1} {CALLS} {children}") for guest in guests]
    added = [totals(test, guest, job) for guest, job in zip(guests, jobs)]
    wanted = 3 * CALLS * ((vcpus + 1) * (1 + children) + children)
    test.equal(sum(mine for mine, _ in added), wanted, "added by all VMs")
    test.equal(max(total for _, total in added), wanted, "the counter in the end")
    test.check(not [line for line in manager.events() if "abort" in line], f"calls were aborted: {manager.events()}")
