# SPDX-License-Identifier: MIT
"""Calls that are ended from outside: whoever has to know is told what ended them, and where in the trusted code."""

import errno
import json
import re

# The argument of the victim's function `fault`, the errno of the call, and what the exit is called.
FAULTS = ((0, errno.EFAULT, "triple fault"), (1, errno.EFAULT, "triple fault"), (2, errno.EILSEQ, "exception or NMI"),
          (6, errno.ECANCELED, "CPUID"), (7, errno.ECANCELED, "VMCALL"))
TRACING = "/sys/kernel/tracing"


def told(test):
    """The manager's events, `elisactl abort list` and the tracepoint agree."""
    guest = test.client()
    code = test.build / "tests" / "attack" / "victim" / "victim.elf"
    manager = test.manager(code, name="victim", vetted=True, grant="all")
    test.host.run(f"mountpoint -q {TRACING} || mount -t tracefs tracefs {TRACING}").check()
    test.host.call(f"echo > {TRACING}/trace; echo 1 > {TRACING}/events/elisa/elisa_abort/enable")
    for how, error, _ in FAULTS:
        test.equal(guest.call(f"{test.program(guest, 'call')} victim fault 1 {how}"), f"{-error}\n", f"fault {how}")
    test.host.call(f"echo 0 > {TRACING}/events/elisa/elisa_abort/enable")
    listed = json.loads(test.host.call(f"{test.control()} abort list --json"))[-len(FAULTS):]
    test.equal([(each["state"], each["exit_reason"], each["symbol"], each["name"]) for each in listed],
               [(error, name, "fault", "victim") for _, error, name in FAULTS], "elisactl abort list")
    manager.expect(f'abort .*error={-FAULTS[-1][1]} exit="VMCALL"')
    events = [re.search(r'error=(-?\d+) exit="([^"]+)" address=(\S+) symbol=fault\+(\S+)$', line)
              for line in manager.events() if line.startswith("abort")]
    test.check(all(events), f"events: {manager.events()}")
    test.equal([(-int(found[1]), found[2], int(found[3], 0), int(found[4], 0)) for found in events],
               [(each["state"], each["exit_reason"], each["address"], each["offset"]) for each in listed], "events")
    traced = re.findall(r"elisa_abort: object=victim .* error=(\d+) exit=\d+ address=\S+ fault\+(\S+)",
                        test.host.call(f"cat {TRACING}/trace"))
    test.equal([(int(error), int(offset, 0)) for error, offset in traced],
               [(each["state"], each["offset"]) for each in listed], "trace")


def seconds(test):
    return float(test.host.call("cut -d' ' -f1 /proc/uptime"))


def offences(test):
    """A VM whose calls exceed the limit again and again is detached; its neighbour goes on."""
    test.elisa(call_limit_ms=2, call_offences=3)
    guests = [test.elisa_guest(guest) for guest in test.guests(2)]
    test.manager(test.build / "tests" / "attack" / "victim" / "hostile.elf", name="slow", grant="all")
    neighbour = guests[1].start(f"{test.program(guests[1], 'hold')} slow until-error")
    neighbour.expect("^attached")
    said = guests[0].start(f"{test.program(guests[0], 'call')} slow forever 4")
    test.equal(said.wait(10).check().out, f"{-errno.ETIME}\n" * 4, "calls that do not end")
    log = test.host.call("dmesg")
    test.check("is detached from slow: 3 of its calls exceeded 2 ms" in log, log[-300:])
    test.equal(len(test.listed("attach")), 1, "attachments that are left")
    before = test.listed("attach")[0]["calls"]
    test.host.call("usleep 20000")
    test.check(test.listed("attach")[0]["calls"] > before, "the neighbour's calls have stopped")
    neighbour.kill()


def tickless(test, vetted=True):
    """A call that does not end, on a CPU that has no ticks while it runs."""
    test.elisa()
    guest = test.client()
    test.equal(test.host.call("cat /sys/devices/system/cpu/nohz_full"), "1\n", "CPUs without ticks")
    test.host.call(f"taskset -ap 2 $(cat {guest.folder}/pid) > /dev/null")
    code, function = ("victim", "spin") if vetted else ("hostile", "forever")
    test.manager(test.build / "tests" / "attack" / "victim" / f"{code}.elf", name=code, vetted=vetted, grant="all")
    program = test.program(guest, "call")
    guest.call(f"{program} {code} {function} 0")
    before = seconds(test)
    job = guest.start(f"{program} {code} {function} 1 1000000000")
    test.equal(job.wait(10).check().out, f"{-errno.ETIME}\n", "the call that does not end")
    took = seconds(test) - before
    test.check(took < 0.2, f"it took {took} s to end it")


def run(test, what, **options):
    globals()[what](test, **options)
