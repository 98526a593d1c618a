# SPDX-License-Identifier: MIT
"""kill -9 of clients, managers and QEMUs while everybody calls: the others go on, or get the errno meant for them."""

from signal import SIGCONT, SIGSTOP

from bank import LOCKED, Ledger, Teller, check_going_on, check_whole, points, vm_of
from harness.say import say

ERROR = "ESHUTDOWN"


class Count:
    """Kills of one kind: how many struck while a victim's vCPU was inside, with the lock, and cut its call short."""

    def __init__(self, what):
        self.what, self.tried, self.inside, self.locked, self.cut = what, 0, 0, 0, 0

    def add(self, inside, locked, cut):
        self.tried += 1
        self.inside += bool(inside)
        self.locked += bool(locked)
        self.cut += bool(cut)


class Scene:
    """A survivor that calls the object `bank` from the first kill to the last, and what is pinned for it."""

    def __init__(self, test, seed):
        test.elisa(guest_managers=1)
        self.test, self.random = test, points(test, seed)
        self.seen = set()  # marks of the dead that were counted
        self.bank = Ledger(test, "bank", vetted=True)

    def begin(self, survivor):
        self.teller = self.call(survivor, self.bank, threads=1)
        self.vm = vm_of(self.test, survivor)
        self.wait()
        self.held = self.held_now()

    def call(self, guest, ledger, threads=2):
        return Teller(guest, ledger.name, self.random.randrange(1 << 16), threads)

    def held_now(self):
        stats = self.test.stats()
        return {name: stats[name] for name in ("objects", "attachments", "pinned_pages")}

    def wait(self):
        """Until the next kill: some calls, and then any instruction."""
        self.test.host.call(f"usleep {self.random.randrange(4000, 16000)}")

    def strike(self, count, ledger, kill, vm=None, readable=True):
        """Kills, with a look at where the victims' vCPUs are before, and at what they never finished after."""
        before = ledger.read()
        kill()
        cut = ledger.read().inside(vm) - self.seen if readable else set()
        count.add(before.inside(vm) - self.seen | cut, before.inside(vm, LOCKED) - self.seen, cut)
        if ledger is self.bank:
            self.seen |= cut

    def check(self, what):
        """After a kill: the survivor goes on, and nothing is kept for the dead."""
        check_going_on(self.test, self.bank, self.vm, what)
        for _ in range(40):  # the dead go a little later
            now = self.held_now()
            if now == self.held:
                return
            self.test.host.call("usleep 5000")
        self.test.equal(now, self.held, f"{what}: what the host's module holds")


def kill_clients(scene, guest, kills):
    """A call masks interrupts: the guest's kernel ends the process when the call has returned."""
    count, vm = Count("clients"), vm_of(scene.test, guest)
    for number in range(kills):
        teller = scene.call(guest, scene.bank)
        scene.wait()
        scene.strike(count, scene.bank, teller.kill, vm)
        scene.check(f"client {number} killed")
    return count


def kill_managers(scene, guest, kills, where=None):
    """An object's calls end, or go on, as its manager chose."""
    test = scene.test
    count, vm = Count("managers in a VM" if where else "managers"), vm_of(test, guest)
    for number in range(kills):
        outlive = number % 4 == 3
        ledger = Ledger(test, f"branch{number}", where=where, outlive=outlive, vetted=not where)
        teller = scene.call(guest, ledger)
        scene.wait()
        scene.strike(count, ledger, ledger.kill, readable=not outlive)
        if outlive:
            check_going_on(test, ledger, vm, f"manager {number} killed, which its object outlives")
            teller.end()
            check_whole(test, ledger)
        else:
            teller.expect_error(ERROR)
        ledger.close()
        scene.check(f"manager {number} killed")
    return count


def stop_with_lock(scene, guest, vm, tries=50):
    """Stops its QEMU at a point where one of its vCPUs has the lock: killed there, it leaves something to repair."""
    for _ in range(tries):
        guest.qemu.kill(SIGSTOP)
        if scene.bank.read().inside(vm, LOCKED) - scene.seen:
            return
        guest.qemu.kill(SIGCONT)
        scene.wait()
    scene.test.check(False, f"in {tries} looks no vCPU of {guest.name} had the lock")


def kill_qemus(scene, guests, kills):
    """At any point, and the last one of them with the lock."""
    test = scene.test
    count = Count("QEMUs of clients")
    for number in range(kills):
        guest = guests.pop() if guests else test.client(vcpus=2)
        scene.call(guest, scene.bank)
        vm = vm_of(test, guest)
        scene.wait()
        if number == kills - 1:
            stop_with_lock(scene, guest, vm)
        scene.strike(count, scene.bank, guest.kill, vm)
        scene.check(f"QEMU {number} killed")
    return count


def kill_manager_vms(scene, managers, client, kills):
    """The object's memory is the dead VM's: pinned, so that calls end with an errno, or go on."""
    test = scene.test
    count = Count("QEMUs of manager VMs")
    for number in range(kills):
        manager_vm = managers.pop() if managers else test.client()
        outlive = number % 2 == 1
        ledger = Ledger(test, f"remote{number}", where=manager_vm, outlive=outlive)
        teller = scene.call(client, ledger)
        scene.wait()
        scene.strike(count, ledger, manager_vm.kill, readable=False)
        if outlive:
            scene.wait()
            test.check(teller.end()["calls"] > 0, f"{ledger.name}: no calls")
        else:
            teller.expect_error(ERROR)
        scene.check(f"manager VM {number} killed")
    return count


def run(test, clients=36, managers=12, vm_managers=4, qemus=2, manager_vms=1, seed=1):
    scene = Scene(test, seed)
    survivor, victim, manager_vm, other = (test.elisa_guest(guest) for guest in test.guests(4, vcpus=2))
    scene.begin(survivor)
    counts = [kill_clients(scene, victim, clients), kill_managers(scene, victim, managers),
              kill_managers(scene, victim, vm_managers, where=manager_vm),
              kill_qemus(scene, [other], qemus - 1),
              kill_manager_vms(scene, [manager_vm], victim, manager_vms),
              kill_qemus(scene, [victim], 1)]
    said = scene.teller.end()
    whole = check_whole(test, scene.bank)
    scene.bank.close()
    for what in sorted({count.what for count in counts}):
        tried, inside, locked, cut = total(count for count in counts if count.what == what)
        test.contained(tried, tried, f"kills of {what}")
        say(f"       kills of {what}: {tried}, inside {inside}, with the lock {locked}, cut short {cut}")
    tried, inside, locked, cut = total(counts)
    say(f"       all: {tried}, inside {inside}, with the lock {locked}, cut short {cut}")
    say(f"       repairs {whole.repairs}; the survivor: {said}")
    test.check(2 * inside >= tried, f"only {inside} of {tried} kills were inside")
    test.check(locked and cut and whole.repairs, f"{locked} kills with the lock, {cut} cut short, {whole.repairs} repairs")
    test.check(said["longest_us"] < 1_000_000, f"the survivor's longest call took {said['longest_us']} us")


def total(counts):
    return tuple(map(sum, zip(*((count.tried, count.inside, count.locked, count.cut) for count in counts))))
