# SPDX-License-Identifier: MIT
"""`make install`, and `make deb`: Debian's packages, built from a clean copy of the tree."""

import os
import re
import shutil
import subprocess

from . import apt, cache, dpdk, setup
from .run import TREE, run
from .say import Failure, say, step

FOLDER = TREE / "build" / "deb"
VERSION = re.compile(r"^elisa \(([^)]+)\)")
MESON_VERSION = re.compile(r"^project\(.*?\bversion: '([^']+)'", re.M)


def version():
    """That of the packages, which must be Meson's too."""
    found = VERSION.match((TREE / "debian" / "changelog").read_text(encoding="utf-8")).group(1)
    meson = MESON_VERSION.search((TREE / "meson.build").read_text(encoding="utf-8")).group(1)
    if found != meson:
        raise Failure(f"debian/changelog is of version {found}, meson.build of {meson}")
    return found


def copy_sources(folder):
    """What Git knows of the tree, as it is now, and headers of DPDK that no package of Debian has."""
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=TREE, what="listing the sources")
    for name in filter(None, listed.split("\0")):
        if (TREE / name).is_file():
            to = folder / name
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(TREE / name, to)
    headers = dpdk.headers()
    if not headers:
        raise Failure(f"{dpdk.PACKAGE} is not installed")
    shutil.copytree(headers, folder / "debian" / "dpdk-headers")


def complaints(changes):
    """What lintian says, worst first; a Failure if it finds an error."""
    said = subprocess.run(["lintian", "--allow-root", "--fail-on", "error", str(changes)], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    (FOLDER / "lintian.txt").write_text(said.stdout, encoding="utf-8")
    lines = [line for line in said.stdout.splitlines() if line.startswith(("E:", "W:"))]
    if said.returncode:
        raise Failure("lintian: " + (lines or said.stdout.splitlines() or ["it said nothing"])[0])
    return lines


def install(prefix):
    """`make install`: below DESTDIR, if that is set. Programs use the shared library, and what tests need is left out."""
    cache.prepare()
    apt.install(setup.package_list("packages"))
    folder = TREE / "build" / "install"
    again = ["--reconfigure"] if (folder / "build.ninja").exists() else []
    run("meson", "setup", *again, folder, TREE, f"--prefix={prefix}", "-Dstatic=false", "-Dtests=false",
        f"-Ddpdk_headers={dpdk.headers_if_any()}", what="configuring")
    with step("building what is to be installed", 30):
        run("ninja", "-C", folder, what="building")
    run("meson", "install", "-C", folder, "--no-rebuild", log=TREE / "build" / "install.log", what="installing")
    say(f"installed below {os.environ.get('DESTDIR', '')}{prefix}; what lies where: build/install.log")
    say(f"the modules: dkms add {prefix}/src/elisa-{version()} && dkms install elisa/{version()}; in a VM elisa-guest")


def build():
    """The packages' paths."""
    cache.prepare()
    apt.install(setup.package_list("packages") + setup.package_list("packages-deb"))
    shutil.rmtree(FOLDER, ignore_errors=True)
    source = FOLDER / f"elisa-{version()}"
    source.mkdir(parents=True)
    copy_sources(source)
    with step("building packages", 60):
        run("dpkg-buildpackage", "--no-sign", "--build=full", cwd=source, log=FOLDER / "build.log", what="dpkg-buildpackage")
    debs = sorted(FOLDER.glob("*.deb"))
    with step("looking at them with lintian", 20):
        warnings = complaints(next(FOLDER.glob("*.changes")))
    for line in warnings:
        say(f"  {line}")
    for path in debs:
        say(f"{path.relative_to(TREE)}")
    return debs
