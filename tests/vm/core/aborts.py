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


def run(test, what):
    globals()[what](test)
