# SPDX-License-Identifier: MIT
"""Stock programs of sockets between VMs and with the host: elisa-tap and the virtual switch."""

import errno
import json
import re

from harness import network
from harness.say import say


def machines(test, count):
    """A switch, COUNT guests and the host, joined with it; the host is the last."""
    test.elisa()
    test.host.install_modules("tun")
    guests = network.tap_guests(test, count)
    switch = network.switch(test)
    return switch, [network.Tap(agent, number, test).start() for number, agent in enumerate([*guests, test.host], 1)]


def ping(test, nodes, sizes=(56, 1472)):
    """Each to each; also packets as long as the MTU allows, which may not be taken apart."""
    for node in nodes:
        for other in nodes:
            for size in sizes if other is not node else ():
                out = node.agent.call(f"/bin/ping -c 3 -i 0.01 -M do -s {size} {other.address}", 20)
                test.check("3 received, 0% packet loss" in out,
                           f"{node.agent.name} to {other.agent.name}: {out}; calls that were aborted: {test.listed('abort')}")


def iperf(test, sender, receiver, megabytes, options=""):
    """A TCP stream of stock iperf3, without an error; Mbit/s. Its server stops counting when the client has sent all."""
    server = receiver.agent.start("exec /usr/bin/iperf3 -s -1 -J")
    network.listens(receiver, 5201)
    client = sender.agent.run(f"/usr/bin/iperf3 -c {receiver.address} -n {megabytes}M -J {options}", 120)
    ends = [json.loads(result.check().out)["end"] for result in (client, server.wait(20))]
    sent, received = ends[0]["sum_sent"]["bytes"], ends[1]["sum_received"]["bytes"]
    test.check(sent >= megabytes << 20, f"iperf3 has sent {sent} bytes only")
    test.check(0 < received <= sent, f"iperf3 has received {received} bytes of {sent}")
    return ends[1]["sum_received"]["bits_per_second"] / 1e6


def copy(test, server, client, kilobytes=256):
    """A file through stock httpd and wget: its contents arrive."""
    server.agent.call(f"mkdir -p /tmp/www && dd if=/dev/urandom of=/tmp/www/file bs=1k count={kilobytes}")
    daemon = server.agent.start(f"exec httpd -f -p {server.address}:80 -h /tmp/www")
    network.listens(server, 80)
    got = client.agent.call(f"wget -q -O - http://{server.address}/file | sha256sum", 60)
    daemon.kill()
    daemon.wait()
    test.equal(got, server.agent.call("sha256sum < /tmp/www/file"), "the checksum of what has arrived, and of what was sent")


def ended(test, switch, nodes):
    """Each ends when it is told to, and has refused nothing. No call was aborted, but for locks: a VM that is not let run for
    long while it holds one loses it, as VMs share a CPU here."""
    aborts = [line for line in switch.events() if line.startswith("abort")]
    test.equal([line for line in aborts if f"error=-{errno.ECANCELED} " not in line], [], "calls that were aborted")
    cut = 0
    for node in nodes:
        result = node.stop()
        test.equal(result.status, 0, f"{node.agent.name}: how elisa-tap ended ({result.err})")
        said = dict(re.findall(r"(\S+)=(\d+)", result.out.splitlines()[-1]))
        test.equal(said["device-refused"], "0", f"{node.agent.name}: packets that its device has refused")
        test.check(int(said["to-switch"]) and int(said["from-switch"]), f"{node.agent.name}: nothing was carried: {said}")
        test.check(not node.is_there(), f"{node.agent.name}: the device is still there")
        cut += int(said["calls-cut"])
    test.check(cut <= len(aborts), f"{cut} calls were cut short, but {len(aborts)} aborted")
    if aborts:
        say(f"  calls whose lock was taken from them: {len(aborts)}")


def stock(test, operations=2000, megabytes=1):
    switch, nodes = machines(test, 3)
    first, second, third, host = nodes
    ping(test, nodes)
    for sender, receiver in ((first, second), (third, host), (host, first)):
        speed = iperf(test, sender, receiver, megabytes)
        say(f"  iperf3 {sender.agent.name} to {receiver.agent.name}: {speed:.1f} Mbit/s of emulated time")
        copy(test, sender, receiver)
    memcached = network.start_memcached(second)
    network.check_load(test, network.load(third, second, operations), operations)
    memcached.kill()
    ended(test, switch, nodes)


def killed(test, nodes, operations):
    """An elisa-tap dies while memcached and its load use two others; the port is usable again by a new one."""
    first, server, victim, host = nodes
    memcached = network.start_memcached(server)
    loading = network.load(first, server, operations)
    flood = victim.agent.start(f"exec /bin/ping -q -i 0.002 {first.address}")
    test.host.call("usleep 300000")
    victim.kill()
    flood.kill()
    flood.wait()
    network.check_load(test, loading, operations)
    memcached.kill()
    test.check(not victim.is_there(), "the device of a dead elisa-tap is still there")
    test.check(host.agent.run(f"/bin/ping -c 1 -W 1 {victim.address}").status, "a dead elisa-tap answers")
    victim.start()
    ping(test, [victim, first, host])


def restarted(test, switch, nodes):
    """The switch's manager dies and another one comes: all ports are there again, with the addresses that they had."""
    was = [node.sys("address") for node in nodes]
    switch.kill()
    for node in nodes:
        node.agent.expect(node.errors_path, "the switch was withdrawn.*ESHUTDOWN", 10)
        node.agent.expect(node.errors_path, "trying again", 10)
        node.agent.call(f"until [ $(cat /sys/class/net/{node.DEVICE}/carrier) = 0 ]; do usleep 10000; done", 5)
    switch = network.switch(test)
    for node in nodes:
        node.job.expect("^ready.* again$", 30)
    ping(test, nodes)
    test.equal([node.sys("address") for node in nodes], was, "addresses afterwards")
    return switch


def deaths(test, operations=1500):
    switch, nodes = machines(test, 3)
    killed(test, nodes, operations)
    switch = restarted(test, switch, nodes)
    ended(test, switch, nodes)


def refused(test, tap, options, words, status=1):
    """An elisa-tap ends at once, says why, and leaves no device."""
    result = tap.run(options).wait(10)
    test.equal(result.status, status, f"{options}: exit code ({result.err})")
    test.check(re.search(words, result.err), f"{options}: `{words}` is not in {result.err}")
    test.check(not tap.is_there(), f"{options}: there is a device")


def options(test):
    """Refusals; then several queues and large packets, a given address, and a device that is taken away."""
    test.elisa()
    test.host.install_modules("tun")
    guest, = network.tap_guests(test, 1, vcpus=2)
    tap, host = network.Tap(guest, 1, test), network.Tap(test.host, 2, test)
    refused(test, tap, "", "no object vswitch.*ENOENT")
    waiting = tap.run("--wait")
    guest.expect(tap.errors_path, "ENOENT", 10)
    switch = network.switch(test)
    waiting.expect("^ready", 20)
    tap.stop()
    host.start("--mtu=9000 --queues=2 --address=02:00:00:00:00:99")
    test.equal((host.sys("address"), host.sys("mtu")), ("02:00:00:00:00:99", "9000"), "address and MTU of the device")
    refused(test, tap, "--address=02:00:00:00:00:99", "another port has that address.*EADDRINUSE")
    refused(test, tap, "--name=node2", "another port has that name.*EEXIST")
    refused(test, tap, "--promiscuous", "does not allow.*EPERM")
    refused(test, tap, "--device=sixteen.letters0", "1 to 15 characters", 64)
    refused(test, tap, "--address=01:00:00:00:00:99", "of a group", 64)
    refused(test, tap, "--ring=100", "power of two", 64)
    refused(test, tap, "--mtu=9001", "68 to 9000", 64)
    refused(test, tap, "--device=lo", "it is no TAP device")
    tap.start("--mtu=9000 --queues=2")
    test.equal(int(tap.agent.call(f"ls -d /sys/class/net/{tap.DEVICE}/queues/tx-* | wc -l")), 2, "queues")
    ping(test, [tap, host], sizes=(56, 8972))
    for sender, receiver in ((tap, host), (host, tap)):
        iperf(test, sender, receiver, 1, "-P 2")
        copy(test, sender, receiver)
    ended(test, switch, [host])
    guest.call(f"/bin/ip link del {tap.DEVICE}")
    result = tap.job.wait(10)
    test.check(result.status == 1 and f"TAP device {tap.DEVICE}" in result.err, f"the device went, and: {result.err}")


def run(test, what, **arguments):
    globals()[what](test, **arguments)
