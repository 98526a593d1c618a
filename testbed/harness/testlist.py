# SPDX-License-Identifier: MIT
"""tests/list.toml: which tests there are, and on what machine each runs."""

import copy
import tomllib

from .run import TREE
from .say import Failure

LIST = TREE / "tests" / "list.toml"
KEYS = {"name", "file", "tags", "cpus", "apicv", "kernel", "memory_mb", "limit_s", "arguments", "long", "long_only", "on",
        "proves", "host_options", "cpu_model", "packages", "host_packages", "checked"}
UNIT_KEYS = {"name", "file", "tags", "long_only"}
CPUS = (1, 2, 4)


class Entry:
    """One test on one machine: a test that is listed for several runs once on each."""

    def __init__(self, fields, cpus, apicv, many, long):
        self.base = fields["name"]
        self.name = self.base
        if many["cpus"]:
            self.name += f"-{cpus}cpu"
        if many["apicv"]:
            self.name += "-apicv" if apicv else "-noapicv"
        self.file = file_of(fields)
        self.tags = fields.get("tags", [])
        self.on = fields.get("on", "host")  # where a program that is not Python runs
        self.proves = fields.get("proves")  # the correction of the emulator that it needs
        self.cpus, self.apicv = cpus, apicv
        self.vcpus = 1  # of guests for which the test does not say how many
        self.release = fields.get("kernel", "bookworm")
        self.host_options = fields.get("host_options", "")
        self.cpu_model = fields.get("cpu_model", "corei7_skylake_x")
        self.packages = fields.get("packages", [])
        self.host_packages = fields.get("host_packages", [])
        self.memory_mb = fields.get("memory_mb", 1024)
        self.checked = fields.get("checked", long or "core" in self.tags)  # translations are: docs/fidelity.md
        self.limit_s = fields.get("limit_s", 60)  # for a program: emulated seconds
        self.arguments = {**fields.get("arguments", {}), **(fields.get("long", {}) if long else {})}

    @property
    def machine(self):
        """What machine it needs: tests that agree on this share one boot."""
        return (self.cpus, self.apicv, self.release, self.memory_mb, self.host_options, self.cpu_model, self.checked)


class Unit:
    """A program that runs on the build machine: exit code 0 passes, 77 skips."""

    proves = None

    def __init__(self, fields):
        self.base = self.name = fields["name"]
        self.file = file_of(fields)
        self.tags = ["unit", *fields.get("tags", [])]


def file_of(fields):
    """Below tests/, or what Meson builds, below build/."""
    file = fields["file"]
    return TREE / file if file.startswith("build/") else TREE / "tests" / file


def as_list(value):
    return value if isinstance(value, list) else [value]


def check_fields(fields, keys):
    name = fields.get("name")
    if not name:
        raise Failure(f"tests/list.toml: a test without a name: {fields}")
    unknown = set(fields) - keys
    if unknown:
        raise Failure(f"tests/list.toml: {name}: unknown {', '.join(sorted(unknown))}")
    if "file" not in fields:
        raise Failure(f"tests/list.toml: {name}: no file")
    if not fields["file"].startswith("build/") and not file_of(fields).is_file():
        raise Failure(f"tests/list.toml: {name}: no file tests/{fields['file']}")


def vm_entries(fields, long):
    check_fields(fields, KEYS)
    all_cpus, all_apicv = as_list(fields.get("cpus", 1)), as_list(fields.get("apicv", True))
    if not set(all_cpus) <= set(CPUS):
        raise Failure(f"tests/list.toml: {fields['name']}: cpus must be among {CPUS}")
    if fields.get("on", "host") not in ("host", "guest"):
        raise Failure(f"tests/list.toml: {fields['name']}: on must be host or guest")
    many = {"cpus": len(all_cpus) > 1, "apicv": len(all_apicv) > 1}
    return [Entry(fields, cpus, apicv, many, long) for cpus in all_cpus for apicv in all_apicv]


def load(file=LIST, long=False):
    """All tests, units first; LONG: with the arguments of the long form, and those that have no other."""
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise Failure(f"tests/list.toml: {error}") from error
    entries = []
    for fields in tables.get("unit", []):
        check_fields(fields, UNIT_KEYS)
        entries += [Unit(fields)] if long or not fields.get("long_only") else []
    for fields in tables.get("test", []):
        made = vm_entries(fields, long)
        entries += made if long or not fields.get("long_only") else []
    names = [entry.name for entry in entries]
    for name in names:
        if names.count(name) > 1:
            raise Failure(f"tests/list.toml: two tests are called {name}")
    return entries


def choose(entries, words):
    """Those called one of WORDS, or tagged with it; all for no words."""
    if not words:
        return entries
    chosen = []
    for word in words:
        found = [entry for entry in entries if word in (entry.name, entry.base) or word in entry.tags]
        if not found:
            tags = sorted({tag for entry in entries for tag in entry.tags})
            raise Failure(f"no test is called {word}; `make tests` lists them; tags: {', '.join(tags)}")
        chosen += [entry for entry in found if entry not in chosen]
    return chosen


def on_machine(entries, cpus=None, vcpus=None, apicv=None, release=None, checked=False):
    """The tests of ENTRIES that run in a VM, each once, on such a machine instead of the one that the list names."""
    chosen = {}
    for entry in entries:
        if isinstance(entry, Unit):
            continue
        entry = copy.copy(entry)
        entry.cpus, entry.vcpus = cpus or entry.cpus, vcpus or entry.vcpus
        entry.apicv = entry.apicv if apicv is None else apicv
        entry.release, entry.checked = release or entry.release, checked or entry.checked
        entry.name = f"{entry.base}-{entry.release}-{entry.cpus}cpu-{'apicv' if entry.apicv else 'noapicv'}"
        chosen.setdefault(entry.name, entry)
    return list(chosen.values())
