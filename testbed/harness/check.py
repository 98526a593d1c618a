# SPDX-License-Identifier: MIT
"""`make check`: what can be said of the tree without running it. The same here, on your machine and in CI."""

import re
import subprocess

from . import apt, cache, emulator, kernel, modules, setup
from .run import TREE, run
from .say import Failure, say

C_SUFFIXES = (".c", ".h", ".cc")
NO_LICENCE_NEEDED = (".md", ".gitignore", ".clang-format", ".flake8", "COPYING", "packages", "packages-check", "packages-deb",
                     "debian/changelog", "debian/copyright", "debian/libelisa1.symbols", "debian/source/format",
                     ".txt", ".seed")
# Headers of the test module and of the emulator are compiled with these, not alone.
NOT_ALONE = ("tests/vm/vmx/", "tests/attack/module/", "testbed/emulator/", "tests/unit/translations/")
KERNEL_CODE = ("host/", "guest/", "tests/vm/vmx/", "tests/attack/module/")
INCLUDE = ("include/uapi", "include", "sub/include", "lib", "host", "testbed/agent")
USER_HEADERS = ("linux/types.h", "linux/ioctl.h", "linux/errno.h", "asm/errno.h", "asm/types.h")  # of the kernel, for all


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
    kernel_code = [name for name in ours if name.startswith(KERNEL_CODE) or is_kernel_header(name)]
    common = ["cppcheck", "--quiet", "--error-exitcode=1", "--enable=warning,performance,portability", "--inline-suppr",
              "--template={file}:{line}: {severity}: {message}", "--suppress=unknownMacro", "--suppress=ctuuninitvar",
              "-U__ASSEMBLER__", *(f"-I{folder}" for folder in INCLUDE)]
    run(*common, *(name for name in ours if name not in kernel_code), cwd=TREE, what="cppcheck")
    # In the kernel's dialect: arithmetic on void pointers, and macros (loops too) that are seen only with its headers.
    dialect = [f"--suppress={what}" for what in ("arithOperationsOnVoidPointer", "constStatement", "uninitvar")]
    run(*common, *dialect, "-D__KERNEL__", "-Iguest", *kernel_code, cwd=TREE, what="cppcheck of kernel code")


def included(name):
    """What a file of the tree includes outside of the kernel, as written."""
    text = (TREE / name).read_text(encoding="utf-8")
    text = re.sub(r"^#\s*if(?:def| defined\(?)\s*__KERNEL__.*?^#\s*(?:else|endif)", "", text, flags=re.M | re.S)
    return re.findall(r'^\s*#\s*include\s+[<"]([^>"]+)[>"]', text, re.M)


def is_kernel_header(name, seen=()):
    """Whether a header can only be compiled in the kernel: it includes one of the kernel's own, itself or through others."""
    for other in included(name):
        if other.startswith(("linux/", "asm/")) and other not in USER_HEADERS:
            return True
        for folder in (str((TREE / name).parent.relative_to(TREE)), *INCLUDE):
            if (TREE / folder / other).is_file() and other not in seen:
                if is_kernel_header(f"{folder}/{other}", (*seen, other)):
                    return True
                break
    return False


def headers():
    """Each header compiles by itself, and twice; those for the kernel alone are left to the modules."""
    include = [f"-I{TREE / folder}" for folder in INCLUDE]
    for name in files(".h"):
        if name.startswith((*NOT_ALONE, "dpdk/")) or is_kernel_header(name):  # DPDK's may not be there
            continue
        source = f'#include "{TREE / name}"\n#include "{TREE / name}"\n'
        result = subprocess.run(["gcc", "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", *include, "-fsyntax-only",
                                 "-x", "c", "-"], input=source, text=True, capture_output=True, check=False)
        if result.returncode:
            raise Failure(f"{name} does not compile by itself: {result.stderr.strip().splitlines()[0]}")


def warnings():
    """User space with -Werror, and the kernel modules without a warning from the compiler or from objtool."""
    setup.user_space()
    for release in kernel.RELEASES:
        for kbuild in files("Kbuild"):
            folder = (TREE / kbuild).parent
            module = modules.build(kernel.current(release), folder)
            loud = modules.warnings((module.parent / "make.log").read_text(encoding="utf-8"))
            if loud:
                raise Failure(f"{folder.relative_to(TREE)} for {release}: {loud[0]}")


def trusted_code():
    """Nothing in any image that does not belong inside; those of unit tests, attacks, mutations are wrong on purpose."""
    setup.user_space()
    wrong = [setup.BUILD / name for name in ("tests/unit", "tests/attack", "mutations")]
    images = [path for path in sorted(setup.BUILD.rglob("*.elf")) if not any(map(path.is_relative_to, wrong))]
    run(setup.BUILD / "tools/code-check/code-check", *images, what="code-check")


def corrections():
    """Each correction of the emulator says why it is there, before the first changed file."""
    for patch in emulator.patches():
        reason = patch.read_text(errors="replace").split("\ndiff ", 1)[0]
        if len(reason.split()) < 20:
            raise Failure(f"{patch.name} does not say why it is there")


CHECKS = {"licences": licences, "formatting": formatting, "Python": python, "shell": shell, "analysis": analysis,
          "headers": headers, "warnings": warnings, "trusted code": trusted_code, "corrections": corrections}


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
