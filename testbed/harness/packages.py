# SPDX-License-Identifier: MIT
"""`make test-packages`: the packages are installed, tried and removed in clean trees of Debian; what DKMS has built is loaded.

A tree is made once by mmdebstrap and kept in the cache: a minimal system with what the packages depend on, kernel headers
among it, so that only our packages come and go in a test. No test has a network, or sees a process or file of this machine.
"""

import os
import re
import shutil
import time
from pathlib import Path

from . import apt, cache, elisa, emulator, kernel, modules, runner, setup
from .context import Test
from .deb import copy_sources
from .machine import Machine
from .run import TREE, run
from .say import Failure, say, step

COMMON = ("ca-certificates", "dkms", "gcc", "kmod", "libc6-dev", "libelf-dev", "libjson-c5", "linux-headers-cloud-amd64", "make",
          "pkg-config")
# Of each release: what its tree has on top, and the packages that are not for it.
RELEASES = {"bookworm": (("librte-bus-vdev23", "librte-ethdev23", "dpdk-dev"), ()),
            "trixie": ((), ("elisa-dpdk",))}  # a DPDK driver is for one version of DPDK
TESTS = ("build", "tools", "modules", "driver")
ENTER = 'mount -t sysfs -o ro none "$0/sys" && exec chroot "$0" "$@"'
RUN_TEST = "mkdir /tmp/test; cd /source && debian/tests/$0; s=$?; rm -r /tmp/test; [ $s = 77 ] || exit $s"
# What any use of apt, dpkg, depmod and dkms changes.
VOLATILE = ("/proc", "/sys", "/dev", "/run", "/tmp", "/var/cache", "/var/log", "/var/lib/apt", "/var/lib/dpkg",
            "/var/lib/dkms/mok.key", "/var/lib/dkms/mok.pub", "/etc/ld.so.cache", "/source", "/debs")
DEPMOD = re.compile(r"/lib/modules/[^/]+/modules\.")
OPTIONS = ("--variant=minbase", "--mode=root", '--aptopt=Acquire::Languages "none"', "--dpkgopt=path-exclude=/usr/share/doc/*",
           "--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*")


def clean_tree(name):
    """The tar file of a minimal system."""
    release = apt.Release(name)
    release.update()
    wanted = sorted((*COMMON, *RELEASES[name][0]))
    key = cache.digest(" ".join(wanted), " ".join(OPTIONS), release.version("linux-headers-cloud-amd64"))

    def make(folder):
        with step(f"making a clean tree of Debian {name}", 150):
            run("mmdebstrap", *OPTIONS, f"--include={','.join(wanted)}", name, folder / "tree.tar",
                release.folder / "sources.list", what=f"mmdebstrap {name}")

    folder = cache.entry(f"tree-{name}", key, make)
    cache.keep_newest(f"tree-{name}", 1)
    return folder / "tree.tar"


class Tree:
    """A system unpacked below build/, to run commands in as its root."""

    def __init__(self, name):
        self.name = name
        self.folder = TREE / "build" / "test-packages" / name
        shutil.rmtree(self.folder, ignore_errors=True)
        self.root = self.folder / "root"
        self.root.mkdir(parents=True)
        run("tar", "-xf", clean_tree(name), "-C", self.root, what=f"unpacking Debian {name}")

    def run(self, what, *command, **variables):
        """The output of a command, without a network and with processes of its own."""
        env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8",
               "DEBIAN_FRONTEND": "noninteractive", **variables}
        return run("env", "-i", *(f"{name}={value}" for name, value in env.items()),
                   "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", f"--mount-proc={self.root}/proc",
                   "sh", "-c", ENTER, self.root, *command,
                   log=self.folder / f"{what.replace(' ', '-')}.log", what=f"{self.name}: {what}")

    def files(self):
        """All that lies in it, but for what changes with any use of apt."""
        found = set()
        for folder, folders, files in os.walk(self.root):
            at = "/" + str(Path(folder).relative_to(self.root)).removeprefix(".")
            folders[:] = [name for name in folders if os.path.join(at, name) not in VOLATILE]
            found |= {os.path.join(at, name) for name in (*folders, *files)} - set(VOLATILE)
        return {path for path in found if not DEPMOD.search(path)}

    def remove(self):
        shutil.rmtree(self.folder)


def check_nothing_left(tree, before, names):
    left, gone = sorted(tree.files() - before), sorted(before - tree.files())
    if left or gone:
        raise Failure(f"{tree.name}: after a purge {'there still is ' + left[0] if left else 'there is no more ' + gone[0]}"
                      f" ({len(left)} files more, {len(gone)} less)")
    known = tree.run("looking for packages", "dpkg-query", "-W", "-f", "${Package}\n")
    if kept := sorted(set(names) & set(known.split())):
        raise Failure(f"{tree.name}: dpkg still knows {kept[0]}")


def dkms_module(tree, stock, source):
    """The module of SOURCE that DKMS has built in the tree for the STOCK kernel, uncompressed."""
    name = modules.name_of(source)
    folder = tree.root / "usr" / "lib" / "modules" if not (tree.root / "lib").is_dir() else tree.root / "lib" / "modules"
    found = sorted((folder / stock.version / "updates" / "dkms").glob(f"{name}.ko*"))
    if not found:
        raise Failure(f"{tree.name}: DKMS has built no {name} for {stock.version}")
    file = tree.folder / found[0].name
    shutil.copy(found[0], file)
    if file.suffix in (".xz", ".zst"):
        run({".xz": "xz", ".zst": "zstd"}[file.suffix], "-dqf", file, what=f"uncompressing {file.name}")
        file = file.with_suffix("")
    return file


def call_with_modules(tree):
    """Both modules as DKMS has built them are loaded into the stock kernel that they are for, and a guest calls."""
    stock = kernel.current(tree.name)
    for source in (elisa.HOST_MODULE, elisa.GUEST_MODULE):
        modules.built[stock.version, source] = dkms_module(tree, stock, source)
    machine = Machine(emulator.program(), stock, tree.folder / "machine")
    try:
        machine.boot().load_kvm()
        test = Test(machine, tree.folder, None)
        guest = test.client()
        test.manager("counter", vetted=True, grant="all")
        said = guest.call(f"{test.program(guest, 'call-many')} counter gate 2 1000", 20).strip()
        test.equal(said, "added 2000 total 2000", "what a guest's calls have added")
        test.clean_up()
        for complaint in filter(None, [machine.elisa.check_released(), *runner.kernel_complaints(machine)]):
            raise Failure(f"{tree.name}: {complaint}")
        machine.elisa.unload()
    finally:
        machine.stop()
        for source in (elisa.HOST_MODULE, elisa.GUEST_MODULE):
            del modules.built[stock.version, source]
    return f"Linux {stock.version} with DKMS's elisa.ko and elisa_guest.ko: {said}"


def try_out(name, debs):
    """Installs, tries, removes, purges, installs again and purges at once."""
    tree = Tree(name)
    debs = [deb for deb in debs if not deb.name.split("_")[0].endswith(("-dbgsym", *RELEASES[name][1]))]
    names = [deb.name.split("_")[0] for deb in debs]
    before = tree.files()
    (tree.root / "debs").mkdir()
    for deb in debs:
        shutil.copy(deb, tree.root / "debs")
    copy_sources(tree.root / "source")
    install = ("apt-get", "install", "-y", "--no-install-recommends", *(f"/debs/{deb.name}" for deb in debs))
    tree.run("install", *install)
    for test in TESTS:
        said = tree.run(f"test {test}", "sh", "-c", RUN_TEST, test, AUTOPKGTEST_TMP="/tmp/test")
        for line in said.splitlines():
            say(f"    {test}: {line}")
    say(f"    in the emulated machine: {call_with_modules(tree)}")
    tree.run("remove", "apt-get", "remove", "-y", *names)
    tree.run("purge", "dpkg", "--purge", *names)  # apt knows no more those that have left nothing
    check_nothing_left(tree, before, names)
    tree.run("install again", *install)
    tree.run("purge at once", "apt-get", "purge", "-y", *names)
    check_nothing_left(tree, before, names)
    tree.remove()


def test(debs):
    setup.everything()
    failed = 0
    for name in RELEASES:
        start = time.monotonic()
        try:
            try_out(name, debs)
            say(f"ok     packages in Debian {name} {time.monotonic() - start:16.1f} s")
        except Failure as failure:
            say(f"FAIL   packages in Debian {name} {time.monotonic() - start:16.1f} s  {failure}")
            failed += 1
    say(f"{len(RELEASES) - failed} passed, {failed} failed")
    return 1 if failed else 0
