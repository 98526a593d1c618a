# SPDX-License-Identifier: MIT
"""What a client does: buffers, refusals of what is wrong, several objects, processes, schemes."""

import re


def share(test, scheme="gate"):
    guest = test.client()
    if scheme == "vmcall":
        test.load_object("nop")
    test.manager("nop", name="nop", vetted=True, memory="64K", grant="all")
    # A process of the host is a client by VMCALL's scheme: nobody unshares for it what it leaves shared.
    for agent in (guest, test.host) if scheme == "vmcall" else (guest,):
        test.equal(agent.call(f"{test.program(agent, 'share')} nop {scheme}", 20), "shared\n", "what the client printed")


def killed(test):
    """A process of the host dies with all that it may share: its manager hears that it has gone, and of no buffer of its own."""
    test.load_object("nop")
    manager = test.manager("nop", name="nop", vetted=True, grant="all")
    client = test.host.start(f"exec {test.program(test.host, 'keep')} nop 64")
    client.expect("^shared")
    client.kill()
    manager.expect("^detach ")
    test.equal([event.split()[0] for event in manager.events()], ["revoke", "detach"], "what the manager was told")


def refusals(test):
    guest = test.client()
    test.manager("nop", name="nop", vetted=True, grant="all")
    result = guest.run(f"{test.program(guest, 'refusals')} nop", 20)
    test.check(result.status == 0, f"accepted, or worse: {result.out}{result.err}")
    for line in result.out.splitlines():
        what, error, why = re.match(r"(.*?): (E\w+): ?(.*)", line).groups()
        test.check(why or error in ("ENOTTY", "EFAULT", "EINVAL"), f"no reason for {what} ({error})")
    for wanted in ("no such object: ENOENT", "a name without end: EINVAL", "not aligned: EINVAL", "no such: ENOENT",
                   "too small a structure: EINVAL", "too large a structure: EINVAL", "mprotect: the stub writable: EACCES"):
        test.check(wanted in result.out, f"not refused as it should be: {wanted}\n{result.out}")


def grants(test):
    guest, other = (test.elisa_guest(each) for each in test.guests(2))
    program = test.program(guest, "attach-rounds")
    test.program(other, "attach-rounds")
    nobody = test.manager("nop", name="nobody", vetted=True)
    refused = guest.run(f"{program} nobody gate 1")
    test.check(refused.status and "Permission denied" in refused.err and "not granted" in refused.err,
               f"attached without a grant: {refused.err}")
    nobody.stop()
    vms = {vm["pid"]: vm["id"] for vm in test.listed("vm")}
    pid = int(test.host.call(f"cat {guest.folder}/pid"))
    test.check(pid in vms, f"no VM of process {pid} is known: {vms}")
    for name, grant in (("by-vm", f"vm:{vms[pid]}"), ("by-pid", f"pid:{pid}"), ("by-uid", "uid:0")):
        test.manager("nop", name=name, vetted=True, grant=grant)
        guest.call(f"{program} {name} gate 1")
        status = other.run(f"{program} {name} gate 1").status
        test.equal(bool(status), name != "by-uid", f"{name}: the other VM is kept out")


def read_only(test):
    guest = test.client()
    manager = test.manager("counter", name="mine", vetted=True, grant="all:ro")
    refused = guest.run(f"{test.program(guest, 'call-many')} mine gate 1 1")
    test.check(refused.status, "a read-only attachment has written the object")
    manager.expect("abort")
    test.equal(guest.call("echo alive"), "alive\n", "the VM after that")


def many(test, count=64):
    guest = test.client(memory_mb=192)
    managers = [test.manager("nop", name=f"many{i}", vetted=True, grant="all", wait=False) for i in range(count + 60)]
    for manager in managers:
        manager.wait_ready(60)
    said = guest.call(f"{test.program(guest, 'attach-many')} many gate {count + 60}", 60).splitlines()
    attached = int(said[0].split()[1])
    test.check(attached >= count, f"only {attached} objects attached: {said}")
    test.check(len(said) == 2 and "No space left" in said[1] and "EPTP list" in said[1], f"the first past the limit: {said}")


def direct(test):
    guest = test.client()
    test.manager("counter", name="open", direct=True, vetted=True, grant="all")
    code = guest.put(test.build / "objects" / "counter" / "counter.elf")
    out = guest.call(f"{test.program(guest, 'call-many')} open direct={code} 2 1000", 20)
    test.equal(out, "added 2000 total 2000\n", "what the client printed")
    test.manager("counter", name="closed", vetted=True, grant="all")
    refused = guest.run(f"{test.program(guest, 'call-many')} closed direct={code} 1 1")
    test.check("does not allow direct" in refused.err, f"mapped without leave: {refused.err}")
    # The same memory, through the gate.
    test.equal(guest.call(f"{test.program(guest, 'call-many')} open gate 1 1"), "added 1 total 2001\n", "through the gate")


def vmcall(test):
    guest = test.client(vcpus=2)
    test.load_object("counter")
    test.manager("counter", name="counter", vetted=True, grant="all")
    out = guest.call(f"{test.program(guest, 'call-many')} counter vmcall 3 500", 20)
    test.equal(out, "added 1500 total 1500\n", "what the client printed")
    # Of this one the host's version goes by what it finds in the memory: whoever has made that must be trusted.
    test.load_object("kv")
    for options in ({}, {"vetted": True, "direct": True}):
        manager = test.manager("counter", name="kv", grant="all", **options)
        refused = guest.run(f"{test.program(guest, 'call-many')} kv vmcall 1 1")
        test.check(refused.status and "vetted" in refused.err, f"executed for an object with {options}: {refused.err}")
        manager.stop()


def plugged(test):
    """A vCPU that comes after the object was attached."""
    guest = test.elisa_guest(test.guest(vcpus=2, command_line="maxcpus=1"))
    test.equal(guest.call("nproc"), "1\n", "vCPUs at first")
    test.manager("counter", name="late", vetted=True, grant="all")
    holder = guest.start(f"{test.program(guest, 'hold')} late")
    holder.expect("^attached")
    guest.call("echo 1 > /sys/devices/system/cpu/cpu1/online")
    test.equal(guest.call("nproc"), "2\n", "vCPUs then")
    for cpu in (1, 0):
        guest.call(f"taskset {1 << cpu:x} {test.program(guest, 'call-many')} late gate 2 1000", 20)
    vcpus = [each["vcpus"] for each in test.listed("attach")]
    test.equal(vcpus, [2], "vCPUs that have called")
    holder.kill()


def run(test, what, **options):
    globals()[what](test, **options)
