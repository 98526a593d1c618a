# SPDX-License-Identifier: MIT
"""What a test gets: the host, guests, ways to say what is wrong."""

from .run import TREE
from .say import Failure


class Skip(Exception):
    """The test cannot be run here; the message says why."""


class Test:
    """Handed to run(test) of a test's file. Limits are seconds of emulated time."""

    def __init__(self, host, folder, entry):
        self.host, self.folder, self.entry = host, folder, entry
        self.build = TREE / "build"
        self.ours = []  # guests that this test started

    def fail(self, text):
        raise Failure(text)

    def skip(self, why):
        raise Skip(why)

    def need_emulator(self):
        """Skips the test on a real machine: it counts, or needs a machine that it may crash."""
        if not self.host.counts_exactly:
            raise Skip("only the emulated machine can do this")

    def check(self, condition, text):
        if not condition:
            raise Failure(text)

    def equal(self, got, expected, what):
        if got != expected:
            raise Failure(f"{what}: {got!r}, expected {expected!r}")

    def guest(self, **options):
        """A guest of this test's own, gone when the test is over; see Host.guest()."""
        guest = self.host.guest(**options)
        self.ours.append(guest)
        return guest

    def guests(self, count, **options):
        """COUNT guests that boot at the same time."""
        guests = self.host.start_guests(count, **options)
        self.ours += guests
        return guests

    def shared_guest(self, **options):
        """A guest that outlives the test, for tests that leave no trace in it: booting one costs 3 s."""
        key = tuple(sorted(options.items()))
        guest = self.host.shared_guests.get(key)
        if guest not in self.host.guests:
            guest = self.host.shared_guests[key] = self.host.guest(**options)
        return guest

    def kernel_log(self):
        """What the host's kernel has logged since the test began, or since the last call."""
        return self.host.new_kernel_messages()
