# SPDX-License-Identifier: MIT
"""`make bench-network`: what a packet costs from one VM to another, by schemes, counted in the emulated machine.

Through the DPDK driver net_elisa: tx_burst (freeing included), what enters the switch, the switch, rx_burst (allocation
included). By the gate, and by VMCALL, where the host executes the very same switch. Stock virtio-net with vhost-net and
a bridge is counted in the same machine, from socket to socket (bench_vhost.py).

One way: a VM sends to all others, a burst to each in turn. Both ways: a ring, where each VM sends to the next one, and
receives. One VM has two ports.

Counted are instructions and VM exits. Packets a second are a model of a CPU: see model.py.
"""

import csv
import json
import shutil
import subprocess
from dataclasses import dataclass

from . import bench_vhost, dpdk, elisa, emulator, kernel, runner
from .context import Test
from .figures import FOLDER, Figures
from .machine import Machine
from .model import MODEL, in_words, modelled_ns
from .say import Failure, say, step

SIZES = (64, 256, 512, 1024, 1518)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
LIMITS = {1: 400, 32: 180, 256: 160}  # instructions of a packet of 64 bytes, by batch
VMS = 4
REPEATS, REPEATS_MORE = 12, 4  # of two VMs and one way; of all else
MORE_BATCHES = (1, 8, 32, 256)  # of all else
MORE_SIZES = (64, 1518)  # of VMCALL there
VMCALL = "18"
# Exits that come whatever a VM does: an interrupt of the host's, the end of the time slice; what the guest's own timer
# takes: the window for its interrupt, setting it anew.
ANYWAY = {"1": "external interrupt", "7": "interrupt window", "12": "HLT, of another VM", "32": "MSR write",
          "52": "preemption timer"}
MACS = tuple(f"02:00:00:00:00:{number:02x}" for number in range(1, VMS + 1))
GO = "/tmp/net-bench-go"  # dpdk/bench.c
HOST_MB, GUEST_MB = 2048, 256
MEMORY_MB = 64  # of DPDK's in each guest


class Wire:
    """Guests that have a port of the switch each."""

    def __init__(self, test, vms=2):
        self.test, self.host = test, test.host
        test.need_emulator()
        dpdk.start_switch(test)
        self.guests = [test.guest(wait=False, memory_mb=GUEST_MB, packages=("dpdk-dev",), extra=dpdk.files())
                       for _ in range(vms)]
        for guest in self.guests:
            test.elisa_guest(guest.wait_ready())

    def start(self, number, plan, role, ports=None):
        """net-bench in a guest, with a port, or with the ports of these numbers."""
        devices = [f"name=port{port},mac={MACS[port]},scheme={plan.scheme}" for port in ports or (number,)]
        eal = dpdk.eal_words(*devices, memory_mb=MEMORY_MB)
        numbers = f"{plan.packets} {','.join(map(str, plan.sizes))} {','.join(map(str, plan.batches))} {plan.repeats} {number}"
        return self.guests[number].start(f"exec {dpdk.command(dpdk.BENCH)} {eal} -- {role} {numbers}")

    def one_way(self, plan):
        """The first sends to all others, by turns."""
        if plan.vms == 1:
            return [self.start(0, plan, "loop", (0, 1))]
        jobs = [self.start(number, plan, "receive") for number in range(1, plan.vms)]
        for job in jobs:
            job.expect("^ready", 30)
        return [*jobs, self.start(0, plan, f"send={','.join(MACS[1:plan.vms])}")]

    def both_ways(self, plan):
        """A ring: each sends to the next one."""
        if plan.vms == 1:
            return [self.start(0, plan, "loops", (0, 1))]
        guests = self.guests[:plan.vms]
        for guest in guests:
            guest.call(f"rm -f {GO}")
        jobs = [self.start(number, plan, f"exchange={MACS[(number + 1) % plan.vms]}") for number in range(plan.vms)]
        for job in jobs:
            job.expect("^ready", 30)
        for guest in guests:
            guest.write(GO, b"")
        return jobs

    def rows(self, plan):
        """What one run counted, a row for each size and batch."""
        if plan.scheme == "vmcall":
            self.host.elisa.load_object("vswitch")
        before = len(self.host.counts)
        for job in self.both_ways(plan) if plan.ways == "both" else self.one_way(plan):
            job.wait(600).check()
        found = {}
        for region in self.host.counts[before:]:
            what, size, batch = region["name"].split()
            found.setdefault((what, int(size), int(batch)), []).append(region)
        return [row_of(plan, size, batch, found) for size in plan.sizes for batch in plan.batches]


@dataclass
class Plan:
    """One run: who sends to whom, and what."""

    scheme: str
    vms: int
    ways: str  # "one" or "both"
    packets: int  # of each flow in a region
    sizes: tuple
    batches: tuple
    repeats: int


def plans(sizes, batches):
    """All that is to be counted, the most important first."""
    more = tuple(batch for batch in batches if batch in MORE_BATCHES)
    others = [(vms, ways) for vms in range(1, VMS + 1) for ways in ("one", "both") if (vms, ways) != (2, "one")]
    found = [Plan("gate", 2, "one", 512, sizes, batches, REPEATS)]
    found += [Plan("gate", vms, ways, 256, sizes, more, REPEATS_MORE) for vms, ways in others]
    # Few packets where each exits, or no region would be without a timer's interrupt.
    found += [Plan("vmcall", 2, "one", *few, REPEATS) for few in fewer(sizes, batches)]
    found += [Plan("vmcall", vms, ways, *few, REPEATS_MORE) for vms, ways in others
              for few in fewer(tuple(size for size in sizes if size in MORE_SIZES), more)]
    return found


def fewer(sizes, batches):
    """(packets, sizes, batches), for short bursts and for long ones."""
    parts = ((32, tuple(batch for batch in batches if batch < 16)), (256, tuple(batch for batch in batches if batch >= 16)))
    return [(packets, sizes, some) for packets, some in parts if some]


def undisturbed(regions, exits):
    """The smallest of the regions that saw just these exits; if none did, the smallest, exits and all."""
    counted = [counts_of(region) for region in regions]
    clean = [counts for counts in counted if counts["exits"] == exits]
    best = min(clean or counted, key=lambda counts: counts["guest"] + counts["host"])
    return {**best, "clean": bool(clean)}


def counts_of(region):
    exits = {}
    for vcpu in region["vcpus"]:
        for reason, count in vcpu["exits"].items():
            exits[reason] = exits.get(reason, 0) + count
    return {"guest": sum(cpu["guest"] for cpu in region["cpus"]), "host": sum(cpu["host"] for cpu in region["cpus"]),
            "vmfunc": sum(vcpu["vmfunc"] for vcpu in region["vcpus"]), "exits": exits}


def part_of(plan, regions, packets, batch, calls):
    """What a packet costs there: sent and received (loop), sent (with calls), or received."""
    exits = {VMCALL: -(-packets // batch)} if calls and plan.scheme == "vmcall" else {}
    counts = undisturbed(regions, exits)
    ours = sum(count for reason, count in counts["exits"].items() if reason not in ANYWAY)
    return {"all": (counts["guest"] + counts["host"]) / packets, "guest": counts["guest"] / packets,
            "vmfunc": counts["vmfunc"] / packets, "exits": ours / packets,
            "anyway": sum(counts["exits"].values()) / packets - ours / packets, "clean": counts["clean"]}


def row_of(plan, size, batch, found):
    row = {"kind": {"gate": "ELISA", "vmcall": "VMCALL"}[plan.scheme], "vms": plan.vms, "ways": plan.ways, "size": size,
           "batch": batch, "packets": plan.packets}
    if plan.vms == 1:
        parts = [part_of(plan, found["loop", size, batch], plan.packets * (2 if plan.ways == "both" else 1), batch, True)]
    else:
        sent = plan.packets * (plan.vms - 1 if plan.ways == "one" else 1)
        parts = [part_of(plan, found["tx", size, batch], sent, batch, True),
                 part_of(plan, found["rx", size, batch], plan.packets, batch, False)]
        row.update({"tx": parts[0]["all"], "rx": parts[1]["all"]})
    for key in ("vmfunc", "exits", "anyway"):
        row[key] = sum(part[key] for part in parts)
    return {**row, "instructions": sum(part["all"] for part in parts), "guest_instructions": sum(part["guest"] for part in parts),
            "clean": all(part["clean"] for part in parts)}


def modelled_mpps(row):
    return 1e3 / modelled_ns(row["instructions"], row.get("vmfunc", 0), row["exits"])


def show(rows):
    say(f"{'':30} {'VMs':>3} {'ways':>4} {'bytes':>6} {'batch':>6} | {'instructions':>12} {'sent':>8} {'received':>9} "
        f"{'exits':>7} a packet | {'Mpps, modelled':>14}")
    for row in rows:
        parts = [f"{row[key]:.1f}" if key in row else "" for key in ("tx", "rx")]  # not of sockets, nor of one VM
        say(f"{row['kind']:30} {row['vms']:3} {row['ways']:>4} {row['size']:6} {row['batch']:6} | {row['instructions']:12.1f} "
            f"{parts[0]:>8} {parts[1]:>9} "
            f"{row['exits']:7.3f}          | {modelled_mpps(row):14.2f}" + ("" if row.get("clean", True) else "  (disturbed)"))
    say(f"Mpps: {in_words()}")


def write_csv(rows):
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / "network.csv"
    columns = ("kind", "vms", "ways", "size", "batch", "packets", "instructions", "guest_instructions", "tx", "rx", "vmfunc",
               "exits", "anyway")
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow((*columns, "modelled_mpps"))
        for row in rows:
            writer.writerow((*(round(row[key], 4) if isinstance(row.get(key), float) else row.get(key, "") for key in columns),
                             round(modelled_mpps(row), 3)))
    (FOLDER / "network-rows.json").write_text(json.dumps({"model": MODEL, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    return path


PLOT = """\
set terminal svg size 1350,420 font "sans,12"
set output "{output}"
set multiplot layout 1,3
set logscale xy
set xlabel "packets a burst"
set ylabel "instructions a packet, measured"
set title "64 bytes"
set key below
set tics font "sans,10"
set xtics (1,2,4,8,16,32,64,128,256)
plot {by_batch}
unset logscale x
set xtics (64,256,512,1024,1518)
set xlabel "bytes a packet"
set title "bursts of 32"
plot {by_size}
set xlabel "VMs"
set xtics (1,2,3,4)
set title "64 bytes, bursts of 32"
plot {by_vms}
unset multiplot
"""


def series(rows, where, key):
    """Inline data and plot clauses: a line for each kind."""
    blocks, clauses = [], []
    for kind in dict.fromkeys(row["kind"] for row in rows):
        points = sorted((row[key], row["instructions"]) for row in rows if row["kind"] == kind and where(row))
        if not points:
            continue
        name = f"${key}{len(blocks)}"
        blocks.append(f"{name} << EOD\n" + "".join(f"{x} {y:.2f}\n" for x, y in points) + "EOD\n")
        clauses.append(f"{name} using 1:2 with linespoints title '{kind}'")
    return "".join(blocks), ", ".join(clauses)


def write_plot(rows):
    if not shutil.which("gnuplot"):
        say("  no plot: gnuplot is not installed")
        return
    path = FOLDER / "network.svg"
    pairs = [row for row in rows if is_pair(row)]
    batch_data, by_batch = series(pairs, lambda row: row["size"] == 64, "batch")
    size_data, by_size = series(pairs, lambda row: row["batch"] == 32, "size")
    vms = [{**row, "kind": f"{row['kind']}, {row['ways']} way{'s' if row['ways'] == 'both' else ''}"} for row in rows
           if row["kind"] in ("ELISA", "VMCALL")]
    vms_data, by_vms = series(vms, lambda row: row["size"] == 64 and row["batch"] == 32, "vms")
    script = batch_data + size_data + vms_data + PLOT.format(output=path, by_batch=by_batch, by_size=by_size, by_vms=by_vms)
    result = subprocess.run(["gnuplot"], input=script, text=True, capture_output=True, check=False)
    say(f"written to build/figures/{path.name}" if not result.returncode else f"  no plot: {result.stderr.strip()}")


def add_figures(figures, rows):
    by = {(row["kind"], row["size"], row["batch"]): row for row in rows if is_pair(row)}
    for batch, limit in LIMITS.items():
        row = by["ELISA", 64, batch]
        figures.add(f"instructions per packet of 64 bytes, batch {batch}", row["instructions"], "", limit)
    exits = max(row["exits"] for row in rows if row["kind"] == "ELISA")
    figures.add("VM exits per packet by ELISA, polling", exits, "", 0, "equal")
    some = [row for row in rows if row["kind"] == "ELISA" and row["anyway"]]
    say(f"  {len(some)} rows of ELISA have seen interrupts of the host or of the guest's timer in all their repeats; they are "
        f"counted there: at most {max((row['anyway'] for row in some), default=0):.4f} exits a packet")
    for other in dict.fromkeys(row["kind"] for row in rows if row["kind"] != "ELISA"):
        if (other, 64, 1) in by:
            ratio = modelled_mpps(by["ELISA", 64, 1]) / modelled_mpps(by[other, 64, 1])
            say(f"  modelled, 64 bytes, batch 1: {ratio:.2f} times as many packets a second as by {other}")


def is_pair(row):
    """Of two VMs, one way: what figures are of."""
    return row["vms"] == 2 and row["ways"] == "one"


def measure(test, sizes=SIZES, batches=BATCHES):
    wire, rows = Wire(test, VMS), []
    for plan in plans(sizes, batches):
        with step(f"{plan.scheme}, {plan.vms} VMs, {plan.ways} way{'s' if plan.ways == 'both' else ''}, bursts of "
                  f"{plan.batches[0]} to {plan.batches[-1]}", 30):
            rows += wire.rows(plan)
    for guest in wire.guests:
        guest.stop()
    return rows


def run(options):
    figures = Figures("network")
    folder = runner.new_folder("bench-network")
    machine = Machine(emulator.program(), kernel.current(), folder, memory_mb=HOST_MB)
    try:
        machine.boot().load_kvm()
        test = Test(machine, folder, None)
        rows = measure(test)
        with step("stock virtio-net with vhost-net", 90):
            rows += [{"vms": 2, "ways": "one", **row} for row in bench_vhost.measure(test)]
        show(rows)
        say(f"written to {write_csv(rows).relative_to(elisa.TREE)}")
        write_plot(rows)
        add_figures(figures, rows)
        complaints = runner.kernel_complaints(machine)
        test.clean_up()
        if complaints:
            raise Failure(complaints[0])
    finally:
        machine.stop()
    status = figures.write()
    if not status:
        shutil.rmtree(folder, ignore_errors=True)
    return status
