# SPDX-License-Identifier: MIT
"""The QEMU that has all devices, for guests that are to have more than the one made for microvms offers."""

from .apt import package_file
from .cpio import Archive

PATH = "/usr/bin/qemu-system-x86_64"
FIRMWARE = ("/usr/share/seabios/bios-256k.bin", "/usr/share/qemu/kvmvapic.bin", "/usr/share/qemu/pvh.bin",
            "/usr/share/qemu/linuxboot_dma.bin")  # of a PC


def install(host):
    """Its path on the host, to which it is copied when first asked for."""
    if PATH not in host.installed:
        archive = Archive()
        archive.add_program(package_file(PATH))
        for file in FIRMWARE:
            archive.add_file(file, package_file(file), 0o644)
        host.unpack(archive)
        host.installed.add(PATH)
    return PATH


def pc(host):
    """What Host.guest() is to be told for a PC: PCI, ACPI, slots for DIMMs."""
    return {"qemu": install(host), "machine": "pc", "modules": ("virtio_pci",)}
