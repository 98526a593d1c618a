# SPDX-License-Identifier: MIT
"""Bochs, from Debian's source package, with our corrections and our instrumentation."""

import os
import re
import shutil

from . import cache
from .apt import Release
from .run import TREE, run
from .say import Failure, step

VERSION = "3.0+dfsg-1"
RELEASE = "trixie"  # the Debian release that has it
HOME = TREE / "testbed" / "emulator"
OPTIONS = """
    --with-nogui --enable-all-optimizations --enable-cpu-level=6 --enable-x86-64 --enable-vmx=2 --enable-svm
    --enable-avx --enable-evex --enable-smp --enable-pci --enable-memtype --enable-protection-keys --enable-cet
    --enable-uintr --enable-a20-pin --enable-fpu --enable-repeat-speedups --enable-handlers-chaining
    --enable-fast-function-calls --disable-docbook --disable-show-ips
    --enable-instrumentation=instrument/testbed
""".split()
# --disable-show-ips: with it, a signal handler logs once a second and can deadlock on the lock of the log.
FLAGS = "-O2 -w"
OBJECTS = 440  # files that a whole build compiles, for the progress line


def patches():
    return sorted((HOME / "patches").glob("*.patch"))


def instrumentation():
    return sorted(path for path in (HOME / "instrument").iterdir() if path.is_file())


def correction(name):
    """The patch called NAME, or a Failure that lists the names."""
    for patch in patches():
        if name in (patch.stem, patch.stem.split("-", 1)[1]):
            return patch
    raise Failure(f"no correction called {name}; there are {', '.join(patch.stem for patch in patches())}")


def source():
    """The upstream tarball."""
    def fetch(folder):
        release = Release(RELEASE)
        release.update()
        with step(f"fetching the source of Bochs {VERSION}"):
            release.download_source(folder, "bochs", VERSION)

    return next(cache.entry("source-bochs", VERSION, fetch).iterdir())


def flags(counting):
    return FLAGS if counting else FLAGS + " -DTESTBED_NO_COUNTS"


def build_tree(folder, without=None, counting=True):
    """Unpacks, corrects, configures and compiles in FOLDER; seconds in, a program at FOLDER/bochs out."""
    log = cache.root() / "bochs-build.log"
    run("tar", "xf", source(), "--strip-components=1", "-C", folder)
    for patch in patches():
        if patch != without:
            run("patch", "-p1", "--no-backup-if-mismatch", "--forward", "-i", patch, cwd=folder,
                what=f"correction {patch.name}")
    shutil.copytree(HOME / "instrument", folder / "instrument" / "testbed")
    env = {**os.environ, "CXXFLAGS": flags(counting), "CFLAGS": flags(counting), "LC_ALL": "C.UTF-8"}
    title = "building Bochs" + (f" without {without.stem}" if without else "") + ("" if counting else " without counting")
    with step(title, 60) as progress:
        compiled = 0

        def count(line):
            nonlocal compiled
            if re.search(r" -c .*\.(cc|c)\b", line):
                compiled += 1
                progress.progress(f"{compiled} of about {OBJECTS} files")

        progress.progress("configuring")
        run("sh", "configure", *OPTIONS, cwd=folder, log=log, env=env, what="configuring Bochs")
        run("make", f"-j{os.cpu_count()}", cwd=folder, log=log, what="building Bochs", on_line=count)


def program(without=None, counting=True):
    """The emulator, built if need be. WITHOUT leaves out one correction, to show what it is for."""
    parts = [VERSION, *OPTIONS, flags(counting)]
    for path in [*patches(), *instrumentation()]:
        if path != without:
            parts += [path.name, path]
    kind = "emulator" if counting and not without else "variant"

    def make(folder):
        tree = folder / "tree"
        tree.mkdir()
        build_tree(tree, without, counting)
        # Only the program is kept: a build tree is a hundred times its size.
        run("strip", "-o", folder / "bochs", tree / "bochs")
        shutil.rmtree(tree)

    path = cache.entry(kind, cache.digest(*parts), make) / "bochs"
    cache.keep_newest("emulator", 3)
    return path
