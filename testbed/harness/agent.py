# SPDX-License-Identifier: MIT
"""What can be asked of an agent: the emulated host and each guest offer the same."""

import errno
import os
import shlex
import stat
from pathlib import Path

from . import channel
from .channel import TimedOut
from .say import Failure

WHOLE = 1 << 28  # as many bytes as a message can hold
WAIT_S = 10  # emulated; longer waits are several, as an emulator that says nothing for long is taken for hung


class CommandFailed(Failure):
    pass


class Result:
    """How a command ended: .status (256 + signal if killed), .out and .err as text."""

    def __init__(self, where, command, status, data):
        length = int.from_bytes(data[:4], "little")
        self.where, self.command, self.status = where, command, status
        self.out = data[4:4 + length].decode(errors="replace")
        self.err = data[4 + length:].decode(errors="replace")

    def check(self):
        """Itself if the command succeeded."""
        if self.status:
            how = f"exit code {self.status}" if self.status < 256 else f"killed by signal {self.status - 256}"
            said = (self.err.strip() or self.out.strip() or "no output").splitlines()[-1]
            raise CommandFailed(f"{self.where}: `{self.command}`: {how}: {said}")
        return self


class Job:
    """A command that runs while other things are done."""

    def __init__(self, agent, number, command):
        self.agent, self.number, self.command = agent, number, command
        self.result = None  # once it has ended

    def wait(self, limit_s=10):
        """The result; TimedOut, with the job still running, after LIMIT_S emulated seconds."""
        if self.result:
            return self.result
        left_s = limit_s
        while True:
            some_s = min(left_s, WAIT_S)
            status, a, data = self.agent.ask(channel.WAIT, self.number, int(some_s * 1000), limit_s=some_s,
                                             what=f"`{self.command}`", allow=(errno.ETIMEDOUT,))
            left_s -= some_s
            if not status or left_s <= 0:
                break
        result = Result(self.agent.name, self.command, a, data)
        if status:
            raise TimedOut(f"{self.agent.name}: `{self.command}` still runs after {limit_s:g} emulated seconds", result)
        self.result = result
        return result

    def kill(self, signal=9):
        self.agent.ask(channel.KILL, self.number, signal, what=f"killing `{self.command}`", allow=(errno.ESRCH,))

    @property
    def out_path(self):
        return f"/run/testbed/{self.number}.out"

    def expect(self, pattern, limit_s=10):
        """Waits for a line of its standard output that matches an extended regular expression."""
        return self.agent.expect(self.out_path, pattern, limit_s)


class Agent:
    """Base of the emulated host and of a guest. All limits are seconds of emulated time."""

    name = "?"

    def exchange(self, message, limit_ms):
        raise NotImplementedError

    def ask(self, op, a=0, b=0, data=b"", limit_s=10, what="request", allow=()):
        """(errno, a, data) of the reply; an errno that is not in ALLOW is a Failure."""
        status, a, data = channel.unpack(self.exchange(channel.pack(op, a, b, data), int(limit_s * 1000)))
        if status and status not in allow:
            raise Failure(f"{self.name}: {what}: {os.strerror(status)}")
        return status, a, data

    def start(self, command):
        """Runs a shell command (a string, or a list of words) and does not wait for it."""
        if not isinstance(command, str):
            command = shlex.join(str(word) for word in command)
        _, number, _ = self.ask(channel.SPAWN, data=command.encode() + b"\0", what=f"`{command}`")
        return Job(self, number, command)

    def run(self, command, limit_s=10):
        """Runs a shell command to its end, and kills it if that does not come within LIMIT_S."""
        job = self.start(command)
        try:
            return job.wait(limit_s)
        except TimedOut:
            job.kill()
            job.wait()
            raise

    def call(self, command, limit_s=10):
        """What a command prints; a Failure unless it succeeds."""
        return self.run(command, limit_s).check().out

    def write(self, path, data, mode=0o644):
        data = data.encode() if isinstance(data, str) else data
        self.ask(channel.WRITE, mode, 0, path.encode() + b"\0" + data, limit_s=60, what=f"writing {path}")

    def read(self, path):
        """The bytes of a file."""
        return self.ask(channel.READ, 0, WHOLE, path.encode() + b"\0", limit_s=60, what=f"reading {path}")[2]

    def put(self, source, path=None):
        """Copies a file of the build machine in, with its mode; into /root unless PATH says where. Returns the path."""
        source = Path(source)
        path = path or f"/root/{source.name}"
        self.write(path, source.read_bytes(), stat.S_IMODE(source.stat().st_mode))
        return path

    def get(self, path, target):
        Path(target).write_bytes(self.read(path))

    def expect(self, path, pattern, limit_s=10, offset=0):
        """Waits until the file has a line that matches an extended regular expression, and returns the line."""
        status, _, data = self.ask(channel.EXPECT, offset, int(limit_s * 1000), path.encode() + b"\0" + pattern.encode() + b"\0",
                                   limit_s=limit_s, what=f"waiting for {pattern!r} in {path}", allow=(errno.ETIMEDOUT,))
        if status:
            raise TimedOut(f"{self.name}: no line matches {pattern!r} in {path} after {limit_s:g} emulated seconds")
        return data.decode(errors="replace")

    def hello(self, limit_s):
        """Waits for the agent, and returns the kernel's version."""
        return self.ask(channel.HELLO, limit_s=limit_s, what="no agent")[2].decode()

    def new_kernel_messages(self):
        """The kernel's log since the last call."""
        return self.call("dmesg -c", limit_s=20)
