# SPDX-License-Identifier: MIT
"""The emulated host: one Bochs process, its agent, its guests."""

import os
import random
import subprocess
from pathlib import Path

from . import cache, elisa, image, programs
from .run import TREE
from .kernel import module_name
from .agent import Agent
from .channel import PortChannel
from .guest import Guest
from .say import Failure

BOOT_LIMIT_S = 60
MEMORY_MB = 1024
LOADED_MB = 2048  # the most that Bochs keeps loaded; what is more lies in a file of it, of which a GiB is lost below 4 GiB
CPU_MODEL = "corei7_skylake_x"
QUANTUM = (4, 32)  # instructions a turn that a seed chooses from, with several CPUs
WATCH = TREE / "testbed" / "watch"  # tells the checker of translations which memory is given back
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


# vga realtime=0: else its timer follows the clock of the build machine, and no two runs are quite the same.
def bochs_configuration(kernel, options, folder, cpus, quantum, memory_mb, terminal, cpu_model):
    # For a person at a terminal time should not run faster than it does outside.
    second_serial = f"com2: enabled=1, mode=term, dev={terminal}\n" if terminal else ""
    clock = "slowdown" if terminal else "none"
    return f"""\
display_library: nogui
config_interface: textconfig
cpu: model={cpu_model}, count={cpus}, ips={kernel.ips}, quantum={quantum}, exclude_features="rdrand,rdseed"
memory: guest={memory_mb}, host={min(memory_mb, LOADED_MB)}
romimage: file=/usr/share/bochs/BIOS-bochs-latest, options=fastboot
vgaromimage: file=/usr/share/vgabios/vgabios.bin
vga: extension=none, update_freq=1, realtime=0
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path={image.host(kernel, options)}, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev={folder}/console.log
{second_serial}clock: sync={clock}, time0=1000000000
log: {folder}/emulator.log
panic: action=fatal
error: action=ignore
info: action=ignore
debug: action=ignore
"""


class Host(Agent):
    """What is common to the emulated host and to a real one: guests, and where their files lie."""

    name = "host"
    store = "/guest"  # where on it kernels, initramfs and disks of guests lie
    counts_exactly = True
    checked = False  # whether translations are, see docs/fidelity.md

    def __init__(self, channel, guest_kernel):
        self.channel, self.guest_kernel = channel, guest_kernel
        self.guests = []
        self.shared_guests = {}  # options -> guest, for tests that share one
        self.dead_consoles = []  # (name, console) of guests that are gone, until somebody has looked at them
        self.guest_number = 0
        self.kernel_log = ""
        self.sent = {}  # what lies on the host already: content's name here -> path there
        self.placed = {}  # the same for programs and modules: file here -> path there
        self.installed = set()  # packages of Debian
        self.inserted = set()  # modules, by file name
        self.elisa = elisa.HostModule(self)

    def exchange(self, message, limit_ms):
        return self.channel.exchange(message, limit_ms)

    @property
    def counts(self):
        """Regions counted so far, oldest first."""
        return self.channel.counts

    def take_reports(self):
        """What the checker of translations has found since somebody last asked."""
        reports, self.channel.reports = self.channel.reports, []
        return reports

    def count_of(self, name):
        """The newest region called NAME."""
        for region in reversed(self.counts):
            if region["name"] == name:
                return region
        raise Failure(f"nothing was counted under the name {name!r}")

    def expect_socket(self, path, job, limit_s=20):
        """Waits until somebody listens at PATH; a Failure if the job that is to do so ends first."""
        # It exists a moment earlier, and refuses who connects: __SO_ACCEPTCON of the flags, the fourth column, says more.
        there = f"grep -qE '^([^ ]+ ){{3}}00010000 .* {path}$' /proc/net/unix"
        wait = f"while ! {there} && [ -e /proc/$(cat {os.path.dirname(path)}/pid) ]; do usleep 5000; done; {there}"
        if self.run(f"while ! [ -e {os.path.dirname(path)}/pid ]; do usleep 5000; done; {wait}", limit_s).status:
            result = job.wait(1)
            said = (result.err.strip() or "no output").splitlines()
            raise Failure(f"`{job.command}` ended with {result.status}: {said[-1]}")

    def send_once(self, name, make):
        """The path on the host of the bytes that make() gives, copied in when first asked for."""
        if name not in self.sent:
            path = f"{self.store}/{name}"
            self.run(f"mkdir -p {self.store}").check()
            self.write(path, make())
            self.sent[name] = path
        return self.sent[name]

    def copy_guest_kernel(self, kernel=None, packed=False):
        """The path of the guests' kernel on the host. Whoever asks first waits 1 s for it to be copied."""
        kernel = kernel or self.guest_kernel
        file = kernel.vmlinuz if packed else kernel.vmlinux
        return self.send_once(f"{file.name}-{kernel.version}", file.read_bytes)

    def install(self, *packages):
        """Puts the programs of Debian's PACKAGES here, with the libraries that they need; see programs.py."""
        packages = sorted(set(packages) - self.installed)
        if packages:
            self.unpack(image.package_archive(packages))
            self.installed.update(packages)

    def unpack(self, archive):
        self.write("/archive", archive.bytes())
        self.call("cd / && cpio -idu < /archive && rm /archive", limit_s=60)

    def install_modules(self, *names):
        """Loads modules of its kernel, and what they need, that are not in its image."""
        for file in self.kernel.module_files(*names):
            if file.name not in self.inserted:
                self.write(f"/modules/{file.name}", image.stripped(file))
                self.call(f"grep -q '^{module_name(file)} ' /proc/modules || insmod /modules/{file.name}")
                self.inserted.add(file.name)

    def guest(self, name=None, vcpus=1, memory_mb=128, kernel=None, packed=False, extra=(), modules=(), packages=(),
              disk=None, qemu=None, machine="microvm", qemu_options=(), command_line="", wait=True):
        """Starts a guest.

        PACKED: from the kernel as it is installed, not its ELF file: slower, and the only way to five levels of page tables;
        EXTRA: (path in the guest, file here) to add to its initramfs; MODULES: of its kernel, to load at boot; PACKAGES: of
        Debian, whose programs it has (programs.py); DISK: a file here that it sees as /dev/vda; QEMU: the path on the host
        of another one than usual; MACHINE: microvm, or pc (see qemu.py). With
        wait=False the guest is returned while it boots; wait_ready() then.
        """
        kernel = kernel or self.guest_kernel
        self.guest_number += 1
        name = name or f"guest{self.guest_number}"
        boots = self.copy_guest_kernel(kernel, packed)
        modules = (*modules, "virtio_blk") if disk else tuple(modules)
        contents = cache.digest(kernel.version, *modules, *(part for path, file in extra for part in (path, Path(file))),
                                *(str(file) for _, file in programs.files(packages)))
        initrd = self.send_once(f"initrd-{contents}", lambda: image.guest(kernel, extra, modules, packages))
        options = list(qemu_options)
        if disk:
            path = self.send_once(f"disk-{self.guest_number}", Path(disk).read_bytes)
            options += ["-drive", f"file={path},if=none,format=raw,id=disk", "-device", "virtio-blk-device,drive=disk"]
        guest = Guest(self, name, vcpus, memory_mb, boots, initrd, options, command_line, qemu, machine)
        guest.kernel = kernel
        self.guests.append(guest)
        return guest.wait_ready() if wait else guest

    def start_guests(self, count, **options):
        """COUNT guests, booting at the same time."""
        guests = [self.guest(wait=False, **options) for _ in range(count)]
        return [guest.wait_ready() for guest in guests]

    def stop_guests(self):
        for guest in list(self.guests):
            guest.stop()


class Machine(Host):
    """An emulated host. Every run with the same arguments and requests is the same, to the tick.

    SEED shifts each request in time by a few thousand instructions and chooses how the CPUs take turns.
    """

    running = set()  # of all machines, for kill_all()

    def __init__(self, emulator, kernel, folder, cpus=1, apicv=True, seed=None, guest_kernel=None,
                 memory_mb=MEMORY_MB, terminal=None, options="", cpu_model=CPU_MODEL, checked=False):
        super().__init__(PortChannel(seed), guest_kernel or kernel)
        self.emulator, self.kernel, self.folder = emulator, kernel, Path(folder)
        self.cpus, self.apicv, self.checked = cpus, apicv, checked
        self.folder.mkdir(parents=True, exist_ok=True)
        quantum = random.Random(seed).randint(*QUANTUM) if seed is not None else 16
        configuration = bochs_configuration(kernel, options, self.folder, cpus, quantum, memory_mb, terminal, cpu_model)
        (self.folder / "bochsrc").write_text(configuration, encoding="utf-8")
        self.process = None

    def boot(self):
        """To the agent's first answer. KVM is not loaded yet."""
        environment = {**os.environ, "TESTBED_SOCKET": str(self.channel.theirs.fileno()),
                       "TESTBED_BOOT_MS": str(BOOT_LIMIT_S * 1000)}
        if self.checked:
            environment["TESTBED_TRANSLATIONS"] = "1"
        with open(self.folder / "bochs.out", "wb") as output:
            self.process = subprocess.Popen([str(self.emulator), "-q", "-f", str(self.folder / "bochsrc")],
                                            stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment,
                                            pass_fds=[self.channel.theirs.fileno()], start_new_session=True)
        self.running.add(self.process)
        self.channel.started()
        self.channel.why_dead = self.why_dead
        self.hello(BOOT_LIMIT_S)
        if self.checked:
            elisa.insert(self, WATCH, self.kernel)
        return self

    def load_kvm(self, **parameters):
        """With these parameters of kvm_intel, beside the machine's own."""
        parameters = {"enable_apicv": "Y" if self.apicv else "N", **parameters}
        self.call("load-kvm " + " ".join(f"{name}={value}" for name, value in parameters.items()))
        return self

    def keeps_vmx_on(self):
        """Whether KVM has VMX on though no VM runs, as newer kernels do."""
        return self.run("grep -q Y /sys/module/kvm/parameters/enable_virt_at_load").status == 0

    def unload_kvm(self):
        self.call("rmmod kvm_intel kvm irqbypass")

    def why_dead(self):
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            return "the emulator closed its channel"
        said = [line for line in (self.folder / "bochs.out").read_text(errors="replace").splitlines() if line.strip()]
        return f"the emulator ended with {self.process.returncode}: {said[-1] if said else 'no output'}"

    def cpu_seconds(self):
        """What the emulator has used of the build machine's CPU so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND

    def console(self):
        """All that the emulated host's serial console has shown."""
        return (self.folder / "console.log").read_text(errors="replace")

    def stop(self):
        """Ends the emulator: whatever runs in it is gone, as when a plug is pulled."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.running.discard(self.process)
        self.channel.close()

    @classmethod
    def kill_all(cls):
        """Pulls the plug of every machine, whoever waits for it."""
        for process in list(cls.running):
            process.kill()
