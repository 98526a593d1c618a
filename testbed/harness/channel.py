# SPDX-License-Identifier: MIT
"""The wire to the emulator, and the agents' messages on it (emulator/instrument/channel.cc, agent/message.h)."""

import json
import random
import select
import socket
import struct

from .say import Failure

WIRE = struct.Struct("<IIQII")     # kind, length, ticks, budget in ms, jitter
MESSAGE = struct.Struct("<IIII")   # op or errno, a, b, length
MESSAGE_KIND, EXPIRED_KIND, RESET_KIND, COUNTS_KIND, REPORT_KIND = 1, 2, 3, 4, 5
HELLO, SPAWN, WAIT, KILL, WRITE, READ, EXPECT, RELAY, CLOSE = range(1, 10)

SLACK_MS = 5000       # emulated time for an agent to answer beyond the limit it was given
STUCK_S = 600         # real time after which an emulator that says nothing is taken for hung
JITTER_TURNS = 20000  # at most; a turn is some four instructions


class MachineDied(Failure):
    """The emulated host is gone or hangs; nothing more can be asked of this machine."""


class TimedOut(Failure):
    """A limit of emulated time passed; what there was by then is in .output."""

    def __init__(self, text, output=b""):
        super().__init__(text)
        self.output = output


class PortChannel:
    """To the agent in the emulated host, through the emulator. Emulated time stands still between requests."""

    def __init__(self, seed=None):
        self.ours, self.theirs = socket.socketpair()
        self.ticks = 0
        self.stuck_s = STUCK_S
        self.counts = []  # regions closed so far, as the emulator reported them
        self.reports = []  # what the checker of translations has found, a line each, until somebody takes it
        self.random = random.Random(seed) if seed is not None else None
        self.why_dead = lambda: "the emulator ended"

    def started(self):
        """To call when the emulator has its end of the socket."""
        self.theirs.close()

    def exchange(self, message, limit_ms):
        jitter = self.random.randrange(JITTER_TURNS) if self.random else 0
        try:
            self.ours.sendall(WIRE.pack(MESSAGE_KIND, len(message), 0, limit_ms + SLACK_MS, jitter) + message)
            while True:
                kind, data = self._receive()
                if kind == MESSAGE_KIND:
                    return data
                if kind == COUNTS_KIND:
                    self.counts.append(json.loads(data))
                elif kind == REPORT_KIND:
                    self.reports.append(data.decode())
                elif kind == EXPIRED_KIND:
                    raise MachineDied(f"the emulated host hangs: no answer in {(limit_ms + SLACK_MS) / 1000:g} emulated seconds")
                elif kind == RESET_KIND:
                    raise MachineDied("the emulated host crashed and reset itself")
        except OSError as error:
            raise MachineDied(self.why_dead()) from error

    def _receive(self):
        kind, length, self.ticks, _, _ = WIRE.unpack(self._exactly(WIRE.size))
        return kind, self._exactly(length)

    def _exactly(self, length):
        chunks = []
        while length:
            if not select.select([self.ours], [], [], self.stuck_s)[0]:
                raise MachineDied(f"the emulator said nothing for {self.stuck_s} s")
            data = self.ours.recv(min(length, 1 << 20))
            if not data:
                raise MachineDied(self.why_dead())
            chunks.append(data)
            length -= len(data)
        return b"".join(chunks)

    def close(self):
        self.ours.close()
        self.theirs.close()


class StreamChannel:
    """To an agent on this very machine, through an inherited socket."""

    def __init__(self):
        self.ours, self.theirs = socket.socketpair()
        self.counts = []
        self.reports = []

    def started(self):
        self.theirs.close()

    def exchange(self, message, limit_ms):
        self.ours.settimeout((limit_ms + SLACK_MS) / 1000)
        try:
            self.ours.sendall(message)
            head = self._exactly(MESSAGE.size)
            return head + self._exactly(MESSAGE.unpack(head)[3])
        except OSError as error:
            raise MachineDied(f"the agent does not answer: {error}") from error

    def _exactly(self, length):
        data = b""
        while len(data) < length:
            more = self.ours.recv(length - len(data))
            if not more:
                raise MachineDied("the agent ended")
            data += more
        return data

    def close(self):
        self.ours.close()
        self.theirs.close()


def pack(op, a=0, b=0, data=b""):
    return MESSAGE.pack(op, a, b, len(data)) + data


def unpack(reply):
    """(errno, a, data) of a reply."""
    status, a, _, length = MESSAGE.unpack_from(reply)
    return status, a, reply[MESSAGE.size:MESSAGE.size + length]
