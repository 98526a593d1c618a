# SPDX-License-Identifier: MIT
"""The virtual switch between VMs and the host: contents and order, waiting, hostile and dying clients."""

import json
import re

from harness import elisa

FOLDER = elisa.BUILD / "objects" / "vswitch"
NAME = "vswitch"
SINK, SOURCE, OTHER = 1, 2, 3  # the last byte of their addresses


def start(test, guests=2, options=()):
    """So many guests, and the switch, which the host executes for its own processes."""
    machines = [test.elisa_guest(guest) for guest in test.guests(guests)]
    test.load_object(NAME)
    host = test.host
    words = [elisa.place(host, FOLDER / "elisa-vswitch"), "--code", elisa.place(host, FOLDER / "vswitch.elf"), "--name", NAME,
             "--grant=all", *options]
    manager = elisa.Manager(host, host.start("exec " + " ".join(words)), NAME)
    test.managers.append(manager)
    return machines, manager.wait_ready()


def peer(test, agent, address, *words):
    """A client of the switch that has opened its port."""
    scheme = "vmcall" if agent is test.host else "gate"
    command = " ".join(map(str, (test.program(agent, "vswitch-peer"), NAME, scheme, address, *words)))
    job = agent.start(f"exec {command}")
    job.expect("^open ")
    return job


def show(test):
    """The ports by the last byte of their addresses."""
    report = json.loads(test.host.call(f"{elisa.place(test.host, FOLDER / 'elisa-vswitch')} --show --json --name {NAME}"))
    return {int(port["mac"][-2:], 16): port for port in report["ports"]}


def numbers(job, limit_s=120):
    """What a client printed in the end: words and numbers by turns."""
    out = job.wait(limit_s).check().out
    return {name: int(number) for name, number in re.findall(r"(\w+) (\d+)", out)}


def stream(test, receiver, sender, count, size=64, burst=32, window=128):
    """One way, with confirmations: whole and in order, or a client has died saying why not."""
    sink = peer(test, receiver, SINK, "sink", count)
    source = peer(test, sender, SOURCE, "source", SINK, count, size, burst, window)
    got, sent = numbers(sink), numbers(source)
    test.equal((got["received"], sent["sent"]), (count, count), "packets received and sent")
    return got, sent


def traffic(test, count=3000):
    """Between VMs, to the host and from it; of all sizes; counters say the same."""
    (one, two), manager = start(test)
    for receiver, sender in ((one, two), (test.host, one), (two, test.host)):
        got, sent = stream(test, receiver, sender, count)
        test.check(got["rx"] >= count and sent["tx"] == count, f"counted: {got} and {sent}")
        print(f"{sender.name} to {receiver.name}: {got}, {sent}")
    for size in (72, 256, 1024, 1514):
        stream(test, one, two, count // 10, size=size, burst=7)
    test.check(not [line for line in manager.events() if "abort" in line], f"calls were aborted: {manager.events()}")


def many(test, count=10_000_000):
    """One flow between two VMs: whole and in order."""
    (one, two), _ = start(test)
    sink, source = peer(test, one, SINK, "sink", count), peer(test, two, SOURCE, "source", SINK, count, 64, 64, 128)
    got, sent = numbers(sink, 20000), numbers(source, 20000)
    test.equal((got["received"], sent["sent"]), (count, count), "packets received and sent")
    print(f"{count} packets, all whole and in order")


def waits(test, count=400):
    """Each packet is waited for at both ends: what is lost here would stand still."""
    (one, two), _ = start(test)
    for receiver, sender in ((one, two), (test.host, one), (two, test.host)):
        got, sent = stream(test, receiver, sender, count, burst=1, window=1)
        print(f"{count} packets from {sender.name} to {receiver.name}, one at a time: "
              f"{got['waits']} and {sent['waits']} waits, {got['notified']} and {sent['notified']} wake-ups")
        test.check(got["notified"] <= count and sent["notified"] <= count + 1, "woken more often than packets came")


def hostile(test, count=3000, ms=1500, seed=1):
    """One client calls anything with anything; the others' packets go on, whole."""
    (one, two), manager = start(test, options=["--bind=vm:99=02:00:00:00:00:63"])
    print(f"seed {seed}")
    jobs = [peer(test, agent, OTHER + i, "hostile", ms, seed + i) for i, agent in enumerate((one, test.host))]
    stream(test, one, two, count)
    for job in jobs:
        print(job.wait(60).check().out.splitlines()[-1])
    stream(test, two, one, count // 10)
    test.check(not [line for line in manager.events() if "abort" in line], f"calls were aborted: {manager.events()}")


def everybody(test, count=300, ms=3000, seed=1):
    """Three VMs send to each other at once, whole and in order, while a fourth calls anything with anything."""
    # They share a CPU: one that has a queue's lock may not be let run for some time, and a call that is ended loses packets.
    test.elisa(lock_limit_us=1_000_000)
    (*honest, attacker), manager = start(test, guests=4)
    print(f"seed {seed}")
    hostile_one = peer(test, attacker, OTHER, "hostile", ms, seed)
    pairs = [(sender, receiver) for sender in honest for receiver in honest if sender is not receiver]
    sinks = [peer(test, receiver, 16 + number, "sink", count) for number, (_, receiver) in enumerate(pairs)]
    sources = [peer(test, sender, 32 + number, "source", 16 + number, count, 256, 16, 64)
               for number, (sender, _) in enumerate(pairs)]
    for sink, source in zip(sinks, sources):
        test.equal((numbers(sink)["received"], numbers(source)["sent"]), (count, count), "packets received and sent")
    print(hostile_one.wait(120).check().out.splitlines()[-1])
    test.check(not [line for line in manager.events() if "abort" in line], f"calls were aborted: {manager.events()}")


def killed(test, rounds=6):
    """Receivers are killed while packets come; the next has the same address, and gets everything."""
    (one, two), _ = start(test)
    blast = peer(test, two, OTHER, "blast", SINK, 3_000_000, 256)
    for _ in range(rounds):
        sink = peer(test, one, SINK, "sink", 1)
        test.host.call("usleep 50000")
        test.check(show(test)[SINK]["rx_packets"] > 0, "nothing came in while it was flooded")
        sink.kill()
        sink.wait(10)
    blast.kill()
    blast.wait(10)
    stream(test, one, two, 1000)
    test.equal(len([port for port in show(test).values() if port["open"]]), 0, "ports that are open when all are gone")


def run(test, what, **options):
    globals()[what](test, **options)
