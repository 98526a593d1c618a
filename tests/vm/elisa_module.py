# SPDX-License-Identifier: MIT
"""elisa.ko loads into the stock kernel, counts what is made with it, and is gone without a trace."""

from harness.say import Failure

NOTHING = {"objects": 0, "attachments": 0, "vms": 0, "vcpus": 0, "pinned_pages": 0}


def held(test):
    stats = test.stats()
    return {name: stats[name] for name in NOTHING}


def run(test):
    test.host.elisa.unload()
    test.elisa()
    test.equal(held(test), NOTHING, "held after loading")
    manager = test.manager(name="one", memory="64K")
    test.equal(held(test), {**NOTHING, "objects": 1, "pinned_pages": 16}, "held by an object of 16 pages")
    test.equal([entry["name"] for entry in test.listed("object")], ["one"], "objects listed")
    try:
        test.manager(name="one")
        test.fail("two objects have one name")
    except Failure as failure:
        test.check("one" in str(failure), f"a refusal that does not name the object: {failure}")
    test.check("1 objects" in test.host.elisa.held(), "a held object is not noticed")
    test.equal(manager.stop().status, 0, "the manager's end")
    test.equal(held(test), NOTHING, "held after the manager's end")
    test.manager(name="one").kill()
    test.load_object("nop")
    test.host.elisa.unload()
    test.equal(test.host.run("grep -q ^elisa /proc/modules").status, 1, "modules gone")
