# SPDX-License-Identifier: MIT
"""The modules and programs under test, as the tests of a machine share them.

elisa.ko stays loaded from one test to the next; what a test made with it must be gone when the test is over.
"""

import json
import os

from . import image, modules, setup
from .channel import MachineDied, TimedOut
from .guest import Guest
from .run import TREE
from .say import Failure

BUILD = TREE / "build"
HOST_MODULE = TREE / "host"
GUEST_MODULE = TREE / "guest"
OBJECTS = TREE / "objects"
MANAGER = BUILD / "objects" / "elisa-manager"
CONTROL = BUILD / "tools" / "elisactl" / "elisactl"
KV = BUILD / "objects" / "kv" / "elisa-kv"
MEMCACHED = BUILD / "tools" / "elisa-memcached" / "elisa-memcached"
PROGRAMS = BUILD / "tests" / "vm" / "programs"
DEVICE = "/dev/elisa"

EMULATED = {"ignore_l1tf": 1}  # parameters for the emulated CPU, whose model has L1TF by name only

RELEASED = ("objects", "attachments", "pinned_pages")  # of `elisactl stat`: zero when nobody uses the module
RELEASE_LIMIT_S = 2  # what a dead process held may go a little later
POLL_S = 0.02


def code_of(name):
    """The ELF file of an object's trusted code."""
    return BUILD / "objects" / name / f"{name}.elf"


# Programs of few tests, which are copied into guests that need them: each takes a megabyte of a small guest's memory.
RARE = {"attach-scale", "code-names", "kv-bench", "kv-many", "kv-together", "lock-asks", "manager-refusals", "meeting", "packets",
        "stock-get", "strike", "sweep", "vswitch-peer"}


def kit():
    """What guests of tests have in their initramfs, where it costs nothing; to copy it in later takes half a second each.

    File here -> path there.
    """
    programs = [path for path in sorted(PROGRAMS.glob("*"))
                if path.name not in RARE and path.is_file() and os.access(path, os.X_OK)]
    files = [MANAGER, CONTROL, *(code_of(path.name) for path in sorted(OBJECTS.glob("*")) if path.is_dir()), *programs]
    return {file: f"{Guest.store}/{file.name}" for file in files if file.exists()}


def place(agent, file):
    """The path on a host or guest of a file of the build machine, which is copied in when first asked for."""
    if file not in agent.placed:
        if not file.exists():
            setup.user_space()
        if not file.exists():
            raise Failure(f"{file.relative_to(TREE)} is not built")
        path = f"{agent.store}/{file.name}"
        mode = 0o644 if file.suffix in (".ko", ".elf") else 0o755
        agent.run(f"mkdir -p {agent.store}").check()
        agent.write(path, file.read_bytes() if file.suffix == ".elf" else image.stripped(file), mode)
        agent.placed[file] = path
    return agent.placed[file]


def insert(agent, source, kernel, parameters=""):
    """Loads the module made from the folder SOURCE; a Failure with the kernel's reason if it refuses."""
    path = place(agent, modules.build(kernel, source))
    result = agent.run(f"insmod {path} {parameters}")
    if result.status:
        lines = [line for line in agent.call("dmesg").splitlines() if f"{modules.name_of(source)}: " in line]
        raise Failure(f"{agent.name}: {lines[-1] if lines else result.err.strip()}")


def stats(agent):
    """What the module holds at this moment: the totals, without what each VM and object has done."""
    totals = json.loads(agent.call(f"{place(agent, CONTROL)} stat --json"))
    return {name: value for name, value in totals.items() if not isinstance(value, list)}


def listed(agent, what):
    """What `elisactl WHAT list` knows of "vm", "object" or "attach", as a list."""
    return json.loads(agent.call(f"{place(agent, CONTROL)} {what} list --json"))


class HostModule:
    """elisa.ko on one host."""

    def __init__(self, host):
        self.host = host
        self.parameters = None  # with which it is loaded
        self.objects = []  # objects as modules, for host interposition
        self.idle_pages = None  # of its own, that it keeps when no VM uses it
        self.source = HOST_MODULE  # another while it is one with a fault, which the next test must not meet

    @property
    def loaded(self):
        return self.parameters is not None

    @property
    def planted(self):
        return self.source != HOST_MODULE

    def load(self, source=None, **parameters):
        """Loads it, unless it is loaded with the same parameters; a Failure if it refuses this host.

        SOURCE: another folder than usual, for one with a fault (planted.py); it stays until the test is over.
        """
        source = source or self.source
        if self.host.counts_exactly:
            parameters = {**EMULATED, **parameters}
        if self.parameters == parameters and self.source == source:
            return self
        for guest in list(self.host.shared_guests.values()):  # their drivers know the module that goes
            if guest in self.host.guests and guest.driver:
                guest.stop()
        self.unload()
        insert(self.host, source, self.host.kernel, " ".join(f"{name}={value}" for name, value in parameters.items()))
        self.parameters, self.source = parameters, source
        if self.planted:  # it lies where the real one did
            self.host.placed = {file: path for file, path in self.host.placed.items() if file.name != "elisa.ko"}
        return self

    def load_object(self, source):
        """Loads an object (its name in objects/, or its folder) as a module: ELISA_BY_VMCALL then has somebody to call."""
        source = OBJECTS / source
        if not self.loaded:
            self.load()
        if source not in self.objects:
            insert(self.host, source, self.host.kernel)
            self.objects.append(source)

    def unload(self):
        """Does nothing if it is not loaded; a Failure if somebody still uses it."""
        while self.objects:
            self.host.call(f"rmmod {modules.name_of(self.objects[-1])}")
            self.objects.pop()
        if self.loaded:
            self.host.call(f"rmmod {modules.name_of(HOST_MODULE)}")
            self.parameters = self.idle_pages = None
            self.source = HOST_MODULE

    def stats(self):
        return stats(self.host)

    def held(self):
        """What is still held though no test runs: a text, or "" when nothing is."""
        now = self.stats()
        kept = [f"{now[name]} {name.replace('_', ' ')}" for name in RELEASED if now[name]]
        mapped = self.host.run(r"grep '\[elisa\].* vmap' /proc/vmallocinfo").out.splitlines()
        if mapped:
            kept.append(f"{len(mapped)} mappings of others' memory in the kernel")
        if not now["vms"]:
            pages = now["allocated_pages"]
            if self.idle_pages is not None and pages > self.idle_pages:
                kept.append(f"{pages - self.idle_pages} allocated pages more than before")
            elif not kept:
                self.idle_pages = pages
        return ", ".join(kept)

    def check_released(self):
        """Why the test that has just ended must fail, or "". The next test gets a module that holds nothing."""
        if not self.loaded:
            return ""
        kept = self.held()
        for _ in range(int(RELEASE_LIMIT_S / POLL_S)):
            if not kept:
                if self.planted:
                    self.unload()
                return ""
            self.host.call(f"usleep {int(POLL_S * 1e6)}")
            kept = self.held()
        try:
            self.unload()
        except MachineDied:
            raise
        except Failure as failure:  # then only a new machine helps
            raise MachineDied(f"elisa.ko leaks: {kept}; {failure}") from failure
        return f"elisa.ko leaks: {kept}"


class Manager:
    """A process that offers one object, on a host or in a guest."""

    def __init__(self, agent, job, name):
        self.agent, self.job, self.name = agent, job, name

    def wait_ready(self, limit_s=10):
        """Waits until its object is published; a Failure with its own words if it ends instead."""
        for _ in range(int(limit_s / POLL_S)):
            try:
                self.job.expect("^ready", POLL_S)
                return self
            except TimedOut:
                if self.ended():
                    self.job.result.check()
                    raise Failure(f"{self.agent.name}: `{self.job.command}` ended before it was ready") from None
        raise TimedOut(f"{self.agent.name}: `{self.job.command}` is not ready after {limit_s:g} emulated seconds")

    def ended(self):
        try:
            return self.job.wait(0.001)
        except TimedOut:
            return None

    def events(self):
        """The lines that it has printed so far about who attached, detached or was aborted."""
        output = self.job.result.out if self.job.result else self.agent.read(self.job.out_path).decode()
        return [line for line in output.splitlines() if line != "ready"]

    def expect(self, pattern, limit_s=10):
        """Waits for an event that matches an extended regular expression, and returns its line."""
        return self.job.expect(pattern, limit_s)

    def stop(self):
        """Asks it to end, which withdraws its object; returns how it ended."""
        return self.kill(15)

    def kill(self, signal=9):
        self.job.kill(signal)
        return self.job.wait(10)


def start_manager(agent, code="nop", name=None, options=()):
    """Starts a manager of the object CODE (a name in objects/, or the path here of an ELF file), and does not wait."""
    name = name or str(code)
    file = code_of(code) if isinstance(code, str) else code
    words = [place(agent, MANAGER), "--code", place(agent, file), "--name", name, *options]
    return Manager(agent, agent.start("exec " + " ".join(map(str, words))), name)


def option_words(options):
    """Keyword arguments as a program's options: vetted=True is --vetted, grant=("all", "vm:3") two --grant."""
    words = []
    for key, value in options.items():
        for each in value if isinstance(value, (list, tuple)) else [value]:
            if each is not False and each is not None:
                words.append(f"--{key.replace('_', '-')}" + ("" if each is True else f"={each}"))
    return words
