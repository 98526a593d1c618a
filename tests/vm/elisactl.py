# SPDX-License-Identifier: MIT
"""elisactl on a host and in guests: what it says is so, what it changes is changed, and nobody notices that it looks."""

import json
import os
from signal import SIGINT, SIGSTOP

from harness import elisa

EXTERNAL_INTERRUPT = "1"


def ask(test, words, agent=None, status=0):
    """What `elisactl WORDS --json` says."""
    agent = agent or test.host
    result = agent.run(f"{test.control(agent)} {words} --json", 20)
    test.equal(result.status, status, f"{agent.name}: exit code of elisactl {words} ({result.err.strip()}{result.out[-2000:]})")
    return json.loads(result.out)


def tell(test, words, status=0, agent=None):
    """What `elisactl WORDS` prints, on either output."""
    agent = agent or test.host
    result = agent.run(f"{test.control(agent)} {words}", 20)
    test.equal(result.status, status, f"{agent.name}: exit code of elisactl {words} ({result.err.strip()})")
    return result.out + result.err


def answers(test, place, status, agent=None):
    found = ask(test, "doctor", agent, status)
    test.equal(found["place"], place, "what doctor takes this for")
    return {each["name"]: each["answer"] for each in found["requirements"]}


def doctor(test):
    """It says yes where the module and the driver load, and names what is missing where they do not."""
    test.host.elisa.unload()
    refused = answers(test, "host", 1)
    test.equal(refused["elisa.ko"], "no", "elisa.ko when it is not loaded")
    if test.host.counts_exactly:
        test.equal(refused["no L1TF"], "no", "the emulated CPU, which says that it has L1TF")
    test.host.stop_guests()
    test.host.unload_kvm()
    test.equal(answers(test, "host", 1)["kvm_intel"], "no", "kvm_intel when it is not loaded")
    test.host.call("load-kvm ept=0")
    test.equal(answers(test, "host", 1)["kvm_intel with EPT"], "no", "kvm_intel with ept=0")
    test.host.unload_kvm()
    test.host.load_kvm()
    test.elisa()
    good = answers(test, "host", 0)
    test.equal({name: answer for name, answer in good.items() if answer != "yes"}, {}, "missing on a host that is served")
    guest = test.guest()
    test.equal(answers(test, "guest", 1, guest)["elisa_guest.ko"], "no", "the driver before it is loaded")
    test.elisa_guest(guest)
    served = answers(test, "guest", 0, guest)
    test.equal([name for name, answer in served.items() if answer == "no"], [], "missing in a guest that is served")
    for name in ("VM of KVM", "SMEP", "SMAP", "no PCID", "elisa_guest.ko", "/dev/elisa", "interrupt to be woken by"):
        test.equal(served[name], "yes", name)
    test.equal(answers(test, "guest", 1, test.guest(qemu_options=("-cpu", "host")))["no PCID"], "no", "a guest with PCID")


def steer(test):
    """An object's life by its words alone."""
    guest = test.client()
    elisa.place(test.host, elisa.MANAGER)  # it is looked for beside elisactl too
    code = elisa.place(test.host, elisa.code_of("counter"))
    tell(test, f"object publish --background --vetted --name hits --code {code} --memory 64K")
    tell(test, f"object publish --background --name hits --code {code}", 1)
    shown = ask(test, "object show hits")
    test.equal((shown["name"], shown["options"], shown["memory_bytes"], shown["grants"]), ("hits", ["vetted"], 65536, []), "hits")
    manager = shown["pid"]
    vm, = ask(test, "vm list")
    add = f"{test.program(guest, 'call-many')} hits gate 1 5"
    test.check("not granted" in guest.run(add).err, "a client that nobody has let in")
    tell(test, f"grant hits vm:{vm['id']}")
    test.equal(guest.call(add), "added 5 total 5\n", "a client that was let in")
    tell(test, "grant hits uid:1:ro")
    test.equal(ask(test, "object show hits")["grants"],
               [{"whom": f"vm:{vm['id']}", "rights": "rw"}, {"whom": "uid:1", "rights": "ro"}], "grants")
    tell(test, f"grant hits vm:{vm['id']}:ro")
    test.check(guest.run(add).status, "a client with a read-only grant adds")
    tell(test, f"revoke hits vm:{vm['id']}")
    tell(test, f"revoke hits vm:{vm['id']}", 3)
    test.check("not granted" in guest.run(add).err, "a client whose grant was revoked")
    test.equal(ask(test, "object show hits")["grants"], [{"whom": "uid:1", "rights": "ro"}], "grants that are left")
    for words in ("grant nothing all", "grant hits pid:999999", "object show nothing", "object withdraw nothing"):
        tell(test, words, 3)
    tell(test, "grant hits nobody", 2)
    test.check(str(manager) in tell(test, "object withdraw hits"), "the manager that still runs is not named")
    tell(test, "object show hits", 3)
    test.equal(ask(test, "object list")[0]["status"], "withdrawn", "its state")
    test.host.call(f"kill {manager}")
    test.check("only the host" in tell(test, "grant hits all", 1, guest), "a guest changes what is the host's")
    test.check("host's" in tell(test, "vm list", 1, guest), "a guest lists VMs")
    test.equal(ask(test, "stat", guest)["attachments"], 0, "attachments of the guest's driver")


def events(test):
    """events --follow tells of an attach, an abort and a detach as they happen; log and stat count it."""
    guest = test.client()
    job = test.host.start(f"exec {test.control()} events --follow --json --lines 0")
    test.host.call("usleep 300000")
    test.manager(test.build / "tests" / "attack" / "victim" / "victim.elf", name="victim", vetted=True, grant="all")
    guest.call(f"{test.program(guest, 'call')} victim fault 1 0")
    job.expect('"detach"')
    job.kill(SIGINT)
    result = job.wait().check()
    seen = [json.loads(line) for line in result.out.splitlines()]
    test.equal([each["event"] for each in seen], ["publish", "attach", "abort", "detach"], "events")
    test.equal({each["name"] for each in seen}, {"victim"}, "whose they are")
    abort = seen[2]
    test.equal((abort["error"], abort["exit_reason"], abort["symbol"]), ("EFAULT", "triple fault", "fault"), "the abort")
    test.equal([each["time_ns"] for each in seen], sorted(each["time_ns"] for each in seen), "times")
    logged = ask(test, "log")[-1]
    test.equal({key: abort[key] for key in logged}, logged, "the abort in the log")
    test.check("fault+0x" in tell(test, "log"), "the log's table")


def counts(test):
    """stat counts each call, whoever of a VM makes it; looking at a VM that calls makes it exit no more."""
    guest = test.client()
    test.manager("counter", name="counter", vetted=True, grant="all")
    holder = guest.start(f"{test.program(guest, 'hold')} counter")
    holder.expect("^attached")
    holder.kill(SIGSTOP)
    before = ask(test, "stat")
    guest.call(f"{test.program(guest, 'call-many')} counter gate 3 700")
    # Three threads of 700, and the reads before and after.
    for what in ("by_vm", "by_object", "by_attachment"):
        test.equal(ask(test, "stat")[what][0]["calls"] - before[what][0]["calls"], 3 * 700 + 2, f"calls {what}")
    holder.kill()
    busy = guest.start(f"exec {test.program(guest, 'call-many')} counter gate 1 1000000000")
    test.host.call(f"taskset -ap 2 $(cat {guest.folder}/pid) > /dev/null; usleep 50000")
    exits = {}
    for name, command in (("asleep", "usleep 300000"), ("stat", f"{test.control()} stat 0.02 15 > /dev/null")):
        test.host.call(f"taskset 1 marker begin {name}; taskset 1 {command}; taskset 1 marker end {name}", 30)
        vcpu, = [each for each in test.host.count_of(name)["vcpus"] if each["guest"]]
        exits[name] = vcpu["exits"]
        test.check(vcpu["vmfunc"] > 1000, f"{name}: the guest did not call meanwhile: {vcpu}")
    interrupts = {name: counted.get(EXTERNAL_INTERRUPT, 0) for name, counted in exits.items()}
    print(f"  exits while it was {exits}")
    test.check(interrupts["stat"] <= interrupts["asleep"] + 3, f"15 looks made VM exits: {interrupts}")
    use = [json.loads(line) for line in test.host.call(f"{test.control()} stat 0.2 2 --json", 20).splitlines()]
    test.check(use[1]["by_vm"][0]["calls_since"] > 100, f"calls in 0.2 s: {use[1]['by_vm']}")
    table = test.host.call(f"TERM=dumb {test.control()} top -d 0.1 -n 2", 20)
    test.check(table.count("object counter") == 2 and os.linesep in table, f"top: {table}")
    busy.kill()


def run(test, what):
    globals()[what](test)
