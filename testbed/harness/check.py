# SPDX-License-Identifier: MIT
"""`make check`: what can be said of the tree without running it. The same here, on your machine and in CI."""

import subprocess

from . import apt, cache, emulator, kernel, modules, setup
from .run import TREE, run
from .say import Failure, say

C_SUFFIXES = (".c", ".h", ".cc")
NO_LICENCE_NEEDED = (".md", ".gitignore", ".clang-format", ".flake8", "COPYING", "packages", "packages-check", ".txt")
# Headers of kernel modules and of the emulator are compiled with these, not alone.
NOT_ALONE = ("tests/vm/vmx/", "testbed/emulator/")


def files(*suffixes):
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=TREE).splitlines()
    return [name for name in listed if name.endswith(suffixes) and (TREE / name).is_file()] if suffixes else listed


def shell_scripts():
    def is_script(name):
        path = TREE / name
        return path.is_file() and path.open("rb").read(12).startswith((b"#!/bin/sh", b"#!/usr/bin/e")) and path.suffix != ".py"

    return [name for name in files() if is_script(name)]


def licences():
    bad = [name for name in files() if (TREE / name).is_file() and not name.endswith(NO_LICENCE_NEEDED)
           and "SPDX-License-Identifier:" not in (TREE / name).read_text(errors="replace")[:400]]
    if bad:
        raise Failure(f"no SPDX line: {' '.join(bad)}")
    kernel_code = [name for name in files(".c", ".S", "Kbuild") if "MODULE_LICENSE" in (TREE / name).read_text(errors="replace")]
    for name in kernel_code:
        if "GPL-2.0-only" not in (TREE / name).read_text(encoding="utf-8")[:100]:
            raise Failure(f"{name}: kernel modules are GPL-2.0-only")


def formatting(fix=False):
    run("clang-format", *(["-i"] if fix else ["--dry-run", "-Werror"]), *files(*C_SUFFIXES), cwd=TREE,
        what="clang-format (`make format` mends it)")


def python():
    run("flake8", *files(".py"), cwd=TREE, what="flake8")


def shell():
    run("shellcheck", *shell_scripts(), cwd=TREE, what="shellcheck")


def analysis():
    ours = [name for name in files(".c") if not name.startswith(NOT_ALONE)]
    run("cppcheck", "--quiet", "--error-exitcode=1", "--enable=warning,performance,portability", "--inline-suppr",
        "--suppress=unknownMacro", "-Itestbed/agent", *ours, cwd=TREE, what="cppcheck")


def headers():
    """Each header compiles by itself, and twice."""
    for name in files(".h"):
        if name.startswith(NOT_ALONE):
            continue
        source = f'#include "{TREE / name}"\n#include "{TREE / name}"\n'
        result = subprocess.run(["gcc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-x", "c", "-"],
                                input=source, text=True, capture_output=True, check=False)
        if result.returncode:
            raise Failure(f"{name} does not compile by itself: {result.stderr.strip().splitlines()[0]}")


def warnings():
    """User space with -Werror, and the kernel modules without a warning from the compiler or from objtool."""
    setup.user_space()
    for kbuild in files("Kbuild"):
        folder = (TREE / kbuild).parent
        module = modules.build(kernel.current(), folder, folder.name)
        log = (module.parent / "make.log").read_text(encoding="utf-8")
        loud = [line for line in log.splitlines() if "warning:" in line.lower() and "BTF" not in line]
        if loud:
            raise Failure(f"{folder.relative_to(TREE)}: {loud[0]}")


def corrections():
    """Each correction of the emulator says why it is there, before the first changed file."""
    for patch in emulator.patches():
        reason = patch.read_text(errors="replace").split("\ndiff ", 1)[0]
        if len(reason.split()) < 20:
            raise Failure(f"{patch.name} does not say why it is there")


CHECKS = {"licences": licences, "formatting": formatting, "Python": python, "shell": shell, "analysis": analysis,
          "headers": headers, "warnings": warnings, "corrections": corrections}


def run_all(fix):
    cache.prepare()
    apt.install(setup.package_list("packages") + setup.package_list("packages-check"))
    if fix:
        formatting(fix=True)
    failed = 0
    for name, check in CHECKS.items():
        try:
            check()
            say(f"ok     check: {name}")
        except Failure as failure:
            say(f"FAIL   check: {name}  {failure}")
            failed += 1
    say(f"{len(CHECKS) - failed} checks passed, {failed} failed")
    return 1 if failed else 0
