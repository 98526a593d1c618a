# SPDX-License-Identifier: MIT
"""Networks of VMs: the virtual switch with elisa-tap; to compare with, a Linux bridge on the host and vhost-net."""

import re

from . import elisa, qemu
from .channel import TimedOut

IP = "/bin/ip"  # iproute2's: the shell would take busybox's
HOST_MODULES = ("tun", "bridge", "vhost_net")
GUEST_MODULES = ("virtio_pci", "virtio_net")
MTU = 1504  # packets of 1518 bytes
PART_S = 10  # of what is waited for long


def mac(number):
    return f"52:54:00:00:00:{number:02x}"


def bridge(host, name="br0", mtu=MTU):
    """A bridge on the host. No spanning tree, nothing to wait for."""
    host.install("iproute2")
    host.install_modules(*HOST_MODULES)
    host.call(f"{IP} link add {name} type bridge && {IP} link set {name} mtu {mtu} up")
    return name


def remove_bridge(host, name="br0"):
    for tap in host.call(f"ls /sys/class/net/{name}/brif").split():
        host.call(f"{IP} link del {tap}")
    host.call(f"{IP} link del {name}")


def card(host, number, bridge_name="br0", mtu=MTU):
    """A TAP device on the bridge, and what to start a guest with that has it as its network card number NUMBER."""
    tap = f"tap{number}"
    host.call(f"{IP} tuntap add {tap} mode tap vnet_hdr && {IP} link set {tap} mtu {mtu} master {bridge_name} up")
    options = ("-machine", "pcie=on", "-netdev", f"tap,id=net,ifname={tap},script=no,downscript=no,vhost=on",
               "-device", f"virtio-net-pci,netdev=net,mac={mac(number)},romfile=")
    # The usual QEMU has no PCI, and so no interrupts from vhost-net.
    return {"qemu": qemu.install(host), "qemu_options": options, "modules": GUEST_MODULES}


def start(guest, address, mtu=MTU, device="eth0"):
    guest.call(f"ip link set {device} mtu {mtu} up && ip addr add {address}/24 dev {device}")


# --- the virtual switch

SWITCH = elisa.BUILD / "objects" / "vswitch" / "elisa-vswitch"
TAP = elisa.BUILD / "tools" / "elisa-tap" / "elisa-tap"


def switch(test, name="vswitch", **options):
    """A virtual switch, ready; managed on the host, ended when the test is over. OPTIONS: those of elisa-vswitch."""
    test.load_object("vswitch")  # for processes of the host
    words = elisa.option_words({"grant": "all", **options})
    program, code = (elisa.place(test.host, file) for file in (SWITCH, elisa.code_of("vswitch")))
    manager = elisa.Manager(test.host, test.host.start(f"exec {program} --code {code} --name {name} {' '.join(words)}"), name)
    test.managers.append(manager)
    return manager.wait_ready()


class Tap:
    """An elisa-tap on a guest or the host: an address in 10.1.0.0/24 behind the device sw0, its port the node's name."""

    DEVICE = "sw0"

    def __init__(self, agent, number, test=None):
        """TEST: at whose end it ends, if it runs on the host; in a guest it ends with that."""
        self.test, self.agent, self.address, self.name = test, agent, f"10.1.0.{number}", f"node{number}"
        self.program = elisa.place(agent, TAP)
        self.job = None

    def run(self, options=""):
        """Starts it, and does not look whether it works."""
        self.job = self.agent.start(f"exec {self.program} --device={self.DEVICE} --name={self.name} -v {options}")
        if self.test and self not in self.test.managers:
            self.test.managers.append(self)
        return self.job

    def start(self, options=""):
        self.run(options)
        try:
            self.job.expect("^ready", 10)
        except TimedOut:
            self.job.kill()
            self.job.wait().check()
            raise
        self.agent.call(f"ip addr add {self.address}/24 dev {self.DEVICE} && ip link set {self.DEVICE} up")
        return self

    @property
    def errors_path(self):
        return self.job.out_path.replace(".out", ".err")

    def sys(self, name):
        """What /sys says of the device."""
        return self.agent.read(f"/sys/class/net/{self.DEVICE}/{name}").decode().strip()

    def is_there(self):
        return not self.agent.run(f"[ -e /sys/class/net/{self.DEVICE} ]").status

    def stop(self, signal=15):
        return self.kill(signal)

    def kill(self, signal=9):
        self.job.kill(signal)
        return self.job.wait(10)


def tap_files():
    """What a guest that is to have an elisa-tap has in its initramfs; it needs the module tun as well."""
    return ((f"/root/{TAP.name}", TAP),)


def has_tap(guest):
    guest.placed[TAP] = f"/root/{TAP.name}"


def tap_guests(test, count, **options):
    """COUNT guests that can have an elisa-tap."""
    guests = test.guests(count, **{"memory_mb": 192, **options, "modules": ("tun", *options.get("modules", ())),
                                   "extra": (*tap_files(), *options.get("extra", ()))})
    for guest in guests:
        has_tap(guest)
        test.elisa_guest(guest)
    return guests


# --- stock programs over it


def listens(node, port):
    node.agent.call(f"until netstat -ltn | grep -q :{port}; do usleep 10000; done", 10)


def start_memcached(node):
    job = node.agent.start(f"exec /usr/bin/memcached -u root -U 0 -t 1 -m 64 -l {node.address}")
    listens(node, 11211)
    return job


def load(node, server, operations):
    """Stock load of memcached: OPERATIONS, each value that is got checked."""
    return node.agent.start(f"exec /usr/bin/memcaslap -s {server.address}:11211 -T 1 -c 4 -w 1k -X 200 -x {operations} -v 1.0 -b")


def wait_long(job, limit_s):
    """Its result; asked for in parts, as an emulator that says nothing for some minutes is taken for hung."""
    for _ in range(limit_s // PART_S):
        try:
            return job.wait(PART_S)
        except TimedOut:
            pass
    return job.wait(PART_S)


def check_load(test, job, operations):
    said = dict(re.findall(r"^(\w+): (\d+)$", wait_long(job, 60 + operations // 100).check().out, re.M))
    test.equal(int(said["cmd_get"]) + int(said["cmd_set"]), operations, "operations")
    for what in ("get_misses", "verify_misses", "verify_failed"):
        test.equal(said[what], "0", what)
