# SPDX-License-Identifier: MIT
"""Stock networking of VMs, to test against and to compare with: a Linux bridge on the host, virtio-net with vhost-net."""

from .apt import package_file
from .cpio import Archive

IP = "/bin/ip"  # iproute2's: the shell would take busybox's
QEMU = "/usr/bin/qemu-system-x86_64"  # the other one, made for microvm, has no PCI, and so no interrupts from vhost-net
HOST_MODULES = ("tun", "bridge", "vhost_net")
GUEST_MODULES = ("virtio_pci", "virtio_net")
MTU = 1504  # packets of 1518 bytes


def install_qemu(host):
    """The path of a QEMU with PCI, copied in when first asked for."""
    if QEMU not in host.installed:
        archive = Archive()
        archive.add_program(package_file(QEMU))
        host.unpack(archive)
        host.installed.add(QEMU)
    return QEMU


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
    return {"qemu": install_qemu(host), "qemu_options": options, "modules": GUEST_MODULES}


def start(guest, address, mtu=MTU, device="eth0"):
    guest.call(f"ip link set {device} mtu {mtu} up && ip addr add {address}/24 dev {device}")
