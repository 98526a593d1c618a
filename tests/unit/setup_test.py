# SPDX-License-Identifier: MIT
"""What set-up says, as its user sees it, when something is missing: one line, exit code 2, nothing half-made."""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]


def testbed(*arguments, before=(), **environment):
    return subprocess.run([*before, str(TREE / "testbed" / "testbed"), *arguments], capture_output=True, text=True, check=False,
                          env={**os.environ, **environment})


class SetupTest(unittest.TestCase):
    def says(self, result, pattern):
        self.assertEqual(result.returncode, 2, result.stdout + result.stderr)
        self.assertRegex(result.stderr, f"^error: .*{pattern}")
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)

    def test_unknown_test(self):
        self.says(testbed("test", "nosuch"), "no test is called nosuch")

    def test_unknown_correction(self):
        self.says(testbed("corrections", "nosuch"), "no correction called nosuch")

    def test_cache_that_cannot_be_written(self):
        self.says(testbed("setup", ELISA_CACHE="/proc/nosuch"), "cannot write to the cache /proc/nosuch")

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_no_network_and_nothing_cached(self):
        with tempfile.TemporaryDirectory() as folder:
            self.says(testbed("setup", before=("unshare", "--net"), ELISA_CACHE=folder), "cannot reach the Debian archive")
            self.assertEqual([path.name for path in Path(folder).iterdir() if not path.name.startswith((".lock", "apt-"))], [])

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_no_network_does_not_matter_once_cached(self):
        result = testbed("setup", before=("unshare", "--net"))
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_native_on_a_machine_without_vtx(self):
        if "vmx" in Path("/proc/cpuinfo").read_text(encoding="ascii").split():
            self.skipTest("this machine has VT-x")
        result = testbed("test", "host", NATIVE="1")
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stdout, "NATIVE=1 needs (root|a CPU with VT-x)")


if __name__ == "__main__":
    sys.exit(unittest.main())
