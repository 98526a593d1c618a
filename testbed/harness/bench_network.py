# SPDX-License-Identifier: MIT
"""`make bench-network`: what a packet costs from one VM to another, by schemes, counted in the emulated machine.

Through the DPDK driver net_elisa: tx_burst (freeing included), what enters the switch, the switch, rx_burst (allocation
included). By the gate, and by VMCALL, where the host executes the very same switch. Stock virtio-net with vhost-net and
a bridge is counted in the same machine, from socket to socket (bench_vhost.py).

Counted are instructions and VM exits. Packets a second are a model of a CPU: see MODEL.
"""

import csv
import json
import shutil
import subprocess

from . import bench_vhost, dpdk, elisa, emulator, kernel, runner
from .context import Test
from .figures import FOLDER, Figures
from .machine import Machine
from .say import Failure, say, step

SIZES = (64, 256, 512, 1024, 1518)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
LIMITS = {1: 400, 32: 180, 256: 160}  # instructions of a packet of 64 bytes, by batch
# Of one region, by the least batch: few enough that some see no timer.
PACKETS = {"gate": ((1, 512),), "vmcall": ((1, 64), (16, 256))}
REPEATS = 12
VMCALL = "18"
MACS = ("02:00:00:00:00:01", "02:00:00:00:00:02")
GUEST_MB = 256
MEMORY_MB = 64  # of DPDK's in each guest

# What a CPU of today takes, to turn counts into packets a second: said with every figure that is made of it.
MODEL = {"instructions_per_ns": 3.0, "vmfunc_ns": 49, "exit_ns": 699}
MODEL_TEXT = ("modelled: 3 instructions a ns; a VMFUNC 49 ns and a VM exit 699 ns in all, as the paper's calls of three and one "
              "(196 and 699 ns) suggest")


class Wire:
    """Two guests with a port of the switch each."""

    def __init__(self, test):
        self.test, self.host = test, test.host
        test.need_emulator()
        dpdk.start_switch(test)
        self.guests = [test.guest(wait=False, memory_mb=GUEST_MB, packages=("dpdk-dev",), extra=dpdk.files()) for _ in MACS]
        for guest in self.guests:
            test.elisa_guest(guest.wait_ready())

    def start(self, number, scheme, role, packets, sizes, batches):
        eal = dpdk.eal_words(f"name=port{number},mac={MACS[number]},scheme={scheme}", memory_mb=MEMORY_MB)
        numbers = f"{packets} {','.join(map(str, sizes))} {','.join(map(str, batches))} {REPEATS}"
        return self.guests[number].start(f"exec {dpdk.command(dpdk.BENCH)} {eal} -- {role} {numbers}")

    def regions(self, scheme, packets, sizes, batches):
        """What one run counted: (what, size, batch) -> regions."""
        before = len(self.host.counts)
        receiver = self.start(1, scheme, "receive", packets, sizes, batches)
        receiver.expect("^ready", 30)
        sender = self.start(0, scheme, f"send={MACS[1]}", packets, sizes, batches)
        for job in (sender, receiver):
            job.wait(600).check()
        found = {}
        for region in self.host.counts[before:]:
            what, size, batch = region["name"].split()
            found.setdefault((what, int(size), int(batch)), []).append(region)
        return found

    def rows(self, scheme, sizes=SIZES, batches=BATCHES):
        if scheme == "vmcall":
            self.host.elisa.load_object("vswitch")
        rows, steps = [], PACKETS[scheme]
        for (least, packets), (beyond, _) in zip(steps, (*steps[1:], (1 << 16, 0))):
            some = [batch for batch in batches if least <= batch < beyond]
            if some:
                found = self.regions(scheme, packets, sizes, some)
                rows += [row_of(scheme, packets, size, batch, found) for size in sizes for batch in some]
        return rows


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


def row_of(scheme, packets, size, batch, found):
    calls = -(-packets // batch)
    tx = undisturbed(found["tx", size, batch], {VMCALL: calls} if scheme == "vmcall" else {})
    rx = undisturbed(found["rx", size, batch], {})
    guest = tx["guest"] + rx["guest"]
    return {"kind": {"gate": "ELISA", "vmcall": "VMCALL"}[scheme], "size": size, "batch": batch, "packets": packets,
            "instructions": (guest + tx["host"] + rx["host"]) / packets, "guest_instructions": guest / packets,
            "tx": (tx["guest"] + tx["host"]) / packets, "rx": (rx["guest"] + rx["host"]) / packets,
            "vmfunc": tx["vmfunc"] / packets, "exits": sum((*tx["exits"].values(), *rx["exits"].values())) / packets,
            "clean": tx["clean"] and rx["clean"]}


def modelled_mpps(row):
    ns = row["instructions"] / MODEL["instructions_per_ns"] + row.get("vmfunc", 0) * MODEL["vmfunc_ns"]
    return 1e3 / (ns + row["exits"] * MODEL["exit_ns"])


def show(rows):
    say(f"{'':22} {'bytes':>6} {'batch':>6} | {'instructions':>12} {'sent':>8} {'received':>9} {'exits':>7} a packet | "
        f"{'Mpps, modelled':>14}")
    for row in rows:
        parts = [f"{row[key]:.1f}" if key in row else "" for key in ("tx", "rx")]
        say(f"{row['kind']:22} {row['size']:6} {row['batch']:6} | {row['instructions']:12.1f} {parts[0]:>8} {parts[1]:>9} "
            f"{row['exits']:7.3f}          | {modelled_mpps(row):14.2f}" + ("" if row.get("clean", True) else "  (disturbed)"))
    say(f"Mpps: {MODEL_TEXT}")


def write_csv(rows):
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / "network.csv"
    columns = ("kind", "size", "batch", "packets", "instructions", "guest_instructions", "tx", "rx", "vmfunc", "exits")
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow((*columns, "modelled_mpps"))
        for row in rows:
            writer.writerow((*(round(row[key], 4) if isinstance(row.get(key), float) else row.get(key, "") for key in columns),
                             round(modelled_mpps(row), 3)))
    (FOLDER / "network-rows.json").write_text(json.dumps({"model": MODEL, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    return path


PLOT = """\
set terminal svg size 900,420 font "sans,12"
set output "{output}"
set multiplot layout 1,2
set logscale xy
set xlabel "packets a burst"
set ylabel "instructions a packet, measured"
set title "64 bytes"
set key top right
set xtics (1,2,4,8,16,32,64,128,256)
plot {by_batch}
unset logscale x
set xtics auto
set xlabel "bytes a packet"
set title "bursts of 32"
plot {by_size}
unset multiplot
"""


def series(rows, where, key):
    """Inline data and plot clauses: a line for each kind."""
    blocks, clauses = [], []
    for kind in dict.fromkeys(row["kind"] for row in rows):
        points = [(row[key], row["instructions"]) for row in rows if row["kind"] == kind and where(row)]
        name = f"${key}{len(blocks)}"
        blocks.append(f"{name} << EOD\n" + "".join(f"{x} {y:.2f}\n" for x, y in points) + "EOD\n")
        clauses.append(f"{name} using 1:2 with linespoints title '{kind}'")
    return "".join(blocks), ", ".join(clauses)


def write_plot(rows):
    if not shutil.which("gnuplot"):
        say("  no plot: gnuplot is not installed")
        return
    path = FOLDER / "network.svg"
    batch_data, by_batch = series(rows, lambda row: row["size"] == 64, "batch")
    size_data, by_size = series(rows, lambda row: row["batch"] == 32, "size")
    script = batch_data + size_data + PLOT.format(output=path, by_batch=by_batch, by_size=by_size)
    result = subprocess.run(["gnuplot"], input=script, text=True, capture_output=True, check=False)
    say(f"written to build/figures/{path.name}" if not result.returncode else f"  no plot: {result.stderr.strip()}")


def add_figures(figures, rows):
    by = {(row["kind"], row["size"], row["batch"]): row for row in rows}
    for batch, limit in LIMITS.items():
        row = by["ELISA", 64, batch]
        figures.add(f"instructions per packet of 64 bytes, batch {batch}", row["instructions"], "", limit)
    exits = max(row["exits"] for row in rows if row["kind"] == "ELISA")
    figures.add("VM exits per packet, polling", exits, "", 0, "equal")
    for other in dict.fromkeys(row["kind"] for row in rows if row["kind"] != "ELISA"):
        if (other, 64, 1) in by:
            ratio = modelled_mpps(by["ELISA", 64, 1]) / modelled_mpps(by[other, 64, 1])
            say(f"  modelled, 64 bytes, batch 1: {ratio:.2f} times as many packets a second as by {other}")


def measure(test, sizes=SIZES, batches=BATCHES):
    wire = Wire(test)
    with step("packets by the gate", 60):
        rows = wire.rows("gate", sizes, batches)
    with step("packets by VMCALL", 90):
        rows += wire.rows("vmcall", sizes, batches)
    for guest in wire.guests:
        guest.stop()
    return rows


def run(options):
    figures = Figures("network")
    folder = runner.new_folder("bench-network")
    machine = Machine(emulator.program(), kernel.current(), folder)
    try:
        machine.boot().load_kvm()
        test = Test(machine, folder, None)
        rows = measure(test)
        with step("stock virtio-net with vhost-net", 90):
            rows += bench_vhost.measure(test)
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
