# SPDX-License-Identifier: MIT
"""`make shell` as a person uses it: a prompt on the host, from there one in a guest, and back."""

import os
import pty
import select
import sys
import time
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
LIMIT_S = 120
PROMPT = b"# "


class Terminal:
    def __init__(self, command):
        self.process, self.fd = pty.fork()
        if self.process == 0:
            os.environ["TERM"] = "xterm"
            os.execv(command[0], command)
        self.seen = b""

    def expect(self, text):
        """Waits for TEXT, and forgets all that came before its end."""
        deadline = time.monotonic() + LIMIT_S
        while text not in self.seen:
            if not select.select([self.fd], [], [], max(0, deadline - time.monotonic()))[0]:
                sys.exit(f"no {text!r} after {LIMIT_S} s, but: {self.seen[-500:]!r}")
            try:
                data = os.read(self.fd, 4096)
            except OSError:
                data = b""
            if not data:
                sys.exit(f"ended before {text!r}: {self.seen[-500:]!r}")
            os.write(1, data)
            self.seen += data
        self.seen = self.seen.split(text, 1)[1]

    def type(self, text):
        os.write(self.fd, text)

    def end(self):
        """The exit code, once it has ended by itself."""
        try:
            while os.read(self.fd, 4096):
                pass
        except OSError:
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])


def main():
    terminal = Terminal([str(TREE / "testbed" / "testbed"), "shell"])
    terminal.expect(b"The emulated host")
    terminal.expect(PROMPT)
    terminal.type(b"echo on the $(uname -s) host\n")
    terminal.expect(b"on the Linux host")
    terminal.expect(PROMPT)
    terminal.type(b"guest list\n")
    terminal.expect(b"\nguest1")
    terminal.expect(PROMPT)
    terminal.type(b"guest shell guest1\n")
    terminal.expect(b"to leave)")
    terminal.type(b"\r")
    terminal.expect(PROMPT)
    terminal.type(b"cat /proc/cmdline\n")
    terminal.expect(b"reboot=t")  # a guest's, not the host's
    terminal.expect(PROMPT)
    terminal.type(b"\x1d")
    terminal.expect(PROMPT)
    terminal.type(b"guest shell nosuch\n")
    terminal.expect(b"no guest nosuch; there are: guest1")
    terminal.expect(PROMPT)
    terminal.type(b"exit\n")
    sys.exit(terminal.end())


main()
