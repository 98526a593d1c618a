# SPDX-License-Identifier: MIT
"""DIMMs are plugged into a VM and taken out again while its vCPUs call, and while buffers lie in them."""

import struct

import bank
from bank import Teller
from harness import qemu
from harness.say import say

MIB = 1 << 20
DIMM_BYTES = 128 * MIB  # one block of Linux's memory
PAGE = 4096
FIRST_FRAME = (4 << 30) // PAGE  # where QEMU has its DIMMs begin, if there is less other memory than that
PRESENT, FRAME = 1 << 63, (1 << 55) - 1  # of an entry of /proc/PID/pagemap
STATES = "/sys/devices/system/memory/memory*/state"


class Scene(bank.Scene):
    """A PC that calls. It is alone: this is the slowest of guests, and what it does here takes all of its time."""

    def __init__(self, test, seed):
        # One of two processes that has the lock may not be let run for some time, which is no fault of the DIMMs'.
        super().__init__(test, seed, "dimms", witness=False, memory_mb=192, **qemu.pc(test.host),
                         qemu_options=["-m", "slots=4,maxmem=1G"], limits={"lock_limit_us": 1_000_000})

    def plugged(self):
        return {each["data"]["id"] for each in self.monitor.ask("query-memory-devices")}

    def until_guest(self, happens, what):
        self.until(happens, lambda: f"{what}; the guest's kernel says {self.guest.call('dmesg | tail -n 3')}")

    def plug(self, name, state):
        """One more DIMM, for the guest's kernel too (online_kernel), or for what can be moved out again (online_movable)."""
        self.wait()
        self.monitor.ask("object-add", qom_type="memory-backend-ram", id=f"memory-{name}", size=DIMM_BYTES)
        self.monitor.ask("device_add", driver="pc-dimm", id=name, memdev=f"memory-{name}")
        self.until_guest(lambda: self.guest.run(f"grep -l offline {STATES}").out, f"{name}: the guest has not seen it")
        self.check(f"{name} is plugged in")
        self.guest.call(f"echo {state} > $(grep -l offline {STATES})")
        self.check(f"{name} is in use")

    def pull(self, name):
        """As the administrator asks, and the guest's kernel grants."""
        self.wait()
        self.monitor.ask("device_del", id=name)
        self.until_guest(lambda: name not in self.plugged(), f"{name}: the guest does not give it back")
        self.monitor.ask("object-del", id=f"memory-{name}")
        self.check(f"{name} is pulled out")


def frames(guest, pid):
    """Where the anonymous memory of one of the guest's processes is."""
    found = []
    for line in guest.call(f"grep -E ' rw-p .* 0 *($|\\[heap|\\[stack)' /proc/{pid}/maps").splitlines():
        low, high = (int(end, 16) // PAGE for end in line.split()[0].split("-"))
        guest.call(f"dd if=/proc/{pid}/pagemap of=/tmp/frames bs=8 skip={low} count={high - low} 2> /dev/null")
        found += [entry & FRAME for entry, in struct.iter_unpack("=Q", guest.read("/tmp/frames")) if entry & PRESENT]
    return found


def stay(scene):
    """A DIMM with buffers in it stays: the guest's kernel cannot move what is pinned."""
    scene.monitor.ask("device_del", id="kept")
    scene.until_guest(lambda: "Offline failed" in scene.guest.call("dmesg | tail -n 8"),
                      "the guest's kernel says nothing of a DIMM that it cannot give back")
    scene.test.equal(scene.plugged(), {"kept"}, "DIMMs")
    scene.check("a DIMM that has to stay")


def run(test, rounds=1, seed=1):
    scene = Scene(test, seed)
    test.manager("nop", name="nop", vetted=True, memory="64K", grant="all")
    early = Teller(scene.guest, "bank", 1)
    scene.plug("kept", "online_kernel")
    late = Teller(scene.guest, "bank", 3)
    pid = max(map(int, scene.guest.call("pidof teller").split()))
    places = [frame >= FIRST_FRAME for frame in frames(scene.guest, pid)]
    test.check(places and all(places), f"of {len(places)} pages of a process {sum(places)} are in the DIMM")
    pinned = test.stats()["pinned_pages"]
    for number in range(rounds):
        scene.plug(f"dimm{number}", "online_movable")
        scene.guest.call(f"{test.program(scene.guest, 'share')} nop gate", 30)
        scene.pull(f"dimm{number}")
    stay(scene)
    test.equal(test.stats()["pinned_pages"], pinned, "pages pinned")
    said = [teller.end() for teller in (early, late)]
    scene.end()
    for each in said:
        test.equal((each["aborted"], each["revoked"]), (0, 0), "calls aborted, and buffers revoked")
    changes = 2 * rounds + 2
    test.contained(changes, changes, "DIMMs plugged in and pulled out")
    say(f"       {changes} changes, inside at {scene.inside}; processes {said}")
