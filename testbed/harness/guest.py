# SPDX-License-Identifier: MIT
"""A guest VM on the emulated host: stock QEMU, stock KVM, stock kernel."""

import os

from . import channel
from .agent import Agent
from .channel import MESSAGE, TimedOut
from .say import Failure

BOOT_LIMIT_S = 60  # of emulated time, in which several may boot on one CPU
RELAY_SLACK_MS = 2000


class GuestDied(Failure):
    """The guest's QEMU has ended."""


class Guest(Agent):
    """Use Host.guest() to get one."""

    store = "/root"  # where in it programs of tests lie

    def __init__(self, host, name, vcpus, memory_mb, kernel, initrd, qemu_options=(), command_line="", qemu=None,
                 machine="microvm"):
        self.host, self.name, self.vcpus = host, name, vcpus
        self.kernel_log = ""
        self.placed = {}  # file here -> path there
        self.folder = f"/run/guest/{name}"
        environment = (f"GUEST_KERNEL={kernel} GUEST_INITRD={initrd} GUEST_COMMAND_LINE='{command_line}' "
                       f"GUEST_MACHINE={machine}")
        if qemu:
            environment += f" QEMU={qemu}"
        host.call(f"rm -rf {self.folder}")
        self.qemu = host.start(f"exec env {environment} guest start {name} {vcpus} {memory_mb} {' '.join(qemu_options)}")
        self.release = None  # of its kernel, once it is up
        self.driver = False  # whether elisa_guest.ko is loaded

    def exchange(self, message, limit_ms):
        data = f"{self.folder}/agent.sock".encode() + b"\0" + message
        status, _, reply = channel.unpack(self.host.exchange(
            channel.pack(channel.RELAY, 0, limit_ms + RELAY_SLACK_MS, data), limit_ms + RELAY_SLACK_MS))
        if status:
            self.fail(status)
        if len(reply) < MESSAGE.size:
            raise Failure(f"{self.name}: half an answer from its agent")
        return reply

    def fail(self, status):
        """Says what became of a guest whose agent did not answer."""
        try:
            result = self.qemu.wait(2)
        except TimedOut as alive:
            raise Failure(f"{self.name}: its agent does not answer ({os.strerror(status)}); "
                          f"its console: {self.console_tail()}") from alive
        said = (result.err.strip() or result.out.strip() or self.console_tail()).splitlines()
        raise GuestDied(f"{self.name}: its QEMU ended with {result.status}: {said[-1] if said else 'no output'}")

    def wait_ready(self, limit_s=BOOT_LIMIT_S):
        self.host.expect_socket(f"{self.folder}/agent.sock", self.qemu)
        self.release = self.hello(limit_s)
        return self

    def kill(self, signal=9):
        """Kills its QEMU, as an administrator would."""
        self.qemu.kill(signal)
        result = self.qemu.wait(10)
        self.forget()
        return result

    def stop(self):
        """Ends it, alive or dead."""
        self.qemu.kill(9)
        self.qemu.wait(10)
        self.forget()

    def forget(self):
        self.host.dead_consoles.append((self.name, self.console()))
        self.host.ask(channel.CLOSE, data=f"{self.folder}/agent.sock".encode() + b"\0")
        if self in self.host.guests:
            self.host.guests.remove(self)

    def console(self):
        """All that its serial console has shown."""
        return self.host.read(f"{self.folder}/console.log").decode(errors="replace")

    def console_tail(self):
        lines = [line for line in self.console().splitlines() if line.strip()]
        return lines[-1] if lines else "empty"

    def expect_console(self, pattern, limit_s=10):
        return self.host.expect(f"{self.folder}/console.log", pattern, limit_s)
