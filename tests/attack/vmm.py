# SPDX-License-Identifier: MIT
"""A hostile VMM on the host, tests/attack/vmm, beside stock VMs: see docs/threat-model.md."""

import re
import sys

from harness import elisa
from harness.run import TREE

sys.path.append(str(TREE / "tests" / "attack"))
from attacks import Scene  # noqa: E402  what an attack has around it

VMM = TREE / "build" / "tests" / "attack" / "vmm" / "vmm"
SUMMARY = re.compile(r"^tried (\d+) contained (\d+) inside (\d+) refused (\d+) seed \d+$", re.M)


def attack(test, what, count, seed=1, inside=0.5, limit_s=120):
    """One attack of the VMM's, after which the victim is as it was. INSIDE: the share of calls that it must have met inside."""
    scene = Scene(test, test.host, vetted=True)
    program = elisa.place(test.host, VMM)
    result = test.host.run(f"{program} {what} victim {count} {seed}", limit_s)
    (test.folder / "attacker.txt").write_text(result.out + result.err, encoding="utf-8")
    breach = next((line for line in result.out.splitlines() if "BREACH" in line), result.err.strip())
    found = SUMMARY.search(result.out)
    test.check(found and not result.status, f"the VMM ended with {result.status}: {breach}")
    tried, contained, met = (int(word) for word in found.groups()[:3])
    test.check(not breach, f"the first: {breach}")
    test.contained(tried, contained)
    test.check(tried >= count, f"only {tried} attempts")
    test.check(met >= inside * tried, f"of {tried} calls only {met} were met inside")
    scene.check()


def run(test, what, **options):
    attack(test, what, **options)
