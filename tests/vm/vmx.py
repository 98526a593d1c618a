# SPDX-License-Identifier: MIT
"""Asks the emulated CPU, with the module in vmx/, to do what the SDM says."""

from pathlib import Path

from harness import modules


def run(test, test_name):
    test.host.stop_guests()  # the module needs VMX to itself
    module = test.host.put(modules.build(test.host.kernel, Path(__file__).parent / "vmx", "vmx"))
    result = test.host.run(f"insmod {module} test={test_name} && rmmod vmx")
    log = [line for line in test.host.call("dmesg").splitlines() if "vmx: " in line]
    test.check(result.status == 0, f"{test_name}: {log[-1] if log else result.err.strip()}")
    if test_name in COUNTS and test.host.counts_exactly:
        COUNTS[test_name](test)


def vmfunc_counts(test):
    vcpu, = test.host.count_of("vmfunc")["vcpus"]
    test.equal(vcpu["vmfunc"], 2, "VMFUNCs")
    test.equal(vcpu["vmfunc_failed"], 0, "VMFUNCs that failed")
    if not vcpu["exits"]:  # else an interrupt of the host came between
        test.equal(vcpu["instructions"], 9, "instructions between the markers")
    vcpu, = test.host.count_of("vmfunc failed")["vcpus"]
    test.equal((vcpu["vmfunc"], vcpu["vmfunc_failed"]), (1, 1), "VMFUNCs, and those that failed")


def counted_counts(test):
    vcpu, = test.host.count_of("counted")["vcpus"]
    test.equal(vcpu["exits"].get("18"), 5, "exits by VMCALL")
    if set(vcpu["exits"]) == {"18"}:
        test.equal(vcpu["instructions"], 100, "instructions of the guest between the markers")


COUNTS = {"vmfunc": vmfunc_counts, "counted": counted_counts}
