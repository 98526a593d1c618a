# SPDX-License-Identifier: MIT
"""Three guests with 1, 2 and 4 vCPUs at once: they work, one is killed, the others go on."""

WORK = "for i in $(seq {vcpus}); do (head -c 200000 /dev/zero | sha256sum) & done; wait"


def run(test):
    host = test.host
    host.stop_guests()
    host.elisa.unload()  # nothing here is ours
    guests = [host.guest(vcpus=vcpus, wait=False) for vcpus in (1, 2, 4)]
    test.ours += guests
    for guest in guests:
        guest.wait_ready(60)
        test.equal(int(guest.call("nproc")), guest.vcpus, f"vCPUs of {guest.name}")
    expected = host.call("head -c 200000 /dev/zero | sha256sum").split()[0]
    jobs = [guest.start(WORK.format(vcpus=2 * guest.vcpus)) for guest in guests]
    guests[1].kill()
    for guest, job in zip(guests, jobs):
        if guest is not guests[1]:
            sums = [line.split()[0] for line in job.wait(60).check().out.splitlines()]
            test.equal(sums, [expected] * 2 * guest.vcpus, f"checksums that {guest.name} computed")
    for guest in (guests[0], guests[2]):
        test.equal(guest.call("echo alive"), "alive\n", f"answer of {guest.name}")
