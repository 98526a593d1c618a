# SPDX-License-Identifier: MIT
"""Debian's archive: packages to install here, and files of other releases to unpack in the cache.

The latter through lists of our own, so that the machine's own sources stay as they are.
"""

import os
import re
import subprocess
import time
from pathlib import Path

from . import cache
from .run import run
from .say import Failure, say, step

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
LISTS_AGE_S = 24 * 3600  # how old our lists may be before we ask for newer ones
UNREACHABLE = re.compile(r"Temporary failure resolving|Could not resolve|Could not connect|Connection (failed|refused|timed out)"
                         r"|Unable to connect|Network is unreachable")
FETCH_FAILED = re.compile(r"^[WE]: Failed to fetch|^W: Some index files failed", re.M)
PAUSES_S = (1, 5)  # before the archive is asked once more


def explain(output, what):
    """The one line that tells why apt failed."""
    missing = re.search(r"Unable to (?:locate|find a source) package (?:for )?(\S+)|Package '(\S+)' has no installation candidate"
                        r"|Can't find a source to download version '(\S+)'|Unable to find a source package for (\S+)"
                        r"|(?:Release|Version) '\S+' for '(\S+)' was not found", output)
    if missing:
        name = next(group for group in missing.groups() if group)
        return f"{what}: the Debian archive does not have {name} (any more)"
    if UNREACHABLE.search(output):
        return f"{what}: cannot reach the Debian archive; is there a network?"
    if "No space left" in output or "don't have enough free space" in output:
        return f"{what}: no space left on the disk"
    errors = [line for line in output.splitlines() if line.startswith("E:")]
    return f"{what}: {errors[0] if errors else (output.strip().splitlines() or ['apt said nothing'])[-1]}"


def call(*command, what, env=None):
    for pause_s in (*PAUSES_S, 0):
        result = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, errors="replace", env=env, check=False)
        # apt-get update answers 0 when it could fetch nothing at all.
        not_fetched = FETCH_FAILED.search(result.stdout)
        if not result.returncode and not not_fetched:
            return result.stdout
        if not not_fetched and not UNREACHABLE.search(result.stdout):
            break
        time.sleep(pause_s)
    raise Failure(explain(result.stdout, what))


def missing_packages(names):
    query = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *names],
                           capture_output=True, text=True, check=False)
    installed = {line.split()[0] for line in query.stdout.splitlines() if line.endswith(" installed")}
    return [name for name in names if name not in installed]


def install(names):
    """Installs what is missing of the packages NAMES; does nothing, quickly, when nothing is."""
    missing = missing_packages(names)
    if not missing:
        return
    if os.geteuid() != 0:
        raise Failure(f"not root, so packages cannot be installed; as root: apt-get install {' '.join(missing)}")
    cache.need_space()
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    with step(f"installing {len(missing)} packages", 30):
        # An interrupted run may have left some half configured.
        call("dpkg", "--configure", "-a", what="finishing an interrupted installation", env=env)
        call("apt-get", "update", what="updating the package lists", env=env)
        call("apt-get", "install", "-y", "--no-install-recommends", *missing, what="installing packages", env=env)
    still = missing_packages(names)
    if still:
        raise Failure(f"installed, but not there: {' '.join(still)}")


def mirrors():
    """The archive and its security part, as this machine's own sources name them."""
    listing = run("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages")
    main = security = None
    for uri, release in (line.split()[:2] for line in listing.splitlines() if len(line.split()) >= 2):
        if release.endswith("-security"):
            security = security or uri
        elif re.fullmatch(r"[a-z]+|\d+", release):
            main = main or uri
    if not main:
        raise Failure("apt's sources name no Debian archive; add one to /etc/apt/sources.list.d")
    return main, security


class Release:
    """One Debian release, binary packages and sources, with lists of our own in the cache."""

    def __init__(self, name):
        self.name = name
        self.folder = cache.root() / f"apt-{name}"

    def options(self):
        places = {"Dir::Etc::sourcelist": self.folder / "sources.list", "Dir::Etc::sourceparts": "/dev/null",
                  "Dir::State::lists": self.folder / "lists", "Dir::Cache": self.folder / "cache",
                  "Dir::State::status": self.folder / "status", "Dir::Etc::preferencesparts": "/dev/null",
                  "APT::Default-Release": "", "APT::Sandbox::User": "root", "APT::Architecture": "amd64"}
        return [word for key, value in places.items() for word in ("-o", f"{key}={value}")]

    def write_sources(self):
        main, security = mirrors()
        suites = [(main, self.name), (main, f"{self.name}-updates")]
        if security:
            suites.append((security, f"{self.name}-security"))
        for folder in ("lists/partial", "cache/archives/partial"):
            (self.folder / folder).mkdir(parents=True, exist_ok=True)
        (self.folder / "status").touch()
        text = "".join(f"{kind} [signed-by={KEYRING}] {uri} {suite} main\n"
                       for uri, suite in suites for kind in ("deb", "deb-src"))
        (self.folder / "sources.list").write_text(text, encoding="utf-8")

    def update(self, force=False):
        """Makes the lists no older than a day. Without a network older ones do, with a word about it."""
        stamp = self.folder / "updated"
        if not force and stamp.exists() and time.time() - stamp.stat().st_mtime < LISTS_AGE_S:
            return
        with cache.lock(f"apt-{self.name}"):
            self.write_sources()
            try:
                with step(f"looking up what Debian {self.name} has", 3):
                    call("apt-get", *self.options(), "update", what=f"package lists of {self.name}")
            except Failure as failure:
                if force or not stamp.exists():
                    raise
                say(f"  {failure}; going on with what was known before")
                return
            stamp.touch()

    def depends(self, package):
        """The names that PACKAGE depends on."""
        output = run("apt-cache", *self.options(), "depends", package, what=f"{package} in Debian {self.name}")
        return re.findall(r"^\s+Depends: ([^<\s]\S*)", output, re.M)

    def version(self, package):
        """The version that would be installed."""
        output = run("apt-cache", *self.options(), "policy", package)
        found = re.search(r"Candidate: (\S+)", output)
        if not found or found.group(1) == "(none)":
            raise Failure(f"Debian {self.name} does not have {package} (any more)")
        return found.group(1)

    def versions(self, packages):
        """The same of several, by name."""
        output = run("apt-cache", *self.options(), "policy", *packages)
        found = dict(re.findall(r"^(\S+):\n  Installed: .*\n  Candidate: (?!\(none\))(\S+)", output, re.M))
        for package in packages:
            if package not in found:
                raise Failure(f"Debian {self.name} does not have {package} (any more)")
        return found

    def download(self, folder, *packages):
        """Fetches binary packages into FOLDER and returns their paths."""
        self._fetch(folder, "download", *packages)
        return sorted(folder.glob("*.deb"))

    def download_source(self, folder, package, version):
        """Fetches the upstream tarball of a source package into FOLDER and returns its path."""
        self._fetch(folder, "source", "--download-only", "--tar-only", f"{package}={version}")
        return next(folder.glob("*.orig.tar.*"))

    def _fetch(self, folder, *command):
        apt = ["apt-get", *self.options(), *command]
        result = subprocess.run([str(word) for word in apt], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
        if result.returncode and re.search(r"\b404\b|Hash Sum mismatch", result.stdout):
            # The archive has moved on since our lists were made.
            self.update(force=True)
            call(*["env", "-C", str(folder), *apt], what=f"fetching {command[-1]}")
        elif result.returncode:
            raise Failure(explain(result.stdout, f"fetching {command[-1]}"))


def unpack(debs, folder):
    for deb in debs:
        run("dpkg-deb", "-x", deb, folder)


def package_file(path):
    """A file that an installed package brought; a clear word if it is gone."""
    if not Path(path).exists():
        raise Failure(f"{path} is missing though its package is installed; apt-get install --reinstall it")
    return Path(path)
