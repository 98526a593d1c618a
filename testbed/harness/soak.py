# SPDX-License-Identifier: MIT
"""Many whole runs in a row, from power-on, each with a seed of its own: what fails can be run again exactly."""

from concurrent.futures import ThreadPoolExecutor

from . import emulator, runner, testlist
from .say import say

DEFAULT = ["three-guests"]


class Quiet(runner.Report):
    """Prints failures only, and how to see them again."""

    def __init__(self, seed):
        super().__init__()
        self.seed = seed

    def add(self, outcome):
        with self.lock:
            self.outcomes.append(outcome)
            if outcome.kind == "FAIL":
                say(f"FAIL   {outcome.entry.name}  {outcome.text}")
                say(f"       again: make test T={outcome.entry.name} SEED={self.seed}")


def one(entry, seed, number, program):
    report = Quiet(seed)
    runner.run_group([entry], report, seed, program, folder=f"soak/{entry.name}-{number % runner.PARALLEL}")
    return report.count("FAIL")


def runs(entry, count, seed):
    """Runs one test COUNT times, each on a machine of its own; how many failed."""
    program = emulator.program()
    with ThreadPoolExecutor(runner.PARALLEL) as pool:
        return sum(pool.map(lambda number: one(entry, seed + number, number, program), range(count)))


def run(names, counts, seed_word):
    """COUNTS: emulated CPUs -> runs."""
    seed = runner.seed_from(seed_word)
    failed = total = 0
    for entry in testlist.choose(testlist.load(), names or DEFAULT):
        count = 0 if isinstance(entry, testlist.Unit) else counts.get(entry.cpus, 0)
        if not count:
            continue
        bad = runs(entry, count, seed)
        say(f"{entry.name}: {count} runs with seeds {seed} to {seed + count - 1}, {bad} failed")
        failed, total = failed + bad, total + count
    say(f"{total - failed} passed, {failed} failed")
    return 1 if failed else 0
