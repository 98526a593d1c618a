# SPDX-License-Identifier: MIT
"""What Debian's DPDK packages leave out: the headers for drivers, from the source package of the version installed."""

import shutil
import subprocess

from . import apt, cache, elisa
from .apt import Release
from .run import TREE, run
from .say import Failure, say, step

RELEASE = "bookworm"
VERSION = "22.11"  # the ABI for drivers is that of one release only
PACKAGE = "libdpdk-dev"
# Where they are in the source -> nothing else of it is kept.
HEADERS = ("lib/ethdev/ethdev_driver.h", "lib/ethdev/ethdev_vdev.h", "drivers/bus/vdev/bus_vdev_driver.h",
           "lib/eal/include/dev_driver.h", "lib/eal/include/bus_driver.h")
DRIVER = TREE / "build" / "dpdk" / "librte_net_elisa.so"
BENCH = TREE / "build" / "dpdk" / "net-bench"
LIBRARY = TREE / "build" / "lib" / "libelisa.so.1"
SWITCH = TREE / "build" / "objects" / "vswitch" / "elisa-vswitch"
FOLDER = "/root"  # where they are in a guest


def installed():
    """The version of the package that is installed here, or None."""
    query = subprocess.run(["dpkg-query", "-W", "-f", "${Version} ${db:Status-Status}", PACKAGE],
                           capture_output=True, text=True, check=False)
    words = query.stdout.split()
    return words[0] if len(words) == 2 and words[1] == "installed" else None


def check_version(version):
    if not version.startswith(VERSION + "."):
        raise Failure(f"{PACKAGE} {version} is installed, but net_elisa is for DPDK {VERSION} (Debian 12) only")


def take_headers(tarball, folder):
    """Unpacks the headers, and VERSION, which says what they are of."""
    members = [f"./{name}" for name in (*HEADERS, "VERSION")]
    listed = set(run("tar", "tf", tarball, what="the source of DPDK").splitlines())
    top = {name.split("/", 1)[0] for name in listed}
    if len(top) == 1 and "." not in top:
        members = [f"{next(iter(top))}/{name}" for name in (*HEADERS, "VERSION")]
    missing = [name for name in members if name not in listed]
    if missing:
        raise Failure(f"the source of DPDK has no {missing[0]}")
    scratch = folder / "scratch"
    scratch.mkdir()
    run("tar", "xf", tarball, "-C", scratch, *members, what="unpacking the source of DPDK")
    for name in members:
        (scratch / name).rename(folder / name.rsplit("/", 1)[1])
    shutil.rmtree(scratch)


def headers():
    """The folder of the headers for drivers of the version that is installed; None if there is none."""
    version = installed()
    if not version:
        return None
    check_version(version)

    def fetch(folder):
        release = Release(RELEASE)
        release.update()
        with step(f"fetching the headers for drivers of DPDK {version}", 5):
            tarball = release.download_source(folder, "dpdk", version)
            take_headers(tarball, folder)
            tarball.unlink()

    return cache.entry("dpdk-headers", version, fetch)


def headers_if_any():
    """The same, or "" with a word about why the driver is left out."""
    try:
        folder = headers()
    except Failure as failure:
        say(f"  the DPDK driver is left out: {failure}")
        return ""
    return str(folder or "")


def build():
    """`make dpdk`: the driver for stock programs, or why it cannot be built."""
    from . import setup
    cache.prepare()
    apt.install(setup.package_list("packages"))
    if not headers():
        raise Failure(f"{PACKAGE} is not installed")
    setup.user_space()
    if not DRIVER.exists():
        raise Failure(f"{DRIVER.relative_to(TREE)} was not built; build/meson-logs/meson-log.txt says why")
    say(f"{DRIVER.relative_to(TREE)} for DPDK {installed()}: dpdk-testpmd -d {DRIVER} --vdev=net_elisa0,object=vswitch ...")


def files():
    """(path in a guest, file here) of the driver, the library, and our programs for DPDK."""
    missing = [file.name for file in (DRIVER, LIBRARY, BENCH) if not file.exists()]
    if missing:
        raise Failure(f"{missing[0]} is not built: `make dpdk` says why")
    return tuple((f"{FOLDER}/{file.name}", file) for file in (DRIVER, LIBRARY, BENCH))


def command(program):
    """How a guest starts a program with the driver: stock ones by their path, ours from FOLDER."""
    return f"env LD_LIBRARY_PATH={FOLDER} {program if isinstance(program, str) else f'{FOLDER}/{program.name}'}"


def eal_words(*devices, memory_mb=64, lcores="0"):
    """EAL's options for ports with these arguments."""
    vdevs = " ".join(f"--vdev=net_elisa{number},{arguments}" for number, arguments in enumerate(devices))
    return (f"--no-huge -m {memory_mb} --no-pci --no-telemetry --no-shconf -l {lcores} -d {FOLDER}/{DRIVER.name} {vdevs}")


def start_switch(test, *grants):
    """The object `vswitch` on the host."""
    test.elisa()
    manager, code = elisa.place(test.host, SWITCH), elisa.place(test.host, elisa.code_of("vswitch"))
    options = " ".join(f"--grant {grant}" for grant in grants or ("all",))
    switch = elisa.Manager(test.host, test.host.start(f"exec {manager} --code {code} {options}"), "vswitch")
    test.managers.append(switch)
    return switch.wait_ready()
