# SPDX-License-Identifier: MIT
"""`make check-corrections`: the emulator without one of its corrections fails the test that is there for it.

This is what keeps a correction: one that nothing misses should go.
"""

from . import cache, emulator, runner, testlist
from .say import Failure, say

# Corrections that no program can tell the lack of, but for the time they save.
NOT_SEEN = {"07-smp-quantum": "speed only: see `make bench-testbed`"}


def check(names):
    patches = [emulator.correction(name) for name in names] or emulator.patches()
    entries = testlist.load()
    bad = 0
    for patch in patches:
        if patch.stem in NOT_SEEN:
            say(f"skip   {patch.stem:34} {NOT_SEEN[patch.stem]}")
            continue
        proof = next((entry for entry in entries if entry.proves == patch.stem), None)
        if not proof:
            raise Failure(f"no test proves {patch.stem}; add one to tests/list.toml, or say here why there can be none")
        report = runner.run([proof], program=emulator.program(without=patch))
        outcome, = report.outcomes
        if outcome.kind == "FAIL" and not (outcome.folder / runner.TRACEBACK).exists():
            say(f"ok     {patch.stem:34} without it {proof.name} fails, as it should")
        else:
            say(f"FAIL   {patch.stem:34} without it {proof.name} does not fail as it should")
            bad += 1
    cache.keep_newest("variant", 16)
    say(f"{len(patches) - bad} corrections needed or explained, {bad} not")
    return 1 if bad else 0
