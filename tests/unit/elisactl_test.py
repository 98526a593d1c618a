# SPDX-License-Identifier: MIT
"""elisactl on a machine that is made up: tests/unit/elisactl/fake.c answers for the kernel, a folder for its files."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
PROGRAM = TREE / "build" / "tests" / "unit" / "elisactl" / "elisactl-fake"
COMMANDS = re.findall(r'^\t\{ "([a-z ]+)", "', (TREE / "tools" / "elisactl" / "main.c").read_text(encoding="utf-8"), re.M)
FLAGS = "vmx pdpe1gb smep smap"
VMX_FLAGS = "invvpid ept_x_only ept_ad ept"
MSRS = {0x482: 1 << 63, 0x48b: (1 << 33 | 1 << 45), 0x48c: 1 << 0 | 1 << 26 | 1 << 41, 0x491: 1}
PROBED = (TREE / "host" / "kvm.c").read_text(encoding="utf-8")
SYMBOLS = {*re.findall(r'find\(&\w+, "(\w+)"', PROBED), *re.findall(r'lookup\("(?:\w+:)?(\w+)"\)', PROBED),
           *re.findall(r'"(__SC[KT]__\w+)"', PROBED), *re.findall(r'symbol_name = "(\w+)"', PROBED)}


class Machine(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = Path(self.folder.name)
        self.environment = {"FAKE": str(self.root), "TZ": "UTC", "PATH": "/nowhere"}
        self.put("/dev/elisa", "")

    def tearDown(self):
        self.folder.cleanup()

    def put(self, path, text):
        file = self.root / path[1:]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def take(self, path):
        (self.root / path[1:]).unlink()

    def run_tool(self, *words, status=0):
        result = subprocess.run([PROGRAM, *words], capture_output=True, text=True, env=self.environment, timeout=20, check=False)
        self.assertEqual(result.returncode, status, f"{words}: {result.stdout}{result.stderr}")
        return result

    def text(self, *words, **options):
        return self.run_tool(*words, **options).stdout

    def table(self, *words):
        """Rows as dictionaries; columns are apart by two spaces at least."""
        lines = [re.split(r" {2,}", line.strip()) for line in self.text(*words).splitlines()]
        return [dict(zip(lines[0], line)) for line in lines[1:]]

    def json(self, *words, **options):
        return json.loads(self.text(*words, "--json", **options))

    def refused(self, *words, status):
        result = self.run_tool(*words, status=status)
        self.assertEqual(result.stdout, "", words)
        self.assertTrue(result.stderr, words)
        return result.stderr

    def said(self):
        file = self.root / "said"
        return file.read_text(encoding="utf-8").splitlines() if file.exists() else []


class ListsTest(Machine):
    def test_vms(self):
        first, second = self.table("vm", "list")
        self.assertEqual((first["ID"], first["PID"], first["ABORTS"], first["STATE"]), ("1", "100", "3", "alive"))
        self.assertEqual(first["MEMORY"], "1.0 MiB")
        self.assertEqual(second["STATE"], "EADDRINUSE")
        vms = self.json("vm", "list")
        self.assertEqual((vms[0]["vcpu_bytes"], vms[0]["aborts_by"]["fault"], vms[1]["state"]), (1 << 20, 2, 98))
        self.assertEqual(json.loads(self.text("--json", "vm", "list"))[0]["id"], 1)

    def test_objects(self):
        hits, files, gone = self.table("object", "list")
        self.assertEqual((hits["OPTIONS"], hits["MEMORY"], hits["MANAGER"]), ("vetted,exchange", "1.5 MiB", "pid 50"))
        self.assertEqual((files["MANAGER"], files["OPTIONS"]), ("vm 2", "-"))
        self.assertEqual((gone["NAME"], gone["STATE"]), ("-", "withdrawn"))
        objects = self.json("object", "list")
        self.assertEqual((objects[0]["flags"], objects[0]["options"]), (17, ["vetted", "exchange"]))
        self.assertEqual(objects[0]["memory_bytes"], 3 << 19)

    def test_attachments(self):
        rows = self.table("attach", "list")
        self.assertEqual([(row["RIGHTS"], row["SCHEME"], row["STATE"]) for row in rows],
                         [("rw", "gate", "alive"), ("ro", "vmcall", "asking")])
        listed = self.json("attach", "list")
        self.assertEqual([(each["scheme"], each["rights"], each["object"]) for each in listed],
                         [("gate", "rw", 3), ("vmcall", "ro", 4)])

    def test_log(self):
        row, = self.table("log")
        self.assertEqual((row["RETURNED"], row["EXIT"], row["AT"]), ("EFAULT", "EPT violation", "add+0x10"))
        self.assertEqual(self.json("log"), self.json("abort", "list"))
        self.assertEqual(self.json("log")[0]["address"], 0x200035000010)

    def test_show(self):
        shown = self.text("object", "show", "hits")
        for line in (r"manager +pid 50, uid 0", r"memory +1\.5 MiB", r"grants +all:ro, uid:64055", r"aborts +2, fault 2",
                     r" +7  hits +1 +100  rw "):
            self.assertRegex(shown, line)
        self.assertNotIn("files", shown)
        shown = self.json("object", "show", "hits")
        self.assertEqual(shown["grants"], [{"whom": "all", "rights": "ro"}, {"whom": "uid:64055", "rights": "rw"}])
        self.assertEqual([each["id"] for each in shown["attached"]], [7])
        self.assertIn("no object nothing", self.refused("object", "show", "nothing", status=3))
        self.refused("object", "show", "", status=3)

    def test_in_a_guest(self):
        self.environment["FAKE_GUEST"] = "1"
        for words in ("vm list", "object list", "attach list", "log", "events", "object show hits"):
            self.assertIn("a guest has no list", self.refused(*words.split(), status=1))
        self.assertIn("totals", self.refused("top", status=1))
        self.assertIn("only the host", self.refused("grant", "hits", "all", status=1))
        self.assertEqual(self.json("stat"), {"objects": 3, "attachments": 2, "vms": 2, "vcpus": 2, "pinned_pages": 384,
                                             "allocated_pages": 99})
        self.assertEqual(len(self.text("stat").splitlines()), 6)

    def test_no_device(self):
        self.take("/dev/elisa")
        for words in COMMANDS:
            if words not in ("doctor", "object publish"):
                more = {"object show": ["x"], "object withdraw": ["x"], "grant": ["x", "all"], "revoke": ["x", "all"]}
                self.assertIn("elisa.ko", self.refused(*words.split(), *more.get(words, []), status=1))


class ChangesTest(Machine):
    def test_grant(self):
        for whom, kind, number, rights in (("all", 0, 0, 3), ("all:ro", 0, 0, 1), ("vm:7", 1, 7, 3), ("pid:9:ro", 2, 9, 1),
                                           ("uid:0:rw", 3, 0, 3)):
            self.text("grant", "hits", whom)
            self.assertEqual(self.said()[-1], f"grant hits kind={kind} id={number} rights={rights}")
        self.assertIn("no process", self.refused("grant", "hits", "pid:4242", status=3))
        self.assertIn("no such object", self.refused("grant", "nothing", "all", status=3))
        self.refused("grant", "x" * 64, "all", status=3)

    def test_wrong_grantees(self):
        for whom in ("", "al", "all:", "all:5", "vm", "vm:", "vm:x", "vm:-1", "vm:4294967296", "vm:1:wo", "dog:1", "vm:1:ro:ro"):
            self.refused("grant", "hits", whom, status=2)
            self.refused("revoke", "hits", whom, status=2)
        self.assertIn("as a whole", self.refused("revoke", "hits", "all:ro", status=2))
        for command in ("grant", "revoke"):
            self.refused(command, status=2)
            self.refused(command, "hits", status=2)
            self.refused(command, "hits", "all", "now", status=2)
        self.assertEqual(self.said(), [])

    def test_revoke(self):
        self.text("revoke", "hits", "uid:64055")
        self.assertEqual(self.said(), ["grant hits kind=3 id=64055 rights=0"])
        self.assertIn("not granted to vm:1", self.refused("revoke", "hits", "vm:1", status=3))

    def test_withdraw(self):
        self.assertIn("process 50", self.text("object", "withdraw", "hits"))
        self.assertIn("VM 2", self.text("object", "withdraw", "files"))
        self.assertEqual(self.said(), ["withdraw hits", "withdraw files"])
        self.refused("object", "withdraw", "nothing", status=3)
        self.refused("object", "withdraw", status=2)

    def test_publish(self):
        """Its words are the manager's, as they are; so is its exit code."""
        self.refused("object", "publish", status=2)
        self.assertIn("elisa-manager: No such file", self.refused("object", "publish", "--name", "x", status=1))
        manager = self.root / "elisa-manager"
        manager.write_text('#!/bin/sh\necho "$@"\nexit 7\n', encoding="utf-8")
        manager.chmod(0o755)
        self.environment["PATH"] = f"{self.root}:/bin"
        said = self.run_tool("object", "publish", "--name", "a b", "--code=x", "-j", status=7).stdout
        self.assertEqual(said, "--name a b --code=x -j\n")


class UseTest(Machine):
    def test_totals(self):
        self.assertRegex(self.text("stat"), r"(?m)^pinned_pages +384$")
        now = self.json("stat")
        self.assertEqual((now["objects"], now["vms"]), (3, 2))
        vm, object_, attachment = now["by_vm"][0], now["by_object"][0], now["by_attachment"][0]
        self.assertEqual((vm["inside"], object_["inside"], attachment["inside"]), (0.25, 0.2, 0.2))
        self.assertIsNone(now["by_vm"][1]["inside"])
        self.assertEqual((object_["name"], attachment["name"], attachment["vm"]), ("hits", "hits", 1))
        self.assertEqual(object_["aborts_by"]["fault"], 2)

    def test_interval(self):
        lines = [json.loads(line) for line in self.text("stat", "0.05", "3", "--json").splitlines()]
        calls = [(line["by_vm"][0]["calls"], line["by_vm"][0]["calls_since"]) for line in lines]
        step = calls[1][0] - calls[0][0]
        self.assertGreater(step, 0)
        self.assertEqual(calls, [(calls[0][0], 0), (calls[0][0] + step, step), (calls[0][0] + 2 * step, step)])
        self.assertEqual(self.text("stat", "0.05", "2").count("vm 1 on hits"), 2)
        for words in (("x",), ("0",), ("-1",), ("nan",), ("inf",), ("1", "x"), ("1", "2", "3")):
            self.refused("stat", *words, status=2)

    def test_top_by_lines(self):
        shown = self.text("top", "-d", "0.05", "-n", "3")
        self.assertEqual(shown.count("elisactl top "), 3)
        self.assertNotIn("\033", shown)
        self.assertRegex(shown.split("elisactl top ")[2], r"WHAT .*\nvm 1 ")  # what calls most comes first
        self.assertRegex(self.text("top", "-n1", "-s", "aborts"), r"WHAT .*\nvm 1 ")
        for words in (("-s", "age"), ("-d", "x"), ("now",), ("-n", "x")):
            self.refused("top", *words, status=2)

    def test_top_on_a_terminal(self):
        for kind, full in (("xterm", True), ("dumb", False)):
            process, fd = pty.fork()
            if process == 0:
                os.execve(PROGRAM, [PROGRAM, "top", "-d", "0.1", *([] if full else ["-n2"])], {**self.environment, "TERM": kind})
            seen, keys = b"", [(b"q", b"sorted by aborts"), (b"a", b"sorted by")] if full else []
            deadline = time.monotonic() + 10
            while select.select([fd], [], [], max(0, deadline - time.monotonic()))[0]:
                try:
                    data = os.read(fd, 4096)
                except OSError:
                    break
                seen += data
                if keys and keys[-1][1] in seen:
                    os.write(fd, keys.pop()[0])
            os.close(fd)
            self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), 0, seen)
            self.assertEqual(seen.startswith(b"\033[?1049h") and seen.endswith(b"\033[?1049l"), full, seen)
            self.assertEqual(b"\033" in seen, full, seen)


class EventsTest(Machine):
    def test_kept(self):
        lines = [line.split("  ", 1)[1] for line in self.text("events").splitlines()]
        self.assertEqual([line.split()[0] for line in lines], ["publish", "attach", "abort", "revoke", "detach"])
        self.assertIn("hits by pid 50", lines[0])
        self.assertIn("attachment 7 of VM 1 (pid 100): ETIME, preemption timer at 0x200035000010", lines[2])
        self.assertIn("buffer 9", lines[3])
        events = self.json("events")
        self.assertEqual([event["event"] for event in events], ["publish", "attach", "abort", "revoke", "detach"])
        self.assertEqual([("exit_reason" in event, "buffer" in event) for event in events],
                         [(False, False), (False, False), (True, False), (False, True), (False, False)])

    def test_chosen(self):
        self.assertEqual([event["event"] for event in self.json("events", "-n", "2")], ["revoke", "detach"])
        self.assertEqual([event["event"] for event in self.json("events", "--object=files")], ["revoke"])
        self.assertEqual(self.json("events", "--vm", "3"), [])
        self.assertEqual(self.json("events", "-n0"), [])
        for words in (("-n", "x"), ("--vm=x",), ("now",)):
            self.refused("events", *words, status=2)

    def test_followed(self):
        with subprocess.Popen([PROGRAM, "events", "--follow", "--json"], stdout=subprocess.PIPE, text=True,
                              env=self.environment) as process:
            events = [json.loads(process.stdout.readline()) for _ in range(5)]
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            self.assertEqual((process.stdout.read(), process.wait(5)), ("", 0))
        self.assertEqual(events[-1]["event"], "detach")


class WordsTest(Machine):
    def test_help(self):
        shown = self.text("help")
        for words in COMMANDS:
            self.assertIn(f"  {words} ", shown)
            if words != "object publish":  # that help is the manager's
                self.assertIn(f"Usage: elisactl {words} ", self.text("help", *words.split()))
        self.assertEqual(self.text("--help"), shown)
        self.assertRegex(self.text("--version"), r"^elisactl \d+\.\d+\.\d+\n$")
        self.assertIn("object show", self.text("object", "--help"))

    def test_wrong(self):
        for words, wanted in ((("vmlist",), "vm list"), (("objct", "list"), "object list"),
                              (("object", "shw", "x"), "object show"), (("stats",), "stat"), (("lgo",), "log"),
                              (("objects",), "object list"), (("event",), "events"),
                              (("publish", "x"), "object publish"), (("grnat", "a", "b"), "grant")):
            error = self.refused(*words, status=2)
            self.assertRegex(error, rf"Did you mean\n(  .*\n)*  {wanted}\n", words)
        self.assertNotIn("mean", self.refused("frobnicate", status=2))
        self.assertIn("object withdraw", self.refused("object", status=2))
        for words in ((), ("",), ("--bogus",), ("vm", "list", "--bogus"), ("vm", "list", "now"), ("help", "nothing"),
                      ("vm", "\n"),
                      ("x" * 5000,), ("object", "x" * 5000), ("log", "now"), ("doctor", "both"), ("doctor", "host", "guest")):
            self.refused(*words, status=2)


class CompletionTest(Machine):
    def complete(self, line):
        script = f"""
            . {TREE}/tools/elisactl/elisactl.bash
            COMP_LINE=$1 COMP_POINT=${{#1}}
            _elisactl {PROGRAM}
            printf '%s\\n' "${{COMPREPLY[@]}}"
        """
        result = subprocess.run(["bash", "-uc", script, "bash", line], capture_output=True, text=True, check=True,
                                env={**self.environment, "PATH": f"{self.root}:/usr/bin:/bin"}, timeout=20)
        self.assertEqual(result.stderr, "", line)
        return [word for word in result.stdout.splitlines() if word]

    def test_words(self):
        firsts = sorted({words.split()[0] for words in COMMANDS} | {"help"})
        for line, wanted in (
                ("", firsts), ("ob", ["object"]), ("object ", ["list", "publish", "show", "withdraw"]), ("object s", ["show"]),
                ("--json vm ", ["list"]), ("help attach ", ["list"]), ("help d", ["doctor"]),
                ("object show ", ["hits", "files"]), ("object withdraw f", ["files"]), ("object show hits ", []),
                ("grant ", ["hits", "files"]), ("grant hits v", ["vm:1", "vm:2"]), ("grant hits vm:", ["1", "2"]),
                ("revoke hits pid:1", ["100"]), ("revoke hits u", ["uid:0", "uid:64055"]), ("grant hits all ", []),
                ("events --fo", ["--follow"]), ("events --object ", ["hits", "files"]), ("top --sort i", ["inside"]),
                ("events --vm ", ["1", "2"]), ("doctor ", ["guest", "host"]), ("vm list ", []), ("frobnicate ", []),
                ("stat ", [])):
            self.assertEqual(sorted(self.complete(f"elisactl {line}")), sorted(wanted), line)

    def test_options(self):
        """Each command's, as its help says; publish has those of the manager."""
        for words in COMMANDS:
            if words != "object publish":
                options = set(re.findall(r"--[a-z]+", self.text("help", *words.split())))
                self.assertEqual(set(self.complete(f"elisactl {words} --")), options, words)
        (self.root / "elisa-manager").symlink_to(TREE / "build" / "objects" / "elisa-manager")
        self.assertIn("--background", self.complete("elisactl object publish --b"))
        self.assertIn(f"{self.root}/elisa-manager", self.complete(f"elisactl object publish --code {self.root}/el"))

    def test_no_device(self):
        self.take("/dev/elisa")
        self.assertEqual(self.complete("elisactl object show "), [])


class DoctorTest(Machine):
    def setUp(self):
        super().setUp()
        self.put("/proc/cpuinfo", f"processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: fpu {FLAGS}\n"
                 f"vmx flags\t: {VMX_FLAGS}\n")
        self.put("/proc/kallsyms", "".join(f"0000000000000000 t {name}\t[kvm]\n" for name in (*SYMBOLS, "register_kprobe")))
        self.put("/sys/devices/system/cpu/vulnerabilities/l1tf", "Not affected\n")
        self.put("/sys/module/kvm_intel/initstate", "live\n")
        self.put("/sys/module/kvm_intel/parameters/ept", "Y\n")
        self.put("/sys/module/elisa/initstate", "live\n")

    def answers(self, *words, status=0):
        found = self.json("doctor", *words, status=status)
        for each in found["requirements"]:
            self.assertEqual(bool(each["remedy"]), each["answer"] == "no", each)
        return {each["name"]: each["answer"] for each in found["requirements"]}

    def but(self, name, *words, answer="no"):
        """All is well, but for one thing."""
        answers = self.answers(*words, status=int(answer == "no"))
        self.assertEqual({each: found for each, found in answers.items() if found != "yes"}, {name: answer})

    def test_host(self):
        self.assertEqual(set(self.answers().values()), {"yes"})  # the module has loaded
        subprocess.run(["rm", "-r", self.root / "sys/module/elisa"], check=True)
        unknown = [name for name, answer in self.answers(status=1).items() if answer == "unknown"]
        self.assertEqual(unknown, ["VMFUNC", "EPTP switching", "INVEPT of all contexts"])  # only MSRs tell
        self.put("/sys/module/elisa/initstate", "live\n")
        self.put_msrs(MSRS)
        self.assertEqual(set(self.answers().values()), {"yes"})
        self.assertIn("As a host", self.text("doctor"))

    def put_msrs(self, msrs):
        self.put("/msr", "".join(f"{index:x} {value:x}\n" for index, value in msrs.items()))

    def test_host_lacks_a_capability(self):
        for name, word in (("EPT", "ept"), ("execute-only EPT", "ept_x_only"), ("INVVPID of one context", "invvpid")):
            self.put("/proc/cpuinfo", f"vendor_id : GenuineIntel\nflags : {FLAGS}\nvmx flags : "
                     + " ".join(each for each in VMX_FLAGS.split() if each != word))
            self.assertEqual(self.answers(status=1)[name], "no")
        for name, index, bit in (("EPT", 0x48b, 33), ("VMFUNC", 0x48b, 45), ("EPTP switching", 0x491, 0),
                                 ("execute-only EPT", 0x48c, 0), ("INVEPT of all contexts", 0x48c, 26),
                                 ("INVVPID of one context", 0x48c, 41)):
            self.put_msrs({**MSRS, index: MSRS[index] & ~(1 << bit)})
            self.but(name)
        self.put_msrs({**MSRS, 0x482: 0})
        self.assertEqual(self.answers(status=1)["VMFUNC"], "no")

    def test_host_lacks_something(self):
        self.put_msrs(MSRS)
        good = {path: path.read_text() for path in self.root.rglob("*") if path.is_file()}
        for name, path, text in (
                ("pages of 1 GiB", "/proc/cpuinfo", "vendor_id : GenuineIntel\nflags : vmx\n"),
                ("CPU of Intel's", "/proc/cpuinfo", f"vendor_id : AuthenticAMD\nflags : {FLAGS}\n"),
                ("no L1TF", "/sys/devices/system/cpu/vulnerabilities/l1tf", "Mitigation: PTE Inversion\n"),
                ("kvm_intel with EPT", "/sys/module/kvm_intel/parameters/ept", "N\n"),
                ("kvm_intel", "/sys/module/kvm_intel/initstate", None),
                ("elisa.ko", "/sys/module/elisa", None)):
            if text is None:
                subprocess.run(["rm", "-r", f"{self.root}{path}"], check=True)
            else:
                self.put(path, text)
            self.but(name)
            for file, contents in good.items():
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(contents)
        self.assertEqual(set(self.answers().values()), {"yes"})
        self.put("/sys/devices/system/cpu/vulnerabilities/l1tf", "Vulnerable\n")
        self.put("/sys/module/elisa/parameters/ignore_l1tf", "Y\n")
        self.assertEqual(self.answers()["no L1TF"], "yes")
        self.put("/proc/cpuinfo", "vendor_id : GenuineIntel\nflags : pdpe1gb\n")
        self.assertEqual(self.answers(status=1)["VT-x"], "no")

    def test_symbols(self):
        """Each that host/kvm.c looks up, one at a time."""
        self.put_msrs(MSRS)
        self.assertGreater(len(SYMBOLS), 10)
        lines = (self.root / "proc/kallsyms").read_text(encoding="utf-8").splitlines(keepends=True)
        for name in sorted(SYMBOLS):
            self.put("/proc/kallsyms", "".join(line for line in lines if line.split()[2] != name))
            self.but("KVM's functions")
            self.assertIn(f"missing: {name}\n", self.text("doctor", status=1))
        self.put("/proc/kallsyms", "".join(line for line in lines if "register_kprobe" not in line))
        self.but("kprobes")

    def test_installed(self):
        """Not loaded, but found where modinfo looks."""
        self.put_msrs(MSRS)
        subprocess.run(["rm", "-r", self.root / "sys/module/elisa"], check=True)
        self.put(f"/lib/modules/{os.uname().release}/modules.dep", "updates/dkms/elisa.ko: kernel/kvm.ko\n")
        self.assertEqual(self.answers()["elisa.ko"], "yes")
        self.assertIn("modprobe elisa", self.text("doctor"))
        self.put("/sys/module/module/parameters/sig_enforce", "Y\n")
        self.but("unsigned modules", answer="unknown")

    def test_guest(self):
        self.environment["FAKE_HYPERVISOR"] = "KVMKVMKVM"
        subprocess.run(["rm", "-r", self.root / "sys/module"], check=True)
        self.put("/sys/module/elisa_guest/initstate", "live\n")
        self.put("/sys/kernel/security/lockdown", "[none] integrity confidentiality\n")
        self.put("/proc/interrupts", "  24:  0   ELISA   0  elisa\n")
        cpu = "vendor_id : GenuineIntel\nflags : "
        self.put("/proc/cpuinfo", f"{cpu}smep smap\n")
        self.assertEqual(set(self.answers().values()), {"yes"})
        for name, flags in (("SMEP", "smap"), ("SMAP", "smep"), ("no PCID", "smep smap pcid"), ("no CET", "smep smap user_shstk"),
                            ("no FRED", "smep smap fred")):
            self.put("/proc/cpuinfo", f"{cpu}{flags}\n")
            self.but(name)
        self.put("/proc/cpuinfo", f"{cpu}smep smap la57\n")
        self.assertRegex(self.text("doctor"), "yes +paging +five levels")
        self.put("/sys/module/kvm_intel/initstate", "live\n")
        self.but("no VMX in use", "guest")
        subprocess.run(["rm", "-r", self.root / "sys/module/kvm_intel"], check=True)
        self.put("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
        self.but("processes may mask interrupts")
        self.put("/sys/kernel/security/lockdown", "[none] integrity confidentiality\n")
        self.put("/proc/interrupts", "  24:  0   PCI-MSI   0  nvme\n")
        found = self.json("doctor")  # clients poll: worse, but not needed
        self.assertEqual([each["name"] for each in found["requirements"] if each["answer"] == "no"], ["interrupt to be woken by"])
        self.take("/dev/elisa")
        subprocess.run(["rm", "-r", self.root / "sys/module"], check=True)
        answers = self.answers(status=1)
        self.assertEqual((answers["elisa_guest.ko"], answers["/dev/elisa"], answers["host with elisa.ko"]),
                         ("no", "unknown", "unknown"))
        self.assertEqual(self.answers("host", status=1)["kvm_intel"], "no")
        del self.environment["FAKE_HYPERVISOR"]
        self.assertEqual(self.answers("guest", status=1)["VM of KVM"], "no")

    def test_nothing_to_read(self):
        subprocess.run(["rm", "-r", self.root / "proc", self.root / "sys", self.root / "dev"], check=True)
        self.answers("host", status=1)
        self.answers("guest", status=1)


if __name__ == "__main__":
    unittest.main()
