# SPDX-License-Identifier: MIT
"""The harness's own logic, on the build machine."""

import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

TREE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TREE / "testbed"))

from harness import apt, bench_core, cache, check, cpio, elf, elisa, kernel, logs, modules, mutations, \
    planted, qemu, runner, testlist, toolchain  # noqa: E402
from harness.channel import MachineDied, TimedOut  # noqa: E402
from harness.native import NativeHost  # noqa: E402
from harness.say import Failure  # noqa: E402


class CacheTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        os.environ["ELISA_CACHE"] = self.folder.name
        cache.prepare()

    def tearDown(self):
        del os.environ["ELISA_CACHE"]
        self.folder.cleanup()

    def test_entry_is_made_once(self):
        made = []

        def make(folder):
            made.append(folder)
            (folder / "file").write_text("x", encoding="ascii")

        self.assertEqual(cache.entry("thing", "1", make), cache.entry("thing", "1", make))
        self.assertEqual(len(made), 1)

    def test_interrupted_entry_leaves_nothing(self):
        def interrupted(folder):
            (folder / "half").write_text("x", encoding="ascii")
            raise KeyboardInterrupt

        with self.assertRaises(KeyboardInterrupt):
            cache.entry("thing", "1", interrupted)
        self.assertFalse((Path(self.folder.name) / "thing-1").exists())

    def test_entry_after_a_kill_starts_afresh(self):
        left = Path(self.folder.name) / ".making-thing-1"
        left.mkdir()
        (left / "half").write_text("x", encoding="ascii")
        path = cache.entry("thing", "1", lambda folder: None)
        self.assertEqual(list(path.iterdir()), [])
        self.assertFalse(left.exists())

    def test_unwritable_cache_is_named(self):
        file = Path(self.folder.name) / "file"
        file.write_text("", encoding="ascii")
        os.environ["ELISA_CACHE"] = str(file / "below")
        with self.assertRaisesRegex(Failure, "cannot write to the cache .*below"):
            cache.prepare()

    def test_full_disk_is_named(self):
        needed, cache.NEEDED_BYTES = cache.NEEDED_BYTES, 1 << 60
        try:
            with self.assertRaisesRegex(Failure, "MiB free in .* needed"):
                cache.entry("thing", "2", lambda folder: None)
        finally:
            cache.NEEDED_BYTES = needed

    def test_only_the_newest_are_kept(self):
        for key in "123":
            os.utime(cache.entry("thing", key, lambda folder: None), (int(key), int(key)))
        cache.keep_newest("thing", 2)
        self.assertEqual(sorted(path.name for path in Path(self.folder.name).glob("thing-*")), ["thing-2", "thing-3"])

    def kernel_after_an_update(self, make):
        """What kernel.current() gives when the archive has version 2 and the cache has 1."""
        folder = cache.entry("kernel-bookworm", "1", lambda folder: None)
        (Path(self.folder.name) / "kernel-bookworm.json").write_text(
            json.dumps({"folder": folder.name, "version": "1-cloud-amd64"}), encoding="ascii")
        with mock.patch.multiple(apt.Release, update=mock.DEFAULT, depends=lambda *_: ["linux-image-2-cloud-amd64"],
                                 version=lambda *_: "2"), mock.patch.object(kernel, "make_kernel", make):
            return kernel.current.__wrapped__("bookworm")

    def test_kernel_update(self):
        found = self.kernel_after_an_update(lambda *_: None)
        self.assertEqual((found.version, found.folder.name), ("2-cloud-amd64", "kernel-bookworm-2"))
        self.assertTrue((Path(self.folder.name) / "kernel-bookworm-1").exists())

    def test_kernel_update_that_cannot_be_fetched(self):
        def fail(*_):
            raise Failure("cannot reach the Debian archive")

        found = self.kernel_after_an_update(fail)
        self.assertEqual((found.version, found.folder.name), ("1-cloud-amd64", "kernel-bookworm-1"))
        self.assertFalse((Path(self.folder.name) / "kernel-bookworm-2").exists())


class AptTest(unittest.TestCase):
    def test_reasons(self):
        for output, expected in (
                ("E: Unable to locate package nosuch", "does not have nosuch"),
                ("E: Package 'old' has no installation candidate", "does not have old"),
                ("Err:1 http://x\n  Temporary failure resolving 'x'\nE: Failed to fetch", "is there a network"),
                ("E: You don't have enough free space in /var/cache/apt/archives/.", "no space left"),
                ("E: something else", "something else")):
            self.assertIn(expected, apt.explain(output, "installing"))

    def test_not_root_and_packages_missing(self):
        with mock.patch("os.geteuid", return_value=1000):
            with self.assertRaisesRegex(Failure, "not root, .*; as root: apt-get install no-such-package-1 no-such-package-2$"):
                apt.install(["no-such-package-1", "dpkg", "no-such-package-2"])

    def test_nothing_missing_needs_no_root(self):
        with mock.patch("os.geteuid", return_value=1000):
            apt.install(["dpkg"])


class CpioTest(unittest.TestCase):
    def test_busybox_reads_it(self):
        archive = cpio.Archive()
        archive.add_bytes("/a/b/file", b"content", 0o640)
        archive.add_link("/link", "a/b/file")
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["busybox", "cpio", "-i"], input=archive.bytes(), cwd=folder, check=True, stderr=subprocess.DEVNULL)
            self.assertEqual((Path(folder) / "link").read_bytes(), b"content")
            self.assertEqual((Path(folder) / "a/b/file").stat().st_mode & 0o777, 0o640)

    def test_equal_contents_make_equal_archives(self):
        one, other = cpio.Archive(), cpio.Archive()
        one.add_bytes("a", b"1")
        one.add_bytes("b", b"2")
        other.add_bytes("b", b"2")
        other.add_bytes("a", b"1")
        self.assertEqual(one.bytes(), other.bytes())


class ElfTest(unittest.TestCase):
    def test_zeros_go_and_contents_stay(self):
        page = 4096
        data = bytearray(struct.pack("<16s", b"\x7fELF").ljust(64, b"\0"))
        struct.pack_into("<Q", data, 32, 64)
        struct.pack_into("<HHHHHH", data, 52, 64, 56, 2, 64, 9, 8)
        data += struct.pack("<IIQQQQQQ", 1, 5, 4 * page, 0xffffffff81000000, 0x1000000, 2 * page, 3 * page, page)
        data += struct.pack("<IIQQQQQQ", 4, 4, 4 * page + 8, 0, 0, 16, 16, 4)
        data += bytes(4 * page - len(data)) + b"contents" + b"a note of 16 by." + bytes(2 * page - 24)
        small = elf.compact(bytes(data))
        self.assertLess(len(small), 2 * page)
        _, _, offset, _, physical, size, memory, _ = struct.unpack_from("<IIQQQQQQ", small, 64)
        self.assertEqual((small[offset:offset + size], physical, memory), (b"contentsa note of 16 by.", 0x1000000, 3 * page))
        note = struct.unpack_from("<IIQQQQQQ", small, 64 + 56)[2]
        self.assertEqual(small[note:note + 16], b"a note of 16 by.")


class LogsTest(unittest.TestCase):
    def test_complaints_are_found(self):
        for line in ("[ 1.0] WARNING: CPU: 0 PID: 1 at x", "Oops: 0000 [#1] PREEMPT SMP",
                     "general protection fault, probably", "BUG: sleeping function called from invalid context",
                     "INFO: task x blocked", "Kernel panic - not syncing",
                     "WARNING: possible recursive locking detected", "watchdog: BUG: soft lockup - CPU#0 stuck"):
            self.assertEqual(logs.complaints(line), [line])

    def test_others_are_not(self):
        for line in ("[    0.11] [Firmware Bug]: TSC_DEADLINE disabled due to Errata",
                     "Failed to access perfctr msr (MSR c4 is 0)", "vmx: loading out-of-tree module taints kernel.",
                     "x86/mm: Checked W+X mappings: passed, no W+X pages found."):
            self.assertEqual(logs.complaints(line), [])


class TestListTest(unittest.TestCase):
    def load(self, text, long=False):
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            file.write(text)
            file.flush()
            return testlist.load(Path(file.name), long)

    def test_a_test_runs_on_each_machine(self):
        entries = self.load('[[test]]\nname = "a"\nfile = "vm/host.py"\ncpus = [1, 2]\napicv = [true, false]\n')
        self.assertEqual([entry.name for entry in entries], ["a-1cpu-apicv", "a-1cpu-noapicv", "a-2cpu-apicv", "a-2cpu-noapicv"])
        self.assertEqual(len({entry.machine for entry in entries}), 4)

    def test_long_form(self):
        text = ('[[test]]\nname = "a"\nfile = "vm/host.py"\narguments = { count = 1, seed = 2 }\nlong = { count = 9 }\n'
                '[[unit]]\nname = "u"\nfile = "vm/host.py"\nlong_only = true\n')
        self.assertEqual([(entry.name, entry.arguments) for entry in self.load(text)], [("a", {"count": 1, "seed": 2})])
        unit, test = self.load(text, long=True)
        self.assertEqual((unit.name, test.arguments), ("u", {"count": 9, "seed": 2}))

    def test_every_attack_and_fault_is_in_the_threat_model(self):
        text = (TREE / "docs" / "threat-model.md").read_text(encoding="utf-8")
        names = {entry.base for entry in testlist.load(long=True) if {"attack", "fault"} & set(entry.tags)}
        # The same on another machine.
        listed = {re.sub("-(trixie|noapicv)$", "", name) for name in names}
        said = set(re.findall(r"`((?:attack|fault)-[\w-]+)`", text))
        self.assertEqual(listed - said, set(), "tests that the table lacks")
        self.assertEqual(said - names - listed - {"attack-NAME"}, set(), "what the table says there is")

    def test_mistakes_are_named(self):
        for text, expected in (
                ('[[test]]\nname = "a"\nfile = "vm/host.py"\nfoo = 1', "a: unknown foo"),
                ('[[test]]\nname = "a"\nfile = "vm/nosuch.py"', "a: no file tests/vm/nosuch.py"),
                ('[[test]]\nname = "a"\nfile = "vm/host.py"\ncpus = 3', "a: cpus must be among"),
                ('[[test]]\nname = "a"\nfile = "vm/host.py"\n' * 2, "two tests are called a"),
                ('[[test]]\nname = ', "tests/list.toml: ")):
            with self.assertRaisesRegex(Failure, expected):
                self.load(text)

    def test_choice(self):
        entries = self.load('[[test]]\nname = "a"\nfile = "vm/host.py"\ntags = ["t"]\n'
                            '[[unit]]\nname = "u"\nfile = "vm/host.py"\n')
        self.assertEqual([entry.name for entry in testlist.choose(entries, [])], ["u", "a"])
        self.assertEqual([entry.name for entry in testlist.choose(entries, ["t"])], ["a"])
        self.assertEqual([entry.name for entry in testlist.choose(entries, ["unit", "a"])], ["u", "a"])
        with self.assertRaisesRegex(Failure, "no test is called nosuch"):
            testlist.choose(entries, ["nosuch"])


class ToolchainTest(unittest.TestCase):
    """Programs of a kernel's headers, run by a loader of their own; here it is this machine's."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.kbuild = Path(self.folder.name) / "kbuild"
        (self.kbuild / "scripts" / "basic").mkdir(parents=True)
        (self.kbuild / "loader").mkdir()
        for library in cpio.shared_libraries(Path("/bin/echo")):
            shutil.copy(library, self.kbuild / "loader")

    def tearDown(self):
        self.folder.cleanup()

    def run_adapted(self, name, *beside):
        program = self.kbuild / "scripts" / "basic" / name
        for path in (program, *beside):
            shutil.copy("/bin/echo", program.with_name(Path(path).name))
        toolchain.run_with_own_loader(self.kbuild, program)
        return subprocess.run([program, "a b", "c"], check=True, capture_output=True, text=True).stdout

    def test_program_runs_with_its_arguments(self):
        self.assertEqual(self.run_adapted("fixdep"), "a b c\n")
        self.assertIn(self.kbuild / "scripts" / "basic" / "fixdep.elf", toolchain.programs(self.kbuild))

    def test_program_of_the_target_is_chosen(self):
        self.assertEqual(self.run_adapted("modpost", "modpost.real-lsb-64"), "a b c\n")
        self.assertFalse((self.kbuild / "scripts" / "basic" / "modpost.elf").exists())

    def test_own_programs_run_here(self):
        self.assertTrue(toolchain.runs_here(Path("/bin/echo")))

    def test_compiler_takes_what_it_does_not_know(self):
        wrapper = Path(self.folder.name) / "gcc"
        wrapper.write_text(toolchain.COMPILER, encoding="ascii")
        result = subprocess.run(["sh", wrapper, "-fmin-function-alignment=64", "-DX=a b", "-xc", "-c", "-", "-o",
                                 self.folder.name + "/x.o"], input="void f(void) {}", text=True, capture_output=True, check=False)
        self.assertEqual((result.returncode, result.stderr), (0, ""))


class ModulesTest(unittest.TestCase):
    def test_name_is_kbuilds(self):
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(modules, "TREE", Path(folder).parent):
            kbuild = Path(folder) / "Kbuild"
            for text in ("obj-m := elisa.o\n", "ccflags-y := -O2\nobj-m += elisa.o\nelisa-y := a.o\n"):
                kbuild.write_text(text, encoding="ascii")
                self.assertEqual(modules.name_of(Path(folder)), "elisa")
            kbuild.write_text("elisa-y := a.o\n", encoding="ascii")
            with self.assertRaisesRegex(Failure, "says nothing like"):
                modules.name_of(Path(folder))

    def test_objects_need_the_host_module(self):
        self.assertEqual(modules.default_needs(TREE / "objects" / "nop"), [TREE / "host"])
        self.assertEqual(modules.default_needs(TREE / "tests" / "vm" / "vmx"), [])

    def test_warnings(self):
        loud = ["x.c:1:2: warning: unused", "vmx.o: warning: objtool: f+0x1: unreachable", 'WARNING: modpost: "f" undefined!']
        quiet = ["Skipping BTF generation for x.ko due to unavailability of vmlinux", "  CC [M]  x.o"]
        self.assertEqual(modules.warnings("\n".join(loud + quiet)), loud)

    def test_headers_of_the_kernel_are_known(self):
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(check, "TREE", Path(folder)):
            for text, expected in (("#include <linux/types.h>", False), ("#include <linux/list.h>", True),
                                   ("#ifdef __KERNEL__\n#include <linux/list.h>\n#else\n#include <errno.h>\n#endif", False),
                                   ('#include "other.h"', True), ("", False)):
                (Path(folder) / "a.h").write_text(text + "\n", encoding="ascii")
                (Path(folder) / "other.h").write_text("#include <asm/vmx.h>\n", encoding="ascii")
                self.assertEqual(check.is_kernel_header("a.h"), expected, text)


class FakeJob:
    """A job that prints nothing, and has ended if it is given a result."""

    command = "elisa-manager"

    def __init__(self, status=None):
        self.result, self.status = None, status

    def expect(self, pattern, limit_s):
        raise TimedOut(pattern)

    def wait(self, limit_s):
        if self.status is None:
            raise TimedOut("still runs")
        self.result = mock.Mock(check=mock.Mock(side_effect=Failure("host: `elisa-manager`: exit code 1: no")))
        return self.result


class ElisaTest(unittest.TestCase):
    IDLE = {"objects": 0, "attachments": 0, "pinned_pages": 0, "vms": 0, "vcpus": 0, "allocated_pages": 40}

    def module(self, *stats):
        """A loaded module that says, each time it is asked, the next of STATS."""
        module = elisa.HostModule(mock.Mock())
        module.parameters = {}
        module.host.run.return_value.out = ""
        module.stats = mock.Mock(side_effect=[{**self.IDLE, **each} for each in stats])
        return module

    def test_options(self):
        self.assertEqual(elisa.option_words({"vetted": True, "outlive": False, "memory": "1M", "grant": ["vm:1", "all:ro"]}),
                         ["--vetted", "--memory=1M", "--grant=vm:1", "--grant=all:ro"])

    def test_nothing_held(self):
        self.assertEqual(self.module({}).check_released(), "")
        self.assertEqual(elisa.HostModule(mock.Mock()).check_released(), "")  # not loaded

    def test_released_a_little_later(self):
        self.assertEqual(self.module({"attachments": 1}, {"pinned_pages": 3}, {}).check_released(), "")

    def test_leak_is_named_and_the_module_unloaded(self):
        module = self.module(*[{"objects": 1, "pinned_pages": 16}] * 1000)
        with mock.patch.object(modules, "name_of", return_value="elisa"):
            self.assertEqual(module.check_released(), "elisa.ko leaks: 1 objects, 16 pinned pages")
        module.host.call.assert_called_with("rmmod elisa")
        self.assertFalse(module.loaded)

    def test_pages_of_its_own_do_not_pile_up(self):
        module = self.module({}, {"allocated_pages": 90, "vms": 1}, {}, {"allocated_pages": 41})
        self.assertEqual([module.held() for _ in range(4)], ["", "", "", "1 allocated pages more than before"])

    def test_mapping_that_is_left(self):
        module = self.module(*[{}] * 1000)
        module.host.run.return_value.out = "0x1-0x2 8192 elisa_memory_vmap+0x9c/0x100 [elisa] pages=1 vmap\n"
        with mock.patch.object(modules, "name_of", return_value="elisa"):
            self.assertEqual(module.check_released(), "elisa.ko leaks: 1 mappings of others' memory in the kernel")

    def test_leak_that_cannot_be_unloaded_costs_the_machine(self):
        module = self.module(*[{"objects": 1}] * 1000)
        module.host.call.side_effect = lambda command: command.startswith("rmmod") and self.refuse()
        with mock.patch.object(modules, "name_of", return_value="elisa"):
            with self.assertRaisesRegex(MachineDied, "leaks: 1 objects; in use"):
                module.check_released()

    def refuse(self):
        raise Failure("in use")

    def test_manager_that_ends_says_why(self):
        with self.assertRaisesRegex(Failure, "exit code 1: no"):
            elisa.Manager(mock.Mock(), FakeJob(1), "x").wait_ready()

    def test_manager_that_never_is_ready(self):
        with self.assertRaisesRegex(TimedOut, "not ready after 1 emulated"):
            elisa.Manager(mock.Mock(), FakeJob(), "x").wait_ready(1)


class MutationTest(unittest.TestCase):
    FIELDS = {"name": "m", "guard": "g", "file": "host/gate.c", "find": "b", "replace": "x", "tests": ["gate"]}

    def mutation(self, **fields):
        return mutations.Mutation({**self.FIELDS, **fields})

    def test_list_still_applies(self):
        mutations.check_list(mutations.load())

    def test_text_must_be_there_once(self):
        self.assertEqual(self.mutation().applied("abc"), "axc")
        for text in ("ac", "abcb"):
            with self.assertRaisesRegex(Failure, "m: its text is [02] times in host/gate.c"):
                self.mutation().applied(text)

    def test_mistakes_in_the_list(self):
        for fields, wanted in (({"tests": []}, "m: no tests"), ({"fiel": "x"}, "m: unknown fiel")):
            with self.assertRaisesRegex(Failure, wanted):
                self.mutation(**fields)
        first_line = (TREE / "host" / "gate.c").read_text(encoding="utf-8").splitlines()[0]
        with self.assertRaisesRegex(Failure, "m: no test is called nosuch"):
            mutations.check_list([self.mutation(find=first_line, tests=["nosuch"])])
        with self.assertRaisesRegex(Failure, "m: no file nosuch"):
            mutations.check_list([self.mutation(file="nosuch")])

    def test_a_copy_is_written_where_it_differs(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "below" / "file"
            mutations.put(path, b"x", 0o755)
            os.utime(path, (1, 1))
            mutations.put(path, b"x", 0o755)
            self.assertEqual((path.stat().st_mtime, path.stat().st_mode & 0o777), (1, 0o755))
            mutations.put(path, b"y", 0o755)
            self.assertGreater(path.stat().st_mtime, 1)

    def test_what_is_no_test_s_word(self):
        for text in ("no machine: host: no agent", "building elisa.ko for 6.1 failed: x", "host: [ 1.0] elisa: not loaded: y"):
            self.assertRegex(text, mutations.NOT_CAUGHT)
        for text in ("host: the emulated machine has reset", "guest1: its QEMU ended with 1"):
            self.assertNotRegex(text, mutations.NOT_CAUGHT)


class TranslationsTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.test = mock.Mock(folder=Path(self.folder.name), reports=[], expected_report=None)
        self.test.host.take_reports.side_effect = [["no INVEPT"], []]

    def tearDown(self):
        self.folder.cleanup()

    def outcome(self, **options):
        return runner.with_reports(self.test, "ok", "", **options)

    def test_a_report_fails_a_test(self):
        self.assertEqual(self.outcome(), ("FAIL", "translations: no INVEPT"))
        self.assertIn("no INVEPT", (self.test.folder / "translations.txt").read_text(encoding="utf-8"))

    def test_unless_it_expects_it(self):
        self.test.expected_report = "INV[EV]"
        self.assertEqual(self.outcome(), ("ok", ""))
        self.assertEqual(self.outcome(last=True), ("ok", ""))

    def test_what_is_expected_must_come(self):
        self.test.expected_report = "INV[EV]"
        self.test.host.take_reports.side_effect = [[]]
        self.assertEqual(self.outcome(last=True)[0], "FAIL")

    def test_all_is_checked_in_the_long_form(self):
        self.assertFalse(testlist.Entry({"name": "a", "file": "vm/host.py"}, 1, True, {"cpus": 0, "apicv": 0}, False).checked)
        self.assertTrue(testlist.Entry({"name": "a", "file": "vm/host.py"}, 1, True, {"cpus": 0, "apicv": 0}, True).checked)

    def test_planted_faults_change_one_file(self):
        with mock.patch.object(planted, "ROOT", self.test.folder):
            folder = planted.source("flush-one-cpu")
        changed = [path.name for path in folder.iterdir()
                   if path.read_text(encoding="utf-8") != (elisa.HOST_MODULE / path.name).read_text(encoding="utf-8")]
        self.assertEqual(changed, ["kvm.c"])


class BenchTest(unittest.TestCase):
    def bench(self, *regions):
        bench = bench_core.Bench.__new__(bench_core.Bench)
        bench.regions = mock.Mock(side_effect=[{"null calls": region} for region in regions])
        return bench

    def test_disturbed_regions_do_not_count(self):
        quiet = [{"guest": count, "host": 0, "vmfunc": 3000, "exits": {}} for count in (61000, 59000, 60000)]
        loud = [{"guest": 1000, "host": 900, "vmfunc": 3000, "exits": {"1": 1}}] * (bench_core.TRIES - 3)
        bench = self.bench(*quiet, *loud)
        self.assertEqual(bench.per_call("nop", "gate", {}, lambda vcpu: vcpu["guest"]), 59)
        with self.assertRaisesRegex(Failure, "never had just"):
            self.bench(*loud * 2).per_call("nop", "gate", {}, lambda vcpu: vcpu["guest"])

    def test_exits_of_ours(self):
        self.assertEqual(bench_core.exits_of({"exits": {"1": 7, "52": 3, "59": 1, "48": 2}}), 3)


@unittest.skipUnless(os.geteuid() == 0, "the agent writes to /run")
class NativeTest(unittest.TestCase):
    """The same agent on this very machine, as NATIVE=1 uses it."""

    def test_agent_on_this_machine(self):
        with tempfile.TemporaryDirectory() as folder:
            host = NativeHost(folder).start_agent()
            try:
                result = host.run("echo $((6 * 7)); exit 3")
                self.assertEqual((result.status, result.out), (3, "42\n"))
                host.write(f"{folder}/file", b"\0\1\2")
                self.assertEqual(host.read(f"{folder}/file"), b"\0\1\2")
                host.call("usleep 1")
            finally:
                host.stop()

    def test_nothing_is_unpacked_over_this_machine(self):
        with tempfile.TemporaryDirectory() as folder:
            host = NativeHost(folder)
            self.assertEqual(qemu.install(host), qemu.PATH)
            host.installed.clear()
            with self.assertRaisesRegex(Failure, "nothing is unpacked"):
                qemu.install(host)


if __name__ == "__main__":
    unittest.main()
