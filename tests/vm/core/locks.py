# SPDX-License-Identifier: MIT
"""A lock in an object: kept while its holders go on, taken from one that is stopped, killed, or does not end."""

from signal import SIGCONT, SIGSTOP

from harness import elisa

CALLS = 3000
FOREVER = 1_000_000_000  # turns


CODE = elisa.BUILD / "tests" / "vm" / "objects" / "vault" / "vault.elf"


def vault(test, count, direct=False, **parameters):
    test.elisa(**parameters)
    guests = [test.elisa_guest(guest) for guest in test.guests(count, vcpus=2)]
    test.manager(CODE, name="vault", vetted=True, grant="all", direct=direct)
    return guests


def start(test, guest, calls, turns, threads=1, direct=False):
    scheme = f"direct={elisa.place(guest, CODE)}" if direct else "gate"
    job = guest.start(f"{test.program(guest, 'vault')} vault {calls} {turns} {threads} {scheme}")
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
    guests[0].qemu.kill(SIGSTOP)
    before = float(test.host.call("cut -d' ' -f1 /proc/uptime"))
    said = result(start(test, guests[1], 100, 1))
    took = float(test.host.call("cut -d' ' -f1 /proc/uptime")) - before
    test.equal((said["done"], said["aborted"], said["repaired"]), (100, 0, 1), "the other VM's calls")
    test.check(took < 1, f"they took {took} s")
    guests[0].qemu.kill(SIGCONT)
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


def direct(test):
    """VMs that have the object mapped directly take the same lock: kept from others, found again when one is killed."""
    mapped, by_gate, other = vault(test, 3, direct=True, call_limit_ms=1_000_000)
    jobs = [start(test, guest, CALLS, 50, threads=2, direct=guest is not by_gate) for guest in (mapped, by_gate, other)]
    results = [result(job) for job in jobs]
    for each, aborted in zip(results, (0, CALLS // 50, 0)):
        test.equal(each["done"] + each["aborted"], 2 * CALLS, "calls that returned")
        test.check(each["aborted"] <= aborted, f"aborted calls: {results}")
    repaired = max(each["repaired"] for each in results)
    # Held for longer than the limit on locks: nobody can take it from who cannot be stopped.
    kept = start(test, mapped, 1, 3_000_000, direct=True)
    said = result(start(test, other, 20, 1, direct=True))
    test.equal(said, {"done": 20, "aborted": 0, "repaired": repaired}, "calls that waited")
    test.equal(result(kept)["done"], 1, "the call that was waited for")
    hold(test, by_gate)
    by_gate.kill()
    said = result(start(test, mapped, 100, 1, direct=True))
    test.equal(said, {"done": 100, "aborted": 0, "repaired": repaired + 1}, "calls after the lock of a VM that called was taken")
    start(test, mapped, 1, FOREVER, direct=True)
    test.host.call("usleep 200000")
    mapped.kill()
    said = result(start(test, other, 100, 1))
    test.equal(said, {"done": 100, "aborted": 0, "repaired": repaired + 2}, "calls after a VM with the memory was killed")


def run(test, what):
    globals()[what](test)
