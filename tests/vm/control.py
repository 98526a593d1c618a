# SPDX-License-Identifier: MIT
"""The control channel: commands, exit codes, output, files, waiting."""

import os
import stat
from signal import SIGTERM

from harness.channel import TimedOut
from harness.say import Failure


def raises(kind, function, *arguments):
    try:
        function(*arguments)
    except kind as error:
        return error
    raise Failure(f"{function.__name__}{arguments} did not fail")


def commands(test, agent):
    result = agent.run("echo out; echo err >&2; exit 7")
    test.equal((result.status, result.out, result.err), (7, "out\n", "err\n"), "a command's end")
    test.equal(agent.run("kill -9 $$").status, 256 + 9, "status of a command that was killed")
    test.equal(agent.run("cat").status, 0, "a command that reads its input finds it empty")
    test.equal(len(agent.call("head -c 3000000 /dev/zero")), 3000000, "bytes of a large output")
    test.equal(agent.call(["echo", "two  words", "$HOME"]), "two  words $HOME\n", "a command as a list of words")
    failure = raises(Failure, agent.call, "echo the reason >&2; exit 3")
    test.check("exit code 3" in str(failure) and "the reason" in str(failure), f"unclear: {failure}")


def waiting(test, agent):
    failure = raises(TimedOut, agent.run, "echo before; sleep 100", 0.2)
    test.equal(failure.output.out, "before\n", "what a command said before its limit")
    test.equal(agent.run("pidof sleep").status, 1, "processes left after the limit")
    job = agent.start("sleep 0.1; echo ready 42; sleep 100")
    test.equal(job.expect("^ready [0-9]+$"), "ready 42", "the line that was waited for")
    job.kill(SIGTERM)
    test.equal(job.wait().status, 256 + 15, "status of a job that was killed")
    raises(TimedOut, agent.expect, "/dev/null", "never", 0.1)
    test.equal(job.wait().status, 256 + 15, "status when asked again")


def files(test, agent, folder):
    data = os.urandom(3_000_001)
    (folder / "sent").write_bytes(data)
    (folder / "sent").chmod(0o750)
    agent.put(folder / "sent", "/tmp/sent")
    test.equal(agent.call("sha256sum < /tmp/sent").split()[0], __import__("hashlib").sha256(data).hexdigest(), "checksum there")
    test.equal(agent.call("stat -c %a /tmp/sent").strip(), "750", "mode of the file there")
    agent.get("/tmp/sent", folder / "received")
    test.equal((folder / "received").read_bytes() == data, True, "the file comes back as it went")
    test.equal(stat.S_IMODE((folder / "received").stat().st_mode) & 0o111, 0, "mode of a file that comes back")
    failure = raises(Failure, agent.read, "/no/such/file")
    test.check("/no/such/file" in str(failure) and "No such file" in str(failure), f"unclear: {failure}")
    agent.call("rm /tmp/sent")


def run(test):
    for agent in (test.host, test.shared_guest()):
        commands(test, agent)
        waiting(test, agent)
        files(test, agent, test.folder)
