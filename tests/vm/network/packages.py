# SPDX-License-Identifier: MIT
"""Debian's own programs in a guest's image and on the host: each starts, with all the libraries that it needs."""

from signal import SIGINT

SAID = {
    "/usr/bin/iperf3 --version": "iperf 3.",
    "/usr/bin/memcached --version": "memcached 1.",
    "/bin/ping -V": "iputils",
    "/bin/ip -V": "iproute2",
    "/sbin/ip -V": "iproute2",
    "/sbin/bridge -V": "bridge utility",
    "/sbin/ethtool --version": "ethtool version",
    "/usr/bin/memcaslap --version": "memaslap v1.",
}
# Drivers that testpmd loads itself.
TESTPMD = ("exec /usr/bin/dpdk-testpmd -v --no-huge --no-pci -m 64 -l 0,1 --no-telemetry --vdev net_null0 --vdev net_ring0 -- "
           "--total-num-mbufs 2048 --stats-period 1")


def run(test):
    guest = test.guest(vcpus=2, memory_mb=256)
    for agent, programs in ((guest, SAID), (test.host, [name for name in SAID if "/ip " in name or "bridge" in name])):
        for command in programs:
            result = agent.run(command, 20)
            test.check(SAID[command] in result.out + result.err, f"{agent.name}: {command}: {result.out}{result.err}")
    guest.call("/bin/ping -c 1 127.0.0.1")
    pmd = guest.start(TESTPMD)
    try:
        pmd.expect("RX-packets: [1-9]", 10)
    finally:
        pmd.kill(SIGINT)
        result = pmd.wait(20)
    test.check("DPDK 22.11" in result.check().err and "Bye..." in result.out, f"testpmd: {result.out}{result.err}")
