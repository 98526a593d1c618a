# SPDX-License-Identifier: MIT
"""A kernel for hosts that looks for mistakes: Debian's source and configuration, with lockdep, KASAN and more.

No kernel of Debian's has these. It takes half an hour to build, so nothing needs it but `make test KERNEL=debug`.
"""

import functools
import os
import shutil
from pathlib import Path

from . import cache, kernel
from .apt import Release
from .run import TREE, run
from .say import Failure, step

NAME = "debug"  # as a release's, for hosts
CHOICES = (*kernel.RELEASES, NAME)
IPS = 5 * kernel.IPS  # it takes as many more instructions for the same, and nobody is to wait longer
META_PACKAGE = "linux-source"
CONFIG = TREE / "testbed" / "kernel-debug.config"
MODULES = ("kvm_intel", "tun", "bridge", "vhost_net")  # all that hosts load
NEEDED_BYTES = 6 << 30
# Of the source, what modules are built with.
KEPT = (".config", "Module.symvers", "Kbuild", "Makefile", "arch", "include", "scripts", "tools")


def source_package(release):
    return next(name for name in release.depends(META_PACKAGE) if name.startswith("linux-source-"))


def configure(folder, source, stock):
    """The stock kernel's configuration, less the modules that no host loads, with what CONFIG says."""
    shutil.copy(stock.folder / "config", source / ".config")
    loaded = folder / "lsmod"
    names = map(kernel.module_name, stock.module_files(*MODULES))
    loaded.write_text("Module Size Used by\n" + "".join(f"{name} 0 0\n" for name in names), encoding="ascii")
    merge = ["scripts/kconfig/merge_config.sh", "-m", ".config", str(CONFIG)]
    for command in (["make", f"LSMOD={loaded}", "localmodconfig"], merge, ["make", "olddefconfig"]):
        run(*command, cwd=source, log=folder / "configure.log", what=f"configuring a kernel: {command[-1]}")
    have = (source / ".config").read_text(encoding="ascii").splitlines()
    for line in CONFIG.read_text(encoding="ascii").splitlines():
        if line.startswith("CONFIG_") and line not in have:
            raise Failure(f"the kernel's configuration cannot have {line}")


def keep_what_builds_modules(source):
    for path in source.iterdir():
        if path.name not in KEPT:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in (source / "arch").iterdir():
        if path.is_dir() and path.name != "x86":
            shutil.rmtree(path)
    for pattern in ("*.o", "*.a", ".*.cmd"):
        for top in ("arch", "tools"):
            for path in (source / top).rglob(pattern):
                path.unlink()


def make(folder, release, package, stock):
    """Into FOLDER, as a stock kernel lies in the cache."""
    cache.need_space(NEEDED_BYTES)
    with step("fetching the kernel's source", 60):
        for deb in release.download(folder, package):
            run("sh", "-c", f"dpkg-deb --fsys-tarfile {deb.name} | tar -xO ./usr/src/{package}.tar.xz | tar -xJ", cwd=folder)
            deb.unlink()
    source = folder / package
    configure(folder, source, stock)
    with step("building a kernel that looks for mistakes", 1800):
        run("make", "-s", f"-j{os.cpu_count()}", "bzImage", "modules", cwd=source, log=folder / "make.log", what="a kernel")
    version = run("make", "-s", "kernelrelease", cwd=source).strip()
    run("make", "-s", "modules_install", f"INSTALL_MOD_PATH={folder}", cwd=source, what="installing modules")
    for link in ("build", "source"):
        (folder / "lib" / "modules" / version / link).unlink(missing_ok=True)
    shutil.copy(source / "arch" / "x86" / "boot" / "bzImage", folder / "vmlinuz")
    shutil.copy(source / ".config", folder / "config")
    keep_what_builds_modules(source)
    (folder / "usr" / "src").mkdir(parents=True)
    source.rename(folder / "usr" / "src" / f"linux-headers-{version}")
    run("depmod", "-b", folder, version)
    (folder / "version").write_text(version, encoding="ascii")


@functools.lru_cache
def current():
    """That of the default release's source, built if need be."""
    release, stock = Release(kernel.DEFAULT_RELEASE), kernel.current()
    package = source_package(release)
    folder = cache.entry("kernel-debug", cache.digest(release.version(package), CONFIG, Path(__file__)),
                         lambda scratch: make(scratch, release, package, stock))
    cache.keep_newest("kernel-debug", 1)
    return kernel.Kernel(folder, (folder / "version").read_text(encoding="ascii"), IPS)


def of_host(name):
    return current() if name == NAME else kernel.current(name)


def of_guests(name):
    """Those of its host have the stock one."""
    return kernel.current(kernel.DEFAULT_RELEASE if name == NAME else name)
