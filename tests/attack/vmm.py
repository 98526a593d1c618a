# SPDX-License-Identifier: MIT
"""A hostile VMM on the host, tests/attack/vmm, beside stock VMs: see docs/threat-model.md."""

import random
import re
import sys
from signal import SIGCONT, SIGKILL, SIGSTOP

from harness import elisa
from harness.run import TREE

sys.path.append(str(TREE / "tests" / "attack"))
from attacks import Scene, parameters  # noqa: E402  what an attack has around it

VMM = TREE / "build" / "tests" / "attack" / "vmm" / "vmm"
SUMMARY = re.compile(r"^tried (\d+) contained (\d+) inside (\d+) refused \d+ revoked (\d+) of (\d+) seed \d+$", re.M)
VAULT = TREE / "build" / "tests" / "vm" / "objects" / "vault" / "vault.elf"


def attack(test, what, count, seed=1, inside=0.5, tried=None, revoked=False, limit_s=60, limits=None):
    """One attack of the VMM's, after which the victim is as it was.

    INSIDE: the share of attempts that must have met a call inside. REVOKED: buffers whose memory is gone must be, too.
    TRIED: attempts at least, if that is not COUNT. LIMITS: parameters of elisa.ko meanwhile.
    """
    scene = Scene(test, test.host, vetted=True)
    if what in ("buffers", "hole", "early"):
        test.manager("nop", name="nop", vetted=True, grant="all")
    if what in ("orphans", "signals"):
        test.load_object("nop")
        test.manager("nop", name="nop", vetted=True, grant="all")
    program = elisa.place(test.host, VMM)
    with parameters(test, **limits or {}):
        result = test.host.run(f"{program} {what} victim {count} {seed}", limit_s)
    (test.folder / "attacker.txt").write_text(result.out + result.err, encoding="utf-8")
    breach = next((line for line in result.out.splitlines() if "BREACH" in line), result.err.strip())
    found = SUMMARY.search(result.out)
    test.check(found and not result.status, f"the VMM ended with {result.status}: {breach}")
    test.check(not breach, f"the first: {breach}")
    attempts, contained, met, gone, to_go = map(int, found.groups())
    test.contained(attempts, contained)
    test.check(attempts >= (tried or count), f"only {attempts} attempts")
    test.check(met >= inside * attempts, f"in {attempts} attempts only {met} calls were met inside")
    if revoked:
        test.contained(to_go, gone, "buffers revoked")
    scene.check()
    after = test.host.call(f"{program} registers victim 1")
    test.check("tried 1 contained 1" in after, f"another VMM afterwards: {after}")


def steady(test, turns):
    """The VMM calls the vault for ever, holding its lock most of the time."""
    job = test.host.start(f"exec {elisa.place(test.host, VMM)} steady vault {turns}")
    job.expect("^attached")
    return job


def others(test, guest):
    """A stock VM's calls of the vault: how often the lock was taken from somebody so far."""
    before = float(test.host.call("cut -d' ' -f1 /proc/uptime"))
    words = guest.call(f"{test.program(guest, 'vault')} vault 20 1", 20).split()[1:]
    took = float(test.host.call("cut -d' ' -f1 /proc/uptime")) - before
    said = dict(zip(words[::2], map(int, words[1::2])))
    test.equal((said["done"], said["aborted"]), (20, 0), "calls of the other VM")
    test.check(took < 1, f"they took {took} s")
    return said["repaired"]


def held(test, signal, count, seed=1, turns=10_000, share=0.3):
    """SIGSTOP or SIGKILL of the VMM, whose vCPU holds the lock: the other VM goes on within the limit of locks."""
    test.elisa(call_limit_ms=1000)
    guest = test.client()
    test.manager(VAULT, name="vault", vetted=True, grant="all")
    draw = random.Random(seed)
    repaired = others(test, guest)
    job, taken = None, 0
    for _ in range(count):
        job = job or steady(test, turns)
        test.host.call(f"usleep {draw.randrange(2000, 30000)}")
        job.kill(signal)
        if signal == SIGKILL:
            job.wait(10)
        now = others(test, guest)
        if signal == SIGSTOP:
            job.kill(SIGCONT)
        else:
            job = None
        taken += now > repaired
        repaired = now
    if job:
        job.kill()
    test.contained(count, count, "others go on")
    test.contained(taken, taken, "others go on, the lock held")
    test.check(taken >= share * count, f"of {count} times the lock was held {taken} times only (seed {seed})")


def run(test, what, **options):
    signal = {"stopped": SIGSTOP, "killed": SIGKILL}.get(what)
    if signal:
        held(test, signal, **options)
    else:
        attack(test, what, **options)
