# SPDX-License-Identifier: MIT
"""vCPUs that are reset, unplugged and plugged, host CPUs likewise, and a driver that is loaded anew, while all call."""

import bank
from bank import Teller
from harness import channel, elisa, modules
from harness.say import say


class Scene(bank.Scene):
    """A VM whose vCPUs things happen to, and another."""

    WAITS_US = range(2000, 9000)

    def __init__(self, test, seed):
        super().__init__(test, seed, "cpus")
        self.witness = Teller(self.other, "bank", 2)
        self.wait()
        self.held = self.held_now()

    def begin(self):
        return Teller(self.guest, "bank", self.random.randrange(1 << 16), threads=3)

    def held_now(self):
        stats = self.test.stats()
        return {name: stats[name] for name in ("attachments", "pinned_pages")}


def reset(scene, count):
    """The VM's reset button: its kernel starts anew, and takes no leave of the host's module."""
    test, guest = scene.test, scene.guest
    scene.monitor.ask("set-action", reboot="reset")
    for number in range(count):
        scene.begin()
        scene.wait()
        scene.monitor.ask("system_reset")
        scene.check(f"reset {number}", scene.vms[1:])
        test.host.ask(channel.CLOSE, data=f"{guest.folder}/agent.sock".encode() + b"\0")
        guest.wait_ready()
        guest.driver, guest.placed = False, elisa.kit()
        scene.check(f"reset {number}, booted", scene.vms[1:])
        # What its earlier life had is kept until the driver says hello, or the VM is gone.
        test.check(scene.held_now()["attachments"] <= scene.held["attachments"] + 1, f"reset {number}: {scene.held_now()}")
        test.elisa_guest(guest)
        test.equal(scene.held_now(), scene.held, f"reset {number}: held after the driver's hello")
        teller = scene.begin()
        scene.check(f"reset {number}, attached again")
        teller.end()


def unplug(scene, count, agent):
    """A CPU of the VM, or of the host, goes and comes again."""
    teller = scene.begin()
    cpus = int(agent.call("nproc"))
    for number in range(count):
        online = f"/sys/devices/system/cpu/cpu{scene.random.randrange(1, cpus)}/online"
        scene.wait()
        agent.call(f"echo 0 > {online}")
        scene.test.equal(int(agent.call("nproc")), cpus - 1, f"{agent.name}: CPUs after unplugging")
        scene.check(f"{agent.name}: CPU unplugged {number}")
        agent.call(f"echo 1 > {online}")
        scene.test.equal(int(agent.call("nproc")), cpus, f"{agent.name}: CPUs after plugging")
        scene.check(f"{agent.name}: CPU plugged {number}")
    teller.end()


def reload_driver(scene, count):
    """Refused while somebody is attached; afterwards there is nothing left of the one before."""
    test, guest = scene.test, scene.guest
    name = modules.name_of(elisa.GUEST_MODULE)
    for number in range(count):
        teller = scene.begin()
        refused = guest.run(f"rmmod {name}")
        test.check(refused.status, "the driver was unloaded while somebody was attached")
        scene.check(f"rmmod refused {number}")
        teller.kill()
        guest.call(f"rmmod {name}")
        test.equal(scene.held_now(), scene.held, f"reload {number}: held")
        guest.driver = False
        test.elisa_guest(guest)
    teller = scene.begin()
    scene.check("after the last reload")
    teller.end()


def run(test, resets=2, unplugs=6, reloads=3, host_unplugs=0, seed=1):
    scene = Scene(test, seed)
    if host_unplugs:
        unplug(scene, host_unplugs, test.host)
        test.contained(host_unplugs, host_unplugs, "host CPUs unplugged")
    if unplugs:
        unplug(scene, unplugs, scene.guest)
        test.contained(unplugs, unplugs, "vCPUs unplugged")
    if reloads:
        reload_driver(scene, reloads)
        test.contained(reloads, reloads, "drivers loaded anew")
    if resets:
        reset(scene, resets)
        test.contained(resets, resets, "VMs reset")
    said = scene.witness.end()
    scene.end()
    say(f"       inside at {scene.inside}; the other VM {said}")
