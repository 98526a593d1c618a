# SPDX-License-Identifier: MIT
"""What lies beneath a VM changes while its vCPUs are inside: KVM's root, dirty logging, memory given back and taken."""

from bank import Scene, Teller
from harness import qemu
from harness.say import say

MIB = 1 << 20
SEQUENCER, SEQUENCER_DATA = 0x3c4, 0x3c5
PLANES, MODE = 2, 4  # registers of the VGA's sequencer
CHAINED, PLANAR = 0x0e, 0x06


def change_slots(scene, changes):
    """The VGA's memory in and out of the VM's first MiB: a slot removed makes KVM begin with a new root."""
    scene.monitor.port(SEQUENCER, PLANES)
    scene.monitor.port(SEQUENCER_DATA, 0x0f)
    scene.monitor.port(SEQUENCER, MODE)
    for number in range(changes):
        scene.wait()
        scene.monitor.port(SEQUENCER_DATA, PLANAR if number % 2 else CHAINED)
        scene.check(f"slot change {number}")
    return changes


def change_logging(scene, changes):
    """A migration that is given up turns the log of dirty pages on and off."""
    scene.monitor.ask("migrate-set-parameters", max_bandwidth=MIB)
    for number in range(changes):
        scene.wait()
        scene.monitor.ask("migrate", uri="exec:cat > /dev/null")
        scene.check(f"dirty logging {number}")
        scene.monitor.ask("migrate_cancel")
        scene.until(lambda: scene.monitor.ask("query-migrate")["status"] == "cancelled",
                    lambda: f"migration: {scene.monitor.ask('query-migrate')}, after cancelling it")
        scene.check(f"dirty logging {number} is over")
    return 2 * changes


def change_balloon(scene, changes):
    """The guest gives memory back, and takes it again."""
    for number in range(changes):
        scene.wait()
        size = (100, 128)[number % 2] * MIB
        scene.monitor.ask("balloon", value=size)
        scene.until(lambda: scene.monitor.ask("query-balloon")["actual"] == size,
                    lambda: f"balloon: {scene.monitor.ask('query-balloon')}, asked for {size}")
        scene.check(f"balloon {number}")
    return changes


def run(test, slots=20, logging=6, balloons=4, seed=1):
    scene = Scene(test, seed, "roots", qemu=qemu.install(test.host), modules=("virtio_balloon",),
                  qemu_options=["-device", "isa-vga", "-device", "virtio-balloon-device,id=balloon"])
    tellers = [Teller(scene.guest, "bank", 1, threads=2), Teller(scene.other, "bank", 2)]
    before = test.stats()["pinned_pages"]
    counts = {"memory slots added and removed": change_slots(scene, slots),
              "dirty logging on and off": change_logging(scene, logging),
              "balloon": change_balloon(scene, balloons)}
    test.equal(test.stats()["pinned_pages"], before, "pages pinned")
    said = [teller.end() for teller in tellers]
    scene.end()
    test.check(said[0]["revoked"] >= logging, f"{said[0]['revoked']} buffers were revoked in {logging} rounds of logging")
    test.equal(said[1]["revoked"], 0, "buffers of the other VM that were revoked")
    for what, count in counts.items():
        test.contained(count, count, what)
    say(f"       {sum(counts.values())} changes, inside at {scene.inside}; VMs {said}")
