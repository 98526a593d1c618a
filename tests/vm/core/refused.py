# SPDX-License-Identifier: MIT
"""What cannot be served is refused at load or attach, with an errno and one line that names the reason."""

from harness import elisa, modules
from harness.say import Failure


def last_reason(agent, prefix="elisa"):
    lines = [line for line in agent.call("dmesg").splitlines() if f"{prefix}:" in line]
    return lines[-1] if lines else ""


def host(test):
    """The host's module, on a host that lacks something."""
    test.need_emulator()
    test.host.elisa.unload()
    path = elisa.place(test.host, modules.build(test.host.kernel, elisa.HOST_MODULE))
    for parameters, wanted in (("", "has L1TF"), ("ignore_l1tf=1 region=0x1000", "no room for the addresses")):
        test.check(test.host.run(f"insmod {path} {parameters}").status, f"loaded with {parameters!r}")
        test.check(wanted in last_reason(test.host), f"the reason for {parameters!r}: {last_reason(test.host)}")
    test.host.stop_guests()  # also those that tests share
    test.host.unload_kvm()
    status = test.host.run(f"insmod {path} ignore_l1tf=1").status
    test.host.load_kvm()
    test.check(status, "loaded without kvm_intel")
    test.check("kvm_intel is not loaded" in last_reason(test.host), last_reason(test.host))


def guest(test):
    """The guest's driver, on a CPU that lacks something, and on a host without ours."""
    test.host.elisa.unload()
    alone = test.guest()
    refuse(test, alone, "does not have ELISA loaded")
    test.elisa()
    for cpu, wanted in (("host,-pcid,-smap", "SMAP"), ("host,-pcid,-smep", "SMEP"), ("host", "PCID")):
        refuse(test, test.guest(qemu_options=("-cpu", cpu)), wanted)
    test.equal(test.stats()["attachments"], 0, "attachments")


def refuse(test, guest, wanted):
    try:
        elisa.insert(guest, elisa.GUEST_MODULE, guest.kernel)
    except Failure as failure:
        test.check(wanted in str(failure), f"the reason, where {wanted} was expected: {failure}")
        guest.stop()
        return
    test.fail(f"the driver was loaded, where {wanted} should have kept it out")


def locked(test):
    """RLIMIT_MEMLOCK, of a manager and of a client."""
    test.elisa()
    before = test.stats()
    run = f"{elisa.place(test.host, elisa.MANAGER)} --code {elisa.place(test.host, elisa.code_of('nop'))}"
    limited = test.host.run(f"chmod 666 /dev/elisa; {test.program(test.host, 'limited')} 64 {run} --name x --memory 1M")
    test.check(limited.status and "RLIMIT_MEMLOCK" in limited.err, f"a manager beyond its limit: {limited.err}")
    test.equal(test.stats(), before, "what the module holds after that")
    guest = test.client()
    test.manager("nop", name="nop", vetted=True, grant="all")
    guest.call("chmod 666 /dev/elisa")
    held = test.stats(guest)
    client = guest.run(f"{test.program(guest, 'limited')} 16 {test.program(guest, 'attach-rounds')} nop gate 1 16")
    test.check(client.status and "RLIMIT_MEMLOCK" in client.err, f"a client beyond its limit: {client.err}")
    test.equal(test.stats(guest), held, "what the guest's driver holds after that")


def code(test):
    """Code files that are none; each thing that can be wrong has a unit test (image)."""
    test.elisa()
    before = test.stats()
    manager = elisa.place(test.host, elisa.MANAGER)
    test.host.write("/tmp/text", b"no code\n")
    for file, wanted in (("/tmp/text", "not an ELF file"), (manager, "kit"), ("/tmp/nothing", "No such file")):
        result = test.host.run(f"{manager} --code {file} --name x")
        test.check(result.status == 1 and wanted in result.err and result.err.count("\n") == 1, f"{file}: {result.err}")
    test.equal(test.stats(), before, "what the module holds after that")


def run(test, what):
    globals()[what](test)
