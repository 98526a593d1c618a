# SPDX-License-Identifier: MIT
"""A get of the same value from stock memcached, in the machine in which ELISA's was counted: part of `make bench-kv`.

Memcached in one VM and a client in another, with virtio-net, vhost-net and a Linux bridge between them; and the same client
and elisa-memcached in one VM, by its loopback device. All instructions of the machine are counted, of host and guests.
"""

from . import elisa, network
from .say import say

SKIPPED, COUNTED = 500, 2000
DIRECT = 20000  # calls
BYTES = 64
PORT = 11211
MEMORY_MB = 192
MEMCACHED = elisa.BUILD / "tools" / "elisa-memcached" / "elisa-memcached"


def all_of(region, count):
    """(instructions, VMFUNCs, exits) of the whole machine, for each of COUNT."""
    return (sum(cpu["host"] + cpu["guest"] for cpu in region["cpus"]) / count,
            sum(vcpu["vmfunc"] for vcpu in region["vcpus"]) / count,
            sum(sum(vcpu["exits"].values()) for vcpu in region["vcpus"]) / count)


def listening(guest, command):
    job = guest.start(f"exec {command}")
    guest.call(f"until netstat -ltn | grep -q :{PORT}; do usleep 10000; done", 20)
    return job


def by_tcp(bench, guest, address):
    guest.call(f"{bench.test.program(guest, 'stock-get')} {address} {PORT} {BYTES} {SKIPPED} {COUNTED}", 120)
    return all_of(bench.machine.count_of("gets by TCP"), COUNTED)


def by_vhost(bench):
    """From one VM to another."""
    network.bridge(bench.machine)
    guests = [bench.test.guest(wait=False, memory_mb=MEMORY_MB, packages=("memcached",), **network.card(bench.machine, number))
              for number in (1, 2)]
    for number, guest in enumerate(guests, 1):
        network.start(guest.wait_ready(), f"10.0.0.{number}")
    listening(guests[0], "/usr/bin/memcached -u root -U 0 -t 1 -m 32 -l 10.0.0.1")
    cost = by_tcp(bench, guests[1], "10.0.0.1")
    for guest in guests:
        guest.stop()
    network.remove_bridge(bench.machine)
    return cost


def by_loopback(bench):
    """Within the VM that has the cache."""
    bench.guest.call("ifconfig lo 127.0.0.1 up")
    job = listening(bench.guest, f"{elisa.place(bench.guest, MEMCACHED)} --space shared")
    cost = by_tcp(bench, bench.guest, "127.0.0.1")
    job.kill()
    job.wait()
    return cost


def compare(bench, figures):
    own = all_of(bench.regions_of("gate", BYTES, 100, DIRECT)["gets"], DIRECT)
    stock, local = by_vhost(bench), by_loopback(bench)
    say(f"a get of {BYTES} bytes, all instructions of the machine, host and guests:")
    for scheme, vms, cost in (("ELISA, a call", 1, own), ("ELISA, elisa-memcached", 1, local), ("memcached, vhost", 2, stock)):
        bench.add(scheme, BYTES, "", {"gets": cost}, ("gets",), vms=vms)
    figures.add("a get from memcached over virtio-net and vhost-net, to ELISA's", stock[0] / own[0], "times", 50, "min")
