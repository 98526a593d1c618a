# SPDX-License-Identifier: MIT
"""The manual says what there is: every function, command and option has its place, prototypes and constants are those of the
headers, and the pages are well-formed."""

import re
import shutil
import subprocess
import unittest
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
SOURCES = TREE / "docs" / "man"
BUILT = TREE / "build" / "docs" / "man"
CONTROL = TREE / "build" / "tools" / "elisactl" / "elisactl"
PROGRAMS = {path.name: path for path in (TREE / "build" / name for name in (
    "objects/elisa-manager", "objects/kv/elisa-kv", "objects/vswitch/elisa-vswitch", "tools/elisa-memcached/elisa-memcached",
    "tools/elisa-tap/elisa-tap"))}
COMMON = {"--help", "--usage", "-?"}
EVERYWHERE = {"--json", "--help", "--usage", "--version", "-j", "-?", "-V"}


def read(*names):
    return TREE.joinpath(*names).read_text(encoding="utf-8")


def page(name):
    return (SOURCES / f"{name}.scd").read_text(encoding="utf-8")


def section(text, title):
    return re.search(rf"^# {title}\n(.*?)(?=^# |\Z)", text, re.M | re.S)[1]


def plain(text):
    return " ".join(text.split())


def options_of(*command):
    """Those that --help lists."""
    shown = subprocess.run([*command], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"(?:^|[ ,])(--[a-z-]+|-[a-zA-Z?])(?=[ ,=\n\[]|$)", "\n".join(
        line for line in shown.splitlines() if re.match(r" +-", line))))


class FunctionsTest(unittest.TestCase):
    functions = re.findall(r"^\t(elisa_\w+);", read("lib", "libelisa.map"), re.M)
    header = re.sub(r"/\*.*?\*/", "", read("lib", "elisa.h"), flags=re.S)

    def test_each_has_a_page(self):
        named = []
        for source in sorted(SOURCES.glob("*.3.scd")):
            text = source.read_text(encoding="utf-8")
            names = plain(section(text, "NAME")).split(" - ")[0].split(", ")
            self.assertEqual(text.split("(")[0], source.name.removesuffix(".3.scd"))
            if source.name == "libelisa.3.scd":
                continue
            self.assertIn(source.name.removesuffix(".3.scd"), names)
            named += names
            described = section(text, "DESCRIPTION")
            for name in names:
                self.assertTrue(len(names) == 1 or f"*{name}*()" in described or re.match(r"elisa_call\d", name),
                                f"{name} is not described in {source.name}")
        self.assertEqual(sorted(named), sorted(self.functions))

    def test_prototypes(self):
        for name in self.functions:
            declared = re.search(rf"^[a-z][^;{{}}]*\b{name}\([^;]*\);", self.header, re.M)
            self.assertTrue(declared, name)
            pages = [source for source in SOURCES.glob("elisa_*.3.scd") if plain(declared[0]) in plain(source.read_text())]
            self.assertEqual(len(pages), 1, f"the prototype of {name} stands in {pages}")

    def test_constants(self):
        kinds = "OBJECT|BUFFER|BY|ALL|VM|PID|UID|NONE|READ|WRITE|ATTACHED|DETACHED|ABORTED|REVOKED"
        for name in set(re.findall(rf"\bELISA_(?:{kinds})\w*", self.header)) - {"ELISA_BY_DIRECT"}:
            self.assertTrue(any(name in source.read_text() for source in SOURCES.glob("*.3.scd")), name)

    def test_libelisa_lists_pages(self):
        for source in SOURCES.glob("elisa_*.3.scd"):
            self.assertIn(f"*{source.name.split('.')[0]}*(3)", page("libelisa.3"))


class ToolTest(unittest.TestCase):
    commands = re.findall(r'^\t\{ "([a-z ]+)", "', read("tools", "elisactl", "main.c"), re.M)

    def test_commands(self):
        text = page("elisactl.1")
        self.assertGreater(len(self.commands), 10)
        parts = {re.split(r" [_\[]", part.split("\n", 1)[0])[0]: part for part in section(text, "COMMANDS").split("## ")[1:]}
        self.assertEqual(sorted(parts), sorted([*self.commands, "help"]))
        common = section(text, "OPTIONS")
        for option in EVERYWHERE - {"-?"}:
            self.assertIn(f"*{option}*", common)
        for words in self.commands:
            if words == "object publish":
                continue
            for option in options_of(CONTROL, "help", *words.split()) - EVERYWHERE:
                self.assertIn(f"*{option}*", parts[words], f"{option} of {words}")
            documented = set(re.findall(r"^\*(-\w)\*, \*(--\w+)\*", parts[words], re.M))
            self.assertEqual({option for pair in documented for option in pair},
                             options_of(CONTROL, "help", *words.split()) - EVERYWHERE, f"options of {words}")

    def test_arguments(self):
        """What --help and the page say of a command's words is the same."""
        for words in self.commands:
            if words == "object publish":
                continue
            shown = subprocess.run([CONTROL, "help", *words.split()], capture_output=True, text=True, check=True).stdout
            usage = plain(shown.splitlines()[0].replace(f"Usage: elisactl {words}", "").replace("[OPTION...]", ""))
            title = re.search(rf"^## {words}\b(.*)$", page("elisactl.1"), re.M)[1]
            self.assertEqual(usage, plain(title.replace("_", "")), words)

    def test_exit_codes(self):
        codes = dict(re.findall(r"(\w+) = (\d)", re.search(r"enum \{ (DONE.*?) \}", read("tools", "elisactl", "elisactl.h"))[1]))
        self.assertEqual(sorted(codes.values()), re.findall(r"^\*(\d)\*$", section(page("elisactl.1"), "EXIT STATUS"), re.M))

    def test_programs(self):
        """All that are installed have a page, with the options that they list, and no others."""
        installed = {name.removesuffix("@.service") for name in re.findall(r"'(elisa-\w+)'", read("packaging", "meson.build"))}
        self.assertEqual(set(PROGRAMS), installed)
        for name, program in PROGRAMS.items():
            text = page(f"{name}.1")
            shown = options_of(program, "--help") - COMMON
            documented = re.findall(r"^\*(-\S)\*, \*(--[\w-]+)\*(=?)", section(text, "OPTIONS"), re.M)
            self.assertEqual({option for *pair, _ in documented for option in pair} - COMMON, shown, name)
            usage = subprocess.run([program, "--help"], capture_output=True, text=True, check=True).stdout
            for _, option, value in documented:
                if name != "elisa-manager":  # whose page separates them by a space
                    self.assertEqual(value, "=" if f"{option}=" in usage else "", f"{option} of {name}")
            for title in ("EXIT STATUS", "SEE ALSO"):
                self.assertIn(f"\n# {title}\n", text, name)
            self.assertRegex(text, r"\n# EXAMPLES?\n")

    def test_wrong_words(self):
        for name, program in PROGRAMS.items():
            result = subprocess.run([program, "--no-such-option"], capture_output=True, text=True, check=False)
            self.assertEqual(len(result.stderr.splitlines()) > 0, True)
            self.assertRegex(section(page(f"{name}.1"), "EXIT STATUS"), rf"\b{result.returncode}\b", name)


class AbiTest(unittest.TestCase):
    """docs/abi.md: what it says of constants, ioctls and requests is what the headers say."""

    text = read("docs", "abi.md")
    headers = "".join(read("include", "uapi", "elisa", name) for name in ("layout.h", "elisa.h", "hypercall.h"))

    def values(self, expressions):
        """What the compiler makes of them."""
        source = "#include <stdio.h>\n#include <elisa/hypercall.h>\nint main(void) {\n" + "".join(
            f'printf("%s=%llu\\n", "{each}", (unsigned long long)({each}));\n' for each in expressions) + "}\n"
        program = TREE / "build" / "tests" / "unit" / "abi-values"
        subprocess.run(["gcc", "-std=gnu11", f"-I{TREE}/include/uapi", "-x", "c", "-", "-o", program], input=source, text=True,
                       check=True)
        shown = subprocess.run([program], capture_output=True, text=True, check=True).stdout
        return {each: int(value) for each, value in (line.split("=") for line in shown.splitlines())}

    def test_constants(self):
        said = dict(re.findall(r"^\| `(ELISA_\w+)` \| `?(0x[0-9a-f]+|\d+)`? \|", self.text, re.M))
        self.assertGreater(len(said), 30)
        self.assertEqual({name: int(value, 0) for name, value in said.items()}, self.values(said))

    def test_sizes(self):
        rows = re.findall(r"^\| `(struct elisa_\w+)` \| (\d+) \|", self.text, re.M)
        said = {f"sizeof({name})": int(size) for name, size in rows}
        declared = {f"sizeof({name})" for name in re.findall(r"^(struct elisa_\w+) \{", self.headers, re.M)}
        self.assertEqual(said, self.values(declared))

    def test_all_are_named(self):
        for pattern in (r"#define (ELISA_IOC_\w+)", r"^\t(ELISA_OP_\w+)", r"#define (ELISA_CREATE_\w+)",
                        r"#define (ELISA_LIST_\w+)", r"#define (ELISA_EVENT_\w+)",
                        r"^\t(ELISA_ABORT_\w+)", r"#define (ELISA_\w+_OFFSET)\b"):
            names = set(re.findall(pattern, self.headers, re.M))
            self.assertGreater(len(names), 4, pattern)
            self.assertEqual({name for name in names if f"`{name}`" not in self.text}, set())

    def test_named_are_there(self):
        for name in set(re.findall(r"`(ELISA_[A-Z0-9_]+)`", self.text)):
            self.assertRegex(self.headers, rf"\b{name}\b")


class FormTest(unittest.TestCase):
    def test_pages(self):
        if not shutil.which("scdoc"):
            self.skipTest("scdoc is not installed")
        built = {path.name: path.read_text(encoding="utf-8") for path in BUILT.glob("*.[137]")}
        self.assertTrue({source.name.removesuffix(".scd") for source in SOURCES.glob("*.scd")} <= set(built))
        self.assertTrue({f"{name}.3" for name in FunctionsTest.functions} <= set(built))
        for name, text in built.items():
            if text.startswith(".so "):
                target = text.split("/")[1].strip()
                self.assertIn(name.removesuffix(".3"), page(target).split("# SYNOPSIS")[0])
                continue
            for checker in (["man", "--warnings", "-E", "UTF-8", "-l"], ["mandoc", "-T", "lint", "-W", "error"]):
                if shutil.which(checker[0]):
                    result = subprocess.run([*checker, BUILT / name], capture_output=True, text=True, check=False)
                    said = result.stderr if checker[0] == "man" else result.stdout + result.stderr
                    self.assertEqual((result.returncode, said), (0, ""), f"{checker[0]}: {name}")

    def test_references(self):
        """Each page that another names is there."""
        ours = {source.name.removesuffix(".scd") for source in SOURCES.glob("*.scd")}
        ours |= {f"{name}.3" for name in FunctionsTest.functions}
        for source in SOURCES.glob("*.scd"):
            for name, number in re.findall(r"\*(elisa[\w-]*|libelisa)\*\((\d)\)", source.read_text(encoding="utf-8")):
                self.assertIn(f"{name}.{number}", ours, source.name)


if __name__ == "__main__":
    unittest.main()
