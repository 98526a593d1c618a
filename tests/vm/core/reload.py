# SPDX-License-Identifier: MIT
"""The module comes and goes while VMs run that are not attached, and stays while one is."""

ROUNDS = 20


def run(test):
    guest = test.guest()
    module = test.elisa()
    for _ in range(ROUNDS):
        parameters = module.parameters
        module.unload()
        module.load(**parameters)
        test.equal(guest.call("echo alive"), "alive\n", "the VM that runs meanwhile")
    test.elisa_guest(guest)
    test.manager("nop", name="there", vetted=True, grant="all")
    path = test.program(guest, "attach-rounds")
    guest.call(f"{path} there gate 3")
    job = guest.start(f"{test.program(guest, 'call-many')} there gate 1 1")  # ends at once: there is no function add
    job.wait(10)
    held = guest.start(f"{test.program(guest, 'hold')} there")
    held.expect("^attached")
    refused = test.host.run("rmmod elisa")
    test.check(refused.status, "the module was removed while a VM was attached")
    test.equal(guest.call("echo alive"), "alive\n", "the VM after that")
    held.kill()
