# SPDX-License-Identifier: MIT
"""NATIVE=1: the same tests on this very machine, with its own KVM. See CAVEATS.md."""

import os
import subprocess
import sys
from pathlib import Path

from . import apt, image, kernel, qemu
from .channel import StreamChannel
from .machine import Host
from .run import TREE
from .say import Failure

APPLETS = ("usleep",)

WHAT_IT_DOES = """\
NATIVE=1 runs the tests on this machine, as root, with no emulator in between:
  - it loads the project's kernel modules and test modules into the running kernel;
  - it unloads kvm_intel and loads it again with other options, so no VM may run;
  - it starts and kills QEMU processes, and writes to /run/testbed, /run/testbed-guests and /run/guest.
A fault in a module can crash the machine. Use one that you can spare.
Set NATIVE_YES=1 to skip this question. Go on? [y/N] """


def confirm():
    if os.environ.get("NATIVE_YES") == "1":
        return
    sys.stdout.write(WHAT_IT_DOES)
    sys.stdout.flush()
    if sys.stdin.readline().strip().lower() != "y":
        raise Failure("nothing was done")


def check_machine():
    """What a machine must have, said before anything is done to it."""
    if os.geteuid() != 0:
        raise Failure("NATIVE=1 needs root")
    flags = Path("/proc/cpuinfo").read_text(encoding="ascii").split()
    if "vmx" not in flags:
        raise Failure("NATIVE=1 needs a CPU with VT-x, and VT-x switched on; run without it to use the emulated machine")


class RunningKernel:
    """This machine's own kernel, for modules to be built against."""

    def __init__(self):
        self.version = os.uname().release
        self.headers = Path("/lib/modules") / self.version / "build"


class NativeHost(Host):
    """The machine we run on, through the same agent. It cannot count instructions."""

    store = "/run/testbed-guests"
    counts_exactly = False
    cpus, emulator = os.cpu_count(), None

    def __init__(self, folder, guest_kernel=None, apicv=True):
        super().__init__(StreamChannel(), guest_kernel)
        self.apicv = apicv
        self.installed.add(qemu.PATH)  # with all that it needs: testbed/packages
        self.kernel = RunningKernel()
        self.last_line = None
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.process = None

    def boot(self):
        check_machine()
        confirm()
        self.guest_kernel = self.guest_kernel or kernel.current()
        return self.start_agent()

    def start_agent(self):
        path = [TREE / "testbed" / "image", TREE / "build" / "testbed" / "agent", self.applets(), os.environ["PATH"]]
        environment = {**os.environ, "PATH": ":".join(map(str, path)), "QEMU": image.QEMU}
        self.process = subprocess.Popen([str(TREE / "build/testbed/agent/agent"), "fd", str(self.channel.theirs.fileno())],
                                        pass_fds=[self.channel.theirs.fileno()], env=environment)
        self.channel.started()
        self.hello(10)
        return self

    def applets(self):
        """The folder of what tests call and Debian has not, but as a part of busybox."""
        folder = self.folder.resolve() / "bin"
        folder.mkdir(exist_ok=True)
        for name in APPLETS:
            (folder / name).unlink(missing_ok=True)
            (folder / name).symlink_to(image.BUSYBOX)
        return folder

    def load_kvm(self):
        self.call(f"modprobe -r kvm_intel 2>/dev/null; modprobe kvm_intel enable_apicv={int(self.apicv)} && [ -e /dev/kvm ]")
        return self

    def unpack(self, archive):
        raise Failure("nothing is unpacked over the machine's own files")

    def install(self, *packages):
        """They are the machine's own, which nothing here changes."""
        missing = apt.missing_packages(packages) if packages else ()
        if missing:
            raise Failure(f"this needs packages on this machine: apt-get install {' '.join(missing)}")

    def install_modules(self, *names):
        for name in names:
            self.call(f"modprobe {name}")

    def keeps_vmx_on(self):
        return self.run("grep -qs Y /sys/module/kvm/parameters/enable_virt_at_load").status == 0

    def unload_kvm(self):
        self.call("modprobe -r kvm_intel")

    def new_kernel_messages(self):
        """Without clearing the log, which is not ours: only what is newer than the last line seen."""
        lines = self.call("dmesg", limit_s=20).splitlines()
        start = lines.index(self.last_line) + 1 if self.last_line in lines else 0
        fresh = lines[start:] if self.last_line else []
        self.last_line = lines[-1] if lines else None
        return "\n".join(fresh)

    def console(self):
        return self.call("dmesg", limit_s=20)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.stop_guests()
            self.elisa.unload()
            self.channel.close()
            self.process.wait(10)
