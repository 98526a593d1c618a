# SPDX-License-Identifier: MIT
"""elisa-memcached as a server, with the cache in its own process: clients that ask for much and read late, or not at all, too
many of them, those that go before their answer; and its options."""

import contextlib
import os
import resource
import socket
import struct
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

BUILT = Path(__file__).resolve().parents[3] / "build" / "tools" / "elisa-memcached"
ALONE, PAUSING = BUILT / "elisa-memcached-alone", BUILT / "elisa-memcached-pausing"
FULL = b"ERROR Too many open connections\r\n"
VALUE_MAX = 1 << 20
TICKS = os.sysconf("SC_CLK_TCK")


class Server:
    """One that listens at a local socket, or at a TCP port if it is given one."""

    def __init__(self, folder, *words, program=ALONE, port=None, limits=()):
        self.address = ("127.0.0.1", port) if port else f"{folder}/socket"
        self.process = subprocess.Popen(
            [program, *words, *(("-p", str(port)) if port else ("-s", self.address))], stdout=subprocess.PIPE, text=True,
            preexec_fn=lambda: [resource.setrlimit(limit, (most, most)) for limit, most in limits])
        if self.process.stdout.readline() != "ready\n":
            raise AssertionError(f"it did not start: {self.process.wait()}")

    def connect(self, limit_s=10):
        client = socket.socket(socket.AF_INET if isinstance(self.address, tuple) else socket.AF_UNIX)
        client.settimeout(limit_s)
        client.connect(self.address)
        return client

    def kilobytes(self):
        """What it has in memory now."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        raise AssertionError("it has ended")

    def cpu_s(self):
        """CPU time that it has had."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def end(self):
        self.process.terminate()
        self.process.stdout.close()
        return self.process.wait()


def receive(client, count):
    """So many bytes, or those that came before it was closed or nothing more came."""
    parts, left = [], count
    with contextlib.suppress(OSError):
        while left and (part := client.recv(min(left, 1 << 20))):
            parts.append(part)
            left -= len(part)
    return b"".join(parts)


def ask(client, question, answer):
    client.sendall(question)
    got = receive(client, len(answer))
    if got != answer:
        raise AssertionError(f"{question[:60]!r} is answered {got[:60]!r}, of {len(got)} bytes, not {answer[:60]!r}")


def store(client, key, value):
    ask(client, b"set %s 0 0 %d\r\n%s\r\n" % (key, len(value), value), b"STORED\r\n")


def found(key, value):
    return b"VALUE %s 0 %d\r\n%s\r\n" % (key, len(value), value)


def go_at_once(client):
    """Goes so that what is sent to it afterwards fails."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


class ServerTest(unittest.TestCase):
    port = 20000 + os.getpid() % 10000

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def serve(self, *words, tcp=False, **options):
        """A server, which has to be there still when the test is over."""
        ServerTest.port += tcp
        server = Server(self.folder.name, *words, port=self.port if tcp else None, **options)
        self.addCleanup(lambda: self.assertEqual(server.end(), -15, "the server has ended"))
        return server

    def client(self, server, **options):
        client = server.connect(**options)
        self.addCleanup(client.close)
        return client

    # --- much that is asked for at once

    def test_commands_that_wait(self):
        """All commands of one send are answered, though there are more than one turn of a connection has: nothing else has to
        come for it. A turn's answers are so few here that a socket takes them all at once."""
        for tcp in (False, True):
            server = self.serve(program=PAUSING, tcp=tcp)
            client = self.client(server, limit_s=5)
            value = b"x" * 1000
            store(client, b"k", value)
            ask(client, b"get k\r\n" * 100, (found(b"k", value) + b"END\r\n") * 100)
            ask(client, b"get" + b" k" * 100 + b"\r\n", found(b"k", value) * 100 + b"END\r\n")
            client.sendall(b"get k\r\n" * 100 + b"quit\r\nget k\r\n")
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(receive(client, 1 << 20), (found(b"k", value) + b"END\r\n") * 100)

    def test_large_values_that_wait(self):
        server = self.serve(tcp=True)
        client, value = self.client(server), b"v" * (VALUE_MAX - 100)
        store(client, b"k", value)
        for question in (b"get k\r\n" * 20, b"mg k v\r\n" * 20, b"get" + b" k" * 20 + b"\r\n", b"gat 100" + b" k" * 20 + b"\r\n"):
            client.sendall(question + b"mn\r\n")
            got = b""
            while not got.endswith(b"MN\r\n"):
                more = client.recv(1 << 20)
                self.assertTrue(more, question[:20])
                got += more
            self.assertEqual(got.count(value), 20, question[:20])

    def test_memory(self):
        """Who asks for much, and does not read, costs a value and what is gathered before it is sent."""
        server = self.serve()
        client = self.client(server)
        store(client, b"k", b"v" * VALUE_MAX)
        ask(client, b"mg k s\r\n", b"HD s%d\r\n" % VALUE_MAX)
        for question in (b"get" + b" k" * 100 + b"\r\n", b"gats 0" + b" k" * 100 + b"\r\n", b"get k\r\n" * 100,
                         b"mg k v k q\r\n" * 100):
            before = server.kilobytes()
            with server.connect() as idle:
                idle.sendall(question)
                time.sleep(0.3)
                self.assertLess(server.kilobytes() - before, 8 << 10, question[:20])
                answer = receive(idle, 100 * VALUE_MAX)
                self.assertEqual(len(answer), 100 * VALUE_MAX, question[:20])
        ask(client, b"mn\r\n", b"MN\r\n")

    # --- too many clients, and those that have gone

    def test_gone_before_its_answer(self):
        """Nobody is there who could be told that there are too many connections."""
        for tcp in (False, True):
            server = self.serve("-c", "1", tcp=tcp)
            client = self.client(server)
            ask(client, b"mn\r\n", b"MN\r\n")
            for _ in range(2000 if tcp else 200):
                with contextlib.suppress(OSError):
                    other = server.connect()
                    if tcp:
                        other.shutdown(socket.SHUT_WR)
                    go_at_once(other)
            ask(client, b"mn\r\n", b"MN\r\n")
            with server.connect() as other:
                self.assertEqual(receive(other, 1000), FULL)

    def test_nobody_reads_its_output(self):
        """It serves also if who has started it has gone."""
        reader, writer = os.pipe()
        os.close(reader)
        with subprocess.Popen([ALONE, "-s", f"{self.folder.name}/socket"], stdout=writer) as process:
            os.close(writer)
            deadline = time.monotonic() + 10
            while process.poll() is None and time.monotonic() < deadline:
                with socket.socket(socket.AF_UNIX) as client, contextlib.suppress(OSError):
                    client.connect(f"{self.folder.name}/socket")
                    ask(client, b"mn\r\n", b"MN\r\n")
                    break
                time.sleep(0.02)
            time.sleep(0.1)
            self.assertIsNone(process.poll())
            process.terminate()

    def test_gone_in_the_midst(self):
        server = self.serve()
        client = self.client(server)
        store(client, b"k", b"v" * VALUE_MAX)
        for _ in range(50):
            with server.connect() as other:
                other.sendall(b"get" + b" k" * 10 + b"\r\n")
        ask(client, b"mn\r\n", b"MN\r\n")

    def test_no_files_left(self):
        """The process may have no more files: it waits without a CPU, and accepts again when it may."""
        for threads in ("1", "2"):
            server = self.serve("-t", threads, limits=[(resource.RLIMIT_NOFILE, 16)])
            with contextlib.ExitStack() as stack:
                some = [stack.enter_context(server.connect()) for _ in range(20)]
                ask(some[0], b"mn\r\n", b"MN\r\n")
                before = server.cpu_s()
                time.sleep(1)
                self.assertLess(server.cpu_s() - before, 0.1)
                ask(some[0], b"mn\r\n", b"MN\r\n")
                some[-1].sendall(b"mn\r\n")
                for client in some[:15]:
                    client.close()
                self.assertEqual(receive(some[-1], 4), b"MN\r\n")
            ask(self.client(server), b"mn\r\n", b"MN\r\n")

    # --- what is not stored

    def test_too_large(self):
        """It takes away what the key had, and nothing else: also if the key is said in base64."""
        client, value = self.client(self.serve()), b"x" * (VALUE_MAX + 1)
        refused = b"SERVER_ERROR object too large for cache\r\n"
        for question, gone in ((b"ms Zm9v %d b", b"foo"), (b"ms Zm9v %d", b"Zm9v"), (b"set foo 0 0 %d", b"foo"),
                               (b"ms Zm9v %d b MA", b"foo")):
            store(client, b"foo", b"old")
            store(client, b"Zm9v", b"other")
            ask(client, question % len(value) + b"\r\n" + value + b"\r\n", refused)
            for key, had in ((b"foo", b"old"), (b"Zm9v", b"other")):
                ask(client, b"get %s\r\n" % key, (b"" if key == gone else found(key, had)) + b"END\r\n")
        store(client, b"Zm9v=", b"old")
        for question, answer in ((b"ms Zm9v= %d b", b"CLIENT_ERROR error decoding key\r\n"),
                                 (b"ms Zm9v= %d MZ", b"CLIENT_ERROR invalid mode for ms M token\r\n"),
                                 (b"ms Zm9v= %d I I", b"CLIENT_ERROR duplicate flag\r\n")):
            ask(client, question % len(value) + b"\r\n" + value + b"\r\n", answer)
            ask(client, b"get Zm9v=\r\n", found(b"Zm9v=", b"old") + b"END\r\n")

    # --- options

    def test_wrong_words(self):
        for words in (("-p", "80abc"), ("-p", "0"), ("-p", "65536"), ("-p", ""), ("-p", " 80"), ("-p", "+80"), ("-p", "-1"),
                      ("-t", "0"), ("-t", "33"), ("-t", "2x"), ("-c", "0"), ("-c", "4294967296"), ("-c", "4294967297"),
                      ("-c", "-1"), ("-c", "1k"), ("-c", "99999999999999999999"), ("-l", "localhost"), ("-s", "x" * 200)):
            with self.assertRaises(AssertionError, msg=words):
                Server(self.folder.name, *words).end()

    def test_no_threads(self):
        """It says what there was too little of."""
        limits = ((resource.RLIMIT_STACK, 64 << 30), (resource.RLIMIT_AS, 4 << 30))
        result = subprocess.run([ALONE, "-t", "2", "-s", f"{self.folder.name}/none"], capture_output=True, text=True, check=False,
                                preexec_fn=lambda: [resource.setrlimit(limit, (most, most)) for limit, most in limits])
        self.assertEqual((result.returncode, result.stderr),
                         (1, "elisa-memcached: thread: Resource temporarily unavailable\n"))


if __name__ == "__main__":
    unittest.main()
