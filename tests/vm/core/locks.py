# SPDX-License-Identifier: MIT
"""A lock in an object: kept while its holders go on, taken from one that is stopped, killed, or does not end."""

CALLS = 3000
FOREVER = 1_000_000_000  # turns


def vault(test, count, **parameters):
    test.elisa(**parameters)
    guests = [test.elisa_guest(guest) for guest in test.guests(count, vcpus=2)]
    code = test.build / "tests" / "vm" / "objects" / "vault" / "vault.elf"
    test.manager(code, name="vault", vetted=True, grant="all")
    return guests


def start(test, guest, calls, turns, threads=1):
    job = guest.start(f"{test.program(guest, 'vault')} vault {calls} {turns} {threads}")
    job.expect("^attached")
    return job


def hold(test, guest):
    """A call that takes the lock and keeps it. Its vCPU has interrupts masked: the VM may not answer meanwhile."""
    job = guest.start(f"sleep 0.1; exec {test.program(guest, 'vault')} vault 1 {FOREVER}")
    test.host.call("usleep 300000")
    return job


def result(job, limit_s=60):
    words = job.wait(limit_s).check().out.split()[1:]
    return dict(zip(words[::2], map(int, words[1::2])))


def contended(test):
    """All vCPUs of three VMs take it in turn: nothing is lost, and no call is aborted in vain more than now and then."""
    guests = vault(test, 3)
    jobs = [start(test, guest, CALLS, 50, threads=2) for guest in guests]
    results = [result(job) for job in jobs]
    calls = 3 * 2 * CALLS
    done, aborted = sum(each["done"] for each in results), sum(each["aborted"] for each in results)
    test.equal(done + aborted, calls, "calls that returned")
    test.check(aborted <= calls // 100, f"{aborted} of {calls} calls were aborted: {results}")


def kept(test, calls=10, turns=1_000_000):
    """Holders that take their time, but go on, are waited for as long as the limit says."""
    guests = vault(test, 2, call_limit_ms=1_000_000, lock_limit_us=10_000_000)
    jobs = [start(test, guest, calls, turns) for guest in guests]
    for job in jobs:
        test.equal(result(job), {"done": calls, "aborted": 0, "repaired": 0}, "calls that wait for each other")


def stopped(test):
    """SIGSTOP of a VMM whose vCPU holds the lock: the others go on within milliseconds."""
    guests = vault(test, 2, call_limit_ms=1_000_000)
    holder = hold(test, guests[0])
    guests[0].qemu.kill(19)
    before = float(test.host.call("cut -d' ' -f1 /proc/uptime"))
    said = result(start(test, guests[1], 100, 1))
    took = float(test.host.call("cut -d' ' -f1 /proc/uptime")) - before
    test.equal((said["done"], said["aborted"], said["repaired"]), (100, 0, 1), "the other VM's calls")
    test.check(took < 1, f"they took {took} s")
    guests[0].qemu.kill(18)
    test.equal(result(holder)["aborted"], 1, "the holder's call, when it was woken")


def killed(test):
    """kill -9 of a VMM whose vCPU holds the lock."""
    guests = vault(test, 2, call_limit_ms=1_000_000)
    hold(test, guests[0])
    guests[0].kill()
    said = result(start(test, guests[1], 100, 1))
    test.equal((said["done"], said["aborted"], said["repaired"]), (100, 0, 1), "the other VM's calls")


def endless(test):
    """A call that does not end is aborted by the limit on calls, and its lock is taken over."""
    guests = vault(test, 2)
    holder = start(test, guests[0], 1, FOREVER)
    test.equal(result(holder)["aborted"], 1, "the call that does not end")
    said = result(start(test, guests[1], 100, 1))
    test.equal((said["done"], said["aborted"], said["repaired"]), (100, 0, 1), "the other VM's calls")


def run(test, what):
    globals()[what](test)
