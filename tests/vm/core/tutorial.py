# SPDX-License-Identifier: MIT
"""docs/tutorial.md, as a reader would follow it: its files are taken out of the page, its commands run one by one, and what
they print is compared with the page.

A block says in its first line what it is: `c FILE` and `make FILE` are files; `console WHERE` are commands, each after `$ `,
and what they print. WHERE is build (this machine, with what `make install` installs), host, vm1 or vm2; what stands under
install needs packages, and `make test-packages` does the like.
"""

import os
import re
import shlex
import shutil
import subprocess

from harness import cache, elisa, modules
from harness.run import TREE, run as run_here

PAGE = TREE / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.M | re.S)
COPY = re.compile(r"^scp (\S+) (\w+):$")
VERSION = re.compile(r"version: '([^']+)', license")


def commands(block):
    """(command, what the page says that it prints); a command goes on in the next line after a backslash."""
    found = []
    for line in block.splitlines():
        if found and found[-1][0].endswith("\\"):
            found[-1][0] = found[-1][0][:-1] + line.strip()
        elif line.startswith("$ "):
            found.append([line[2:], ""])
        else:
            found[-1][1] += line + "\n"
    return found


class Reader:
    """Does what the page says, in an empty folder of its own, on a host and in two VMs."""

    def __init__(self, test):
        self.test = test
        self.folder = test.folder / "topten"
        self.root = test.folder / "root"
        self.folder.mkdir()
        with cache.lock("install"):
            run_here("meson", "install", "-C", test.build, "--no-rebuild", env={**os.environ, "DESTDIR": str(self.root)})
        guests = [test.elisa_guest(guest) for guest in test.guests(2)]
        self.agents = {"host": test.host, "vm1": guests[0], "vm2": guests[1]}
        test.host.call("mkdir -p /usr/bin")
        test.host.put(elisa.MANAGER, "/usr/bin/elisa-manager")
        kernel = test.host.kernel
        modules.build(kernel, elisa.HOST_MODULE)
        # Where things are here that a package has put elsewhere; each must be in the page.
        version = VERSION.search((TREE / "meson.build").read_text(encoding="utf-8")).group(1)
        self.places = {f"/var/lib/dkms/elisa/{version}/$(uname -r)/x86_64/Module.symvers":
                       modules.folder_of(kernel, elisa.HOST_MODULE) / "Module.symvers",
                       "/lib/modules/$(uname -r)/build": kernel.headers,
                       "-idirafter /usr/include": f"-idirafter {self.root}/usr/include"}
        self.used = set()

    def placed(self, text):
        for place, here in self.places.items():
            if place in text:
                self.used.add(place)
                text = text.replace(place, str(here))
        return text

    def file(self, name, text):
        (self.folder / name).write_text(self.placed(text), encoding="utf-8")

    def build(self, command):
        found = [str(path.parent) for name in ("libelisa.pc", "elisa-sub.pc") for path in self.root.rglob(name)]
        env = {**os.environ, "PKG_CONFIG_SYSROOT_DIR": str(self.root), "PKG_CONFIG_PATH": ":".join(found)}
        result = subprocess.run(["bash", "-c", self.placed(command)], cwd=self.folder, env=env, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        return result.stdout + (f"[exit code {result.returncode}]\n" if result.returncode else "")

    def run(self, where, command, expected):
        """What a command prints. One that goes on, with & at its end, is to have printed its first lines soon."""
        if where == "build":
            return self.build(command)
        agent = self.agents[where]
        if not command.endswith("&"):
            result = agent.run(f"cd /root; {command}")
            return result.out + result.err
        job = agent.start(f"cd /root; exec {command.rstrip(' &')}")
        self.test.managers.append(elisa.Manager(agent, job, command))
        for line in expected.splitlines():
            job.expect(f"^{re.escape(line)}$")
        return expected

    def follow(self, where, block):
        for command, expected in commands(block):
            copied = COPY.match(command)
            if copied:
                self.agents[copied.group(2)].put(self.folder / copied.group(1))
                continue
            printed = "".join(line for line in self.run(where, command, expected).splitlines(keepends=True)
                              if not line.startswith("Skipping BTF generation"))
            self.test.equal(printed, expected, f"{where}$ {shlex.join([command])}")


def run(test):
    test.elisa()
    reader = Reader(test)
    done = {"files": 0, "commands": 0}
    try:
        for language, name, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
            if language in ("c", "make"):
                reader.file(name, text)
                done["files"] += 1
            elif language == "console" and name != "install":
                reader.follow(name, text)
                done["commands"] += len(commands(text))
    finally:
        if test.host.run("grep -q ^topten_host /proc/modules").status == 0:
            for guest in (reader.agents["vm1"], reader.agents["vm2"]):
                guest.stop()
            test.host.run("rmmod topten_host")
    test.equal(sorted(reader.used), sorted(reader.places), "places that the page names")
    test.check(done["files"] >= 7 and done["commands"] >= 25, f"the page has too little in it: {done}")
    shutil.rmtree(reader.root)
