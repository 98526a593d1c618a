# SPDX-License-Identifier: MIT
"""Kernel modules, built out of tree for a given kernel."""

import os

from . import cache
from .run import TREE, run

SOURCES = (".c", ".h", ".S", "Kbuild")


def build(kernel, source, name):
    """The path of NAME.ko, built from the folder SOURCE for KERNEL; up to date, quickly, when nothing changed.

    kbuild writes beside its sources, so it works on links to them below build/.
    """
    folder = TREE / "build" / "modules" / kernel.version / source.relative_to(TREE)
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {path.name: path for path in source.iterdir() if path.name.endswith(SOURCES)}
    for link in folder.iterdir():
        if link.is_symlink() and link.name not in wanted:
            link.unlink()
    for file, path in wanted.items():
        link = folder / file
        if not link.is_symlink():
            link.symlink_to(path)
    with cache.lock("modules"):
        run("make", "-s", f"-j{os.cpu_count()}", "-C", kernel.headers, f"M={folder}", f"ELISA_TREE={TREE}", "modules",
            log=folder / "make.log", what=f"building {name}.ko for {kernel.version}")
    return folder / f"{name}.ko"
