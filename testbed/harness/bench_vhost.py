# SPDX-License-Identifier: MIT
"""`make bench-vhost`: what a packet costs by stock virtio-net, vhost-net and a Linux bridge, to compare with.

From a socket's send in one VM to a socket's receive in another (tests/vm/programs/packets.c), counted in the steady state:
all instructions of host and guests, and all VM exits. With several CPUs sender, receiver and vhost's threads run side by
side, and wake one another less often, as they would on a host that is not busy: that is the figure to compare with.
"""

import shutil

from . import emulator, kernel, network, runner
from .context import Test
from .machine import Machine
from .say import Failure, say, step

SIZES = (64, 256, 512, 1024, 1518)
BATCHES = (1, 32, 256)
SKIPPED, COUNTED = 1024, 4096
RUNS = ((1, SIZES, BATCHES), (4, (64, 1518), (1, 32, 256)))  # CPUs of the host, and what is measured there


class Pair:
    """Two guests on a bridge."""

    def __init__(self, test):
        self.test, self.host = test, test.host
        test.need_emulator()
        network.bridge(self.host)
        self.guests = [test.guest(wait=False, **network.card(self.host, number)) for number in (1, 2)]
        for number, guest in enumerate(self.guests, 1):
            network.start(guest.wait_ready(), f"10.0.0.{number}")

    def row(self, size, batch, counted=COUNTED):
        """One measurement: packets of SIZE bytes, BATCH of them a system call."""
        sender, receiver = self.guests
        programs = [self.test.program(guest, "packets") for guest in self.guests]
        receiving = receiver.start(f"exec {programs[1]} receive eth0 {batch} {SKIPPED} {counted}")
        receiving.expect("^ready")
        sending = sender.start(f"exec {programs[0]} send eth0 {network.mac(2)} {size} {batch}")
        try:
            said = receiving.wait(120).check().out
        finally:
            sending.kill()
            receiving.kill()
        sending.wait()
        kind = f"vhost-net and bridge, {self.host.cpus} CPU" + "s" * (self.host.cpus > 1)
        return row_of(kind, size, batch, int(said.split()[-1]), self.host.count_of("packets"))

    def stop(self):
        for guest in self.guests:
            guest.kill()
        network.remove_bridge(self.host)


def row_of(kind, size, batch, packets, region):
    """What a region that the emulator has counted says of PACKETS packets."""
    exits = {}
    for vcpu in region["vcpus"]:
        for reason, count in vcpu["exits"].items():
            exits[reason] = exits.get(reason, 0) + count
    return {"kind": kind, "size": size, "batch": batch, "packets": packets,
            "instructions": sum(cpu["host"] + cpu["guest"] for cpu in region["cpus"]) / packets,
            "guest_instructions": sum(cpu["guest"] for cpu in region["cpus"]) / packets,
            "exits": sum(exits.values()) / packets, "exits_by_reason": {reason: exits[reason] / packets for reason in exits}}


def measure(test, sizes=SIZES, batches=BATCHES, counted=COUNTED):
    """A row for each size and batch; see row_of(). The guests are gone afterwards, and so is the bridge."""
    pair = Pair(test)
    rows = [pair.row(size, batch, counted) for size in sizes for batch in batches]
    pair.stop()
    return rows


def show(rows):
    say(f"{'':28} {'bytes':>6} {'batch':>6} {'packets':>8} {'instructions':>13} {'in guests':>10} {'exits':>7}  a packet")
    for row in rows:
        say(f"{row['kind']:28} {row['size']:6} {row['batch']:6} {row['packets']:8} {row['instructions']:13.1f} "
            f"{row['guest_instructions']:10.1f} {row['exits']:7.3f}")


def run_on(cpus, sizes, batches):
    folder = runner.new_folder(f"bench-vhost-{cpus}cpu")
    machine = Machine(emulator.program(), kernel.current(), folder, cpus)
    try:
        machine.boot().load_kvm()
        test = Test(machine, folder, None)
        rows = measure(test, sizes, batches)
        complaints = runner.kernel_complaints(machine)
        test.clean_up()
        if complaints:
            raise Failure(complaints[0])
    finally:
        machine.stop()
    shutil.rmtree(folder, ignore_errors=True)
    return rows


def run(_):
    for cpus, sizes, batches in RUNS:
        with step(f"on a host with {cpus} CPUs", 120 * cpus):
            rows = run_on(cpus, sizes, batches)
        show(rows)
    return 0
