# SPDX-License-Identifier: MIT
"""`make shell`: a terminal on the emulated host, with a guest running to look into."""

import os
import pty
import select
import sys
import termios
import threading
import tty

from . import emulator, kernel, runner
from .machine import Machine
from .say import Failure, say

BANNER = """\
The emulated host. Leave with `exit`. A guest called "guest1" runs; more with `guest start NAME &`.
  guest shell guest1   its console (Ctrl-] leaves)        marker begin X; ...; marker end X   count
"""
FOREVER_S = 10**6


def pump(master, done):
    """Joins our terminal with the emulated serial line until DONE."""
    while not done.is_set():
        ready, _, _ = select.select([0, master], [], [], 0.2)
        if master in ready:
            data = os.read(master, 4096)
            os.write(1, data)
        if 0 in ready:
            data = os.read(0, 4096)
            if not data:
                os.write(master, b"\x04")
                return
            os.write(master, data)


def run(cpus=1, guests=1):
    if not sys.stdin.isatty():
        raise Failure("make shell needs a terminal")
    master, slave = pty.openpty()
    tty.setraw(slave)
    machine = Machine(emulator.program(), kernel.current(), runner.new_folder("shell"), cpus, terminal=os.ttyname(slave))
    try:
        say("booting the host ...")
        machine.boot().load_kvm()
        if guests:
            say("booting a guest ...")
            machine.start_guests(guests)
        # A link under its usual name lets `guest start` work by hand.
        machine.call("ln -sf /guest/vmlinux-* /guest/vmlinux; ln -sf /guest/initrd-* /guest/initrd")
        size = os.get_terminal_size()
        say(BANNER)
        job = machine.start(f"stty -F /dev/ttyS1 115200 rows {size.lines} cols {size.columns} sane; "
                            "exec sh -l < /dev/ttyS1 > /dev/ttyS1 2>&1")  # a job leads its session: this tty is its
        before = termios.tcgetattr(0)
        done = threading.Event()
        terminal = threading.Thread(target=pump, args=(master, done), daemon=True)
        try:
            tty.setraw(0)
            terminal.start()
            machine.channel.stuck_s = None  # people may think for as long as they like
            job.wait(FOREVER_S)
        finally:
            done.set()
            terminal.join(1)
            termios.tcsetattr(0, termios.TCSADRAIN, before)
    finally:
        machine.stop()
        os.close(master)
        os.close(slave)
