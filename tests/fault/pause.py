# SPDX-License-Identifier: MIT
"""SIGSTOP and SIGCONT of QEMUs at random while all call: whoever is stopped, also with the lock, holds up nobody."""

from signal import SIGCONT, SIGSTOP

from bank import LOCKED, Ledger, Teller, check_going_on, check_whole, points, vm_of
from harness.say import say


def stop(test, guest):
    """Returns when all threads of its QEMU have stopped: those that run on other CPUs go on for a moment."""
    guest.qemu.kill(SIGSTOP)
    test.host.call(f"while grep -h ^State: /proc/$(cat {guest.folder}/pid)/task/*/status | grep -qv stopped; do :; done")


def run(test, stops=40, seed=1):
    test.elisa()
    random = points(test, seed)
    guests = [test.elisa_guest(guest) for guest in test.guests(3, vcpus=2)]
    ledger = Ledger(test, "bank", vetted=True)
    tellers = [Teller(guest, "bank", number, threads=2) for number, guest in enumerate(guests)]
    vms = [vm_of(test, guest) for guest in guests]
    inside = locked = number = 0
    while number < stops or (not locked and number < 4 * stops):
        test.host.call(f"usleep {random.randrange(1000, 10000)}")
        chosen = random.randrange(3)
        stop(test, guests[chosen])
        reading = ledger.read()
        inside += bool(reading.inside(vms[chosen]))
        locked += bool(reading.inside(vms[chosen], LOCKED))
        for vm in vms[:chosen] + vms[chosen + 1:]:
            check_going_on(test, ledger, vm, f"stop {number}, of VM {vms[chosen]}")
        test.equal(ledger.read().calls(vms[chosen]), reading.calls(vms[chosen]), "calls of the VM that is stopped")
        guests[chosen].qemu.kill(SIGCONT)
        check_going_on(test, ledger, vms[chosen], f"stop {number} is over")
        number += 1
    said = [teller.end() for teller in tellers]
    whole = check_whole(test, ledger)
    ledger.close()
    say(f"       {number} stops, inside {inside}, with the lock {locked}; repairs {whole.repairs}, VMs {said}")
    test.contained(number, number, "stops of QEMUs")
    test.check(inside and locked and whole.repairs, f"{inside} stopped inside, {locked} with the lock, {whole.repairs} repairs")
