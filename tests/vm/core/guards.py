# SPDX-License-Identifier: MIT
"""Guards that no ordinary use would miss: what each of these does is refused, or ends well, because of one check."""

import errno
import re
from signal import SIGCONT, SIGSTOP

from harness import elisa
from harness.run import TREE

LONG = 4_000_000  # turns: a fifth of an emulated second, and many exits
FOREVER = 1_000_000_000


def indices(test):
    """Indices of functions beyond the table."""
    guest = test.client()
    test.manager("nop", name="nop", vetted=True, grant="all")
    test.equal(guest.call(f"{test.program(guest, 'indices')} nop", 20), "masked\n", "what the client printed")


def vetting(test):
    """Who may vet code, and who may make objects at all."""
    test.elisa(guest_managers=0)
    guest = test.client()

    def refused(agent, wanted, command="{}", options="--vetted"):
        run = f"{elisa.place(agent, elisa.MANAGER)} --code {elisa.place(agent, elisa.code_of('nop'))} --name x {options}"
        result = agent.run(f"timeout 5 {command.format(run)}", 20)
        test.check(result.status == 1 and wanted in result.err, f"{wanted!r} was expected: {result.status} {result.err}")

    refused(guest, "may not make objects", options="")
    test.host.call("chmod 666 /dev/elisa")
    refused(test.host, "only host root vets", f"{test.program(test.host, 'limited')} 65536 {{}}")
    test.host.call("chmod 600 /dev/elisa")
    test.parameter("guest_managers", "Y")
    refused(guest, "never vetted")
    test.parameter("guest_managers", "N")


def host_ioctls(test, count=20000, seed=1):
    """Ioctls of the host's root that are almost right, on files that are objects and on such as are not; and plainly wrong."""
    test.elisa()
    test.equal(test.host.call(test.program(test.host, "manager-refusals"), 20), "refused\n", "what the program printed")
    program = elisa.place(test.host, test.build / "tests" / "attack" / "programs" / "ioctls")
    said = test.host.call(f"{program} nobody {count} {seed}", 60)
    test.check(said.startswith(f"tried {count} "), said)


def names(test):
    """Names in trusted code that a tool would print: what is no name is refused."""
    test.elisa()
    test.equal(test.host.call(test.program(test.host, "code-names")), "refused\n", "what the program printed")


def unpinned(test):
    """The kernel's own count of pins, which is not the module's. It lags behind by what CPUs have not yet handed in."""
    pages, lag = 2048, 512

    def pins():
        words = test.host.call("grep nr_foll_pin /proc/vmstat").split()
        return int(words[1]) - int(words[3])

    test.elisa()
    before = pins()
    manager = test.manager("nop", name="pinned", vetted=True, memory="8M")
    test.check(pins() - before >= pages - lag, "the object's memory is not pinned")
    manager.stop()
    test.stats()  # which waits for what is given back a little later
    test.check(abs(pins() - before) <= lag, f"{pins() - before} more pins when the manager has ended")


def layout(name):
    """A number of include/uapi/elisa/layout.h."""
    text = (TREE / "include" / "uapi" / "elisa" / "layout.h").read_text(encoding="utf-8")
    return int(re.search(rf"^#define {name} ELISA__UL\((\w+)\)", text, re.M).group(1), 16)


def code_of(test, name):
    return test.build / "tests" / "vm" / "objects" / name / f"{name}.elf"


def place(test, count, code):
    """COUNT guests, and the manager of an object whose calls may last."""
    test.elisa(call_limit_ms=1_000_000)
    guests = [test.elisa_guest(guest) for guest in test.guests(count, vcpus=2)]
    return guests, test.manager(code_of(test, code), name=code, vetted=True, grant="all")


def inside(test, guest, words):
    """A call that stays in trusted code, with the lock. Its VM may not answer meanwhile."""
    job = guest.start(f"sleep 0.1; exec {test.program(guest, words.split()[0])} {words.split(' ', 1)[1]}")
    test.host.call("usleep 300000")
    return job


def withdrawn(test, stop=False):
    """The manager is killed while a vCPU is inside: the call ends, and what it used is given back at once."""
    (guest,), manager = place(test, 1, "vault")
    job = inside(test, guest, f"call vault add 1 {FOREVER}")
    if stop:
        guest.qemu.kill(SIGSTOP)
    manager.kill()
    test.host.call("usleep 100000")
    held = test.stats()
    test.equal((held["objects"], held["pinned_pages"]), (0, 0), "objects and pinned pages after the manager's death")
    if stop:
        guest.qemu.kill(SIGCONT)
    test.equal(job.wait(20).check().out, f"{-errno.ESHUTDOWN}\n", "what the client printed")
    test.equal(guest.call("echo alive"), "alive\n", "the client's VM")


def roots(test):
    """KVM changes the root of the VM's EPT whenever a memory slot goes, as it does at the end of a direct mapping."""
    guest = test.client(vcpus=2)
    test.manager("counter", name="open", direct=True, vetted=True, grant="all")
    code = guest.put(test.build / "objects" / "counter" / "counter.elf")
    program = test.program(guest, "call-many")
    for total in range(2000, 8001, 2000):
        out = guest.call(f"{program} open gate 2 500; {program} open direct={code} 1 1000", 20)
        test.equal(out.splitlines()[1], f"added 1000 total {total}", "what the clients printed")
    test.equal(guest.call("echo alive"), "alive\n", "the client's VM")


def revoked_once(test):
    """A lock is taken from a call: that call is aborted, and no later one of the same vCPU."""
    guests, _ = place(test, 2, "vault")
    holder = inside(test, guests[0], f"vault vault 6 {LONG}")
    guests[0].qemu.kill(SIGSTOP)
    other = guests[1].call(f"{test.program(guests[1], 'vault')} vault 100 1", 20)
    test.check(other.endswith("done 100 aborted 0 repaired 1\n"), f"the other VM's calls: {other}")
    guests[0].qemu.kill(SIGCONT)
    test.equal(holder.wait(20).check().out, "attached\ndone 5 aborted 1 repaired 1\n", "the holder's calls")


def holder_ends(test, stop=False):
    """Whoever takes a lock from its holder sees it write no more: not from another CPU, nor when it is woken."""
    guests, _ = place(test, 2, "asker")
    holder = inside(test, guests[0], f"call asker scribble 1 {FOREVER}")
    if stop:
        guests[0].qemu.kill(SIGSTOP)
    watcher = guests[1].start(f"exec {test.program(guests[1], 'call')} asker watch 1 {2 * LONG}")
    if stop:
        test.host.call("usleep 200000")
        guests[0].qemu.kill(SIGCONT)
    test.equal(watcher.wait(20).check().out, "0\n", "writes of the former holder")
    test.equal(holder.wait(20).check().out, f"{-errno.ECANCELED}\n", "the holder's call")


def locked(test):
    """After an abort the sub context is as closed as after a call."""
    guest = test.client()
    test.manager("counter", name="counter", vetted=True, grant="all:ro")
    test.equal(guest.call(f"{test.program(guest, 'abort-locks')} counter", 20), "locked\n", "what the client printed")


def asked(test):
    """A lock that a call waits for lies in the object's memory, or it is none; and is there to be written."""
    guest = test.client()
    code = code_of(test, "asker")
    for name, grant, changed in (("mine", "all", 1), ("theirs", "all:ro", 0)):
        test.manager(code, name=name, grant=grant)
        out = guest.call(f"{test.program(guest, 'lock-asks')} {name} {changed}", 20)
        test.equal(out, "asked\n", "what the client printed")


def unreadable(test):
    """Trusted code reads neither itself nor its way in: they are there to be executed."""
    guest = test.client()
    test.manager(code_of(test, "asker"), name="asker", vetted=True, grant="all")
    program = test.program(guest, "call")
    for name, wanted in (("ELISA_CODE_OFFSET", -errno.EFAULT), ("ELISA_GATE_OFFSET", -errno.EFAULT)):
        out = guest.call(f"{program} asker peek 1 {layout(name)}", 20)
        test.equal(out, f"{wanted}\n", f"a read at {name}")
    out = guest.call(f"{program} asker peek 1 {layout('ELISA_INFO_OFFSET')}", 20)
    test.equal(out, "0\n", "a read of the info page, which it may")


def opened(test):
    """Calls with interrupts on: those that meet one are aborted, and none is lost, or the VM's clock would stand."""
    guest = test.client()
    test.manager(code_of(test, "vault"), name="vault", vetted=True, grant="all")
    before = [float(agent.call("cut -d' ' -f1 /proc/uptime")) for agent in (test.host, guest)]
    words = guest.call(f"{test.program(guest, 'open-calls')} vault 300 20000", 60).split()
    after = [float(agent.call("cut -d' ' -f1 /proc/uptime")) for agent in (test.host, guest)]
    done, aborted = int(words[1]), int(words[3])
    test.equal(done + aborted, 300, "calls that returned")
    test.check(aborted >= 20 and done >= 20, f"interrupts were to meet some calls: {words}")
    host_s, guest_s = (b - a for a, b in zip(before, after))
    test.check(abs(host_s - guest_s) < 0.1, f"{host_s} s on the host, {guest_s} s in the guest")


def run(test, what, **options):
    globals()[what](test, **options)
