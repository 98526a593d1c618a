# SPDX-License-Identifier: MIT
"""Programs of tests reach host and guests, once each."""

from harness import elisa


def run(test):
    for agent in (test.host, test.guest()):
        path = test.control(agent)
        result = agent.run(f"{path} --help")
        test.equal(result.status, 0, f"{agent.name}: {result.err}")
        ticks = test.host.channel.ticks
        test.equal(test.control(agent), path, "the same again")
        test.equal(test.host.channel.ticks, ticks, "time that the second took")
        test.equal(agent.call(f"ls {path}").strip(), path, "where it lies")
    test.check(elisa.CONTROL in test.host.placed, "the host's copy is known")
