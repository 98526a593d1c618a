# SPDX-License-Identifier: MIT
"""A guest's QEMU asked by its machine protocol (QMP), through two pipes, as the host has no program to talk to a socket."""

import itertools
import json

from harness import elisa


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
