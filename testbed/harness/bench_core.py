# SPDX-License-Identifier: MIT
"""`make bench-core`: what calls, attaching and attachments cost, counted in the emulated machine.

All figures but those of memory are instructions, VMFUNCs and VM exits on one CPU. A region that something else
interrupted is measured again.
"""

import shutil

from . import elisa, emulator, kernel, runner
from .agent import CommandFailed
from .context import Test
from .figures import COLOURS, Figures
from .machine import Machine
from .model import in_words, modelled_ns
from .say import Failure, say, step

LOOPS = 1000
EXIT_LOOPS = 100  # of calls that exit: so few that some runs see no timer
MANY = 1_000_000
TRIES = 12
MEMORY_MB = 2048  # 1 GiB of it for the largest object
HUGE_PAGES = 512
OBJECTS = 256     # more than a VM can attach to
COLUMNS = ("scheme", "instructions per null call", "VMFUNC", "exits", "modelled ns")
VMCALL = "18"
# Exits that a call could cause: exception, triple fault, VMCALL, EPT violation, VMFUNC.
OURS = ("0", "2", VMCALL, "48", "59")


def the_vcpu(region):
    """The counts of the one vCPU that was at work."""
    if not region["vcpus"]:
        raise Failure(f"no vCPU was counted in {region['name']!r}")
    return max(region["vcpus"], key=lambda vcpu: vcpu["guest"])


def exits_of(vcpu, kinds=OURS):
    return sum(vcpu["exits"].get(kind, 0) for kind in kinds)


def total(vcpu):
    return vcpu["guest"] + vcpu["host"]


class Bench:
    """One host and one guest with one vCPU, and the programs that count."""

    def __init__(self, machine, folder, huge_pages=HUGE_PAGES):
        self.machine = machine
        self.test = Test(machine, folder, None)
        machine.call(f"echo {huge_pages} > /proc/sys/vm/nr_hugepages", limit_s=60)
        self.test.elisa()
        self.guest = self.test.client(vcpus=1)
        self.schemes = []

    def add_row(self, *counted):
        scheme, *costs = counted
        self.schemes.append((scheme, *(round(cost, 2) for cost in costs), round(modelled_ns(*costs))))

    def regions(self, name, scheme, loops=LOOPS, limit_s=60):
        """What one run of call-bench counted: region's name -> its vCPU."""
        before = len(self.machine.counts)
        program = self.test.program(self.guest, "call-bench")
        self.guest.call(f"{program} {name} {scheme} {loops}", limit_s)
        return {region["name"]: the_vcpu(region) for region in self.machine.counts[before:]}

    def undisturbed(self, region, name, scheme, exits, measure, loops=LOOPS):
        """The smallest measure(vcpu) of several runs in which the region had these exits and no others."""
        best = None
        for _ in range(TRIES):
            vcpu = self.regions(name, scheme, loops).get(region)
            if vcpu is None:
                raise Failure(f"call-bench counts no region {region!r}")
            if vcpu["exits"] == exits:
                value = measure(vcpu)
                best = value if best is None else min(best, value)
        if best is None:
            raise Failure(f"{scheme}: {region!r} of {name} never had just the exits {exits}, but {vcpu['exits']}")
        return best

    def per_call(self, name, scheme, exits_per_call, measure, loops=LOOPS):
        exits = {kind: count * loops for kind, count in exits_per_call.items()}
        return self.undisturbed("null calls", name, scheme, exits, measure, loops) / loops


def calls(bench, figures):
    bench.test.manager(name="nop", vetted=True, grant="all")
    bench.test.manager(name="other", grant="all")
    gate = {}
    for name, kind, instructions, vmfuncs in (("nop", "vetted", 60, 3), ("other", "other", 72, 4)):
        gate[kind] = bench.per_call(name, "gate", {}, lambda vcpu: vcpu["guest"])
        figures.add(f"instructions per null call, {kind} code", gate[kind], "", instructions)
        count = bench.per_call(name, "gate", {}, lambda vcpu: vcpu["vmfunc"])
        figures.add(f"VMFUNC per null call, {kind} code", count, "", vmfuncs, "equal")
        bench.add_row("ELISA" if kind == "vetted" else "ELISA, not vetted", gate[kind], vmfuncs, 0)
    bench.machine.elisa.load_object("nop")
    vmcall = bench.per_call("nop", "vmcall", {VMCALL: 1}, total, EXIT_LOOPS)
    figures.add("host interposition (VMCALL) against the gate, vetted", vmcall / gate["vetted"], "times", 14, "min")
    say(f"  a call by VMCALL: {vmcall:.1f} instructions, guest and host")
    bench.add_row("VMCALL", vmcall, 0, 1)


def direct(bench, _):
    """For comparison only: there is no limit to it."""
    bench.test.manager(name="open", grant="all", direct=True)
    code = elisa.place(bench.guest, elisa.code_of("nop"))
    try:
        cost = bench.per_call("open", f"direct={code}", {}, lambda vcpu: vcpu["guest"])
        say(f"  a call of the directly mapped object: {cost:.1f} instructions")
        bench.add_row("direct", cost, 0, 0)
    except CommandFailed as failure:
        say(f"  the directly mapped object: {failure}")


def exits(bench, figures):
    regions = bench.regions("nop", "gate", MANY, limit_s=600)
    figures.add("exits per million calls that ELISA caused", exits_of(regions["null calls"]), "", 0, "equal")
    say(f"  all exits meanwhile, by reason: {regions['null calls']['exits']}; "
        f"of as many plain calls: {regions['plain calls']['exits']}")
    figures.add("exits of the first call on a vCPU", exits_of(bench.regions("nop", "gate")["first call"]), "", 1, "equal")


def attach_cost(bench, name):
    """Instructions of guest and host, on one CPU: the least of several, as others' work can only add."""
    return min(total(bench.regions(name, "gate", 1)["attach"]) for _ in range(TRIES))


def attaching(bench, figures):
    small = bench.test.manager(name="small", memory="1M", grant="all")
    cost = attach_cost(bench, "small")
    figures.add("instructions of an attach to an object of 1 MiB", cost, "", 500_000)
    small.stop()
    with step("an object of 1 GiB in huge pages", 5):
        large = bench.test.manager(name="large", memory="1G", huge="2M", grant="all", wait=False).wait_ready(120)
        ratio = attach_cost(bench, "large") / cost
    figures.add("an attach to 1 GiB against one to 1 MiB", ratio, "times", 1.1)
    large.stop()


def memory(bench, figures):
    """While a client calls."""
    bench.test.manager("counter", vetted=True, grant="all")
    program = bench.test.program(bench.guest, "call-many")
    client = bench.guest.start(f"exec {program} counter gate 1 1000000000")
    for _ in range(100):
        listed = [entry for entry in bench.test.listed("attach") if entry["vcpus"]]
        if listed:
            break
        bench.machine.call("usleep 20000")
    client.kill()
    client.wait()
    if not listed:
        raise Failure("no attachment that has called is listed")
    figures.add("host memory per attachment", listed[0]["allocated_bytes"] / 1024, "KiB", 64)
    figures.add("host memory per vCPU of an attachment", listed[0]["vcpu_bytes"] / listed[0]["vcpus"] / 1024, "KiB", 48)


def many(bench, figures):
    """Managers of more objects than a VM can attach to; one shell starts them all."""
    manager, code = (elisa.place(bench.machine, file) for file in (elisa.MANAGER, elisa.code_of("nop")))
    with step(f"{OBJECTS} objects", 5):
        each = f"{manager} --code {code} --name many$i --grant all"
        job = bench.machine.start(f"for i in $(seq 0 {OBJECTS - 1}); do {each} & done; wait")
        bench.machine.call(f"while [ $(grep -c ready {job.out_path}) -lt {OBJECTS} ]; do usleep 20000; done", limit_s=300)
        program = bench.test.program(bench.guest, "attach-many")
        said = bench.guest.call(f"{program} many gate {OBJECTS}", limit_s=120)
        job.kill(15)
    lines = dict(line.split(" ", 1) for line in said.splitlines())
    figures.add("objects that one VM is attached to at once", int(lines["attached"]), "", 64, "min")
    refused = lines.get("refused", "nothing")
    figures.add("the first past the limit is refused, with ENOSPC", int("No space left" in refused), "", 1, "equal")
    say(f"  refused: {refused}")


def run(_):
    figures = Figures("core")
    folder = runner.new_folder("bench-core")
    machine = Machine(emulator.program(), kernel.current(), folder, memory_mb=MEMORY_MB)
    try:
        machine.boot().load_kvm()
        bench = Bench(machine, folder)
        for part in (calls, exits, attaching, memory, many, direct):
            part(bench, figures)
        say(in_words())
        figures.write_table(COLUMNS, bench.schemes)
        figures.write_bars("null call: instructions, guest and host", [
            (scheme, instructions, COLOURS[scheme]) for scheme, instructions, *_ in bench.schemes])
        bench.test.clean_up()
        complaints = [*filter(None, [machine.elisa.check_released()]), *runner.kernel_complaints(machine)]
        figures.add("leaks and complaints of kernels", len(complaints), "", 0, "equal")
        for complaint in complaints:
            say(f"  {complaint}")
    finally:
        machine.stop()
    status = figures.write()
    if not status:
        shutil.rmtree(folder, ignore_errors=True)
    return status
