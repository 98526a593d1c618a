# SPDX-License-Identifier: MIT
"""`make demo`: what there is to see, in a minute and a half."""

import re
import resource
import time

from . import bench_core, elisa, emulator, kernel, modules, network, runner
from .context import Test
from .machine import Machine
from .run import TREE
from .say import Failure, say, step

CALLS = 20000  # of each thread
OPERATIONS = 500  # of memcached's load
PACKAGES = ("iputils-ping", "memcached", "libmemcached-tools")
VCPUS = (1, 2, 4)
MEMCACHED = "/root/elisa-memcached"
ATTACK = TREE / "tests" / "attack" / "module"
VICTIM = elisa.BUILD / "tests" / "attack" / "victim" / "victim.elf"
SECRET = 0x5ec2e75ec2e75ec2  # in the victim
TRIED = re.compile(r"attack: \S+: tried (\d+) contained (\d+) breaches (\d+)")
# Why the host has ended calls: the words of elisactl.
REASONS = {"fault": "they touched what they may not", "instr": "an exception of the code that they ran into",
           "vmfunc": "a VMFUNC that led nowhere", "intr": "an event of the VM met them"}
# What the hostile kernel does (tests/attack/module), how often, in words.
ATTACKS = (("landings-kernel", 0, "it enters at each of the 4096 bytes of the gate page, with CPL 0 and forged registers"),
           ("landings-code", 64, "it jumps past the gate, into the middle of entry page and trusted code"))


class Story:
    """One host, three VMs, one counter."""

    def __init__(self):
        self.start = time.monotonic()
        folder = runner.new_folder("demo")
        self.machine = Machine(emulator.program(), kernel.current(), folder)
        self.test = Test(self.machine, folder, None)

    def check(self, condition, text):
        if not condition:
            raise Failure(f"the demo has failed: {text}")

    def at(self, text):
        say(f"[{time.monotonic() - self.start:3.0f} s] {text}")

    def boot(self):
        self.at("booting a stock Debian kernel on an emulated CPU with VT-x")
        self.machine.boot().load_kvm()
        self.test.elisa()
        self.at(f"the host is up: Linux {self.machine.kernel.version}, its own KVM, and elisa.ko")
        self.at(f"starting three VMs: stock QEMU, the same stock kernel, {', '.join(map(str, VCPUS))} vCPUs")
        options = {"memory_mb": 192, "modules": ("tun",), "packages": PACKAGES,
                   "extra": (*network.tap_files(), (MEMCACHED, elisa.MEMCACHED))}
        guests = [self.test.guest(vcpus=vcpus, wait=False, **options) for vcpus in VCPUS]
        with step("they boot", 15):
            for guest in guests:
                self.test.elisa_guest(guest.wait_ready(60))
                network.has_tap(guest)
        for guest in guests:
            self.at(f"{guest.name} is up, and elisa_guest.ko in it")
        return guests

    def count(self, guests):
        """All vCPUs of all VMs at once."""
        manager = self.test.manager("counter", vetted=True, grant="all")
        self.at(f"on the host: {manager.job.command.removeprefix('exec ')}")
        jobs = [guest.start(f"{self.test.program(guest, 'call-many')} counter gate {guest.vcpus} {CALLS}") for guest in guests]
        added, total = 0, 0
        for guest, job in zip(guests, jobs):
            words = job.wait(60).check().out.split()
            added, total = added + int(words[1]), max(total, int(words[3]))
            self.at(f"{guest.name} has added {words[1]} with {guest.vcpus} threads")
        self.at(f"the counter says {total}; added in all: {added}")
        return manager, total == added

    def share(self, guests):
        """Stock clients of memcached, each with a server in its own VM that holds nothing."""
        words = [elisa.place(self.machine, elisa.KV), "--code", elisa.place(self.machine, elisa.code_of("kv")),
                 "--memory 32M --grant all --space all=shared:rw"]
        cache = elisa.Manager(self.machine, self.machine.start("exec " + " ".join(map(str, words))), "kv").wait_ready()
        self.test.managers.append(cache)
        self.at(f"on the host: {cache.job.command.removeprefix('exec ')}")
        for guest in guests:
            guest.call("ifconfig lo 127.0.0.1 up")
            guest.start(f"exec {MEMCACHED} --space shared").expect("^ready")
        self.at("elisa-memcached in each VM, at its own 127.0.0.1:11211")
        text = f"hello from {guests[1].name}"
        guests[1].call(f"echo {text} > /tmp/greeting && /usr/bin/memccp --servers=127.0.0.1 /tmp/greeting")
        self.at(f"{guests[1].name}: stock memccp stores `greeting`")
        for guest in (guests[0], guests[2]):
            got = self.greeting(guest)
            self.check(got == text, f"{guest.name} finds {got!r} in the cache")
            self.at(f"{guest.name}: stock memccat greeting: {got}")

    def greeting(self, guest):
        return guest.call("/usr/bin/memccat --servers=127.0.0.1 greeting").strip()

    def attack(self, guests):
        """The kernel of a VM turns hostile; another one calls all the time."""
        attacker, witness = guests[0], guests[2]
        victim = self.test.manager(VICTIM, name="victim", vetted=True, grant="all")
        job = witness.start(f"{self.test.program(witness, 'hold')} victim until-error")
        job.expect("^attached")
        attacker.call("killall elisa-memcached; while ! rmmod elisa_guest; do usleep 10000; done")
        attacker.driver = False
        self.at(f"the kernel of {attacker.name} is hostile now; it wants the secret of the object `victim`, which "
                f"{witness.name} calls")
        for attack, count, text in ATTACKS:
            self.at(text)
            self.attack_once(attacker, attack, count)
        self.check(witness.read(job.out_path) == b"attached\n", "calls of the victim by others failed")
        self.at(f"{witness.name} has called it all the time, and got no error")
        victim.stop()

    def attack_once(self, attacker, attack, count):
        module = elisa.place(attacker, modules.build(attacker.kernel, ATTACK))
        attacker.call("dmesg -c")
        with step("attempts", 10):
            attacker.call(f"insmod {module} what={attack} count={count} seed=1 secret={SECRET}", 120)
        found = TRIED.search(attacker.call("dmesg"))
        self.check(found, "the attack has not been carried out")
        tried, contained, breaches = map(int, found.groups())
        theirs = max((each for each in self.test.listed("attach") if each["name"] == "victim"), key=lambda each: each["id"])
        by = ", ".join(f"{number}: {REASONS.get(reason, reason)}" for reason, number in theirs["aborts_by"].items() if number)
        attacker.call("rmmod attack")
        self.check(tried == contained and not breaches, f"{breaches} breaches in {tried} attempts")
        self.at(f"{tried} tried, {contained} contained: no secret in any register, the canary whole, right calls still work")
        others = tried - theirs["aborts"]
        self.at(f"the host has ended {theirs['aborts']} of them ({by}); {others} have not left their own memory")

    def packets(self, guests):
        """Stock programs of sockets through the virtual switch."""
        switch = network.switch(self.test)
        self.at(f"on the host: {switch.job.command.removeprefix('exec ')}")
        nodes = [network.Tap(guest, number).start() for number, guest in enumerate(guests, 1)]
        self.at("each VM has a port of it as a network device (elisa-tap)")
        first, server, client = nodes
        ping = client.agent.call(f"/bin/ping -c 3 -i 0.01 {first.address}", 20).splitlines()
        self.at(f"{client.agent.name}: stock ping to {first.agent.name}: {ping[-2]}")
        memcached = network.start_memcached(server)
        network.check_load(self.test, network.load(client, server, OPERATIONS), OPERATIONS)
        self.at(f"{client.agent.name}: stock memcached's load to {server.agent.name}: {OPERATIONS} operations, all values right")
        memcached.kill()
        for node in nodes:
            node.stop()
        switch.stop()

    def hold(self, guests):
        jobs = [guest.start(f"{self.test.program(guest, 'hold')} counter until-error") for guest in guests]
        for job in jobs:
            job.expect("^attached")
        return jobs

    def deaths(self, guests, manager):
        jobs = self.hold(guests[1:])
        guests[1].kill()
        calls = self.calls("counter")
        answers = [guest.call("echo goes on").strip() for guest in (guests[0], guests[2])]
        self.check(self.calls("counter") > calls, f"calls of {guests[2].name} have stopped")
        self.at(f"killed the QEMU of {guests[1].name} while it called the counter; the others: {', '.join(answers)}")
        self.at(f"what it had stored is there: {guests[2].name}: memccat greeting: {self.greeting(guests[2])}")
        manager.kill()
        self.at(f"killed the counter's manager; calls of {guests[2].name} end with: {jobs[1].expect('^error').strip()}")

    def calls(self, name):
        return sum(each["calls"] for each in self.test.listed("attach") if each["name"] == name)

    def run(self):
        try:
            guests = self.boot()
            manager, right = self.count(guests)
            self.share(guests)
            self.packets(guests)
            self.attack(guests)
            self.deaths(guests, manager)
            self.test.clean_up()
            complaints = [*filter(None, [self.machine.elisa.check_released()]), *runner.kernel_complaints(self.machine)]
            self.at(f"left behind, or in the kernels' logs: {', '.join(complaints) or 'nothing'}")
            return right and not complaints
        finally:
            self.machine.stop()


def run():
    story = Story()
    if not story.run():
        return 1
    story.at("what it costs, counted:")
    status = bench_core.run(None)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    story.at(f"done, with {used.ru_utime + used.ru_stime:.0f} s of one CPU")
    return status
