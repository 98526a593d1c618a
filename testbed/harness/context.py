# SPDX-License-Identifier: MIT
"""What a test gets: the host, guests, ways to say what is wrong."""

import functools

from . import elisa
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
        self.managers = []  # likewise
        self.asked = False  # for elisa.ko, loaded in some way
        self.expected_report = None  # of the checker of translations, as a regular expression: without one the test fails
        self.reports = []
        self.counts = []  # (what, tried, contained), for the table at the end

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

    def contained(self, tried, contained, what=""):
        """Counts attempts to do harm, for the table that is printed at the end; fails unless all were contained."""
        self.counts.append((what, tried, contained))
        self.check(tried > 0, f"{what or 'attack'}: nothing was tried")
        self.equal(contained, tried, f"{what or 'attack'}: contained, of those tried")

    def guest(self, **options):
        """A guest of this test's own, gone when the test is over; see Host.guest()."""
        guest, = self.with_kit(self.start_one, options)
        self.ours.append(guest)
        return guest

    def guests(self, count, **options):
        """COUNT guests that boot at the same time."""
        guests = self.with_kit(functools.partial(self.host.start_guests, count), options)
        self.ours += guests
        return guests

    def start_one(self, **options):
        return [self.host.guest(**options)]

    def with_kit(self, start, options):
        """Starts guests that have the programs of tests, and of the packages that the list names."""
        kit = elisa.kit()
        vcpus, packages = (self.entry.vcpus, self.entry.packages) if self.entry else (1, ())
        guests = start(**{"vcpus": vcpus, **options,
                          "extra": (*((path, file) for file, path in kit.items()), *options.get("extra", ())),
                          "packages": (*packages, *options.get("packages", ()))})
        for guest in guests:
            guest.placed.update(kit)
        return guests

    def shared_guest(self, **options):
        """A guest that outlives the test, for tests that leave no trace in it: booting one costs 3 s."""
        key = tuple(sorted(options.items()))
        guest = self.host.shared_guests.get(key)
        if guest not in self.host.guests:
            guest, = self.with_kit(self.start_one, options)
            self.host.shared_guests[key] = guest
        return guest

    def elisa(self, **parameters):
        """elisa.ko on the host, loaded with these parameters; it stays loaded for later tests. See elisa.HostModule."""
        self.asked = True
        return self.host.elisa.load(**parameters)

    def parameter(self, name, value):
        """Sets one of elisa.ko while it is loaded; returns what it was."""
        path = f"/sys/module/elisa/parameters/{name}"
        return self.host.call(f"cat {path}; echo {value} > {path}").strip()

    def need_elisa(self):
        """As this test has asked for it, or as usual: not as the test before it did."""
        if not self.asked or not self.host.elisa.loaded:
            self.elisa()

    def load_object(self, source):
        """An object as a module of the host's: see elisa.HostModule."""
        self.need_elisa()
        self.host.elisa.load_object(source)

    def elisa_guest(self, guest):
        """Loads elisa_guest.ko into a running guest, once, and elisa.ko on the host if it is not loaded; returns the guest."""
        self.need_elisa()
        if not guest.driver:
            elisa.insert(guest, elisa.GUEST_MODULE, guest.kernel)
            guest.driver = True
        return guest

    def client(self, **options):
        """A guest of this test's own that can attach: test.guest() with the driver loaded."""
        return self.elisa_guest(self.guest(**options))

    def manager(self, code="nop", name=None, where=None, wait=True, **options):
        """A manager of an object, ready; ended when the test is over. On the host, unless WHERE is a guest.

        CODE: the object's name in objects/, or an ELF file. OPTIONS: those of elisa-manager, as in vetted=True,
        memory="1M", huge="2M", grant=["vm:3", "all:ro"], ask="accept". With wait=False .wait_ready() is left to the test.
        """
        where = where or self.host
        if where is self.host:
            self.need_elisa()
        manager = elisa.start_manager(where, code, name, elisa.option_words(options))
        self.managers.append(manager)
        return manager.wait_ready() if wait else manager

    def program(self, agent, name):
        """The path on host or guest of the program built from tests/vm/programs/NAME.c."""
        return elisa.place(agent, elisa.PROGRAMS / name)

    def control(self, agent=None):
        """The path of elisactl on host or guest."""
        return elisa.place(agent or self.host, elisa.CONTROL)

    def stats(self, agent=None):
        """What the module on the host (or a guest's driver) holds: `elisactl stat`, as a dictionary."""
        return elisa.stats(agent or self.host)

    def listed(self, what):
        """What the host's module lists of "vm", "object" or "attach": a list of dictionaries."""
        return elisa.listed(self.host, what)

    def until_called(self, name):
        """Waits until a client of the object NAME is in its first call, or beyond: the host is asked, its VM may not answer."""
        for _ in range(400):
            attached = self.listed("attach")
            if any(each["name"] == name and each["calls"] for each in attached):
                return
            self.host.call("usleep 5000")
        self.fail(f"nobody calls {name}: {attached}")

    def clean_up(self):
        """Ends what this test has started: managers, then guests."""
        for manager in self.managers:
            if manager.agent in (self.host, *self.host.guests) and not manager.job.result:
                manager.kill()
        for guest in self.ours:
            if guest in self.host.guests:
                guest.stop()

    def kernel_log(self):
        """What the host's kernel has logged since the test began, or since the last call."""
        return self.host.new_kernel_messages()
