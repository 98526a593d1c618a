# SPDX-License-Identifier: MIT
"""The README's example, as a reader would run it."""


def run(test):
    folder = test.build / "examples" / "counter"
    guests = [test.elisa_guest(guest) for guest in test.guests(2)]
    test.host.call("mkdir -p /root/example")
    for name in ("manager", "object.elf"):
        test.host.put(folder / name, f"/root/example/{name}")
    manager = test.host.start("cd /root/example && exec ./manager")
    for guest in guests:
        guest.put(folder / "client", "/root/client")
    hits = []
    for _ in range(100):
        result = guests[0].run("/root/client")
        if not result.status:
            hits.append(result.out)
            break
    hits += [guest.call("/root/client") for guest in (guests[1], guests[0])]
    test.equal(hits, ["1 hits\n", "2 hits\n", "3 hits\n"], "what the clients printed")
    manager.kill()
    manager.wait(10)
    refused = guests[0].run("/root/client")
    test.equal((refused.status, refused.err), (1, "there is no object hits\n"), "a client without a manager")
