# SPDX-License-Identifier: MIT
"""What lies beneath a VM changes while its vCPUs are inside: KVM's root, dirty logging, memory given back and taken."""

from bank import Ledger, Teller, check_going_on, check_whole, points, vm_of
from harness import qemu
from harness.say import say
from monitor import Monitor

MIB = 1 << 20
SEQUENCER, SEQUENCER_DATA = 0x3c4, 0x3c5
PLANES, MODE = 2, 4  # registers of the VGA's sequencer
CHAINED, PLANAR = 0x0e, 0x06


class Scene:
    """A VM with all that can change beneath it, and another; both call."""

    def __init__(self, test, seed):
        test.elisa()
        self.test, self.random = test, points(test, seed)
        self.monitor = Monitor(test.host, "roots")
        self.guest = test.guest(vcpus=2, qemu=qemu.install(test.host), modules=("virtio_balloon",), qemu_options=[
            *self.monitor.options, "-device", "isa-vga", "-device", "virtio-balloon-device,id=balloon"])
        self.other = test.guest()
        for guest in (self.guest, self.other):
            test.elisa_guest(guest)
        self.monitor.begin()
        self.ledger = Ledger(test, "bank", vetted=True)
        self.tellers = [Teller(self.guest, "bank", 1, threads=2), Teller(self.other, "bank", 2)]
        self.vms = [vm_of(test, guest) for guest in (self.guest, self.other)]
        self.inside = 0

    def wait(self):
        self.test.host.call(f"usleep {self.random.randrange(500, 5000)}")
        self.inside += bool(self.ledger.read().inside(self.vms[0]))

    def check(self, what):
        for vm in self.vms:
            check_going_on(self.test, self.ledger, vm, what)


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
        for _ in range(100):
            if scene.monitor.ask("query-migrate")["status"] == "cancelled":
                break
            scene.test.host.call("usleep 5000")
        scene.check(f"dirty logging {number} is over")
    return 2 * changes


def change_balloon(scene, changes):
    """The guest gives memory back, and takes it again."""
    for number in range(changes):
        scene.wait()
        size = (100, 128)[number % 2] * MIB
        scene.monitor.ask("balloon", value=size)
        for _ in range(200):
            if scene.monitor.ask("query-balloon")["actual"] == size:
                break
            scene.test.host.call("usleep 5000")
        else:
            scene.test.fail(f"balloon: {scene.monitor.ask('query-balloon')}, asked for {size}")
        scene.check(f"balloon {number}")
    return changes


def run(test, slots=20, logging=6, balloons=4, seed=1):
    scene = Scene(test, seed)
    before = test.stats()["pinned_pages"]
    counts = {"memory slots added and removed": change_slots(scene, slots),
              "dirty logging on and off": change_logging(scene, logging),
              "balloon": change_balloon(scene, balloons)}
    test.equal(test.stats()["pinned_pages"], before, "pages pinned")
    said = [teller.end() for teller in scene.tellers]
    check_whole(test, scene.ledger)
    scene.ledger.close()
    scene.monitor.end()
    test.check(said[0]["revoked"] >= logging, f"{said[0]['revoked']} buffers were revoked in {logging} rounds of logging")
    test.equal(said[1]["revoked"], 0, "buffers of the other VM that were revoked")
    for what, count in counts.items():
        test.contained(count, count, what)
    say(f"       {sum(counts.values())} changes, inside at {scene.inside}; VMs {said}")
