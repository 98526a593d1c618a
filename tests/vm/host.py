# SPDX-License-Identifier: MIT
"""The emulated host is the machine that was asked for."""


def run(test):
    test.need_emulator()
    host = test.host
    test.equal(host.call("uname -r").strip(), host.kernel.version, "kernel")
    test.equal(int(host.call("nproc")), host.cpus, "CPUs online")
    test.equal(host.call("cat /sys/module/kvm_intel/parameters/enable_apicv").strip(), "Y" if host.apicv else "N", "APICv")
    test.equal(host.call("cat /sys/module/kvm_intel/parameters/ept").strip(), "Y", "EPT")
    flags = host.call("grep -m 1 'vmx flags' /proc/cpuinfo").split()
    for flag in ("ept", "ept_x_only", "vpid", "unrestricted_guest", "posted_intr"):
        test.check(flag in flags, f"the emulated CPU has no {flag}")
    start = host.channel.ticks
    host.call("sleep 0.5")
    slept = (host.channel.ticks - start) / 1e8
    test.check(0.5 <= slept < 0.7, f"half a second of sleep took {slept:.3f} s of emulated time")
