# SPDX-License-Identifier: MIT
"""Building modules here for the kernel of a newer release.

Its headers come with build tools linked with a newer C library, and name a newer compiler. The tools are run by the
newer release's own loader; the compiler is ours, behind a wrapper that says in its words what it does not know.
"""

import re
import subprocess

from .apt import unpack
from .run import run
from .say import step

LIBRARIES = ("libc6", "libelf1t64", "zlib1g", "libzstd1")  # what kbuild's tools load
LOADER = "ld-linux-x86-64.so.2"
# Debian's tools for a target look for the program of that target beside them by their own name, which the loader hides.
TARGET_SUFFIXES = (".real-lsb-64", ".real-x86")

RUN_TOOL = """\
#!/bin/sh
here=${{0%/*}}
exec "$here/{up}loader/{loader}" --library-path "$here/{up}loader" "$here/{program}" "$@"
"""

# gcc 14's -fmin-function-alignment also holds for cold functions; here these have no fixed place to be patched at.
COMPILER = """\
#!/bin/sh
for word; do
    shift
    case $word in
    -fmin-function-alignment=*) set -- "$@" "-falign-functions=${word#*=}" ;;
    *) set -- "$@" "$word" ;;
    esac
done
exec gcc "$@"
"""


def programs(kbuild):
    """The ELF programs of linux-kbuild."""
    def is_elf(path):
        return path.is_file() and not path.is_symlink() and path.read_bytes()[:4] == b"\x7fELF"

    return [path for path in sorted(kbuild.rglob("*")) if is_elf(path)]


def runs_here(program):
    """Whether this machine's C library is new enough for it."""
    result = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False)
    return not re.search(r"version `\S+' not found", result.stdout + result.stderr)


def run_with_own_loader(kbuild, program):
    """Puts a script in the place of a program, which becomes NAME.elf."""
    target = next((beside for suffix in TARGET_SUFFIXES if (beside := program.with_name(program.name + suffix)).exists()), None)
    elf = target or program.rename(program.with_name(f"{program.name}.elf"))
    up = "../" * (len(program.relative_to(kbuild).parts) - 1)
    program.unlink(missing_ok=True)
    program.write_text(RUN_TOOL.format(up=up, loader=LOADER, program=elf.name), encoding="ascii")
    program.chmod(0o755)


def adapt_tools(folder, release, kbuild):
    with step(f"fetching the C library of Debian {release.name} for kernel build tools", 5):
        debs, unpacked = folder / "debs", folder / "unpacked"
        debs.mkdir()
        unpack(release.download(debs, *LIBRARIES), unpacked)
        (kbuild / "loader").mkdir()
        for library in sorted(unpacked.rglob("*.so*")):
            if re.fullmatch(r"lib(c|elf|z|zstd)\.so\.\d+|" + re.escape(LOADER), library.name):
                (kbuild / "loader" / library.name).write_bytes(library.read_bytes())  # what a link leads to
        (kbuild / "loader" / LOADER).chmod(0o755)
        run("rm", "-r", debs, unpacked)
    for program in programs(kbuild):
        if ".real-" not in program.name and program.parent.name != "loader":
            run_with_own_loader(kbuild, program)


def adapt(folder, release, headers):
    """Makes the headers of a kernel in FOLDER usable on this machine; does nothing where they are already."""
    kbuild = (headers / "scripts").resolve().parent
    if all(runs_here(program) for program in programs(kbuild)):
        return
    adapt_tools(folder, release, kbuild)
    compiler = kbuild / "scripts" / "gcc"
    compiler.write_text(COMPILER, encoding="ascii")
    compiler.chmod(0o755)
    variables = headers / ".kernelvariables"
    text = re.sub(r"^CC = .*$", "CC = $(objtree)/scripts/gcc", variables.read_text(encoding="ascii"), flags=re.M)
    variables.write_text(text, encoding="ascii")
    # The base of type information for modules, which nothing here reads; to make it takes the newer release's pahole.
    (headers / "vmlinux").unlink(missing_ok=True)
