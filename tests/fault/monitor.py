# SPDX-License-Identifier: MIT
"""A guest's QEMU asked by its machine protocol (QMP), through two pipes, as the host has no program to talk to a socket."""

import itertools
import json

from harness import elisa
from harness.run import run

FULL = "/usr/bin/qemu-system-x86_64"
IN_PATH = "/bin/qemu-system-x86_64-microvm"  # what the host's script starts, found before the one in /usr/bin


class Monitor:
    """Made before its guest: hand .options to it."""

    def __init__(self, host, name):
        self.host, self.path, self.numbers = host, f"/run/qmp-{name}", itertools.count()
        host.call(f"rm -f {self.path}.*; mkfifo {self.path}.in {self.path}.out")
        self.reader = host.start(f"exec cat {self.path}.out")
        self.options = ["-chardev", f"pipe,id=qmp,path={self.path}", "-mon", "chardev=qmp,mode=control"]

    def begin(self):
        self.ask("qmp_capabilities")
        return self

    def ask(self, command, limit_s=10, **arguments):
        """The answer's text, when it has come; a Failure if it is an error."""
        number = next(self.numbers)
        words = {name.replace("_", "-"): value for name, value in arguments.items()}
        request = json.dumps({"execute": command, "arguments": words, "id": number})
        self.host.call(f"echo '{request}' > {self.path}.in")
        answer = json.loads(self.reader.expect(f'"id": {number}[,}}]', limit_s))
        if "error" in answer:
            raise elisa.Failure(f"{command}: {answer['error']['desc']}")
        return answer["return"]

    def port(self, port, value):
        """Writes an I/O port, as a guest does."""
        self.ask("human-monitor-command", command_line=f"o /b {port:#x} {value:#x}")

    def end(self):
        self.reader.kill()
        self.reader.wait()


def libraries(program):
    """The shared libraries that a program of the build machine loads."""
    return [word for line in run("ldd", program).splitlines() for word in line.split() if word.startswith("/")]


class FullQemu:
    """While it lasts, guests get the QEMU that has all devices, instead of the one of microvm alone."""

    def __init__(self, host):
        self.host = host

    def __enter__(self):
        host = self.host
        if not host.run(f"[ -e {FULL} ]").status:
            host.call(f"ln -sf {FULL} {IN_PATH}")
            return self
        for file in (*libraries(FULL), FULL):
            if host.run(f"[ -e {file} ]").status:
                host.run(f"mkdir -p {file.rsplit('/', 1)[0]}").check()
                host.put(file, file)
        host.call(f"ln -sf {FULL} {IN_PATH}")
        return self

    def __exit__(self, kind, value, trace):
        self.host.call(f"rm -f {IN_PATH}")
        return False
