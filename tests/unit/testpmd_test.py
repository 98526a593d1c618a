# SPDX-License-Identifier: MIT
"""Stock dpdk-testpmd with net_elisa by -d, as Debian ships it, in this machine: the switch is in the process (fake.c)."""

import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
DRIVER = TREE / "build/dpdk/librte_net_elisa.so"
FAKE = TREE / "build/dpdk/test/libelisa.so.1"
LIMIT_S = 30
PROMPT = "testpmd> "
OTHER_VERSION = 'const char *rte_version(void);\nconst char *rte_version(void) { return "DPDK 99.11.0"; }\n'


def need(condition, text):
    if not condition:
        sys.exit(text)


def private_folder():
    """EAL loads nothing from a folder that others can write to, or that is below one."""
    for base in (Path.home(), Path("/run"), Path("/root"), Path("/opt")):
        parents = [base, *base.parents]
        if base.is_dir() and os.access(base, os.W_OK) and not any(path.stat().st_mode & 0o002 for path in parents):
            return Path(tempfile.mkdtemp(prefix="elisa-dpdk-", dir=base))
    print("no folder that only its owner can write to")
    sys.exit(77)


def command(folder, devices, *options, eal=()):
    words = ["dpdk-testpmd", "--no-huge", "-m", "128", "--no-pci", "--no-telemetry", "--no-shconf", "-l", "0-1", *eal,
             "-d", f"{folder}/{DRIVER.name}"]
    words += [f"--vdev=net_elisa{n},{arguments}" for n, arguments in enumerate(devices)]
    return [*words, "--", "--total-num-mbufs=8192", "-i", *options]


class Testpmd:
    """An interactive testpmd."""

    def __init__(self, folder, devices, *options):
        env = {**os.environ, "LD_LIBRARY_PATH": str(folder), "TERM": "dumb"}
        # Answers are printed through a buffer, prompts are not.
        words = ["stdbuf", "-o0", *command(folder, devices, *options)]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, env=env)
        self.expect()

    def expect(self):
        """All up to the next prompt."""
        seen, deadline = "", time.monotonic() + LIMIT_S
        while not seen.endswith(PROMPT):
            left = deadline - time.monotonic()
            if not select.select([self.process.stdout], [], [], max(0, left))[0]:
                self.process.kill()
                sys.exit(f"no prompt after {LIMIT_S} s, but: {seen[-2000:]}")
            data = os.read(self.process.stdout.fileno(), 65536).decode(errors="replace")
            need(data, f"ended: {seen[-2000:]}")
            seen += data
        return seen

    def do(self, text):
        self.process.stdin.write(text.encode() + b"\n")
        self.process.stdin.flush()
        answer = self.expect()
        need(not re.search(r"\b(Bad arguments|Error|Fail|Failed|Invalid)\b", answer), f"{text}: {answer}")
        return answer

    def numbers(self, port):
        """What `show port stats` says: name -> number."""
        return {name: int(value) for name, value in re.findall(r"([RT]X-\w+): +(\d+)", self.do(f"show port stats {port}"))}

    def quit(self):
        self.process.stdin.write(b"quit\n")
        self.process.stdin.flush()
        rest = self.process.communicate(timeout=LIMIT_S)[0].decode(errors="replace")
        need(self.process.returncode == 0, f"ended with {self.process.returncode}: {rest[-2000:]}")


def forward(pmd, ports=(0, 1)):
    """Bursts go round between two ports for a moment: nothing is lost."""
    pmd.do("clear port stats all")
    pmd.do("start tx_first")
    time.sleep(0.5)
    summary = pmd.do("stop")
    for dropped in re.findall(r"[RT]X-dropped: (\d+)", summary):
        need(dropped == "0", f"dropped: {summary}")
    for port in ports:
        numbers = pmd.numbers(port)
        need(numbers["RX-packets"] > 1000 and numbers["TX-packets"] > 1000, f"port {port}: {numbers}")
        need(numbers["RX-missed"] == 0 and numbers["RX-errors"] == 0 and numbers["TX-errors"] == 0, f"port {port}: {numbers}")


def life(folder):
    pmd = Testpmd(folder, ["name=a,mac=02:00:00:00:00:0a", "name=b,mac=02:00:00:00:00:0b"])
    info = pmd.do("show port info 0")
    for line in ("MAC address: 02:00:00:00:00:0A", "Driver name: net_elisa", "Link status: up", "Max possible RX queues: 8",
                 "Maximum number of MAC addresses: 16"):
        need(line in info, f"no {line!r} in {info}")
    forward(pmd)
    xstats = pmd.do("show port xstats 0")
    need(re.search(r"switch_tx_packets: [1-9]", xstats) and "switch_rx_drop_full: 0" in xstats, xstats)
    for _ in range(3):
        pmd.do("port stop all")
        need("Link status: down" in pmd.do("show port info 0"), "the link of a port that is stopped is not down")
        pmd.do("port start all")
        forward(pmd)
    pmd.do("port config mtu 0 1400")
    need("MTU: 1400" in pmd.do("show port info 0"), "the MTU was not set")
    pmd.do("mac_addr set 0 02:00:00:00:00:1a")
    need("MAC address: 02:00:00:00:00:1A" in pmd.do("show port info 0"), "the address was not set")
    pmd.do("port stop all")
    pmd.do("port config all rxq 4")
    pmd.do("port config all txq 4")
    pmd.do("port start all")
    forward(pmd)
    need("RX Packets: 0 " not in pmd.do("show port xstats 1"), "no packets")
    pmd.do("set txpkts 64,200,1000")
    pmd.do("port stop all")
    pmd.do("port config 0 tx_offload multi_segs on")
    pmd.do("port config 1 tx_offload multi_segs on")
    pmd.do("port start all")
    forward(pmd)
    pmd.do("port stop all")
    pmd.do("port close 1")
    pmd.do("port attach net_elisa7,name=b")  # the name is free again
    pmd.quit()


def jumbo(folder):
    pmd = Testpmd(folder, ["name=a", "name=b"], "--max-pkt-len=9022", "--enable-scatter", "--mbuf-size=2048",
                  "--tx-offloads=0x8000")
    pmd.do("set txpkts 1514,1500,1500,1500,1500,1500")
    forward(pmd)
    numbers = pmd.numbers(0)
    need(numbers["RX-bytes"] == 9014 * numbers["RX-packets"], f"jumbo: {numbers}")
    pmd.quit()


def refused(folder):
    """Another version of DPDK than it was built for is refused in one line; arguments too."""
    shim = folder / "version.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-x", "c", "-o", shim, "-"], input=OTHER_VERSION, text=True, check=True)
    for devices, preload, wanted in ((["name=a"], shim, "built for DPDK 22.11"),
                                     (["name=a", "name=a"], "", "the name is taken"),
                                     (["object=nothing"], "", "no object is called nothing")):
        env = {**os.environ, "LD_LIBRARY_PATH": str(folder), "LD_PRELOAD": str(preload)}
        result = subprocess.run(command(folder, devices), env=env, capture_output=True, text=True, timeout=LIMIT_S,
                                stdin=subprocess.DEVNULL, check=False)
        lines = [line for line in (result.stdout + result.stderr).splitlines() if line.startswith("net_elisa: ")]
        need(any(wanted in line for line in lines), f"{devices}: no {wanted!r} in {lines}")


def main():
    if not DRIVER.exists() or not shutil.which("dpdk-testpmd"):
        print("the DPDK driver is not built, or dpdk-dev is not installed")
        sys.exit(77)
    folder = private_folder()
    try:
        shutil.copy(DRIVER, folder)
        shutil.copy(FAKE, folder)
        for part in (life, jumbo, refused):
            part(folder)
            print(f"{part.__name__}: as it should be")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


main()
