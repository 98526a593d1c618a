# SPDX-License-Identifier: MIT
"""`make bench-scaling`: what attaching costs, and an attachment takes of the host's memory, as machines and objects grow.

Instructions are counted in the emulated machine, on one CPU, guest and host together: the least of several attaches, as what
others do can only add. Memory is what elisa.ko says that it has allocated for each VM and attachment.
"""

import csv
import math
import shutil
import subprocess

from . import elisa, emulator, kernel, machine, runner
from .bench_core import the_vcpu, total
from .context import Test
from .figures import FOLDER, Figures
from .run import TREE
from .say import Failure, say, step

TRIES = 6
POWERS = (1, 2, 4, 8, 16)
OBJECTS = (1, 2, 4, 8, 16, 32, 64)
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
SIZES = ((4 * KIB, 0), (64 * KIB, 0), (MIB, 0), (16 * MIB, 0), (256 * MIB, 0), (GIB, 2 * MIB), (4 * GIB, 2 * MIB))
# An object's memory is pinned, so it is there all: the host has what 4 GiB take, beside itself, a VM, and the hole for
# devices below 4 GiB; or 16 VMs. The other parts boot faster without.
LARGE_MB = 6656
COLUMNS = ("axis", "n", "page bytes", "attach instructions", "first call instructions", "attachment bytes", "bytes per vCPU",
           "VM bytes", "object bytes", "pages of the module")
UNITS = {"vCPUs": "vCPU", "objects": "object", "size": "KiB", "VMs": "VM"}
LABELS = {"size": "bytes of an object"}
PLOT = """\
set terminal svg size 1000,760 font "sans,12"
set output "{output}"
set multiplot layout 2,2
set key left center
set format x "%.0b%B"
set logscale x 2
set yrange [0:*]
set ylabel "instructions of an attach"
set y2tics
set ytics nomirror
set y2range [0:*]
set y2label "KiB of the host's memory"
{plots}
unset multiplot
"""


class Bench:
    def __init__(self, folder, name, memory_mb):
        self.machine = machine.Machine(emulator.program(), kernel.current(), folder / name, memory_mb=memory_mb)
        self.machine.boot().load_kvm()
        self.test = Test(self.machine, folder / name, None)
        self.test.elisa()
        self.rows = []

    def end(self):
        """Complaints, and the machine is off."""
        try:
            self.test.clean_up()
            return [*filter(None, [self.machine.elisa.check_released()]), *runner.kernel_complaints(self.machine)]
        finally:
            self.machine.stop()

    def measure(self, guest, prefix, objects=1, vcpus=1):
        """A client that stays: its job, the instructions of attaching to the last object, and of the first call of it."""
        before = len(self.machine.counts)
        job = guest.start(f"exec {self.test.program(guest, 'attach-scale')} {prefix} {objects} {vcpus} {TRIES}")
        job.expect("^attached", 60)
        counted = {"attach": [], "first call": []}
        for region in self.machine.counts[before:]:
            if region["name"] in counted:
                counted[region["name"]].append(total(the_vcpu(region)))
        if len(counted["attach"]) != TRIES:
            raise Failure(f"{len(counted['attach'])} of {TRIES} attaches were counted")
        return job, min(counted["attach"]), min(counted["first call"])

    def vm_of(self, guest):
        pid = int(self.machine.call(f"cat {guest.folder}/pid"))
        return next(vm for vm in self.test.listed("vm") if vm["pid"] == pid)

    def add(self, axis, count, guest, name, costs, page=4 * KIB):
        vm = self.vm_of(guest)
        ours = [each for each in self.test.listed("attach") if each["vm"] == vm["id"]]
        theirs = next(each for each in ours if each["name"] == name)
        # A vCPU's list, which is for all, is in what each attachment takes.
        lists = vm["vcpu_bytes"] // max(1, vm["vcpus"])
        all_bytes = vm["vcpu_bytes"] + sum(each["allocated_bytes"] + each["vcpu_bytes"] - each["vcpus"] * lists for each in ours)
        objects = next(each for each in self.test.listed("object") if each["name"] == name)
        pages = self.test.stats()["allocated_pages"]
        per_vcpu = theirs["vcpu_bytes"] // max(1, theirs["vcpus"])
        self.rows.append(dict(zip(COLUMNS, (axis, count, page, *costs, theirs["allocated_bytes"], per_vcpu,
                                            all_bytes, objects["allocated_bytes"], pages))))
        say("  " + "  ".join(f"{value!s:>{max(8, len(column))}}" for column, value in self.rows[-1].items()))


def finish(job):
    job.kill()
    job.wait()


def vcpus(bench):
    manager = bench.test.manager(name="one0", grant="all")
    for count in POWERS:
        guest = bench.test.client(vcpus=count)
        job, *costs = bench.measure(guest, "one", vcpus=count)
        bench.add("vCPUs", count, guest, "one0", costs)
        finish(job)
        guest.stop()
    manager.stop()


def start_objects(bench, count):
    """One shell starts their managers."""
    program, code = (elisa.place(bench.machine, file) for file in (elisa.MANAGER, elisa.code_of("nop")))
    each = f"{program} --code {code} --name many$i --grant all"
    job = bench.machine.start(f"for i in $(seq 0 {count - 1}); do {each} & done; wait")
    bench.machine.call(f"while [ $(grep -c ready {job.out_path}) -lt {count} ]; do usleep 20000; done", limit_s=120)
    return job


def objects(bench):
    managers = start_objects(bench, max(OBJECTS))
    guest = bench.test.client(vcpus=1)
    for count in OBJECTS:
        job, *costs = bench.measure(guest, "many", objects=count)
        bench.add("objects", count, guest, f"many{count - 1}", costs)
        finish(job)
    guest.stop()
    managers.kill(15)
    managers.wait(20)


def vms(bench):
    manager = bench.test.manager(name="one0", grant="all")
    guests = []
    for count in POWERS:
        while len(guests) < count:
            guests.append(bench.test.client(vcpus=1))
            _, *costs = bench.measure(guests[-1], "one")
        attached = len(bench.test.listed("attach"))
        if attached != count:
            raise Failure(f"{attached} of {count} VMs are attached")
        bench.add("VMs", count, guests[-1], "one0", costs)
    for guest in guests:
        guest.stop()
    manager.stop()


def sizes(bench):
    """Of the object's memory. Huge pages are reserved before the guest takes what is left."""
    guest = None
    for size, huge in reversed(SIZES):  # the largest ones first, while memory is whole
        bench.machine.call(f"echo {size // huge if huge else 0} > /proc/sys/vm/nr_hugepages", limit_s=120)
        guest = guest or bench.test.client(vcpus=1)
        options = {"huge": "2M"} if huge else {}
        manager = bench.test.manager(name="size0", memory=str(size), grant="all", wait=False, **options).wait_ready(600)
        job, *costs = bench.measure(guest, "size")
        bench.add("size", size, guest, "size0", costs, page=huge or 4 * KIB)
        finish(job)
        manager.stop()
    guest.stop()
    bench.rows.reverse()


def growth(rows, column):
    """How the figures of a column grow with n, in words, and as "constant", "linear" or the power of n."""
    xs, ys = [row["n"] for row in rows], [row[column] for row in rows]
    if max(ys) <= 1.15 * max(1, min(ys)):
        return "constant", f"constant: {min(ys)} to {max(ys)}"
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys)) / sum((x - mean_x) ** 2 for x in xs)
    base = mean_y - slope * mean_x
    left = sum((y - base - slope * x) ** 2 for x, y in zip(xs, ys))
    if slope > 0 and left <= 0.02 * sum((y - mean_y) ** 2 for y in ys):
        unit = UNITS[rows[0]["axis"]]
        scale = KIB if unit == "KiB" else 1
        each = slope * scale
        return "linear", f"linear: {base:.0f} and {each:.{0 if each >= 100 else 2}f} per {unit}"
    logs = [(math.log(x), math.log(max(1, y))) for x, y in zip(xs, ys)]
    power = (logs[-1][1] - logs[0][1]) / (logs[-1][0] - logs[0][0])
    return f"n^{power:.2f}", f"n to the power of {power:.2f}: {ys[0]} to {ys[-1]}"


def state_growth(rows, figures):
    by_axis = {axis: [row for row in rows if row["axis"] == axis] for axis in UNITS}
    # Tables by pages of one size: two sizes make no line.
    small = [row for row in by_axis["size"] if row["page bytes"] == 4 * KIB]
    # The first object of a VM brings more with it than those after it.
    by_axis["objects"] = by_axis["objects"][1:]
    for axis, column, some in (
            *((axis, column, by_axis[axis]) for axis in UNITS for column in (
                "attach instructions", "first call instructions", "attachment bytes", "bytes per vCPU", "VM bytes")),
            ("size", "object bytes", small)):
        kind, words = growth(some, column)
        say(f"  {column + ' by ' + axis:40} {words}")
        if (axis, column) in WANTED:
            figures.add(f"{column} by {axis} is {WANTED[axis, column]}", int(kind == WANTED[axis, column]), "", 1, "equal")


WANTED = {("size", "attach instructions"): "constant", ("size", "attachment bytes"): "constant",
          ("VMs", "attachment bytes"): "constant", ("objects", "attachment bytes"): "constant",
          ("VMs", "attach instructions"): "constant", ("vCPUs", "bytes per vCPU"): "constant",
          ("objects", "attach instructions"): "linear", ("objects", "VM bytes"): "linear", ("vCPUs", "VM bytes"): "linear"}


def write_csv(rows):
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "scaling.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return FOLDER / "scaling.csv"


def write_plot(rows):
    if not shutil.which("gnuplot"):
        say("  no plot: gnuplot is not installed")
        return
    data, plots = [], []
    for number, axis in enumerate(UNITS):
        some = [row for row in rows if row["axis"] == axis]
        data.append(f"$data{number} << EOD\n" + "".join(
            f"{row['n']} {row['attach instructions']} {row['attachment bytes'] / KIB} {row['VM bytes'] / KIB}\n"
            for row in some) + "EOD\n")
        plots.append(f"set xlabel '{LABELS.get(axis, axis)}'\nplot $data{number} using 1:2 with linespoints title 'attach', "
                     "'' using 1:3 axes x1y2 with linespoints title 'KiB per attachment', "
                     "'' using 1:4 axes x1y2 with linespoints title 'KiB per VM'")
    path = FOLDER / "scaling.svg"
    script = "".join(data) + PLOT.format(output=path, plots="\n".join(plots))
    result = subprocess.run(["gnuplot"], input=script, text=True, capture_output=True, check=False)
    say(f"written to {path.relative_to(TREE)}" if not result.returncode else f"  no plot: {result.stderr.strip()}")


PARTS = (("small", 2048, (vcpus, objects)), ("large", LARGE_MB, (sizes, vms)))


def run(_):
    figures = Figures("scaling")
    folder = runner.new_folder("bench-scaling")
    rows, complaints = [], []
    say("  " + "  ".join(f"{column:>8}" for column in COLUMNS))
    for name, memory_mb, parts in PARTS:
        bench = Bench(folder, name, memory_mb)
        try:
            for part in parts:
                with step(f"by {part.__name__}", 90):
                    part(bench)
            rows += bench.rows
        finally:
            complaints += bench.end()
    state_growth(rows, figures)
    say(f"written to {write_csv(rows).relative_to(TREE)}")
    write_plot(rows)
    figures.add("leaks and complaints of kernels", len(complaints), "", 0, "equal")
    for complaint in complaints:
        say(f"  {complaint}")
    status = figures.write()
    if not status:
        shutil.rmtree(folder, ignore_errors=True)
    return status
