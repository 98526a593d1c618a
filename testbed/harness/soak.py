# SPDX-License-Identifier: MIT
"""Many whole runs in a row, from power-on, each with a seed of its own: what fails can be run again exactly."""

import copy
import itertools
import shutil

from . import emulator, runner, testlist
from .run import TREE
from .say import say, step

DEFAULT = ["three-guests"]


def one(entry, seed, program):
    """One run; whether it failed. The logs of those that did stay."""
    alone = copy.copy(entry)
    alone.name = f"soak/{entry.name}-seed{seed}"
    report = runner.Report(quiet=True)
    runner.run_group([alone], report, seed, program)
    outcome, = report.outcomes
    if outcome.kind == "FAIL":
        say(f"FAIL   {entry.name}  {outcome.text}")
        say(f"       logs: {outcome.folder.relative_to(TREE)}; again: make test T={entry.name} SEED={seed}")
        return True
    shutil.rmtree(outcome.folder)
    return False


def runs(entry, count, seed):
    """Runs one test COUNT times, each on a machine of its own; how many failed."""
    program = emulator.program()
    over = itertools.count(1)
    with step(f"{count} runs of {entry.name}, seeds {seed} to {seed + count - 1}", count * (6 + 4 * entry.cpus)) as progress:
        def counted(number):
            failed = one(entry, seed + number, program)
            progress.progress(f"{next(over)} of {count} runs")
            return failed

        return sum(runner.in_parallel(counted, range(count)))


def run(names, counts, seed_word):
    """COUNTS: emulated CPUs -> runs."""
    seed = runner.seed_from(seed_word)
    failed = total = 0
    for entry in testlist.choose(testlist.load(), names or DEFAULT):
        count = 0 if isinstance(entry, testlist.Unit) else counts.get(entry.cpus, 0)
        if not count:
            continue
        bad = runs(entry, count, seed)
        say(f"{entry.name}: {bad} of {count} runs failed")
        failed, total = failed + bad, total + count
    say(f"{total - failed} passed, {failed} failed")
    return 1 if failed else 0
