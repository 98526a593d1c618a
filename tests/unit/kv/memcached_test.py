#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""elisa-memcached, with the cache in its own process, against Debian's memcached: the same bytes in, the same answers out.

COUNT operations, a mix that SEED repeats; then lines that are wrong, clients that stop midway, and memccapable. Numbers
that only one of them can know (of cas) are not compared, but used.
"""

import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TREE = Path(__file__).resolve().parents[3]
OURS = TREE / "build/tools/elisa-memcached/elisa-memcached-alone"
PAUSING = OURS.with_name("elisa-memcached-pausing")
COUNT = int(os.environ.get("COUNT", "10000"))
SEED = int(os.environ.get("SEED", "0")) or int(time.time())
KEYS, FEW = 200, 8  # keys, and those of them that half of the operations are for
META = 0.25  # of all operations: meta commands with any letters
# Its threads that sort items hold some of them for a while, and whoever counts one up then makes another item of it.
QUIET = "no_lru_maintainer,no_lru_crawler"
ENDED_UNKNOWN = (b"delete", b"md", b"mg", b"ma", b"flush_all")

LONG = b"x" * 2000000
WRONG = [b"get\r\n", b"foo\r\n", b"\r\n", b"get " + b"k" * 251 + b"\r\n", b"set " + b"k" * 251 + b" 0 0 1\r\nx\r\n",
         b"set a 0 0 3\r\nabcd\r\n", b"set a x 0 3\r\nabc\r\n", b"set a 0 0 -1\r\n", b"set a 0 0\r\n",
         b"set a 0 0 2000000\r\n%s\r\nget a\r\n" % LONG, b"incr n\r\nincr n x\r\nincr zz 1\r\nincr n -1\r\n",
         b"delete\r\ndelete s 5\r\ndelete s 0\r\n", b"touch n x\r\ntouch n\r\ngats x n\r\ngat 10\r\n", b"flush_all x\r\n",
         b"verbosity\r\nverbosity 1\r\nverbosity x\r\n", b"ms a abc\r\n", b"ms a 2 S\r\nhi\r\n", b"ms a 2\r\nhixx\r\n", b"mg\r\n",
         b"mg a v v\r\nmg a !\r\nms a\r\nma\r\nmd\r\n", b"ms b 1 MZ\r\nx\r\n", b"ma n MX\r\nma n Dx\r\n", b"mg Zm9v= b\r\n",
         b"x" * 3000, b"x" * 3000 + b"\r\nget a\r\n", b"get " + b" ".join(b"key%d" % i for i in range(500)) + b"\r\n",
         b"set big 4294967296 0 1\r\nx\r\n", b"cas a 0 0 1\r\nx\r\ncas a 0 0 1 z\r\nx\r\n", b"GET a\r\nshutdown\r\nstats foo\r\n",
         *(b"set foo 0 0 3\r\nold\r\nset Zm9v 0 0 5\r\nother\r\nms Zm9v 2000000 %s\r\n%s\r\nget foo Zm9v\r\n" % (letters, LONG)
           for letters in (b"b", b"", b"q", b"b MA", b"MZ", b"I I", b"!", b"O" + b"x" * 40)),
         b"ms Zm9v= 2000000 b\r\n%s\r\n" % LONG, b"ms a 2 MZ\r\nhixx\r\n",
         b"mn\r\nquit\r\nget a\r\n", b"get a b\ngets\r\n", b"\0\1\2\xff\r\n", b"set a 0 0 99999999999999999999\r\n"]

# Values of which a few are more than is gathered before it is sent, and what asks for many: each is one question.
LARGE = b"".join(b"set k%d %d 0 %d\r\n%s\r\n" % (i, i, size, b"%d" % (i % 10) * size)
                 for i, size in enumerate((0, 1, 999, 1000, 5000, 100000, 262144, 300000, 1000000) * 3))
MANY = [f"k{i}" for i in range(40)]
GATHERED = [LARGE, *(f"{line}\r\n".encode() for line in (
    "get " + " ".join(MANY), "get  " + "  ".join(reversed(MANY)) + " ", "get k6", "get k7 none", "get none k8",
    "gat 1000 " + " ".join(MANY[:10]) + "\r\nmg k1 t\r\nmg k9 t\r\nmg k10 t",
    "get " + " ".join(MANY) + " " + "x" * 251 + "\r\nget k1", "gat 5000 " + " ".join(MANY[:20]) + " " + "x" * 251 + " k21\r\n"
    "mg k12 t\r\nmg k19 t\r\nmg k21 t", "\r\n".join(f"mg k{i} k v f q" for i in range(40)) + "\r\nmn",
    "get " + " ".join(MANY * 2) + "\r\nget k1\r\nbogus\r\nget " + " ".join(MANY)))]

# What a key may be before a command, what may be done to it, and how what has become of it is seen.
BEFORE = [["delete a"], ["set a 3 0 2\r\n55"], ["set a 3 1000 2\r\nab", "get a"], ["set a 3 1000 2\r\n55", "md a I"],
          ["set a 3 1000 2\r\n55", "md a I T5000", "mg a"], ["delete a", "mg a N1000"]]
AFTER = ["mg a v t f s h", "mg a v"]
TEXT = ["touch a 1000", "gat 1000 a", "get a", "incr a 1", "incr a 100", "decr a 1", "append a 0 0 1\r\n7", "add a 0 0 1\r\n7",
        "replace a 0 0 1\r\n7"]
GETS = ["t T1000 v", "T1000 t v", "N1000 t v", "N1000 T5000 t v", "T5000 N1000 t v", "h k Ox", "R30 N1000 v", "R3000 v",
        "T1000 R3000", "R3000 T1000",
        "T5000 R3000", "R3000 T5000", "q k v", "T-1 v", "v v", "!", "T", "Tx", "Cx", "Dx", "Fx Fy", "Fx",
        "M", "E5", "J", "b"]
SETS = [f"M{mode} {more} O1 k" for mode in "SERAPse" for more in ("", "C1", "C1 I", "C999999999999", "T1000")]
DELETES = ["q", "I q", "C1 q", "C1 I", "I T5000 k O1", "T5000", "I I", "!", "O" + "x" * 40]
COUNTS = ["v", "q v", "q", "v q N0 J5 k", "N0 J5 q", "C1 q", "C1 N0 J6 v", "v N1000 J7 T5000 t", "v T5000 N1000 t", "t T1000 v",
          "MD D9 v", "Md v", "MIx v", "M- v", "v v", "!"]
ACTS = [*TEXT, *(f"mg a {each}" for each in GETS), *(f"ms a 2 {each}\r\n7x" for each in SETS),
        *(f"md a {each}" for each in DELETES), *(f"ma a {each}" for each in COUNTS)]


class Server:
    def __init__(self, folder, words, **environment):
        self.path = f"{folder}/{Path(words[0]).name}"
        self.process = subprocess.Popen([*words, "-s", self.path], stdout=subprocess.DEVNULL, env={**os.environ, **environment})
        for _ in range(200):
            try:
                self.connect().close()
                return
            except OSError:
                time.sleep(0.05)
        sys.exit(f"{words[0]} does not answer")

    def connect(self):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(20)
        client.connect(self.path)
        return client

    def ask(self, data):
        """All that is answered to it by a connection of its own, up to the answer to a last question."""
        with self.connect() as client:
            try:
                client.sendall(data + (b"" if data.endswith(b"x" * 100) else b"version\r\n"))
            except OSError:
                pass
            out = bytearray()
            while not re.search(rb"VERSION [^\r]*\r\n$", out[-100:]):
                try:
                    got = client.recv(1 << 20)
                except OSError:
                    got = b""
                if not got:
                    return bytes(out + b"<closed>")
                out += got
            return re.sub(rb"VERSION [^\n]*\n", b"", bytes(out))


class Stream:
    """One connection; an operation's answer ends where the next one's `mn` begins."""

    def __init__(self, server):
        self.client, self.rest = server.connect(), b""

    def ask(self, operations):
        self.client.sendall(b"".join(operation + b"mn\r\n" for operation in operations))
        while len(parts := re.split(rb"(?:^|(?<=\n))MN\r\n", self.rest)) <= len(operations):
            got = self.client.recv(1 << 16)
            if not got:
                sys.exit("the connection was closed")
            self.rest += got
        self.rest = b""
        return parts[:len(operations)]


def value(draw):
    kind = draw.random()
    if kind < 0.3:
        return b"%d" % draw.randrange(10 ** draw.randrange(1, 20))
    size = draw.choice((0, 8, 64, 100, 1000, 4096)) if kind < 0.97 else draw.randrange(100000)
    return bytes(draw.choices(b"abcdefghijklmnop0123456789 ", k=size))


def letters(draw, *choices):
    """Some of the letters of a meta command, in any order: each of CHOICES with one of the things that may follow it."""
    some = draw.sample(choices, draw.randrange(len(choices) + 1))
    return b" ".join(draw.choice(choice) for choice in some)


def meta(draw, key, data):
    """A meta command with any of its letters; CLOW stands for a cas below the item's.

    Seconds are so far from each other that the clocks' ticks do not count.
    """
    seconds, ours = (b"0", b"1000", b"5000"), ((b"q",), (b"Oabc", b"Ox"), (b"k",))
    touch, create = ([letter + each for each in seconds] for letter in (b"T", b"N"))
    kind, cas = draw.randrange(8), (b"CLOW", b"C999999999999999")
    if kind < 4:
        return b"mg %s %s\r\n" % (key, letters(draw, (b"v",), (b"f",), (b"s",), (b"h",), touch, create, (b"R30", b"R3000"), *ours)
                                  + draw.choice((b"", b" t")))
    if kind == 4:
        return b"md %s %s\r\n" % (key, letters(draw, (b"I",), (b"T1000", b"T5000"), cas, *ours))
    if kind == 5:
        modes = [b"M%c" % mode for mode in b"SERAPx"]
        return b"ms %s %d %s\r\n%s\r\n" % (key, len(data), letters(draw, touch, (b"F7",), cas, (b"I",), modes, *ours), data)
    # Without T, which memcached forgets where the number gets longer.
    return b"ma %s %s\r\n" % (key, letters(draw, (b"v",), (b"MD", b"MI", b"M+", b"M-", b"Mx"), (b"D7", b"D99999"), create,
                                           (b"J0", b"J100"), cas, *ours) + draw.choice((b"", b" t")))


def operation(draw):
    """(bytes, key whose cas they need or None)"""
    key = b"key%d" % draw.randrange(draw.choice((FEW, KEYS)))
    if draw.random() < 0.1:
        key = key.ljust(draw.randrange(6, 251), b"x")[:250]
    if draw.random() < META:
        return meta(draw, key, value(draw)), key
    kind, data, noreply = draw.randrange(30), value(draw), draw.choice((b"", b"", b"", b" noreply"))
    flags, expiry = draw.randrange(1 << 32), draw.choice((0, 0, 0, 1000, -1, 2000000000))
    if kind < 9:
        return draw.choice((b"get %s\r\n", b"get %s key1 key2\r\n", b"mg %s v f s\r\n", b"mg %s k q v Oabc\r\n")) % key, None
    if kind < 20:
        word = draw.choice((b"set", b"set", b"set", b"add", b"replace", b"append", b"prepend"))
        return b"%s %s %d %d %d%s\r\n%s\r\n" % (word, key, flags, expiry, len(data), noreply, data), None
    if kind < 22:
        return b"cas %s %d 0 %d CAS%s\r\n%s\r\n" % (key, flags, len(data), noreply, data), key
    if kind < 24:
        number = draw.randrange(1 << draw.randrange(1, 64))
        return b"%s %s %d%s\r\n" % (draw.choice((b"incr", b"decr")), key, number, noreply), None
    if kind < 26:
        return b"delete %s%s\r\n" % (key, noreply), None
    if kind == 26:
        return draw.choice((b"touch %s 1000\r\n", b"gat 1000 %s\r\n", b"ma %s D7 v\r\n", b"md %s q\r\n", b"md %s I T1000\r\n",
                            b"mg %s N1000 v t\r\n", b"mg %s R30 v\r\n")) % key, None
    if kind == 27:
        mode = draw.choice(b"SERAP")
        return b"ms %s %d M%c F%d T%d\r\n%s\r\n" % (key, len(data), mode, flags, draw.choice((0, 1000, 5000)), data), None
    if kind == 28:
        return b"incr %s %s\r\n" % (key, draw.choice((b"x", b"-1", b"18446744073709551616"))), None
    return (b"flush_all%s\r\n" % noreply if draw.random() < 0.02 else b"get %s\r\n" % key), None


def cas_of(stream, key):
    found = re.match(rb"VALUE \S+ \d+ \d+ (\d+)", stream.ask([b"gets %s\r\n" % key])[0])
    return found.group(1) if found else b"999999999999999"


def with_cas(data, key, stream):
    """An operation that needs its item's cas, as this server has it."""
    if b" CAS" in data:
        return data.replace(b" CAS", b" " + cas_of(stream, key), 1)
    return data.replace(b" CLOW", b" C%d" % (int(cas_of(stream, key)) - 1), 1) if b" CLOW" in data else data


def compare(ours, stock, sent):
    seconds = re.compile(rb"(?<= t)\d{3,}")  # two clocks do not tick together
    for command, one, other in zip(sent, ours, stock):
        if seconds.sub(b"", one) != seconds.sub(b"", other):
            print(f"{command[:1000]!r}\n  is answered {one[:1000]!r}\n  by memcached {other[:1000]!r}", flush=True)
            sys.exit(f"SEED={SEED}: {one[:60]!r}, by memcached {other[:60]!r}, is the answer to {command[:80]!r}")


def all_of(servers, draw, count):
    mix(servers, draw, count)
    compare(*([server.ask(text) for text in WRONG] for server in servers), WRONG)
    compare(*([server.ask(text) for text in GATHERED] for server in servers), GATHERED)
    in_all_states([Stream(server) for server in servers])
    midway(servers[0])


def in_all_states(streams):
    """One command after the other, as memcached counts up otherwise what it is still to send."""
    for before in BEFORE:
        for act in ACTS:
            lines = [f"{line}\r\n".encode() for line in (*before, act, *AFTER)]
            answers = [b"".join(stream.ask([line])[0] for line in lines) for stream in streams]
            compare(answers[:1], answers[1:], [b"".join(lines)])


def mix(servers, draw, count, left_out=()):
    """COUNT operations, but for those that begin with a word that is LEFT_OUT."""
    streams = [Stream(server) for server in servers]
    for _ in range(count):
        data, key = operation(draw)
        if data.startswith(left_out):
            continue
        sent = [with_cas(data, key, stream) for stream in streams]
        compare(streams[0].ask(sent[:1]), streams[1].ask(sent[1:]), sent)


def midway(server):
    """Clients that go in the middle of a command, at each of its bytes; the others are served."""
    text = b"set stop 0 0 10\r\n0123456789\r\n"
    for length in range(1, len(text)):
        with server.connect() as client:
            client.sendall(text[:length])
    if server.ask(b"get stop\r\n") != b"END\r\n":
        sys.exit("half a command was executed")
    with server.connect() as slow:
        for byte in text:
            slow.sendall(bytes([byte]))
        if slow.recv(100) != b"STORED\r\n":
            sys.exit("a slow client's value was not stored")


def main():
    stock = shutil.which("memcached") or shutil.which("memcached", path="/usr/bin:/usr/local/bin")
    if not stock:
        print("skipped: Debian's memcached is not installed")
        return 77
    draw = random.Random(SEED)
    print(f"SEED={SEED}")
    against(stock, lambda servers: all_of(servers, draw, COUNT))
    against(stock, lambda servers: all_of(servers, draw, COUNT // 10), PAUSING)
    # Calls that the host has ended: what can be found out of them is answered as ever.
    against(stock, lambda servers: mix(servers, draw, COUNT // 4, ENDED_UNKNOWN), FAKE_ENDED="3")
    print(f"{COUNT} operations, {len(BEFORE) * len(ACTS)} of items in all states, {len(WRONG)} wrong inputs: "
          "all answers are memcached's")
    return capable()


def against(stock, check, ours=OURS, **environment):
    """Both servers, for as long as the check takes; ours has to outlive it."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        servers = [Server(folder, [str(ours), "-t", "2"], **environment),
                   Server(folder, [stock, "-u", "nobody", "-m", "64", "-o", QUIET])]
        try:
            check(servers)
        finally:
            alive = servers[0].process.poll() is None
            for server in servers:
                server.process.terminate()
                server.process.wait()
        if not alive:
            sys.exit("elisa-memcached has ended")


def capable():
    """Debian's own test of the text protocol; it speaks TCP."""
    if not shutil.which("memccapable"):
        print("memccapable is not installed")
        return 0
    port = 20000 + os.getpid() % 10000
    server = subprocess.Popen([str(OURS), "-p", str(port)], stdout=subprocess.PIPE)
    server.stdout.readline()
    try:
        result = subprocess.run(["memccapable", "-h", "127.0.0.1", "-p", str(port), "-a"], capture_output=True, text=True,
                                timeout=60, check=False)
    finally:
        server.terminate()
        server.wait()
    passed, failed = result.stdout.count("[pass]"), result.stdout.count("[FAIL]")
    print(f"memccapable: {passed} passed, {failed} failed")
    return 1 if failed or passed < 25 else 0


if __name__ == "__main__":
    sys.exit(main())
