# SPDX-License-Identifier: MIT
"""Kernel modules, built out of tree for a given kernel."""

import os
import re
import shutil

from . import cache
from .run import TREE, run
from .say import Failure

SOURCES = (".c", ".h", ".S", "Kbuild")
WARNING = re.compile(r"warning:", re.I)
HOST = TREE / "host"
built = {}  # (kernel's version, folder) -> .ko: what this process has found up to date


def name_of(source):
    """The module that the folder SOURCE makes, as its Kbuild says."""
    found = re.search(r"^obj-m\s*[:+]?=\s*(\S+)\.o\s*$", (source / "Kbuild").read_text(encoding="utf-8"), re.M)
    if not found:
        raise Failure(f"{source.relative_to(TREE)}/Kbuild says nothing like `obj-m := NAME.o`")
    return found.group(1)


def default_needs(source):
    """An object as a module registers its functions with elisa.ko."""
    return [HOST] if source.parent.name == "objects" else []


def folder_of(kernel, source):
    return TREE / "build" / "modules" / kernel.version / source.relative_to(TREE)


def warnings(log):
    """What compiler, objtool and modpost warn of. That there is no type information to make is none."""
    return [line for line in log.splitlines() if WARNING.search(line) and "BTF" not in line]


def link_sources(source, folder):
    """kbuild writes beside its sources, so it works on links to them below build/."""
    # In a build folder that was copied with its tree, links lead to the other one.
    if any(link.is_symlink() and link.readlink().parent != source for link in folder.glob("*")):
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {path.name: path for path in source.iterdir() if path.name.endswith(SOURCES)}
    for link in folder.iterdir():
        if link.is_symlink() and link.name not in wanted:
            link.unlink()
    for file, path in wanted.items():
        link = folder / file
        if not link.is_symlink():
            link.symlink_to(path)


def build(kernel, source, name=None, needs=None):
    """The path of the module built from the folder SOURCE for KERNEL; up to date, quickly, when nothing changed.

    NEEDS: folders of modules of ours whose symbols it uses; elisa.ko's for objects. NAME, if given, must be what Kbuild says.
    """
    key = (kernel.version, source)
    if key in built:
        return built[key]
    name = name or name_of(source)
    needs = default_needs(source) if needs is None else needs
    symbols = [build(kernel, other).parent / "Module.symvers" for other in needs]
    folder = folder_of(kernel, source)
    with cache.lock("modules"):
        link_sources(source, folder)
        log = run("make", "-s", f"-j{os.cpu_count()}", "-C", kernel.headers, f"M={folder}", f"ELISA_TREE={TREE}",
                  f"KBUILD_EXTRA_SYMBOLS={' '.join(map(str, symbols))}", "modules",
                  log=folder / "make.log", what=f"building {name}.ko for {kernel.version}")
        if warnings(log):  # to be seen again next time, until they are gone
            for file in folder.glob("*.o"):
                file.unlink()
    built[key] = folder / f"{name}.ko"
    return built[key]
