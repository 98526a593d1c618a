# SPDX-License-Identifier: MIT
"""Programs of the build machine."""

import os
import signal
import subprocess
from pathlib import Path

from .say import Failure

TREE = Path(__file__).resolve().parents[2]


def run(*command, cwd=None, log=None, what=None, on_line=None, env=None):
    """Runs a command and returns its output; a failure is a Failure that names the log or the last line.

    ON_LINE, if given, sees each line as it comes.
    """
    lines = []
    sink = open(log, "w", encoding="utf-8") if log else None
    try:
        process = subprocess.Popen([str(part) for part in command], cwd=cwd, env=env, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                                   start_new_session=True)
        try:
            for line in process.stdout:
                lines.append(line.rstrip("\n"))
                if sink:
                    sink.write(line)
                if on_line:
                    on_line(lines[-1])
            status = process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)  # with all that it started: make's compilers
            process.wait()
            raise
    except FileNotFoundError as error:
        raise Failure(f"{command[0]} is not installed") from error
    finally:
        if sink:
            sink.close()
    if status and any("No space left on device" in line for line in lines):
        raise Failure(f"{what or command[0]}: no space left on the disk")
    if status:
        last = next((line for line in lines if " error: " in line),  # a compiler's, which make's own words follow
                    next((line for line in reversed(lines) if line.strip()), "no output"))
        raise Failure(f"{what or command[0]} failed: {last}" + (f" (all of it: {log})" if log else ""))
    return "\n".join(lines)
