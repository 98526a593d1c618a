# SPDX-License-Identifier: MIT
"""A hostile VM, beside one that must notice nothing of it: see docs/threat-model.md."""

import contextlib
import errno
import re
from signal import SIGSTOP

from harness import elisa, modules
from harness.run import TREE

HERE = TREE / "tests" / "attack"
BUILT = TREE / "build" / "tests" / "attack"
SECRET = 0x5ec2e75ec2e75ec2
SUMMARY = re.compile(r"attack: (\S+): tried (\d+) contained (\d+) breaches (\d+) seed \d+ error (-?\d+)")


class Scene:
    """The victim on the host, and a witness that calls it every 10 ms."""

    def __init__(self, test, attacker, name="victim", **options):
        test.elisa()
        self.test = test
        self.manager = test.manager(BUILT / "victim" / "victim.elf", name=name, grant="all", **options)
        self.witness, self.attacker = test.guests(1)[0], attacker
        test.elisa_guest(self.witness)
        self.job = self.witness.start(f"{test.program(self.witness, 'hold')} {name} until-error")
        self.job.expect("^attached")

    def calls(self):
        """Of the witness, which came first: its attachment is the one with the lowest number."""
        listed = sorted(self.test.listed("attach"), key=lambda each: each["id"])
        self.test.check(listed, "the witness is attached no more")
        self.test.equal(listed[0]["aborts"], 0, "aborted calls of the witness")
        return listed[0]["calls"]

    def check(self, attacker_lives=True):
        test, before = self.test, self.calls()
        for _ in range(20):
            test.host.call("usleep 50000")
            if self.calls() > before:
                break
        else:
            test.fail(f"the witness's calls have stopped at {before}")
        said = self.witness.read(self.job.out_path).decode()
        test.equal(said, "attached\n", "what the witness printed")
        test.equal(self.witness.call("echo alive"), "alive\n", "the witness's VM")
        if attacker_lives:
            test.equal(self.attacker.call("echo alive"), "alive\n", "the attacker's VM")


def kernel(test, what, count=1000, seed=1, tried=1, rounds=1, vcpus=1, vetted=True, attacker_lives=True, **guest):
    """What the hostile kernel can do: tests/attack/module, in so many ROUNDS, as it takes a CPU for as long as each lasts."""
    scene = Scene(test, test.guest(vcpus=vcpus, **guest), vetted=vetted)
    module = elisa.place(scene.attacker, modules.build(scene.attacker.kernel, HERE / "module"))
    for number in range(rounds):
        load = f"insmod {module} what={what} count={count} seed={seed + number} secret={SECRET}"
        one_round(test, scene.attacker, what, load, number, tried)
    scene.check(attacker_lives)
    return scene


def one_round(test, attacker, what, load, number, tried, look=lambda: None):
    """LOOK: at what is while the module is loaded."""
    result = attacker.run(load, 120)
    log = attacker.call("dmesg")
    lines = [line for line in log.splitlines() if "attack" in line]
    (test.folder / "attacker.txt").write_text("\n".join(lines), encoding="utf-8")
    test.equal(result.status, 0, f"insmod: {result.err.strip()} {lines[-1:]}")
    found = SUMMARY.findall(log)
    test.check(len(found) == number + 1, f"no summary: {lines[-3:]}")
    name, attempts, contained, breaches, error = found[-1]
    breach = next((line for line in lines if "BREACH" in line), "")
    if int(error) == -errno.EOPNOTSUPP:
        test.skip("the guest has no CPU feature to attack with")
    test.equal((name, int(error)), (what, 0), "attack and error")
    test.equal(int(breaches), 0, f"breaches; the first: {breach}")
    test.contained(int(attempts), int(contained))
    test.check(int(attempts) >= tried, f"only {attempts} attempts")
    look()
    attacker.call("rmmod attack")


def narrow(test, attack, **options):
    """A VM with fewer physical addresses than the host: KVM looks at its page faults, also at those that deliver another."""
    test.need_emulator()
    test.host.elisa.unload()
    test.host.stop_guests()
    test.host.unload_kvm()
    test.host.load_kvm(allow_smaller_maxphyaddr="Y")  # stays so for the next test: it concerns such VMs only
    scene = kernel(test, attack, qemu_options=("-cpu", "host,-pcid,host-phys-bits-limit=36"), **options)
    aborts = [line for line in scene.manager.events() if line.startswith("abort")]
    faults = [line for line in aborts if "triple fault" in line]  # of which KVM sees no more than that
    test.check(aborts and not faults, f"{len(faults)} of {len(aborts)} calls ended without a fault that KVM looks at")


def cr3_attacker(test, scene, seed, already):
    """One attacker's VM, and the aborts since the test began.

    An interrupt of the host between its MOV to CR3 and its VMFUNC kills it at once: then it has not attacked.
    """
    attacker = test.guest()
    module = elisa.place(attacker, modules.build(attacker.kernel, HERE / "module"))
    attacker.start(f"insmod {module} what=cr3 count=1 seed={seed} secret={SECRET}")
    attacker.expect_console("attack: cr3 goes to R")
    for _ in range(40):  # the attacker has the CPU when the others let it
        aborts = [line for line in scene.manager.events() if line.startswith("abort")]
        if len(aborts) > already:
            break
        test.host.call("usleep 50000")
    test.check("BREACH" not in attacker.console(), attacker.console_tail())
    scene.check(attacker_lives=False)
    attacker.kill()
    return aborts


def cr3_region(test, seeds=(0, 1, 2, 4)):
    """CR3 within R: the attacker's VM need not survive it, all else must; and the call ends where a fetch meets it."""
    scene = Scene(test, None, vetted=True)
    for number, seed in enumerate(seeds):
        for _ in range(3):
            aborts = cr3_attacker(test, scene, seed, number)
            if len(aborts) > number:
                break
        test.equal(len(aborts), number + 1, f"calls that were aborted, up to seed {seed}")
        test.check(f"error=-{errno.EFAULT} " in aborts[-1], aborts[-1])
    test.contained(len(seeds), len(seeds))


def counted(test, said, least=1):
    """The lines `WHAT: tried N contained N` that a program has printed, counted."""
    (test.folder / "attacker.txt").write_text(said, encoding="utf-8")
    test.check("BREACH" not in said, next((line for line in said.splitlines() if "BREACH" in line), ""))
    found = re.findall(r"^(.+): tried (\d+) contained (\d+)", said, re.M)
    test.check(len(found) >= least, f"only {len(found)} of {least} attacks were carried out: {said}")
    for what, tried, contained in found:
        test.contained(int(tried), int(contained), what)


def buffers(test, count=4000, seed=1):
    """Descriptors in shared memory that another vCPU changes while trusted code reads them; buffers that go meanwhile."""
    scene = Scene(test, test.client(vcpus=2), vetted=True)
    program = elisa.place(scene.attacker, BUILT / "programs" / "buffers")
    counted(test, scene.attacker.call(f"{program} victim {count} {seed}", 60 + count / 100), 3)
    scene.check()


def bounds(test):
    scene = Scene(test, test.client(), vetted=True)
    program = elisa.place(scene.attacker, BUILT / "programs" / "bounds")
    counted(test, scene.attacker.call(f"{program} victim", 120), 5)
    scene.check()


def hostile_code(test):
    """Trusted code that is not vetted, in a VM that attaches to it and to the victim."""
    scene, run_calls = hostile_scene(test)
    counted(test, run_calls("", 120), 7)
    scene.check()


def hostile_scene(test, **options):
    scene = Scene(test, test.client(**options), vetted=True)
    test.manager(BUILT / "victim" / "hostile.elf", name="hostile", grant="all")
    program = elisa.place(scene.attacker, BUILT / "programs" / "hostile-calls")
    scene.attacker.call("echo 0 > /proc/sys/debug/exception-trace")
    return scene, lambda arguments, limit_s: scene.attacker.call(f"{program} hostile {arguments}", limit_s)


def evade_limit(test, limit_ms=10, times=10):
    """Code that is not vetted, and writes the count of calls that the limit on their time might go by, or goes elsewhere."""
    scene, run_calls = hostile_scene(test, vcpus=2)  # one of them answers us if the other does not come back
    test.manager(BUILT / "victim" / "hostile.elf", name="elsewhere", grant="all")
    ended = 0
    evasions = ("evade 0", "evade 1", "evade 2", "hop elsewhere")
    for words in evasions:
        said = run_calls(words, 20)
        result, took = re.search(r"result (\S+) took (\S+) ms", said).groups()
        test.check(float(took) < limit_ms * times, f"`{words}` was ended after {took} ms only")
        print(f"{words}: {result} after {took} ms")
        ended += result == "ETIME"
    test.check(int(re.search(r"hops (\d+)", said).group(1)), "the last call did not get into the other object")
    test.contained(len(evasions), ended)
    scene.check()


@contextlib.contextmanager
def parameters(test, **values):
    """While they are so."""
    before = {name: test.parameter(name, value) for name, value in values.items()}
    try:
        yield
    finally:
        for name, value in before.items():
            test.parameter(name, value)


def kernel_kib(test):
    """What the host's kernel has for itself, and does not give back when it is short of memory."""
    said = dict(re.findall(r"^(\w+): +(\d+)", test.host.call("cat /proc/meminfo"), re.M))
    return int(said["SUnreclaim"]) + int(said["VmallocUsed"])


@contextlib.contextmanager
def small_pages(test):
    """The host gives its VMs pages of 4 KiB."""
    thp = "/sys/kernel/mm/transparent_hugepage/enabled"
    before = re.search(r"\[(\w+)\]", test.host.call(f"cat {thp}; echo never > {thp}")).group(1)
    try:
        yield
    finally:
        test.host.call(f"echo {before} > {thp}")


def naming(test, limit, count, most_kib):
    """A VM that names its memory again and again, which costs the host some of its own, up to a LIMIT of elisa.ko."""
    what = {"piece_limit": "pieces", "naming_limit": "times"}[limit]
    with small_pages(test):
        scene = Scene(test, test.guest(command_line="init_on_alloc=0"), vetted=True)
        module = elisa.place(scene.attacker, modules.build(scene.attacker.kernel, HERE / "module"))

        def look():
            stats, taken = test.stats(), kernel_kib(test) - before
            print(f"       {stats['pinned_pages']} pins, {taken} KiB of the host's")
            test.check(taken < most_kib, f"the host's kernel has {taken} KiB more than before")

        with parameters(test, **{limit: count}):
            before = kernel_kib(test)
            one_round(test, scene.attacker, what, f"insmod {module} what={what} count={count} secret={SECRET}", 0, 128, look)
        scene.check()


def locks(test):
    """Whoever holds all locks of an object, and forges, forgets, loops or dies, holds nobody up for long."""
    scene, run_calls = hostile_scene(test)
    holder, other = (test.elisa_guest(each) for each in test.guests(2))
    test.manager(BUILT / "victim" / "locks.elf", name="locks", vetted=True, grant="all")
    program = {guest: elisa.place(guest, BUILT / "programs" / "locks") for guest in (holder, other)}
    with parameters(test, call_limit_ms=1_000_000):
        with parameters(test, lock_limit_us=0):
            forged_words(test, run_calls, holder, program[holder])
        taken_over(test, holder, other, program)
    scene.check()


def hold_all(test, guest, program, turns):
    job = guest.start(f"sleep 0.05; exec {program} locks hold {turns}")
    test.until_called("locks")
    test.host.call("usleep 5000")  # for the last of them
    return job


def forged_words(test, run_calls, holder, program):
    """While a vCPU is in a call of another object, and holds locks there that nobody waits for."""
    job = hold_all(test, holder, program, 60_000_000)
    counted(test, run_calls("locks", 60), 1)
    test.check("hold" not in holder.read(job.out_path).decode(), "the call of another object ended before it was attacked")
    test.equal(job.wait(60).check().out, "attached\nhold 0\n", "the call of another object")


def taken_over(test, holder, other, program, count=64, longest_us=50_000):
    def add(repaired):
        words = other.call(f"{program[other]} locks add 2", 60).split()[1:]
        said = dict(zip(words[::2], map(int, words[1::2])))
        test.check(said.pop("longest_us") <= longest_us, f"a call had to wait too long: {words}")
        test.equal(said, {"done": 2 * count, "failed": 0, "repaired": repaired}, "calls of the other VM")
        test.contained(count, count, "locks")

    add(0)
    holder.call(f"{program[holder]} locks leave")
    add(count)
    job = hold_all(test, holder, program[holder], 1_000_000_000_000)
    add(2 * count)
    test.equal(job.wait(10).out, f"attached\nhold {-errno.ECANCELED}\n", "the call that does not end")
    hold_all(test, holder, program[holder], 1_000_000_000_000)
    holder.kill()
    add(3 * count)


def manager_vm(test, kind="rights", count=1000, seed=1, vcpus=1, limit_s=120):
    """A VM that may make objects, and asks for what is not its own: tests/attack/manager."""
    attacker, client = test.guests(2, vcpus=vcpus)
    scene = Scene(test, attacker, vetted=True, exchange=True)
    test.parameter("guest_managers", 1)
    try:
        hostile_manager(test, client, attacker, f"what={kind} count={count} seed={seed} threads={vcpus} ram={128 << 20}", limit_s)
    finally:
        test.parameter("guest_managers", 0)
    scene.check()


def hostile_manager(test, client, attacker, arguments, limit_s):
    # Somebody who waits for another manager's answer, which is not the attacker's to give.
    test.manager("nop", name="asking", grant="all", ask="accept", memory="64K").job.kill(SIGSTOP)
    test.elisa_guest(client)
    waiting = client.start(f"{test.program(client, 'hold')} asking until-error")
    churned = client.start(f"exec {elisa.place(client, BUILT / 'programs' / 'reattach')} mortal")
    sits = client.start(f"exec {test.program(client, 'meeting')} victim gate sit 4")
    place = sits.expect("^sits")
    test.host.call("usleep 50000")
    test.check(any(each["state"] == errno.EINPROGRESS for each in test.listed("attach")), "nobody waits for a manager")
    module = elisa.place(attacker, modules.build(attacker.kernel, HERE / "manager"))
    result = attacker.run(f"insmod {module} {arguments}", limit_s)
    log = attacker.call("dmesg")
    said = "\n".join(line for line in log.splitlines() if "hostile_manager" in line)
    (test.folder / "attacker.txt").write_text(said, encoding="utf-8")
    test.equal(result.status, 0, f"insmod: {result.err.strip()} {said[-200:]}")
    test.check("BREACH" not in said, f"the first: {next((line for line in said.splitlines() if 'BREACH' in line), '')}")
    found = re.search(r"hostile_manager: \S+: tried (\d+) contained (\d+) seed \d+ error 0", said)
    test.check(found, f"no summary: {said[-200:]}")
    test.contained(*map(int, found.groups()))
    test.equal(client.read(waiting.out_path).decode(), "", "what the client that waits for another manager printed")
    lives = re.search(r"(\d+) were answered", said)
    rounds = client.read(churned.out_path).decode().splitlines()
    met = len(rounds)
    test.check(not lives or met > int(lives.group(1)) // 2, f"the client was in {met} times only: {lives and lives.group()}")
    # It is woken whenever another client of its VM loses its object, and finds its memory as it was.
    said = client.read(sits.out_path).decode().splitlines()
    test.equal((said[0], set(said[1:]) - {"woken: "}), (place, set()), "what the client that shares with all printed")
    for job in (churned, waiting, sits):
        job.kill()
        test.equal(job.wait(10).err, "", "what a client said")


CLIENT_IOCTLS = ("attach", "function", "thread", "share", "unshare", "reason", "stats")
MANAGER_IOCTLS = ("create", "memory", "code", "publish", "grant", "withdraw", "reason", "stats")


def fuzzed(test, agent, command, count, needed):
    """A run of programs/ioctls, in which each that is needed was accepted sometimes: the way in was open."""
    said = agent.call(command, 60 + count / 500).strip()
    with open(test.folder / "attacker.txt", "a", encoding="utf-8") as file:
        file.write(said + "\n")
    accepted = dict(re.findall(r"(\w+) (\d+)", said))
    test.equal(accepted["tried"], str(count), "ioctls tried")
    closed = [name for name in needed if accepted[name] == "0"]
    test.check(not closed, f"never accepted: {closed}: {said}")
    test.contained(count, count, agent.name)


def ioctls(test, count=20000, seed=1):
    """All ioctls: in a guest that is client and manager, then on the host by root and by nobody, who may open the device."""
    scene = Scene(test, test.client(), vetted=True)
    test.parameter("guest_managers", 1)
    program = elisa.place(scene.attacker, BUILT / "programs" / "ioctls")
    here = elisa.place(test.host, BUILT / "programs" / "ioctls")
    try:
        fuzzed(test, scene.attacker, f"{program} victim {count // 2} {seed}", count // 2, {*CLIENT_IOCTLS, *MANAGER_IOCTLS})
        fuzzed(test, test.host, f"{here} victim {count // 4} {seed}", count // 4, {*MANAGER_IOCTLS, "open", "list"})
        test.host.call("chmod 666 /dev/elisa")
        nobody = f"{test.program(test.host, 'limited')} 1024 {here} victim {count // 4} {seed + 1}"
        fuzzed(test, test.host, nobody, count // 4, MANAGER_IOCTLS)
    finally:
        test.host.call("chmod 600 /dev/elisa")
        test.parameter("guest_managers", 0)
    scene.check()


def roots(test, count=100_000, rounds=20):
    """KVM makes new roots of the VM's EPT while its vCPUs are inside: memory slots come and go."""
    scene = Scene(test, test.client(vcpus=2), vetted=True)
    test.manager("nop", name="open", direct=True, vetted=True, grant="all", memory="64K")
    code = scene.attacker.put(elisa.code_of("nop"))
    calls = f"{test.program(scene.attacker, 'call-many')} victim gate 1 {count}"
    inside = scene.attacker.start(f"{calls}; {calls}; echo over")
    once = f"{test.program(scene.attacker, 'attach-rounds')} open direct={code} 1"
    turns = 0
    while "over" not in scene.attacker.run(f"cat {inside.out_path}").out:  # which may not be there yet
        turns += scene.attacker.call(f"for i in $(seq {rounds}); do {once} || :; done", 60).count("1 rounds")
    test.check(turns > rounds // 2, f"the memory was mapped {turns} times only")
    said = inside.wait(60).check().out
    test.equal(said, f"added {count} total {count}\nadded {count} total {2 * count}\nover\n", "calls while the root changed")
    test.contained(2 * turns, 2 * turns, "changes of memory slots")
    scene.check()


def run(test, what, **options):
    chosen = {"hostile-code": hostile_code, "ioctls": ioctls, "cr3-region": cr3_region,
              "buffers": buffers, "bounds": bounds, "locks": locks, "evade-limit": evade_limit,
              "manager-vm": manager_vm, "roots": roots, "narrow": narrow, "naming": naming}.get(what)
    if chosen:
        chosen(test, **options)
    else:
        kernel(test, what, **options)
