# SPDX-License-Identifier: MIT
"""An initramfs: files collected in memory, written as a newc archive (see the kernel's initramfs documentation)."""

import os
import re
import stat
from pathlib import Path

from .run import run
from .say import Failure


class Archive:
    def __init__(self):
        self.entries = {}  # path without leading '/': (mode, data)

    def add(self, path, mode, data=b""):
        path = path.strip("/")
        parent = str(Path(path).parent)
        if parent != "." and parent not in self.entries:
            self.add(parent, stat.S_IFDIR | 0o755)
        self.entries[path] = (mode, data)

    def add_folder(self, *paths):
        for path in paths:
            self.add(path, stat.S_IFDIR | 0o755)

    def add_link(self, path, target):
        self.add(path, stat.S_IFLNK | 0o777, target.encode())

    def add_bytes(self, path, data, mode=0o755):
        self.add(path, stat.S_IFREG | mode, data)

    def add_file(self, path, source, mode=0o755):
        self.add_bytes(path, Path(source).read_bytes(), mode)

    def add_program(self, source, path=None):
        """A program of the build machine with the shared libraries it loads."""
        source = Path(source)
        self.add_file(path or str(source), source)
        for library in shared_libraries(source):
            if library.strip("/") not in self.entries:
                self.add_file(library, library)

    def add_files(self, files):
        """(path, file here) each: as they are, links as links."""
        for path, source in files:
            if source.is_symlink():
                self.add_link(path, os.readlink(source))
            else:
                self.add_file(path, source, stat.S_IMODE(source.stat().st_mode))

    def bytes(self):
        chunks = []
        for number, (path, (mode, data)) in enumerate(sorted(self.entries.items()), 1):
            chunks += [header(number, path, mode, len(data)), pad(data)]
        chunks.append(header(0, "TRAILER!!!", 0, 0))
        return pad(b"".join(chunks), 512)


def pad(data, to=4):
    return data + b"\0" * (-len(data) % to)


def header(number, path, mode, size):
    """Times, owners and devices are all zero, so that equal files make equal archives."""
    name = path.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, len(name), 0)
    return pad(b"070701" + b"".join(b"%08x" % field for field in fields) + name)


def shared_libraries(program):
    """Paths of all shared libraries that PROGRAM loads, the loader included; none for a static one."""
    if b"\x7fELF" != program.open("rb").read(4):
        return []
    with_interpreter = run("readelf", "-lW", program)
    if "INTERP" not in with_interpreter:
        return []
    output = run("ldd", program)
    missing = re.search(r"^\s*(\S+) => not found", output, re.M)
    if missing:
        raise Failure(f"{program} needs {missing.group(1)}, which is not installed")
    return re.findall(r"(/\S+) \(0x", output)
