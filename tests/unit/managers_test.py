# SPDX-License-Identifier: MIT
"""What elisa-manager and elisa-kv understand of their words: whoever mistypes a grant gives nobody anything."""

import subprocess
import unittest
from pathlib import Path

OBJECTS = Path(__file__).resolve().parents[2] / "build" / "objects"
WHOM = ("all", "vm:0", "vm:3", "pid:9", "uid:0", "uid:64055", "vm:4294967294")
NOBODY = ("", "al", "alle", "all:", "all:5", "vm", "vm:", "vm:x", "vm:-1", "vm:+1", "vm: 1", " vm:1", "vm:3x", "vm:3ro", "vm:3 ",
          "vm:0x3", "vm:4294967295", "vm:4294967296", "vm:4294967299", "vm:99999999999999999999", "uid:1000,ro", "uid:1000,rw",
          "dog:1", "vm:1:", "vm:1:wo", "vm:1:ro:ro", "vm:1:ros", "vm:1:ro,", "vm:1,2")


class Words(unittest.TestCase):
    needed = ()

    def status(self, *words):
        """What it ends with: 1 where words are right, as there is no such code."""
        result = subprocess.run([self.program, *self.needed, "--code", "/no/such/code", *words], capture_output=True, text=True,
                                timeout=10, check=False)
        self.assertTrue(result.stderr, words)
        return result.returncode

    def right(self, *words):
        self.assertEqual(self.status(*words), 1, words)

    def wrong(self, *words):
        self.assertEqual(self.status(*words), self.wrong_status, words)


class ManagerTest(Words):
    program, wrong_status = OBJECTS / "elisa-manager", 2
    needed = ("--name", "words")

    def test_grants(self):
        for whom in WHOM:
            self.right("--grant", whom)
            self.right("--grant", f"{whom}:ro")
        for whom in NOBODY:
            self.wrong("--grant", whom)
        self.right(*["--grant=vm:1"] * 16)
        self.wrong(*["--grant=vm:1"] * 17)

    def test_numbers(self):
        for text in ("0", "4096", "0x1000", "4K", "1M", "17179869183G"):
            self.right("--memory", text)
        for text in ("", "-1", "+1", " 1", "x", "K", "4k", "4KB", "1 M", "17179869184G", "18446744073709551616"):
            self.wrong("--memory", text)


class CacheTest(Words):
    program, wrong_status = OBJECTS / "kv" / "elisa-kv", 64

    def test_grants(self):
        for whom in WHOM:
            self.right("--grant", whom)
            self.right("--space", f"{whom}=news:ro")
            self.right("--space", f"{whom}=news:rw")
        for whom in NOBODY:
            self.wrong("--grant", whom)
            self.wrong("--space", f"{whom}=news:ro")
        self.right(*["--grant=vm:1"] * 64)
        self.wrong(*["--grant=vm:1"] * 65)

    def test_spaces(self):
        for text in ("all", "all=news", "all=news:", "all=news:r", "all=news:ro,", "all=:ro", "all=own:ro", "vm:1=news:row",
                     f"all={'x' * 32}:ro"):
            self.wrong("--space", text)
        self.right("--space", f"all={'x' * 31}:ro")

    def test_numbers(self):
        for text in ("1M", "1048576", "0x100000", "1024K", "64M"):
            self.right("--memory", text)
        for text in ("", "-1", "+64M", " 64M", "K", "-1K", "64m", "64MB", "1023K", "17179869184G", "18446744073709551616", "M"):
            self.wrong("--memory", text)
        self.right("--stats", "4294967295")
        for text in ("", "K", "-1", "5s", "4294967296", "4194304K"):
            self.wrong("--stats", text)


if __name__ == "__main__":
    unittest.main()
