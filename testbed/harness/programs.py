# SPDX-License-Identifier: MIT
"""Programs of Debian's packages for images: with the shared libraries that they need, and nothing else of it.

No package is installed anywhere, and no maintainer's script runs.
"""

import functools
import os
import re
import shutil
import tomllib
from pathlib import Path

from . import apt, cache
from .run import TREE, run
from .say import Failure, step

TABLE = TREE / "testbed" / "image" / "programs.toml"
PROGRAMS = ("bin/*", "sbin/*", "usr/bin/*", "usr/sbin/*")
LIBRARIES = ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib64")
# Packages that may have a shared library which a program is linked to. The others are scripts, documents, services.
LIBRARY_PACKAGE = re.compile(r"(lib|zlib1g$)(?!.*-(dev|perl|data|common|doc|bin)$)(?!rte-meta)")


def needed_packages(release, names):
    """NAMES and the packages of libraries that they depend on, directly or not."""
    listing = run("apt-cache", *release.options(), "depends", "--recurse", "--no-recommends", "--no-suggests", "--no-conflicts",
                  "--no-breaks", "--no-replaces", "--no-enhances", *names, what=f"{' '.join(names)} in Debian {release.name}")
    depends, current = {}, None
    for line in listing.splitlines():
        if re.match(r"\S", line):
            current = depends.setdefault(line, [])
        elif found := re.match(r"\s+\|?(?:Pre)?Depends: ([^<\s]\S*)", line):
            current.append(found.group(1))
    found, left = set(), list(names)
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += filter(LIBRARY_PACKAGE.match, depends.get(name, ()))
    return sorted(found)


def elf_needs(root, file):
    """What a program or library is linked to: names, the loader's path, and folders below ROOT of its own to look in."""
    with file.open("rb") as opened:
        if opened.read(4) != b"\x7fELF":
            return [], None, []
    said = run("readelf", "-dlW", file)
    loader = re.search(r"program interpreter: (\S+)\]", said)
    folders = [file.parent if folder == "$ORIGIN" else root / folder.lstrip("/")
               for paths in re.findall(r"R(?:UN)?PATH\).*\[(.*)\]", said) for folder in paths.split(":")]
    return re.findall(r"\(NEEDED\).*\[(.*)\]", said), loader and loader.group(1), folders


def find_library(root, name, folders):
    for folder in (*folders, *(root / folder for folder in LIBRARIES)):
        file = folder / name
        if file.is_symlink() or file.exists():
            return file
    return None


def target_of(root, link):
    to = link.readlink()
    return Path(os.path.normpath(root / str(to).lstrip("/") if to.is_absolute() else link.parent / to))


def closure(root, files):
    """FILES and all that they need below ROOT: libraries, and what links lead to."""
    found, left = set(), list(files)
    while left:
        file = left.pop()
        if file in found:
            continue
        found.add(file)
        if file.is_symlink():  # stays one: what is loaded by two names is loaded once
            left.append(target_of(root, file))
            continue
        names, loader, folders = elf_needs(root, file)
        libraries = {name: find_library(root, name, folders) for name in names}
        missing = [name for name, library in libraries.items() if not library]
        if missing:
            raise Failure(f"{file.relative_to(root)} needs {missing[0]}, which none of its packages has")
        left += [*libraries.values(), *([root / loader.lstrip("/")] if loader else [])]
    return found


def matching(root, patterns, package):
    files = []
    for pattern in patterns:
        some = [file for file in sorted(root.glob(pattern)) if file.is_symlink() or file.is_file()]
        if not some:
            raise Failure(f"package {package} has no {pattern} (any more); see {TABLE.relative_to(TREE)}")
        files += some
    return files


def make(folder, release, package, names, entry):
    root = folder / "all"
    debs = folder / "debs"
    for path in (root, debs):
        path.mkdir()
    with step(f"fetching {package} of Debian {release.name} and its libraries", 5):
        apt.unpack(release.download(debs, *names), root)
        own = folder / "own"
        apt.unpack(debs.glob(f"{package}_*.deb"), own)
    patterns = entry.get("programs") or [f"{file.parent.relative_to(own)}/{file.name}"
                                         for pattern in PROGRAMS for file in sorted(own.glob(pattern))]
    wanted = matching(root, (*patterns, *entry.get("plugins", ())), package)
    for file in closure(root, wanted):
        to = folder / "root" / file.relative_to(root)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, to, follow_symlinks=False)
    for path in (root, debs, own):
        shutil.rmtree(path)


@functools.lru_cache
def unpacked(package, release_name):
    """The folder of the cache that has what images take of one package."""
    entry = tomllib.loads(TABLE.read_text(encoding="utf-8")).get(package, {})
    release = apt.Release(release_name)
    release.update()
    names = needed_packages(release, [package, *entry.get("with", ())])
    versions = release.versions(names)
    key = cache.digest(str(sorted(versions.items())), str(entry), Path(__file__))
    folder = cache.entry(f"programs-{package}", key, lambda scratch: make(scratch, release, package, names, entry))
    cache.keep_newest(f"programs-{package}", 2)
    return folder / "root"


def files(packages, release="bookworm"):
    """(path in an image, file here) of all that PACKAGES need, links among them."""
    found = {}
    for package in packages:
        root = unpacked(package, release)
        for file in sorted(root.rglob("*")):
            if file.is_symlink() or file.is_file():
                found[f"/{file.relative_to(root)}"] = file
    return sorted(found.items())
