# SPDX-License-Identifier: MIT
"""What a manager does: it is asked, gives memory and a value, withdraws, dies; on the host and in a VM."""

import errno
from signal import SIGCONT, SIGSTOP


def place(test, where):
    test.elisa(guest_managers=int(where == "guest"))
    return test.client() if where == "guest" else test.host


def holder(test, guest, name):
    job = guest.start(f"{test.program(guest, 'hold')} {name}")
    job.expect("^attached")
    return job


def asked(test, where="host"):
    agent, guest = place(test, where), test.client()
    accepting = test.manager("nop", name="asking", where=agent, grant="all", ask="accept", value=77, extra="64K")
    held = holder(test, guest, "asking")
    said = accepting.expect("attach")
    test.equal("pid=" in said, where == "host", f"whether a process of the host is named in: {said}")
    held.kill()
    accepting.expect("detach")
    test.manager("nop", name="refusing", where=agent, grant="all", ask="refuse=122")
    refused = guest.run(f"{test.program(guest, 'attach-rounds')} refusing gate 1")
    test.check(refused.status and "quota" in refused.err.lower(), f"not refused as the manager said: {refused.err}")


def asleep(test, aborts=100):
    """A manager that reads no events for a while, and more aborts than are kept: it hears of each client all the same."""
    noisy, leaving, late = (test.elisa_guest(each) for each in test.guests(3))
    code = test.build / "tests" / "attack" / "victim" / "victim.elf"
    manager = test.manager(code, name="victim", vetted=True, grant="all", ask="accept")
    holder(test, noisy, "victim")
    leaver = holder(test, leaving, "victim")
    numbers = [line.split()[1] for line in manager.events()]
    manager.job.kill(SIGSTOP)
    said = noisy.call(f"{test.program(noisy, 'call')} victim fault {aborts} 0", 30)
    test.equal(said, f"{-errno.EFAULT}\n" * aborts, "calls that fault")
    leaver.kill()
    leaver.wait()
    waiting = late.start(f"exec {test.program(late, 'hold')} victim")
    test.host.call("usleep 100000")
    test.check("attached" not in late.read(waiting.out_path).decode(), "attached, though nobody was asked")
    manager.job.kill(SIGCONT)
    waiting.expect("^attached")
    events = manager.events()
    test.equal([line.split()[1] for line in events if line.startswith("detach")], numbers[1:], "who left")
    heard = sum(line.startswith("abort") for line in events)
    test.check(0 < heard < aborts, f"{heard} of {aborts} aborts: the manager was to miss some")


def death(test, where="host", outlive=False, signal=9):
    """kill -9 of a manager: calls return -ESHUTDOWN, or go on, as it chose."""
    agent = place(test, where)
    guest, other = (test.elisa_guest(each) for each in test.guests(2))
    manager = test.manager("nop", name="mortal", where=agent, grant="all", outlive=outlive)
    job = guest.start(f"{test.program(guest, 'hold')} mortal until-error")
    job.expect("^attached")
    manager.kill(signal)
    if outlive:
        test.host.call("sleep 0.2")
        said = guest.read(job.out_path).decode()
        test.check("error" not in said, f"calls do not go on: {said}")
        refused = other.run(f"{test.program(other, 'attach-rounds')} mortal gate 1")
        test.check("No such file" in refused.err, f"the name is still there: {refused.err}")
        job.kill()
    else:
        job.expect("error ESHUTDOWN", 5)
        job.wait(5)
    test.equal(guest.call("echo alive"), "alive\n", "the client's VM")


def vm_death(test):
    """kill -9 of the manager VM's QEMU, and of a client's."""
    test.elisa(guest_managers=1)
    manager_vm, client_vm, other = (test.elisa_guest(each) for each in test.guests(3))
    test.manager("nop", name="mortal", where=manager_vm, grant="all")
    jobs = [guest.start(f"{test.program(guest, 'hold')} mortal until-error") for guest in (client_vm, other)]
    for job in jobs:
        job.expect("^attached")
    client_vm.kill()
    test.equal(other.call("echo alive"), "alive\n", "the other client's VM")
    manager_vm.kill()
    jobs[1].expect("error ESHUTDOWN", 5)


def bad_code(test):
    """What is no code of the kit's is refused with a reason, and nothing is left."""
    test.elisa()
    before = test.stats()
    refused = test.host.run(f"{test.program(test.host, 'hold')} x")
    test.check(refused.status, "a process of the host has attached")
    manager = test.manager("nop", name="first", grant="all")
    second = test.manager("nop", name="first", grant="all", wait=False)
    result = second.job.wait(5)
    test.check(result.status == 1 and "there is an object first already" in result.err, f"a name twice: {result.err}")
    long = test.manager("nop", name="x" * 64, grant="all", wait=False).job.wait(5)
    test.check(long.status == 1 and long.err.count("\n") == 1, f"a name too long: {long.err}")
    test.check("ENAMETOOLONG" in long.err or "name" in long.err, f"a name too long: {long.err}")
    manager.stop()
    test.equal(test.stats(), before, "what the module holds")


def run(test, what, **options):
    globals()[what](test, **options)
