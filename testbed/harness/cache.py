# SPDX-License-Identifier: MIT
"""The cache outside the tree: things that are costly to make, each named by all it was made from.

An entry appears by rename when it is whole, so an interrupted set-up leaves
nothing that a later one could take for finished.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
from pathlib import Path

from .say import Failure

NEEDED_BYTES = 2 << 30  # the emulator's build is the largest: 0.5 GB


def root():
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "elisa"
    return Path(os.environ.get("ELISA_CACHE") or default)


def prepare():
    """Makes the cache folder, or says why it cannot be used."""
    path = root()
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise Failure(f"cannot write to the cache {path}: {error.strerror}; set ELISA_CACHE to another folder") from error


def need_space(needed=0):
    free, needed = shutil.disk_usage(root()).free, needed or NEEDED_BYTES
    if free < needed:
        raise Failure(f"{free >> 20} MiB free in {root()}, {needed >> 20} needed; set ELISA_CACHE to another folder")


def digest(*parts):
    """A short name for bytes, strings, and files (by content)."""
    state = hashlib.sha256()
    for part in parts:
        data = part.read_bytes() if isinstance(part, Path) else part.encode() if isinstance(part, str) else part
        state.update(len(data).to_bytes(8, "little"))
        state.update(data)
    return state.hexdigest()[:16]


@contextlib.contextmanager
def lock(name):
    """One process at a time; the lock goes with the process, however it ends."""
    with open(root() / f".lock-{name}", "w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def entry(name, key, make):
    """The folder NAME-KEY, made by make(folder) unless it is there already."""
    path = root() / f"{name}-{key}"
    if path.is_dir():
        os.utime(path)  # keep_newest() goes by last use
        return path
    with lock(name):
        if path.is_dir():
            return path
        need_space()
        # What a killed run left. Its compilers may still write there, so the folder is never used again.
        for left in root().glob(f".making-{name}-*"):
            shutil.rmtree(left, ignore_errors=True)
        scratch = root() / f".making-{name}-{os.getpid()}"
        scratch.mkdir()
        try:
            make(scratch)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
        scratch.rename(path)
    return path


def keep_newest(name, count):
    """Removes all but the COUNT entries called NAME that were used last: they are keyed by content, so they pile up."""
    entries = sorted(root().glob(f"{name}-*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in entries[count:]:
        shutil.rmtree(old, ignore_errors=True)
