# SPDX-License-Identifier: MIT
"""The shared cache in VMs: values that they share, increments by all at once, and one that is killed at a random moment."""

import random
import re

from harness import elisa, network

KV = elisa.KV
MEMCACHED = elisa.MEMCACHED
VMS = 4  # that count
NUMBERS = 4  # of kv-many


def publish(test, *options, memory="32M"):
    """elisa-kv on the host: all VMs may attach, and see the name space `shared`."""
    if not test.host.elisa.loaded:
        test.elisa()
    words = [elisa.place(test.host, KV), "--code", elisa.place(test.host, elisa.code_of("kv")), "--memory", memory, "--grant all",
             "--space all=shared:rw", *options]
    manager = elisa.Manager(test.host, test.host.start("exec " + " ".join(map(str, words))), "kv")
    test.managers.append(manager)
    return manager.wait_ready()


def many(test, guest, words, limit_s=60):
    return guest.call(f"{test.program(guest, 'kv-many')} kv shared {words}", limit_s)


def guests(test, count):
    return [test.elisa_guest(guest) for guest in test.guests(count)]


def serve(guest, space):
    """elisa-memcached in a guest."""
    guest.call("ifconfig lo 127.0.0.1 up")
    guest.start(f"exec {elisa.place(guest, MEMCACHED)} --space {space}").expect("^ready")


def ask(guest, lines, limit_s=10):
    """What elisa-memcached in a guest answers, over its local socket's TCP port."""
    text = "".join(f"{line}\\r\\n" for line in lines)
    return guest.call(f"printf '{text}quit\\r\\n' | nc 127.0.0.1 11211", limit_s).replace("\r", "")


def memcached(test):
    """Clients of two VMs speak to their own elisa-memcached, and find each other's values."""
    one, two = guests(test, 2)
    publish(test, f"--space vm:{2 ** 31}=hidden:rw")
    for guest in (one, two):
        serve(guest, "shared")
    test.equal(ask(one, ["set a 7 0 5", "hello", "gets none"]), "STORED\nEND\n", "set in one VM")
    test.equal(ask(two, ["get a", "append a 0 0 6", "-there", "incr n 1"]), "VALUE a 7 5\nhello\nEND\nSTORED\nNOT_FOUND\n",
               "get in the other")
    test.equal(ask(one, ["mg a v f", "delete a", "get a"]), "VA 11 f7\nhello-there\nDELETED\nEND\n", "and back")
    test.equal(ask(two, ["get a", "bogus"]), "END\nERROR\n", "after it was deleted")
    result = one.run(f"{elisa.place(one, MEMCACHED)} --space hidden --port 11212", 10)
    test.check(result.status == 1 and "No such" in result.err, f"a name space that is not granted: {result.err}")


def increments(test, count=2000):
    """4 VMs count up the same items at once, COUNT times each: none is lost."""
    publish(test)
    some = guests(test, VMS)
    jobs = [guest.start(f"exec {test.program(guest, 'kv-many')} kv shared count {count} {VMS}") for guest in some]
    said = [network.wait_long(job, 60 + count // 100).check().out for job in jobs]
    done, unknown = (sum(map(int, column)) for column in zip(*(re.findall(r"\d+", line) for line in said)))
    serve(some[0], "shared")
    numbers = [int(text) for text in re.findall(r"^(\d+)$", ask(some[0], [f"get number-{i}" for i in range(NUMBERS)]), re.M)]
    total = sum(numbers)
    print(f"{done} increments by {VMS} VMs, {unknown} calls ended, which may have been done; the numbers are {numbers}")
    test.equal((done + unknown, len(numbers)), (VMS * count, NUMBERS), "increments, numbers")
    test.check(done <= total <= done + unknown, f"{done} increments, {unknown} that may have been done, but {numbers}")
    test.check(unknown <= done // 50, f"{unknown} calls were ended")


def killed(test, rounds=4, seed=0):
    """VMMs are killed while their VMs store and delete: what the others had stored is there, and the cache works."""
    seed = seed or random.randrange(1 << 30)
    print(f"SEED={seed}")
    draw = random.Random(seed)
    manager = publish(test)
    keeper, = guests(test, 1)
    many(test, keeper, "fill 1500")
    for _ in range(rounds):
        victim = test.client()
        job = victim.start(f"exec {test.program(victim, 'kv-many')} kv shared churn 500 100000")
        job.expect("^churns")
        test.host.call(f"usleep {draw.randrange(1000, 200000)}")
        victim.kill()
        many(test, keeper, "check 1500")
        many(test, keeper, "fill 300 200000")
        many(test, keeper, "check 300 200000")
    manager.stop()
    print([line for line in manager.events() if line.startswith("stats items")][-1])


def run(test, what="memcached", **arguments):
    {"memcached": memcached, "increments": increments, "killed": killed}[what](test, **arguments)
