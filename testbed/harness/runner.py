# SPDX-License-Identifier: MIT
"""Runs tests: one boot for all that need the same machine, two machines at a time, a line a test."""

import importlib.util
import itertools
import os
import random
import re
import shutil
import subprocess
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

from . import debug_kernel, emulator, image, logs
from .channel import MachineDied
from .context import Skip, Test
from .machine import Machine
from .native import NativeHost
from .run import TREE
from .say import Failure, say
from .testlist import Unit

LOGS = TREE / "build" / "logs"
INTERRUPTED = threading.Event()
UNIT_LIMIT_S = 900  # of real time
TESTS_A_BOOT = 20
PARALLEL = 2  # Bochs has one thread each; the smallest machine we know has two cores


class Outcome:
    """.kind: ok, skip or FAIL. A test that is itself wrong fails too, and leaves its traceback in .folder."""

    def __init__(self, entry, kind, text="", seconds=0.0, folder=None, counts=()):
        self.entry, self.kind, self.text, self.seconds, self.folder = entry, kind, text, seconds, folder
        self.counts = counts  # (what, tried, contained)


class Report:
    """Counts outcomes and prints each as it comes; used from several threads."""

    def __init__(self, quiet=False):
        self.quiet = quiet
        self.lock = threading.Lock()
        self.outcomes = []

    def add(self, outcome):
        with self.lock:
            self.outcomes.append(outcome)
            if self.quiet:
                return
            line = f"{outcome.kind:6} {outcome.entry.name:40} {outcome.seconds:5.1f} s"
            if outcome.text:
                line += f"  {outcome.text}"
            say(line)
            if outcome.kind == "FAIL":
                say(f"       logs: {outcome.folder.relative_to(TREE)}")

    def count(self, kind):
        return sum(outcome.kind == kind for outcome in self.outcomes)

    def table(self):
        """What was tried to do harm, and how much of it was contained; [] if nothing was."""
        rows = [(f"{outcome.entry.name} {what}".strip(), tried, contained)
                for outcome in self.outcomes for what, tried, contained in outcome.counts]
        if not rows:
            return []
        rows = [("attack or fault", "tried", "contained"), *sorted(rows),
                ("all", sum(row[1] for row in rows), sum(row[2] for row in rows))]
        return [f"{name:58} {tried:>10} {contained:>10}" for name, tried, contained in rows]

    def summary(self):
        text = f"{self.count('ok')} passed, {self.count('FAIL')} failed"
        return text + (f", {self.count('skip')} skipped" if self.count("skip") else "")


TRACEBACK = "traceback.txt"
SKIPPED = 77  # the exit code of a program that says it cannot be run here


def run_program(test, entry):
    """A test that is a program or a shell script: runs it where the list says."""
    where = test.host if entry.on == "host" else test.shared_guest()
    path = where.put(entry.file)
    result = where.run(path, entry.limit_s)
    (test.folder / "output.txt").write_text(result.out + result.err, encoding="utf-8")
    if result.status == SKIPPED:
        raise Skip((result.out.strip() or result.err.strip() or "it did not say why").splitlines()[-1])
    result.check()


def function_of(entry):
    if entry.file.suffix != ".py":
        return lambda test: run_program(test, entry)
    spec = importlib.util.spec_from_file_location(entry.base.replace("-", "_"), entry.file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.run


def keep_logs(host, folder):
    """Everything that helps to find out why a test failed, as far as it can still be had."""
    sources = {"host-console.log": host.console}
    for guest in host.guests:
        sources[f"{guest.name}-console.log"] = guest.console
    for name, read in sources.items():
        try:
            (folder / name).write_text(read(), encoding="utf-8", errors="replace")
        except (Failure, OSError):
            pass  # the machine may be gone; what it wrote to its own folder is still there


def kernel_complaints(host):
    """What the kernels of the host and of all guests logged since last asked that they should not have."""
    found = []
    for agent in [host, *host.guests]:
        try:
            log = agent.new_kernel_messages()
        except MachineDied:
            raise
        except Failure as failure:  # a guest that is dead though no test has killed it
            log = agent.console()
            found.append(str(failure))
        agent.kernel_log += log
        found += [f"{agent.name}: {line}" for line in logs.complaints(log)]
    for name, console in host.dead_consoles:
        found += [f"{name}, now dead: {line}" for line in logs.complaints(console)]
    host.dead_consoles.clear()
    return found


def what_is_left(host):
    """What our module still holds, or had to say, when all that a test started has ended; "" if nothing."""
    if not host.elisa.loaded:
        return ""
    leak = host.elisa.check_released()
    log = host.new_kernel_messages()
    host.kernel_log += log
    return leak or next((f"kernel log: {line}" for line in logs.complaints(log)), "")


def with_reports(test, kind, text, last=False):
    """KIND and TEXT of an outcome: a report of the checker of translations that the test does not expect is a failure."""
    reports, wanted = test.host.take_reports(), test.expected_report
    if reports:
        with open(test.folder / "translations.txt", "a", encoding="utf-8") as file:
            file.writelines(f"{report}\n" for report in reports)
    test.reports += reports
    surprises = [report for report in reports if not wanted or not re.search(wanted, report)]
    if surprises:
        return "FAIL", (f"{text}; " if text else "") + f"translations: {surprises[0]}"
    if last and wanted and kind == "ok" and not test.reports:
        return "FAIL", "the checker of translations has found nothing"
    return kind, text


def run_one(host, entry, folder):
    """Runs one test on a booted host; what it started is gone afterwards. Its kind, what it said, what it counted."""
    test = Test(host, folder, entry)
    text = ""
    try:
        host.install(*entry.host_packages)
        function_of(entry)(test, **entry.arguments)
        kind = "ok"
    except Skip as skip:
        kind, text = "skip", str(skip)
    except MachineDied:
        raise
    except Failure as failure:
        kind, text = "FAIL", str(failure)
    except Exception as error:  # a mistake in the test itself
        kind, text = "FAIL", f"{type(error).__name__}: {error}"
        (folder / TRACEBACK).write_text(traceback.format_exc(), encoding="utf-8")
    complaints = kernel_complaints(host)
    if complaints:
        kind, text = "FAIL", (f"{text}; " if text else "") + f"kernel log: {complaints[0]}"
    kind, text = with_reports(test, kind, text)
    if kind == "FAIL":
        keep_logs(host, folder)
        for agent in [host, *host.guests]:
            (folder / f"{agent.name}-kernel.log").write_text(agent.kernel_log, encoding="utf-8")
    test.clean_up()
    if kind == "FAIL":  # nobody knows what state the shared guests are in
        host.stop_guests()
    complaint = what_is_left(host)
    if complaint and kind != "FAIL":
        kind, text = "FAIL", f"afterwards: {complaint}"
        keep_logs(host, folder)
        (folder / "host-kernel.log").write_text(host.kernel_log, encoding="utf-8")
        host.stop_guests()
    host.dead_consoles.clear()
    return *with_reports(test, kind, text, last=True), test.counts


def new_folder(name):
    folder = LOGS / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def is_native():
    return os.environ.get("NATIVE") == "1"


def boot(entry, folder, seed, program):
    if is_native():
        return NativeHost(folder, apicv=entry.apicv).boot().load_kvm()
    machine = Machine(program, debug_kernel.of_host(entry.release), folder, entry.cpus, entry.apicv, seed,
                      guest_kernel=debug_kernel.of_guests(entry.release), memory_mb=entry.memory_mb, options=entry.host_options,
                      cpu_model=entry.cpu_model, checked=entry.checked)
    return machine.boot().load_kvm()


def run_unit(entry, report):
    folder = new_folder(entry.name)
    start = time.monotonic()
    command = [sys.executable, str(entry.file)] if entry.file.suffix == ".py" else [str(entry.file)]
    with open(folder / "output.txt", "w+", encoding="utf-8", errors="replace") as output:
        try:
            status = subprocess.run(command, cwd=TREE, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                                    timeout=UNIT_LIMIT_S, check=False).returncode
        except subprocess.TimeoutExpired:
            status = f"not over after {UNIT_LIMIT_S} s"
        output.seek(0)
        last = (output.read().strip() or f"exit code {status}").splitlines()[-1]
    kind = {0: "ok", SKIPPED: "skip"}.get(status, "FAIL")
    report.add(Outcome(entry, kind, "" if kind == "ok" else last, time.monotonic() - start, folder))


def run_group(entries, report, seed, program, until_failure=False):
    """All tests of one machine, in order. A machine that dies takes one test with it; the next gets a new one."""
    host = None
    for number, entry in enumerate(entries):
        if INTERRUPTED.is_set() or (until_failure and report.count("FAIL")):
            break
        folder = new_folder(entry.name)
        start = time.monotonic()
        try:
            if host is None:
                host = boot(entry, folder / "machine", seed + number if seed is not None else None, program)
            kind, text, counts = run_one(host, entry, folder)
        except Exception as failure:  # it did not boot, or it died
            text = str(failure) if isinstance(failure, Failure) else f"{type(failure).__name__}: {failure}"
            kind, text, counts = "FAIL", text if host else f"no machine: {text}", ()
            if host:
                (folder / "host-console.log").write_text(host.console(), encoding="utf-8", errors="replace")
                host.stop()
                host = None
        if not INTERRUPTED.is_set():
            report.add(Outcome(entry, kind, text, time.monotonic() - start, folder, counts))
    if host:
        host.stop()


def in_parallel(function, items, count=PARALLEL):
    """The results of FUNCTION for each item, several at a time. An interrupt ends those under way too."""
    with ThreadPoolExecutor(count) as pool:
        futures = [pool.submit(function, item) for item in items]
        try:
            return [future.result() for future in futures]
        except KeyboardInterrupt:
            INTERRUPTED.set()
            pool.shutdown(wait=False, cancel_futures=True)
            Machine.kill_all()  # which is what the threads wait for
            raise


def grouped(entries):
    """Those that share a boot together. Machines with more CPUs are slower, so they start first; a kind of machine that
    many tests need is booted several times, so that the last of them does not run alone.
    """
    if is_native():
        return [entries]
    groups = {}
    for entry in entries:
        groups.setdefault(entry.machine, []).append(entry)
    machines = sorted(groups, key=lambda machine: (-machine[0], *map(str, machine[1:])))
    return [group[at:at + TESTS_A_BOOT] for group in map(groups.get, machines) for at in range(0, len(group), TESTS_A_BOOT)]


def run(entries, seed=None, program=None):
    """Runs the tests, on the emulator PROGRAM if it is not to be the usual one, and returns the report."""
    report = Report()
    for entry in entries:
        if isinstance(entry, Unit):
            run_unit(entry, report)
    entries = [entry for entry in entries if not isinstance(entry, Unit)]
    if not is_native():
        # Made here once: two threads must not find out at the same time that something is missing.
        program = program or emulator.program()
        for release, options in {(entry.release, entry.host_options) for entry in entries}:
            image.host(debug_kernel.of_host(release), options)
    in_parallel(lambda group: run_group(group, report, seed, program), grouped(entries))
    return report


def run_until_failure(entries):
    """Runs the tests one after another as they come, quietly, until one fails, and returns the report."""
    report = Report(quiet=True)
    machine_of = {entry: None if isinstance(entry, Unit) else entry.machine for entry in entries}
    for machine, group in itertools.groupby(entries, machine_of.get):
        if machine:
            run_group(list(group), report, None, emulator.program(), until_failure=True)
            continue
        for entry in group:
            if not report.count("FAIL"):
                run_unit(entry, report)
    return report


def seed_from(word):
    """None for no seed, a number for a number, a random one for "random"."""
    if word is None:
        return None
    return random.SystemRandom().randrange(1 << 32) if word == "random" else int(word)
