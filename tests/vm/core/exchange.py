# SPDX-License-Identifier: MIT
"""Buffers that all attachments of an object reach, waking one another, and processes of the host as clients."""

import errno
import re
import sys
from signal import SIGCONT, SIGSTOP

from harness.channel import TimedOut
from harness.run import TREE

sys.path.append(str(TREE / "tests" / "fault"))
from monitor import Monitor  # noqa: E402  a guest's QEMU is asked for what its guest cannot do

OBJECT = "tests/vm/objects/meeting"
FOREVER = 1_000_000_000_000  # turns


def start(test):
    """Two guests, and the object, which the host executes for its own processes."""
    guests = [test.elisa_guest(guest) for guest in test.guests(2)]
    test.load_object(test.build.parent / OBJECT)
    manager = test.manager(test.build / OBJECT / "meeting.elf", name="meeting", vetted=True, memory="64K", grant="all",
                           exchange=True)
    return guests, manager


def seconds(test):
    return float(test.host.call("cut -d' ' -f1 /proc/uptime"))


def program(test, agent):
    return f"{test.program(agent, 'meeting')} meeting {'vmcall' if agent is test.host else 'gate'}"


def sit(test, agent, pages=4, places=1):
    """A client that sits there: its job, attachment and first place."""
    job = agent.start(f"exec {program(test, agent)} sit {pages} {places}")
    owner, index = map(int, re.match(r"sits (\d+) (\d+)", job.expect("^sits")).groups())
    return job, owner, index


def refused(test, agent, words, what):
    result = agent.run(f"{program(test, agent)} {words}", 20)
    test.check(result.status and what in result.err, f"`{words}` was not refused: {result.out}{result.err}")


def shared(test):
    (one, two), _ = start(test)
    for agent in (one, test.host):
        agent.call(f"{program(test, agent)} places", 30)
    job, owner, index = sit(test, one)
    at_host, host_owner, host_index = sit(test, test.host)
    two.call(f"{program(test, two)} say {owner} {index} from-two", 20)
    job.expect("^woken: from-two$")
    test.host.call(f"{program(test, test.host)} say {owner} {index} from-host", 20)
    job.expect("^woken: from-host$")
    two.call(f"{program(test, two)} say {host_owner} {host_index} to-host", 20)
    at_host.expect("^woken: to-host$")
    refused(test, two, f"say {host_owner} {index} wrong-owner", "put: -22")
    two.call(f"{program(test, two)} wake 123456 3", 20)  # nobody
    # A call that uses memory whose owner goes ends well; the next does not find it.
    lingering = two.start(f"exec {program(test, two)} linger {owner} {index} 20000")
    lingering.expect("^lingers")
    two.call("usleep 20000")
    job.kill()
    job.wait(10)
    print(lingering.wait(20).check().out.splitlines()[-1], "calls while the memory's owner went")
    refused(test, two, f"say {owner} {index} gone", "put: -22")
    at_host.kill()
    at_host.wait(10)
    refused(test, one, f"say {host_owner} {host_index} gone", "put: -22")


def asleep(test):
    """A client that sleeps is woken when its object goes."""
    (one, _), manager = start(test)
    job, *_ = sit(test, one)
    manager.kill()
    job.expect("^woken: ")
    job.kill()
    job.wait(10)


def locks(test, rounds=150):
    """Calls by gates and by the host lock each other out."""
    (one, two), _ = start(test)
    jobs = [agent.start(f"exec {program(test, agent)} count {rounds} 3000") for agent in (one, two, test.host, test.host)]
    done = [int(job.wait(60).check().out) for job in jobs]
    test.check(min(done) > rounds * 0.9, f"of {rounds} calls each so many had the lock for as long as they wanted: {done}")
    repaired = int(one.call(f"{program(test, one)} repaired"))
    print(f"{sum(done)} calls under one lock by two gates and the host, {repaired} repairs")


def ended(test):
    """A call of the host's waits for a lock when the call that has it is ended with its object: both come to an end."""
    test.elisa(call_limit_ms=1_000_000, lock_limit_us=100_000_000)
    (one, _), manager = start(test)
    # Its vCPU has interrupts masked: the VM may not answer meanwhile.
    holder = one.start(f"sleep 0.05; exec {program(test, one)} count 1 4000000000")
    test.until_called("meeting")
    waiting = test.host.start(f"exec {program(test, test.host)} count 1 1")
    try:
        waiting.wait(0.2)
        test.fail("the host's call did not wait for the lock")
    except TimedOut:
        pass
    manager.kill()
    test.check(holder.wait(10).status, "the call that held the lock was not ended")
    # It got the lock when nobody could have it any more.
    waiting.wait(10).check()
    test.equal(one.call("echo alive"), "alive\n", "the holder's VM")
    test.equal(len(test.listed("attach")), 0, "attachments")


def stopped(test):
    """A call whose VMM is stopped for longer than its limit does not go on with a place that is another's by then."""
    forever_ms = 1_000_000  # it would be ended for its time else
    test.elisa(call_limit_ms=forever_ms)
    (one, two), _ = start(test)
    job, owner, index = sit(test, two)
    # Its vCPU has interrupts masked: the VM may not answer meanwhile.
    lingering = one.start(f"sleep 0.1; exec {program(test, one)} linger {owner} {index} {FOREVER}")
    test.host.call("usleep 300000")
    one.qemu.kill(SIGSTOP)
    test.parameter("call_limit_ms", 10)
    job.kill()
    job.wait(10)
    test.parameter("call_limit_ms", forever_ms)
    at_host, host_owner, host_index = sit(test, test.host)
    test.equal(host_index, index, "the place of the next client's buffer")
    test.host.call(f"{program(test, test.host)} say {host_owner} {host_index} whole", 20)
    at_host.expect("^woken: whole$")
    # It was waited for once: not again, whatever is taken back until it goes on.
    test.parameter("call_limit_ms", 3000)
    before = seconds(test)
    test.host.call(f"{program(test, test.host)} places", 30)
    took = seconds(test) - before
    test.parameter("call_limit_ms", forever_ms)
    so_far = len(test.host.read(at_host.out_path))
    one.qemu.kill(SIGCONT)
    test.host.call("usleep 300000")
    test.host.call(f"{program(test, test.host)} wake {host_owner} 1", 20)
    found = test.host.expect(at_host.out_path, "^woken: ", offset=so_far)
    test.parameter("call_limit_ms", 10)  # else a call that goes on would keep all from ending
    at_host.kill()
    at_host.wait(10)
    test.equal(found, "woken: whole", "the next client's buffer")
    test.check(took < 2, f"others' buffers were taken back in {took} s, while a call was stopped that was revoked before")
    said = lingering.wait(10).err
    test.check(f"linger: -{errno.ECANCELED} " in said, f"the call of the VM that was stopped: {said}")


def logged(test, places=3):
    """The VMM begins to log what the VM writes, as for migration: all that the VM has shared is revoked."""
    monitor = Monitor(test.host, "exchange")
    guest = test.elisa_guest(test.guest(qemu_options=monitor.options))
    monitor.begin()
    test.load_object(test.build.parent / OBJECT)
    manager = test.manager(test.build / OBJECT / "meeting.elf", name="meeting", vetted=True, memory="64K", grant="all",
                           exchange=True)
    job, owner, index = sit(test, guest, places=places)
    for place in range(index, index + places):
        test.host.call(f"{program(test, test.host)} say {owner} {place} there", 20)
    monitor.ask("calc-dirty-rate", calc_time=1, mode="dirty-bitmap")
    for place in range(index, index + places):
        manager.expect(rf"revoke .*buffer={0x100 + place}\b")
        refused(test, test.host, f"say {owner} {place} gone", "put: -22")
    monitor.end()
    job.kill()


def run(test, what="shared"):
    globals()[what](test)
