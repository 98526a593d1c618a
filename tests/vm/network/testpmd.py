# SPDX-License-Identifier: MIT
"""Stock dpdk-testpmd with net_elisa by -d in two VMs: packets cross, and the switch may go."""

import re
from signal import SIGINT

from harness import dpdk

MACS = ("02:00:00:00:00:01", "02:00:00:00:00:02")
RECEIVED = r"RX-packets: ([0-9]+)"


def start(test, guest, number, mode, more=""):
    eal = dpdk.eal_words(f"name=vm{number},mac={MACS[number]}", memory_mb=32, lcores="0,1")
    options = f"--forward-mode={mode} --total-num-mbufs=1500 --rxd=512 --stats-period=1 --eth-peer=0,{MACS[1 - number]} {more}"
    return guest.start(f"exec {dpdk.command('/usr/bin/dpdk-testpmd')} {eal} -- {options}")


def ended(test, job):
    job.kill(SIGINT)
    result = job.wait(30)
    test.check("Bye..." in result.check().out, f"testpmd did not end well: {result.out[-1000:]}{result.err}")
    return result.out + result.err


def number(text, name):
    found = re.findall(rf"{name}: *([0-9]+)", text)
    return max(map(int, found)) if found else 0


def run(test):
    switch = dpdk.start_switch(test)
    guests = test.guests(2, vcpus=2, memory_mb=192, packages=("dpdk-dev",), extra=dpdk.files())
    for guest in guests:
        test.elisa_guest(guest)
    receiver = start(test, guests[1], 1, "rxonly")
    receiver.expect("NIC statistics", 30)
    sender = start(test, guests[0], 0, "txonly")
    receiver.expect("RX-packets: [0-9]{4}", 60)
    # The switch ends under a program that sends: the link goes down, in one line; nothing else happens.
    switch.stop()
    sent, received = ended(test, sender), ended(test, receiver)
    test.check("the link is down" in sent, f"nothing was said of the switch's end: {sent[-500:]}")
    test.check(number(sent, "TX-packets") >= number(received, "RX-packets") >= 1000,
               f"sent {number(sent, 'TX-packets')}, received {number(received, 'RX-packets')}")
    for what in ("RX-errors", "RX-nombuf"):
        test.equal(number(received, what), 0, what)
    print(f"{number(received, 'RX-packets')} packets from VM to VM")
