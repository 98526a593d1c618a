# SPDX-License-Identifier: MIT
"""`make demo`: what there is to see, in two minutes."""

import time

from . import bench_core, emulator, kernel, network, runner
from .context import Test
from .machine import Machine
from .say import say

CALLS = 20000  # of each thread
OPERATIONS = 1000  # of memcached's load
PACKAGES = ("iputils-ping", "memcached", "libmemcached-tools")
VCPUS = (1, 2, 4)


class Story:
    """One host, three VMs, one counter."""

    def __init__(self):
        self.start = time.monotonic()
        folder = runner.new_folder("demo")
        self.machine = Machine(emulator.program(), kernel.current(), folder)
        self.test = Test(self.machine, folder, None)

    def at(self, text):
        say(f"[{time.monotonic() - self.start:3.0f} s] {text}")

    def boot(self):
        self.at("booting a stock Debian kernel on an emulated CPU with VT-x")
        self.machine.boot().load_kvm()
        self.test.elisa()
        self.at(f"the host is up: Linux {self.machine.kernel.version}, its own KVM, and elisa.ko")
        self.at(f"starting three VMs: stock QEMU, the same stock kernel, {', '.join(map(str, VCPUS))} vCPUs")
        options = {"memory_mb": 192, "modules": ("tun",), "packages": PACKAGES, "extra": network.tap_files()}
        guests = [self.test.guest(vcpus=vcpus, wait=False, **options) for vcpus in VCPUS]
        for guest in guests:
            self.test.elisa_guest(guest.wait_ready(60))
            network.has_tap(guest)
            self.at(f"{guest.name} is up, and elisa_guest.ko in it")
        return guests

    def count(self, guests):
        """All vCPUs of all VMs at once."""
        manager = self.test.manager("counter", vetted=True, grant="all")
        self.at(f"on the host: {manager.job.command.removeprefix('exec ')}")
        jobs = [guest.start(f"{self.test.program(guest, 'call-many')} counter gate {guest.vcpus} {CALLS}") for guest in guests]
        added, total = 0, 0
        for guest, job in zip(guests, jobs):
            words = job.wait(60).check().out.split()
            added, total = added + int(words[1]), max(total, int(words[3]))
            self.at(f"{guest.name} has added {words[1]} with {guest.vcpus} threads")
        self.at(f"the counter says {total}; added in all: {added}")
        return manager, total == added

    def packets(self, guests):
        """Stock programs of sockets through the virtual switch."""
        switch = network.switch(self.test)
        self.at(f"on the host: {switch.job.command.removeprefix('exec ')}")
        nodes = [network.Tap(guest, number).start() for number, guest in enumerate(guests, 1)]
        self.at("each VM has a port of it as a network device (elisa-tap)")
        first, server, client = nodes
        ping = client.agent.call(f"/bin/ping -c 3 -i 0.01 {first.address}", 20).splitlines()
        self.at(f"{client.agent.name}: stock ping to {first.agent.name}: {ping[-2]}")
        memcached = network.start_memcached(server)
        network.check_load(self.test, network.load(client, server, OPERATIONS), OPERATIONS)
        self.at(f"{client.agent.name}: stock memcached's load to {server.agent.name}: {OPERATIONS} operations, all values right")
        memcached.kill()
        for node in nodes:
            node.stop()
        switch.stop()

    def hold(self, guests):
        jobs = [guest.start(f"{self.test.program(guest, 'hold')} counter until-error") for guest in guests]
        for job in jobs:
            job.expect("^attached")
        return jobs

    def deaths(self, guests, manager):
        jobs = self.hold(guests)
        guests[1].kill()
        answers = [guest.call("echo goes on").strip() for guest in (guests[0], guests[2])]
        self.at(f"killed the QEMU of {guests[1].name} while it called; the others: {', '.join(answers)}")
        manager.kill()
        errors = [job.expect("^error").strip() for job in (jobs[0], jobs[2])]
        self.at(f"killed the manager; calls of the others end with: {', '.join(errors)}")

    def run(self):
        try:
            guests = self.boot()
            manager, right = self.count(guests)
            self.packets(guests)
            self.deaths(guests, manager)
            self.test.clean_up()
            complaints = [*filter(None, [self.machine.elisa.check_released()]), *runner.kernel_complaints(self.machine)]
            self.at(f"left behind, or in the kernels' logs: {', '.join(complaints) or 'nothing'}")
            return right and not complaints
        finally:
            self.machine.stop()


def run():
    story = Story()
    if not story.run():
        return 1
    story.at("what it costs, counted:")
    status = bench_core.run(None)
    story.at("done")
    return status
