# SPDX-License-Identifier: MIT
"""`make bench-fidelity`: what the checker of translations finds, and what it costs; docs/fidelity.md.

CPU seconds are those of the emulator's process; each figure of cost is the best of several runs, with and without in turn.
"""

import itertools

from . import elisa, emulator, kernel, runner, testlist
from .context import Test
from .figures import Figures
from .machine import Machine
from .say import say, step

CALLS = 20000


def planted(figures):
    """Faults that it must find, each left in by one change of a line or two."""
    entries = [entry for entry in testlist.load(long=True) if "planted" in entry.tags]
    report = runner.Report()
    for _, group in itertools.groupby(sorted(entries, key=lambda entry: entry.cpus), lambda entry: entry.machine):
        runner.run_group(list(group), report, None, emulator.program())
    figures.add("planted faults found", report.count("ok"), f"of {len(entries)}", len(entries), "equal")


def costs(folder, checked):
    """CPU seconds of a guest's boot, and of calls, on a host that is up; and what was reported."""
    machine = Machine(emulator.program(), kernel.current(), folder, checked=checked)
    try:
        machine.boot().load_kvm().copy_guest_kernel()
        test = Test(machine, folder, None)
        before = machine.cpu_seconds()
        guest = test.guest()
        booted = machine.cpu_seconds()
        machine.elisa.load()
        test.elisa_guest(guest)
        test.manager("counter", name="counter", vetted=True, grant="all")
        program = elisa.place(guest, elisa.PROGRAMS / "call-many")
        ready = machine.cpu_seconds()
        guest.call(f"{program} counter gate 1 {CALLS}", 60)
        return booted - before, machine.cpu_seconds() - ready, machine.take_reports()
    finally:
        machine.stop()


def run(options):
    figures = Figures("fidelity")
    folder = runner.new_folder("bench")
    runs = {True: [], False: []}
    with step("boots with and without the checker", 20 * options.runs):
        for number in range(options.runs):
            for checked in (False, True):
                runs[checked].append(costs(folder / f"{number}-{checked}", checked))
    for at, what in enumerate(("a guest's boot", f"{CALLS} calls")):
        with_it, without = (min(each[at] for each in runs[checked]) for checked in (True, False))
        say(f"  {what}: {without:.2f} CPU s, with the checker {with_it:.2f}")
        figures.add(f"slowdown by the checker of translations, {what}", with_it / without, "times", 4.0)
    figures.add("reports of the product as it is, in these runs", sum(len(each[2]) for each in runs[True]), "", 0, "equal")
    planted(figures)
    return figures.write()
