# SPDX-License-Identifier: MIT
"""`make test-mutations`: the product without one of its guards fails a test, which is how we know that the test sees it.

Each guard is taken out in a copy of the whole tree below build/mutations, whose own harness then runs the tests. So nothing
of a mutated product lies where other runs look. A copy is used again for the next mutation: only what differs is built.
"""

import contextlib
import fcntl
import functools
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import tomllib
from pathlib import Path

from . import check, elisa, image, kernel, modules, runner, setup, testlist
from .run import TREE
from .say import Failure, say

LIST = TREE / "tests" / "mutations.toml"
ROOT = TREE / "build" / "mutations"
LOGS = TREE / "build" / "logs" / "mutations"
KEYS = {"name", "guard", "file", "find", "replace", "tests", "why", "unseen"}

# Targets of Meson that fail when something is wrong with what was built, and are no compiler's.
BUILD_CHECKS = {"build/gate-check": "tools/gate-check/gate-check.txt", "build/code-check": "tools/code-check/code-check.txt"}

# A test that fails for one of these says nothing of the guard.
NOT_CAUGHT = re.compile(r"^no machine: |^building \S+ for|host: .*(not loaded: |can't insert)|^\S+ is not built$")

UNIT_REASON = re.compile(r"^\[  ERROR   \] --- |ERROR: AddressSanitizer|\.seed: |: Assertion ")

LINE = 120  # of a reason, at most


class Mutation:
    """One guard, and the change that takes it out."""

    def __init__(self, fields):
        self.name = fields.get("name", "?")
        missing = {"name", "guard", "file", "find", "replace"} - set(fields)
        unknown = set(fields) - KEYS
        if missing or unknown:
            raise Failure(f"tests/mutations.toml: {self.name}: " +
                          (f"no {sorted(missing)[0]}" if missing else f"unknown {sorted(unknown)[0]}"))
        self.guard, self.file = fields["guard"], fields["file"]
        self.find, self.replace = fields["find"], fields["replace"]
        self.tests = fields.get("tests", [])  # in the order in which they are tried
        self.unseen = fields.get("unseen")  # why no test can see it; then it is only tried when it is named
        if not self.tests and not self.unseen:
            raise Failure(f"tests/mutations.toml: {self.name}: no tests")

    def applied(self, text):
        """TEXT of its file without the guard."""
        count = text.count(self.find)
        if count != 1 or self.find == self.replace:
            raise Failure(f"tests/mutations.toml: {self.name}: its text is {count} times in {self.file}, once is right")
        return text.replace(self.find, self.replace)


def load(file=LIST):
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise Failure(f"tests/mutations.toml: {error}") from error
    mutations = [Mutation(fields) for fields in tables.get("mutation", [])]
    names = [mutation.name for mutation in mutations]
    for name in names:
        if names.count(name) > 1:
            raise Failure(f"tests/mutations.toml: two mutations are called {name}")
    return mutations


def check_list(mutations):
    """Each still applies to the tree as it is, and names tests that there are."""
    known = {entry.name for entry in testlist.load(long=True)} | set(BUILD_CHECKS)
    for mutation in mutations:
        file = TREE / mutation.file
        if not file.is_file():
            raise Failure(f"tests/mutations.toml: {mutation.name}: no file {mutation.file}")
        mutation.applied(file.read_text(encoding="utf-8"))
        for test in mutation.tests:
            if test not in known:
                raise Failure(f"tests/mutations.toml: {mutation.name}: no test is called {test}")


def choose(mutations, words):
    """Those called one of WORDS, or in a file called so; all for no words."""
    for word in words:
        if not any(word in (mutation.name, mutation.file) for mutation in mutations):
            raise Failure(f"no mutation is called {word}; tests/mutations.toml has them")
    return [each for each in mutations if not words or {each.name, each.file} & set(words)]


# --- in the real tree

@contextlib.contextmanager
def copied_tree():
    """A copy of the tree that nobody else uses; its folder build is what the last one to have it left."""
    ROOT.mkdir(parents=True, exist_ok=True)
    for number in itertools.count():
        with open(ROOT / f".lock-{number}", "w", encoding="ascii") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield ROOT / f"tree{number}"
            return


def put(path, data, mode):
    """Writes a file if it is another: builds go by the time when it was written."""
    if not path.is_file() or path.read_bytes() != data:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    path.chmod(mode)


@functools.lru_cache
def our_tree():
    """All files as they are now, name -> (bytes, mode): whoever edits them meanwhile does not change what is tried."""
    return {name: ((TREE / name).read_bytes(), (TREE / name).stat().st_mode)
            for name in check.files() if (TREE / name).is_file()}


def copy_tree(tree, mutation):
    """Makes TREE the same as ours, but for the mutation."""
    for top in tree.glob("*"):
        for path in [] if top.name == "build" else [top, *top.rglob("*")]:
            if path.is_file() and str(path.relative_to(tree)) not in our_tree():
                path.unlink()
    for name, (data, mode) in our_tree().items():
        if name == mutation.file:
            data = mutation.applied(data.decode()).encode()
        put(tree / name, data, mode)


class Result:
    """.kind: caught, MISSED, unseen, or ERROR, which says nothing of the guard."""

    def __init__(self, mutation, kind, text="", test=None, seconds=0.0):
        self.mutation, self.kind, self.text, self.test, self.seconds = mutation, kind, text, test, seconds

    def line(self):
        by = f"by {self.test}: " if self.test else ""
        return f"{self.kind:7} {self.mutation.name:26} {self.seconds:5.1f} s  {by}{' '.join(self.text.split())[:LINE]}"


RUNNING = set()  # harnesses of copied trees; an emulator ends with its harness


def run_mutant(tree, tests):
    """What run_here() in the copied tree found out."""
    environment = {**os.environ, "PYTHONPATH": str(tree / "testbed"), "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen([sys.executable, "-m", "harness", "mutant", str(TREE / "build"), *tests], cwd=tree,
                               env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True, errors="replace", start_new_session=True)
    RUNNING.add(process)
    lines = process.communicate()[0].splitlines() or ["no output"]
    RUNNING.discard(process)
    if process.returncode:
        raise Failure(f"the harness of the copied tree: {lines[-1]}")
    return json.loads(lines[-1])


def try_one(mutation):
    start = time.monotonic()
    with copied_tree() as tree:
        try:
            copy_tree(tree, mutation)
            found = run_mutant(tree, mutation.tests)
        except Failure as failure:
            return Result(mutation, "ERROR", str(failure), None, time.monotonic() - start)
        logs = LOGS / mutation.name
        shutil.rmtree(logs, ignore_errors=True)
        if found["test"] and (tree / "build" / "logs" / found["test"]).is_dir():
            shutil.copytree(tree / "build" / "logs" / found["test"], logs, ignore_dangling_symlinks=True)
    return Result(mutation, found["kind"], found["text"], found["test"], time.monotonic() - start)


def summary(results):
    kinds = [result.kind for result in results]
    text = f"{kinds.count('caught')} guards needed, {kinds.count('MISSED')} missed"
    return text + "".join(f", {kinds.count(kind)} {kind.lower()}" for kind in ("unseen", "ERROR") if kind in kinds)


def test_all(names, jobs):
    mutations = choose(load(), names)
    check_list(mutations)
    our_tree()
    lock = threading.Lock()

    def one(mutation):
        if mutation.unseen and mutation.name not in names:
            result = Result(mutation, "unseen", mutation.unseen)
        else:
            result = try_one(mutation)
        with lock:
            say(result.line())
        return result

    try:
        results = runner.in_parallel(one, mutations, jobs)
    except KeyboardInterrupt:
        for process in list(RUNNING):
            os.killpg(process.pid, signal.SIGKILL)
        raise
    say(summary(results))
    return 1 if any(result.kind in ("MISSED", "ERROR") for result in results) else 0


# --- in the copied tree

def build_user_space(targets):
    """TARGETS, all that can be built for none: None, or the check of the build that failed with what it said."""
    setup.configure("-Dwerror=false")  # a guard's absence may leave something unused
    ninja = subprocess.run(["ninja", "-C", str(setup.BUILD), "-k", "0", *targets], capture_output=True, text=True, check=False)
    lines = ninja.stdout.splitlines()
    failed = None
    for number, line in enumerate(lines):
        if line.startswith("FAILED: "):
            name = next((name for name, target in BUILD_CHECKS.items() if target in line.split()), None)
            said = [each for each in lines[number + 2:] if not each.startswith("---")][:1]  # after the command
            if not name:
                reason = next((each for each in lines[number:] if "error: " in each), line)
                raise Failure(f"it does not compile: {reason}")
            failed = failed or (name, (said or ["it failed"])[0])
    return failed


def build_modules(entries):
    for release in sorted({entry.release for entry in entries if not isinstance(entry, testlist.Unit)}):
        for source in (elisa.HOST_MODULE, elisa.GUEST_MODULE):
            modules.build(kernel.current(release), source)


def reason(outcome):
    """Why a test failed; of a unit test the line that says so, which need not be its last."""
    if not isinstance(outcome.entry, testlist.Unit):
        return outcome.text
    lines = (outcome.folder / "output.txt").read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line.strip() for line in lines if UNIT_REASON.search(line)), outcome.text)


def outcome_of(outcome):
    if outcome.kind != "FAIL":
        return None
    if NOT_CAUGHT.search(outcome.text) or (outcome.folder / runner.TRACEBACK).exists():
        raise Failure(f"{outcome.entry.name}: {outcome.text}")
    return {"kind": "caught", "test": outcome.entry.name, "text": reason(outcome)}


def needs_itself_alone(entry):
    """Is it a program that nothing else has to be built for?"""
    return isinstance(entry, testlist.Unit) and entry.file.is_relative_to(setup.BUILD)


def find_out(tests):
    """The first of TESTS that fails, as a dictionary: kind, test, text."""
    known = {entry.name: entry for entry in testlist.load()}
    known |= {entry.name: entry for entry in testlist.load(long=True) if entry.name not in known}
    entries = [known[name] for name in tests if name not in BUILD_CHECKS]
    alone = len(entries) == len(tests) and all(needs_itself_alone(entry) for entry in entries)
    failed = build_user_space([str(entry.file.relative_to(setup.BUILD)) for entry in entries] if alone else [])
    if failed:
        return {"kind": "caught", "test": failed[0], "text": failed[1]}
    build_modules(entries)
    outcomes = runner.run_until_failure(entries).outcomes
    for outcome in outcomes:
        found = outcome_of(outcome)
        if found:
            return found
    passed = [outcome.entry.name for outcome in outcomes if outcome.kind == "ok"]
    return {"kind": "MISSED", "test": None, "text": f"passed: {' '.join(passed) or 'nothing, all was skipped'}"}


def run_here(build, tests):
    """For run_mutant(): the last line of the output says what was found out."""
    # The boot medium is that of the real tree: it holds nothing that is tested, and each is 60 MB.
    image.BUILD = Path(build)
    try:
        found = find_out(tests)
    except Failure as failure:
        found = {"kind": "ERROR", "test": None, "text": str(failure)}
    print(json.dumps(found), flush=True)
