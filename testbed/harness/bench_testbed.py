# SPDX-License-Identifier: MIT
"""`make bench-testbed`: what the testbed costs, against its limits.

CPU seconds are those of the emulator's process on the build machine, the median of several boots. They
depend on that machine; the limits are for two cores of one that is not special.
"""

import shutil
import statistics
import tempfile
import time
from pathlib import Path

from . import cache, emulator, kernel, runner, soak, testlist
from .figures import Figures
from .machine import Machine
from . import run as programs
from .run import TREE
from .say import say, step

SOAK_RUNS = {1: 50, 2: 50, 4: 20}
EXTRA_TESTS = 5


def cold_build():
    """Seconds of real time to build the emulator from its source package."""
    emulator.source()
    with tempfile.TemporaryDirectory(dir=cache.root()) as folder:
        start = time.monotonic()
        emulator.build_tree(Path(folder))
        return time.monotonic() - start


def warm_setup():
    """Seconds of real time for a set-up that finds everything done."""
    start = time.monotonic()
    programs.run(TREE / "testbed" / "testbed", "setup")
    return time.monotonic() - start


class Boot:
    """One boot with three guests: CPU seconds of each part, and what was counted."""

    def __init__(self, program, folder):
        machine = Machine(program, kernel.current(), folder)
        try:
            machine.boot()
            self.host = machine.cpu_seconds()
            machine.load_kvm()
            machine.copy_guest_kernel()
            before = self.ready_for_guests = machine.cpu_seconds()
            self.guests = []
            for _ in range(3):
                machine.guest()
                self.guests.append(machine.cpu_seconds() - before)
                before = machine.cpu_seconds()
            self.all = before
            machine.call("marker begin bench")
            for guest in machine.guests:
                guest.call(guest.put(TREE / "build" / "tests" / "vm" / "count"))
            machine.call("marker end bench")
            self.counts = machine.counts
        finally:
            machine.stop()


def one_more_test(program):
    """Seconds of real time that a trivial test takes on a machine that is up."""
    entry, = testlist.choose(testlist.load(), ["program"])
    report = runner.Report(quiet=True)
    runner.run_group([entry] * (EXTRA_TESTS + 1), report, None, program)
    return statistics.median(outcome.seconds for outcome in report.outcomes[1:])


def counting_slowdown(program, folder, runs):
    """How much longer the same boot takes with counting: the best of several, taken in turn."""
    without = emulator.program(counting=False)
    best = {True: [], False: []}
    for _ in range(runs):
        for counting in (True, False):
            machine = Machine(program if counting else without, kernel.current(), folder)
            try:
                machine.boot().load_kvm().guest()
                best[counting].append(machine.cpu_seconds())
            finally:
                machine.stop()
    return min(best[True]) / min(best[False])


def run(options):
    runs, soak_runs = options.runs, {} if options.no_soak else SOAK_RUNS
    figures = Figures("testbed")
    program = emulator.program()
    folder = runner.new_folder("bench")
    figures.add("emulator build, cold", cold_build(), "s", 180)
    figures.add("set-up with a warm cache", warm_setup(), "s", 5)
    done = []
    with step(f"{runs} boots with three guests", 16 * runs):
        for number in range(runs):
            done.append(Boot(program, folder / str(number)))
    figures.add("host boot to the control channel", statistics.median(boot.host for boot in done), "CPU s", 5)
    figures.add("guest boot to its first command, slowest of three",
                statistics.median(max(boot.guests) for boot in done), "CPU s", 4)
    figures.add("host and three guests ready, all included", statistics.median(boot.all for boot in done), "CPU s", 16)
    say(f"  of it: KVM and the guests' kernel, once: "
        f"{statistics.median(boot.ready_for_guests - boot.host for boot in done):.2f} CPU s")
    figures.add("one more test in a booted machine", one_more_test(program), "s", 1)
    with step("counting against not counting", 16 * runs):
        slowdown = counting_slowdown(program, folder / "counting", runs)
    figures.add("slowdown by counting", slowdown, "times", 1.1)
    same = sum(boot.counts == done[0].counts for boot in done)
    figures.add("runs with the same counts as the first", same, "runs", runs, "equal")
    seed = runner.seed_from("random")
    for cpus, count in soak_runs.items():
        entry, = testlist.choose(testlist.load(), [f"three-guests-{cpus}cpu"])
        bad = soak.runs(entry, count, seed)
        figures.add(f"whole runs without a hang or a flake, {cpus} CPUs", count - bad, "runs", count, "equal")
    shutil.rmtree(folder, ignore_errors=True)
    return figures.write()
