# SPDX-License-Identifier: MIT
"""From a fresh Debian 12 to a machine that can run every test. Each step is skipped when it is done."""

import shutil
import subprocess

from . import apt, cache, dpdk, emulator, image, kernel
from .run import TREE, run
from .say import Failure, say, step

BUILD = TREE / "build"


def package_list(file):
    lines = (TREE / "testbed" / file).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def packages():
    apt.install(package_list("packages"))


def configure(*more):
    """The folder build is Meson's, with these options as well."""
    options = [f"-Ddpdk_headers={dpdk.headers_if_any()}", *more]
    stamp = BUILD / "configured"  # with which options
    if not (BUILD / "build.ninja").exists():
        # A set-up that was interrupted leaves a folder that Meson neither takes nor replaces.
        if (BUILD / "meson-private").exists():
            shutil.rmtree(BUILD / "meson-private")
        run("meson", "setup", BUILD, TREE, *options, what="configuring user space")
        stamp.write_text(" ".join(options), encoding="utf-8")
    elif not stamp.exists() or stamp.read_text(encoding="utf-8") != " ".join(options):
        run("meson", "setup", "--reconfigure", BUILD, TREE, *options, what="configuring user space")
        stamp.write_text(" ".join(options), encoding="utf-8")


def user_space():
    """Everything that Meson builds, our static agent among it."""
    configure()
    if subprocess.run(["ninja", "-C", BUILD, "-n"], capture_output=True, text=True, check=False).stdout.count("no work to do"):
        return
    with step("building user space"):
        run("ninja", "-C", BUILD, what="building user space")


def check_system():
    try:
        text = open("/etc/os-release", encoding="utf-8").read()
    except OSError:
        text = ""
    if "ID=debian" not in text:
        raise Failure("this needs Debian (12 is what it is tested on): packages and kernels come from its archive")


def everything():
    """Makes all that `make test` needs; with a warm cache in seconds."""
    check_system()
    cache.prepare()
    packages()
    user_space()
    emulator.program()
    image.host(kernel.current())
    say(f"set up: {emulator.VERSION.split('+')[0]} emulator, kernel {kernel.current().version}, cache {cache.root()}")
