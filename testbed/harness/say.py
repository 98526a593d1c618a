# SPDX-License-Identifier: MIT
"""What the user sees: one line a step, and one line an error."""

import sys
import threading
import time


class Failure(Exception):
    """Something the user can act on: the message is the one line that is shown."""


def say(text):
    print(text, flush=True)


class step:
    """A step that may take long: says what it does, shows progress, says how long it took.

    On a terminal the progress overwrites itself; elsewhere a line appears every half minute.
    """

    def __init__(self, text, expected_s=None):
        self.text = text
        self.expected = f", about {expected_s} s" if expected_s else ""
        self.detail = ""
        self.stop = threading.Event()
        self.terminal = sys.stdout.isatty()

    def __enter__(self):
        self.start = time.monotonic()
        say(f"  {self.text}{self.expected} ...")
        self.thread = threading.Thread(target=self._tick, daemon=True)
        self.thread.start()
        return self

    def progress(self, detail):
        self.detail = detail

    def _tick(self):
        while not self.stop.wait(1 if self.terminal else 30):
            line = f"    {time.monotonic() - self.start:4.0f} s  {self.detail}"
            if self.terminal:
                sys.stdout.write(f"\r{line:<78}")
                sys.stdout.flush()
            else:
                say(line)

    def __exit__(self, kind, value, trace):
        self.stop.set()
        self.thread.join()
        if self.terminal:
            sys.stdout.write(f"\r{'':<78}\r")
        if kind is None:
            say(f"  {self.text}: done in {time.monotonic() - self.start:.1f} s")
        return False
