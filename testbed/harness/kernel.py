# SPDX-License-Identifier: MIT
"""A release's stock kernel: its image, its modules, and the headers of the same version."""

import functools
import json
import os
import re
import shutil
from pathlib import Path

from . import cache, elf, toolchain
from .apt import Release, unpack
from .run import run
from .say import Failure, say, step

RELEASES = ("bookworm", "trixie")  # whose stock kernels are hosts and guests of ours
DEFAULT_RELEASE = RELEASES[0]
META_PACKAGE = "linux-image-cloud-amd64"
IPS = 100_000_000  # ticks in an emulated second of a machine with it
# Compressed kernels hold the ELF file behind a magic number; the decompressor stops where it ends.
DECOMPRESSORS = ((b"\x02\x21\x4c\x18", ["lz4", "-dc"]), (b"\x28\xb5\x2f\xfd", ["zstd", "-dcq"]),
                 (b"\xfd7zXZ\x00", ["xz", "-dcq"]), (b"\x1f\x8b\x08", ["gzip", "-dcq"]))


class Kernel:
    """A folder of the cache: vmlinuz, vmlinux, config, modules, headers."""

    def __init__(self, folder, version, ips=IPS):
        self.folder, self.ips = folder, ips
        self.version = version  # what uname -r says
        self.vmlinuz = folder / "vmlinuz"
        self.vmlinux = folder / "vmlinux"
        self.modules = folder / "lib" / "modules" / version
        self.headers = folder / "usr" / "src" / f"linux-headers-{version}"

    @property
    def linux(self):
        """The version of Linux, to compare with: (6, 1)."""
        return tuple(int(part) for part in self.version.split(".")[:2])

    def module_files(self, *names):
        """The files of the modules NAMES and of all that they need, in the order in which to load them.

        What is built into this kernel is left out.
        """
        needs = {}
        for line in (self.modules / "modules.dep").read_text(encoding="ascii").splitlines():
            file, _, others = line.partition(":")
            needs[module_name(file)] = (file, [module_name(other) for other in others.split()])
        builtin = {module_name(line) for line in (self.modules / "modules.builtin").read_text(encoding="ascii").split()}
        ordered = []

        def add(name):
            if name in builtin:
                return
            if name not in needs:
                raise Failure(f"kernel {self.version} has no module {name}")
            file, others = needs[name]
            for other in others:
                add(other)
            if self.modules / file not in ordered:
                ordered.append(self.modules / file)

        for name in names:
            add(module_name(name))
        return ordered


def module_name(file):
    return Path(file).name.split(".")[0].replace("-", "_")


def uncompressed(vmlinuz, folder):
    """Takes the ELF file out of a bzImage, as the kernel's own scripts/extract-vmlinux does."""
    data = vmlinuz.read_bytes()
    for magic, decompress in DECOMPRESSORS:
        at = data.find(magic)
        while at >= 0:
            packed = folder / "packed"
            packed.write_bytes(data[at:])
            # Trailing bytes make every decompressor complain; the ELF header tells whether it worked.
            run("sh", "-c", f"{' '.join(decompress)} packed > vmlinux.full 2>/dev/null || true",
                cwd=folder)
            packed.unlink()
            full = folder / "vmlinux.full"
            if full.stat().st_size > 1 << 20 and full.open("rb").read(4) == b"\x7fELF":
                (folder / "vmlinux").write_bytes(elf.compact(full.read_bytes()))
                full.unlink()
                return
            full.unlink()
            at = data.find(magic, at + 1)
    raise Failure(f"no compressed kernel found in {vmlinuz.name}")


def make_headers_relocatable(folder, version):
    """Debian's headers name /usr/src; ours lie in the cache."""
    makefile = folder / "usr" / "src" / f"linux-headers-{version}" / "Makefile"
    text = makefile.read_text(encoding="ascii")
    makefile.write_text(text.replace("/usr/src/", "$(dir $(lastword $(MAKEFILE_LIST)))../"), encoding="ascii")


def make_kernel(folder, release, version):
    image, headers = f"linux-image-{version}", f"linux-headers-{version}"
    others = [name for name in release.depends(headers) if re.match(r"linux-(headers|kbuild)-", name)]
    debs = folder / "debs"
    debs.mkdir()
    with step(f"fetching kernel {version} of Debian {release.name}", 5):
        unpack(release.download(debs, image, headers, *others), folder)
    shutil.rmtree(debs)
    with step(f"unpacking kernel {version}", 4):
        (folder / "boot" / f"vmlinuz-{version}").rename(folder / "vmlinuz")
        (folder / "boot" / f"config-{version}").rename(folder / "config")
        shutil.rmtree(folder / "boot")
        if not (folder / "lib").exists():  # Debian 13 ships modules below /usr
            (folder / "lib").mkdir()
            (folder / "usr" / "lib" / "modules").rename(folder / "lib" / "modules")
        uncompressed(folder / "vmlinuz", folder)
        run("sh", "-c", f"find lib -name '*.ko.xz' -print0 | xargs -0 -r -n 50 -P {os.cpu_count()} xz -d", cwd=folder)
        run("depmod", "-b", folder, version)
        make_headers_relocatable(folder, version)
    toolchain.adapt(folder, release, folder / "usr" / "src" / f"linux-headers-{version}")


@functools.lru_cache
def current(release_name=DEFAULT_RELEASE):
    """The kernel that the release's meta package stands for today, fetched if need be."""
    release = Release(release_name)
    release.update()
    image = next((name for name in release.depends(META_PACKAGE) if name.startswith("linux-image-")), None)
    if not image:
        raise Failure(f"{META_PACKAGE} of Debian {release_name} depends on no kernel")
    version = image.removeprefix("linux-image-")
    name, key = f"kernel-{release_name}", release.version(image)
    if release_name != DEFAULT_RELEASE:
        key += f"-{cache.digest(Path(toolchain.__file__))[:8]}"  # it changes the build tools of other releases
    record = cache.root() / f"{name}.json"  # the last one that worked
    try:
        folder = cache.entry(name, key, lambda scratch: make_kernel(scratch, release, version))
    except Failure as failure:
        if not record.exists():
            raise
        last = json.loads(record.read_text(encoding="utf-8"))
        folder, version = cache.root() / last["folder"], last["version"]
        if not folder.is_dir():
            raise
        say(f"  {failure}; going on with kernel {version}")
    record.write_text(json.dumps({"folder": folder.name, "version": version}), encoding="utf-8")
    cache.keep_newest(name, 2)
    return Kernel(folder, version)
