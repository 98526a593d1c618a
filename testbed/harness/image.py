# SPDX-License-Identifier: MIT
"""What the emulated host and its guests boot from."""

import functools
import shutil
import tempfile
from pathlib import Path

from . import apt, cache, programs
from .cpio import Archive
from .run import TREE, run
from .say import step

INIT = TREE / "testbed" / "image"
BUILD = TREE / "build"
BUSYBOX = "/bin/busybox"
QEMU = "/usr/bin/qemu-system-x86_64-microvm"
QBOOT = "/usr/share/qemu/qboot.rom"
ISOLINUX = ("/usr/lib/ISOLINUX/isolinux.bin", "/usr/lib/syslinux/modules/bios/ldlinux.c32")
HOST_MODULES = ("kvm_intel",)
GUEST_MODULES = ("virtio_mmio", "virtio_console")

HOST_COMMAND_LINE = (
    "console=ttyS0 quiet panic=-1 mitigations=off nokaslr tsc=reliable cryptomgr.notests tsc_early_khz={khz} "
    "initcall_blacklist=trace_eval_init,load_system_certificate_list,crypto_kdf108_init")


def agent_programs():
    return [BUILD / "testbed" / "agent" / name for name in ("agent", "marker")]


def common(init):
    """What host and guest have both: busybox under all its names, the agent, the markers, an init."""
    archive = Archive()
    # "." is the root: else anybody could write it, which DPDK refuses to load drivers below.
    archive.add_folder(".", "dev", "proc", "sys", "run", "tmp", "root", "etc", "var/tmp", "mnt")
    archive.add_file("/bin/busybox", apt.package_file(BUSYBOX))
    for applet in run(BUSYBOX, "--list-full").split():
        if applet != "bin/busybox":
            archive.add_link(applet, "/bin/busybox")
    for program in agent_programs():
        archive.add_file(f"/sbin/{program.name}", program)
    archive.add_file("/init", INIT / init)
    archive.add_link("var/run", "/run")
    archive.add_bytes("/etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n", 0o644)
    return archive


def add_modules(archive, kernel, names):
    """The modules, without debugging sections, under /modules; /modules/order says how to load them."""
    files = kernel.module_files(*names)
    for file in files:
        archive.add_bytes(f"/modules/{file.name}", stripped(file), 0o644)
    archive.add_bytes("/modules/order", "".join(f"{file.name}\n" for file in files).encode(), 0o644)


@functools.lru_cache
def stripped(module):
    """Debugging sections would cost their size in emulated disk reads. Signed modules lose their signature: a taint only."""
    # A name of its own: machines that run side by side strip the same modules.
    with tempfile.NamedTemporaryFile() as copy:
        run("strip", "--strip-debug", "-o", copy.name, module)
        return Path(copy.name).read_bytes()


def host_archive(kernel):
    archive = common("host-init")
    add_modules(archive, kernel, HOST_MODULES)
    for script in ("guest", "load-kvm"):
        archive.add_file(f"/bin/{script}", INIT / script)
    archive.add_program(apt.package_file(QEMU))
    archive.add_file("/usr/share/qemu/qboot.rom", apt.package_file(QBOOT), 0o644)
    return archive


def host(kernel, options=""):
    """The boot medium of the emulated host; OPTIONS: more for its kernel's command line."""
    command_line = f"{HOST_COMMAND_LINE.format(khz=kernel.ips // 1000)} {options}".strip()
    parts = [command_line, kernel.folder.name, Path(QEMU), Path(QBOOT), Path(BUSYBOX), Path(__file__),
             *sorted(INIT.iterdir()), *agent_programs()]

    def make(folder):
        with step("making the host's boot medium", 5):
            tree = folder / "iso"
            (tree / "isolinux").mkdir(parents=True)
            for file in ISOLINUX:
                shutil.copy(apt.package_file(file), tree / "isolinux")
            (tree / "isolinux" / "isolinux.cfg").write_text(
                f"default linux\nprompt 0\ntimeout 0\nlabel linux\nkernel /vmlinuz\n"
                f"append initrd=/initrd {command_line}\n", encoding="ascii")
            shutil.copy(kernel.vmlinuz, tree / "vmlinuz")
            (tree / "initrd").write_bytes(host_archive(kernel).bytes())
            run("xorriso", "-as", "mkisofs", "-quiet", "-o", folder / "host.iso", "-b", "isolinux/isolinux.bin",
                "-c", "isolinux/boot.cat", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table", tree)
            shutil.rmtree(tree)

    path = cache.entry("host-medium", cache.digest(*parts), make) / "host.iso"
    cache.keep_newest("host-medium", 12)
    return path


def guest(kernel, extra=(), modules=(), packages=()):
    """The initramfs of a guest as bytes. EXTRA: (path in the guest, file here) of programs and files to add; PACKAGES: of
    Debian, whose programs to add: see programs.py."""
    archive = common("guest-init")
    add_modules(archive, kernel, (*GUEST_MODULES, *modules))
    for path, source in extra:
        archive.add_program(source, path)
    archive.add_files(programs.files(packages))
    return archive.bytes()


def package_archive(packages):
    """For a machine that is up: the programs of Debian's PACKAGES, as an archive to unpack at its root."""
    archive = Archive()
    archive.add_files(programs.files(packages))
    return archive
