# SPDX-License-Identifier: MIT
"""Asks the emulated CPU, with the module in vmx/, to do what the SDM says."""

from pathlib import Path

from harness import modules


def run(test, test_name):
    test.host.stop_guests()  # the module needs VMX to itself
    if not test.host.keeps_vmx_on():
        ask(test, test_name)
        return
    test.host.elisa.unload()
    test.host.unload_kvm()
    try:
        ask(test, test_name)
    finally:
        test.host.load_kvm()


def ask(test, test_name):
    module = test.host.put(modules.build(test.host.kernel, Path(__file__).parent / "vmx", "vmx"))
    result = test.host.run(f"insmod {module} test={test_name} && rmmod vmx")
    log = [line for line in test.host.call("dmesg").splitlines() if "vmx: " in line]
    test.check(result.status == 0, f"{test_name}: {log[-1] if log else result.err.strip()}")
    if test_name in COUNTS and test.host.counts_exactly:
        COUNTS[test_name](test)


def the_vcpu(test, name):
    vcpus = test.host.count_of(name)["vcpus"]
    test.equal(len(vcpus), 1, f"vCPUs counted in {name}")
    return vcpus[0]


def vmfunc_counts(test):
    vcpu = the_vcpu(test, "vmfunc")
    test.equal(vcpu["vmfunc"], 2, "VMFUNCs")
    test.equal(vcpu["vmfunc_failed"], 0, "VMFUNCs that failed")
    if not vcpu["exits"]:  # else an interrupt of the host came between
        test.equal(vcpu["guest"], 9, "instructions between the markers")
    vcpu = the_vcpu(test, "vmfunc failed")
    test.equal((vcpu["vmfunc"], vcpu["vmfunc_failed"]), (1, 1), "VMFUNCs, and those that failed")


def counted_counts(test):
    vcpu = the_vcpu(test, "counted")
    test.equal(vcpu["exits"].get("18"), 5, "exits by VMCALL")
    if set(vcpu["exits"]) == {"18"}:
        test.equal(vcpu["guest"], 100, "instructions of the guest between the markers")
        test.equal(vcpu["host"], test.host.count_of("counted")["cpus"][0]["host"], "instructions of the host for this guest")


def invalidation_counts(test):
    vcpu = the_vcpu(test, "violation")
    test.equal((vcpu["ept_violations"], vcpu["exits"].get("48")), (1, 1), "EPT violations, and exits for them")
    cpu, = test.host.count_of("invalidations")["cpus"]
    test.equal((cpu["invept"], cpu["invvpid"]), (3, 2), "INVEPT and INVVPID of the host")


COUNTS = {"vmfunc": vmfunc_counts, "counted": counted_counts, "invalidations": invalidation_counts}
