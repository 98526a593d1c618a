# SPDX-License-Identifier: MIT
"""Counts of a known sequence of instructions, and of a known number of exits, are exact: in a guest and on the host."""

CPUID_EXIT = "10"


def quiet(regions):
    """Those in which nothing but CPUID exited: no interrupt of the host came between."""
    return [region for region in regions if all(set(vcpu["exits"]) <= {CPUID_EXIT} for vcpu in region["vcpus"])]


def run(test):
    test.need_emulator()
    host, program = test.host, test.build / "tests" / "vm" / "count"
    guest = test.shared_guest()
    for agent in (guest, host):
        first = len(host.counts)
        agent.call(agent.put(program))
        regions = host.counts[first:]
        for name, instructions, exits in (("empty", 0, 0), ("thousand", 1000, 0), ("cpuid", 60, 20)):
            mine = [region for region in quiet(regions) if region["name"] == name]
            test.check(len(mine) >= 3, f"{agent.name}: only {len(mine)} of the regions {name} were not interrupted")
            for region in mine:
                cpu, = region["cpus"]
                if agent is guest:
                    got = sum(vcpu["guest"] for vcpu in region["vcpus"])
                    cpuids = sum(vcpu["exits"].get(CPUID_EXIT, 0) for vcpu in region["vcpus"])
                    test.equal((got, cpuids), (instructions, exits), f"{name}: instructions and exits in the guest")
                    test.equal(sum(vcpu["host"] for vcpu in region["vcpus"]), cpu["host"], f"{name}: the host's, by vCPU")
                    test.check((cpu["host"] > 0) == (exits > 0), f"{name}: {cpu['host']} instructions of the host")
                elif cpu["guest"] == 0 and cpu["host"] < 2000:  # a longer one was interrupted
                    test.equal(cpu["host"], instructions, f"{name}: instructions on the host")
