# SPDX-License-Identifier: MIT
"""The shared cache in VMs: values that they share, increments by all at once, and one that is killed at a random moment."""

import random
import re

from harness import elisa

KV = elisa.KV
MEMCACHED = elisa.MEMCACHED


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


def ask(guest, lines, limit_s=10):
    """What elisa-memcached in a guest answers, over its local socket's TCP port."""
    text = "".join(f"{line}\\r\\n" for line in lines)
    return guest.call(f"printf '{text}quit\\r\\n' | nc 127.0.0.1 11211", limit_s).replace("\r", "")


def memcached(test):
    """Clients of two VMs speak to their own elisa-memcached, and find each other's values."""
    one, two = guests(test, 2)
    publish(test, f"--space vm:{2 ** 31}=hidden:rw")
    for guest in (one, two):
        guest.call("ifconfig lo 127.0.0.1 up")
        guest.start(f"exec {elisa.place(guest, MEMCACHED)} --space shared").expect("^ready")
    test.equal(ask(one, ["set a 7 0 5", "hello", "gets none"]), "STORED\nEND\n", "set in one VM")
    test.equal(ask(two, ["get a", "append a 0 0 6", "-there", "incr n 1"]), "VALUE a 7 5\nhello\nEND\nSTORED\nNOT_FOUND\n",
               "get in the other")
    test.equal(ask(one, ["mg a v f", "delete a", "get a"]), "VA 11 f7\nhello-there\nDELETED\nEND\n", "and back")
    test.equal(ask(two, ["get a", "bogus"]), "END\nERROR\n", "after it was deleted")
    result = one.run(f"{elisa.place(one, MEMCACHED)} --space hidden --port 11212", 10)
    test.check(result.status == 1 and "No such" in result.err, f"a name space that is not granted: {result.err}")


def increments(test, count=3000):
    """All VMs count up one item at once: none is lost."""
    publish(test)
    some = guests(test, 3)
    jobs = [guest.start(f"{test.program(guest, 'kv-many')} kv shared count {count}") for guest in some]
    done = [tuple(map(int, re.match(r"done (\d+) aborted (\d+)", job.wait(120).check().out).groups())) for job in jobs]
    total = int(re.search(r"done (\d+)", many(test, some[0], "count 1")).group(1)) + sum(each for each, _ in done)
    some[0].call("ifconfig lo 127.0.0.1 up")
    some[0].start(f"exec {elisa.place(some[0], MEMCACHED)} --space shared").expect("^ready")
    number = int(ask(some[0], ["get number"]).split("\n")[1])
    aborted = sum(each for _, each in done)
    print(f"{total} increments by 3 VMs, {aborted} calls aborted, the number is {number}")
    # A call that was aborted may have counted, or not.
    test.check(total <= number <= total + aborted, f"{total} increments, {aborted} aborted, but the number is {number}")
    test.check(aborted <= total // 50, f"{aborted} calls were aborted")


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
