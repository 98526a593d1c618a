# SPDX-License-Identifier: MIT
"""`make bench-kv`: what calls of the shared cache cost, by the gate, by VM exits, and on memory that is mapped directly.

Instructions (guest and host), VMFUNCs and VM exits per call are counted in the emulated machine, and repeat. Apart from
them, a time is modelled: instructions at a rate, and the costs of VMFUNC and VM exit that the paper has measured. The same get
from stock memcached: bench_memcached.py.
"""

import shutil

from . import bench_core, bench_memcached, elisa, emulator, kernel, network, runner
from .agent import CommandFailed
from .figures import COLOURS, Figures
from .machine import Machine
from .model import in_words, modelled_ns
from .say import Failure, say

LOOPS = 200  # so few that some runs meet no timer
EXIT_LOOPS = 100
SIZES = (8, 64, 512, 4096)
READS = (50, 95, 100)
VMS = (1, 2, 4)
RUNS = 5
TURNS = 12  # runs with others, some of which cannot be told apart
CALLS = 5000  # of a VM beside others: so many that all have their turn meanwhile
KEYS = 64  # of each of them
CPUS = 4  # of the host on which each VM has one
TRIES = 8
COLUMNS = ("scheme", "VMs", "value bytes", "region", "reads %", "instructions", "VMFUNC", "exits", "modelled ns")


class Bench(bench_core.Bench):
    def __init__(self, machine, folder):
        super().__init__(machine, folder, huge_pages=0)
        self.rows = []
        self.manager = None
        self.publish()

    def publish(self, *more):
        """The cache, empty, in place of the one before."""
        if self.manager:
            self.manager.stop()
            self.test.managers.remove(self.manager)
        words = [elisa.place(self.machine, elisa.KV), "--code", elisa.place(self.machine, elisa.code_of("kv")),
                 "--memory 32M --grant all --space all=shared:rw --stats 1", *more]
        self.manager = elisa.Manager(self.machine, self.machine.start("exec " + " ".join(map(str, words))), "kv").wait_ready()
        self.test.managers.append(self.manager)

    def regions_of(self, scheme, size, reads, loops, keys=1):
        before = len(self.machine.counts)
        program = self.test.program(self.guest, "kv-bench")
        self.guest.call(f"{program} kv {scheme} {size} {reads} {loops} {keys}", 120)
        return {region["name"]: region for region in self.machine.counts[before:]}

    def run_kv(self, *arguments):
        """The same, of the one vCPU that is at work."""
        return {name: bench_core.the_vcpu(region) for name, region in self.regions_of(*arguments).items()}

    def cost(self, scheme, size, reads, keys=1):
        """region -> (instructions, VMFUNCs, exits) per call: of several runs, the least."""
        loops = LOOPS if scheme == "gate" else EXIT_LOOPS
        best = {}
        for _ in range(TRIES if scheme == "gate" else 2):
            for name, vcpu in self.run_kv(scheme, size, reads, loops, keys).items():
                exits = bench_core.exits_of(vcpu)
                undisturbed = sum(vcpu["exits"].values()) == exits
                instructions = vcpu["guest"] if scheme != "vmcall" else bench_core.total(vcpu)
                value = (not undisturbed, instructions / loops, vcpu["vmfunc"] / loops, exits / loops)
                best[name] = min(best.get(name, value), value)
        return {name: value[1:] for name, value in best.items()}

    def add(self, scheme, size, reads, costs, regions, vms=1):
        for region in regions:
            instructions, vmfuncs, exits = costs[region]
            self.rows.append((scheme, vms, size, region, reads if region == "mixed" else "", round(instructions, 1),
                              round(vmfuncs, 2), round(exits, 2), round(modelled_ns(instructions, vmfuncs, exits))))
            say("  " + "  ".join(f"{word!s:>12}" for word in self.rows[-1]))


def schemes(bench, figures):
    say("  " + "  ".join(f"{word:>12}" for word in COLUMNS))
    bench.machine.elisa.load_object("kv")
    code = elisa.place(bench.guest, elisa.code_of("kv"))
    for scheme, name in (("gate", "ELISA"), ("vmcall", "VMCALL"), (f"direct={code}", "direct")):
        if name == "direct":  # the host executes nothing on what clients map
            bench.publish("--direct")
        for size in SIZES:
            try:
                costs = bench.cost(scheme, size, 95)
            except CommandFailed as failure:
                say(f"  {name}: {failure}")
                break
            bench.add(name, size, 95, costs, ("gets", "gets of keys", "sets", "mixed"))
            if scheme == "gate" and size == 64:
                instructions, vmfuncs, exits = costs["gets"]
                figures.add("instructions per get of 64 bytes, all included", instructions, "", 250)
                figures.add("VMFUNC per get", vmfuncs, "", 3, "equal")
                figures.add("exits per get", exits, "", 0, "equal")
    bench.publish()
    for reads in READS:
        bench.add("ELISA", 64, reads, bench.cost("gate", 64, reads, keys=64), ("mixed",))


def one_run(bench, number, guests):
    """What each of the VMs counted while all are at work, as (instructions, VMFUNCs, exits) per call; and how many calls of
    theirs lost a lock. None: which vCPU is which cannot be told from the counts.
    """
    vms, before = len(guests), len(bench.machine.counts)
    calls = [CALLS + 7 * who for who in range(vms)]  # other ones each, to tell their vCPUs apart
    jobs = [guest.start(f"exec {bench.test.program(guest, 'kv-together')} kv shared {who} {vms} 64 50 {calls[who]} {KEYS} "
                        f"{vms}-{number}") for who, guest in enumerate(guests)]
    again = [int(network.wait_long(job, 300).check().out.split()[1]) for job in jobs]
    regions = {region["name"]: region for region in bench.machine.counts[before:]}
    costs = []
    for who in range(vms):
        vcpus = [vcpu for vcpu in regions[f"VM {who}"]["vcpus"] if vcpu["vmfunc"]]
        if len(vcpus) != vms:
            raise Failure(f"{len(vcpus)} of {vms} VMs were at work while VM {who} was counted")
        mine = [vcpu for vcpu in vcpus if 0 <= vcpu["vmfunc"] - 3 * calls[who] <= 3 * again[who]]
        if len(mine) != 1:
            return None
        costs.append((mine[0]["guest"] / calls[who], mine[0]["vmfunc"] / calls[who], bench_core.exits_of(mine[0]) / calls[who]))
    return costs, sum(again)


def at_once(bench, figures):
    """1, 2 and 4 VMs at once, each on keys of its own: what a call costs each of them, with waits for one another.

    The slowest one is compared with one alone. Where the host has a CPU for each they meet at any instruction; where they
    share one, when it goes to the next one within a call.
    """
    cpus = bench.machine.cpus
    where = f"{cpus} CPU" + "s" * (cpus > 1)
    guests = [bench.guest, *(bench.test.elisa_guest(guest) for guest in bench.test.guests(VMS[-1] - 1, vcpus=1))]
    alone = None
    for vms in VMS:
        found, again, number = [], 0, 0
        while len(found) < RUNS and number < TURNS:
            run_of_all, number = one_run(bench, number, guests[:vms]), number + 1
            if run_of_all:
                found.append(run_of_all[0])
                again += run_of_all[1]
        if len(found) < RUNS:
            raise Failure(f"{vms} VMs: of {TURNS} runs {len(found)} could be counted")
        each = [tuple(sum(column) / RUNS for column in zip(*(costs[who] for costs in found))) for who in range(vms)]
        slowest = max(each, key=lambda cost: modelled_ns(*cost))
        say(f"  {vms} VMs on {where}, {RUNS} runs of {CALLS} calls: instructions of a call of each "
            f"{', '.join(f'{cost[0]:.1f}' for cost in each)}; calls that lost a lock: {again}")
        bench.add(f"ELISA, {where}", 64, 50, {"mixed": slowest}, ("mixed",), vms=vms)
        alone = alone or slowest
        if vms > 1:
            figures.add(f"instructions per call, {vms} VMs on {where}, to one alone", slowest[0] / alone[0], "times", 1.15)
            figures.add(f"modelled throughput per VM, {vms} VMs on {where}", modelled_ns(*alone) / modelled_ns(*slowest),
                        "times", 0.85, "min")
            figures.add(f"calls that lost a lock, {vms} VMs on {where}", again, "", 0, "equal")
    for guest in guests[1:]:
        guest.stop()


def write(figures, rows):
    say(in_words())
    figures.write_table(COLUMNS, rows)
    gets = [row for row in rows if row[3] == "gets"]
    figures.write_bars("kv get: instructions per call, guest and host, by bytes of value",
                       [(f"{row[0]}, {row[2]} B", row[5], COLOURS.get(row[0], "#888")) for row in gets])


def on_machine(figures, cpus, parts):
    """Runs the PARTS on a host with so many CPUs; the rows that they have added."""
    folder = runner.new_folder(f"bench-kv-{cpus}cpu")
    machine = Machine(emulator.program(), kernel.current(), folder, cpus, memory_mb=1024)
    try:
        machine.boot().load_kvm()
        bench = Bench(machine, folder)
        for part in parts:
            part(bench, figures)
        bench.test.clean_up()
        complaints = [*filter(None, [machine.elisa.check_released()]), *runner.kernel_complaints(machine)]
        figures.add(f"leaks and complaints of kernels, {cpus} CPUs", len(complaints), "", 0, "equal")
        for complaint in complaints:
            say(f"  {complaint}")
    finally:
        machine.stop()
    if not complaints:
        shutil.rmtree(folder, ignore_errors=True)
    return bench.rows


def run(_):
    figures = Figures("kv")
    rows = on_machine(figures, 1, (schemes, at_once, bench_memcached.compare))
    rows += on_machine(figures, CPUS, (at_once,))
    write(figures, rows)
    return figures.write()
