# SPDX-License-Identifier: MIT
"""testbed COMMAND: see `testbed --help`."""

import argparse
import sys

from . import debug_kernel, setup, testlist
from .say import Failure, say


def command_setup(_):
    setup.everything()


def command_list(_):
    short = {entry.name for entry in testlist.load()}
    for entry in testlist.load(long=True):
        say(f"{entry.name:40} {' '.join(entry.tags)}{'' if entry.name in short else '  (long form only)'}")


def command_test(options):
    from . import runner
    entries = testlist.choose(testlist.load(long=options.long), options.names)
    if options.cpus or options.vcpus or options.apicv or options.kernel or options.checked:
        entries = testlist.on_machine(entries, options.cpus, options.vcpus, options.apicv and options.apicv == "on",
                                      options.kernel, options.checked)
    seed = runner.seed_from(options.seed)
    if runner.is_native():
        setup.user_space()
    else:
        setup.everything()
    if seed is not None:
        say(f"seed {seed}: `make test SEED={seed}` with the same tests runs exactly the same")
    report = runner.run(entries, seed)
    for line in report.table():
        say(line)
    say(report.summary())
    return 1 if report.count("FAIL") else 0


def command_shell(options):
    from . import shell
    setup.everything()
    shell.run(options.cpus)


def command_bench(options):
    from . import bench
    setup.everything()
    return bench.run(options)


def command_dpdk(_):
    from . import dpdk
    setup.check_system()
    dpdk.build()


def command_install(options):
    from . import deb
    setup.check_system()
    deb.install(options.prefix)


def command_deb(_):
    from . import deb
    setup.check_system()
    deb.build()


def command_test_packages(_):
    from . import deb, packages
    setup.check_system()
    return packages.test(deb.build())


def command_soak(options):
    from . import soak
    setup.everything()
    return soak.run(options.names, dict(zip((1, 2, 4), options.runs)), options.seed)


def command_corrections(options):
    from . import corrections
    setup.everything()
    return corrections.check(options.names)


def command_mutations(options):
    from . import mutations
    setup.everything()
    return mutations.test_all(options.names, options.jobs)


def command_mutant(options):
    from . import mutations
    mutations.run_here(options.build, options.tests)


def command_check(options):
    from . import check
    return check.run_all(options.fix)


def command_demo(_):
    from . import demo
    setup.everything()
    return demo.run()


def parse():
    parser = argparse.ArgumentParser(prog="testbed", description="The emulated machine and the tests that run in it.")
    commands = parser.add_subparsers(dest="command", required=True)

    def add(name, function, text):
        command = commands.add_parser(name, help=text)
        command.set_defaults(function=function)
        return command

    add("setup", command_setup, "install packages, build the emulator, fetch kernels")
    add("list", command_list, "the tests and their tags")
    test = add("test", command_test, "run tests")
    test.add_argument("names", nargs="*", metavar="NAME|TAG")
    test.add_argument("--long", action="store_true", help="the long form: more attempts, and tests that have no other")
    test.add_argument("--cpus", type=int, choices=testlist.CPUS, help="of the emulated host, whatever the list says; no units")
    test.add_argument("--vcpus", type=int, help="of guests, where the test does not say how many")
    test.add_argument("--apicv", choices=("on", "off"), help="whatever the list says")
    test.add_argument("--kernel", choices=debug_kernel.CHOICES, help="of host and guests, whatever the list says; "
                      "debug: of the host, with lockdep, KASAN and more")
    test.add_argument("--checked", action="store_true", help="with the checker of translations; no units")
    test.add_argument("--seed", help="a number, or random: shift everything in time by it")
    shell = add("shell", command_shell, "a shell on the emulated host")
    shell.add_argument("--cpus", type=int, default=1, choices=testlist.CPUS)
    bench = add("bench", command_bench, "measure, against limits")
    bench.add_argument("name", nargs="?", default="testbed", help="testbed (what it costs), core, network, kv, scaling, vhost, "
                       "fidelity")
    bench.add_argument("--runs", type=int, default=3, help="testbed: boots to take the median of")
    bench.add_argument("--no-soak", action="store_true", help="testbed: leave out the runs in a row, which take 25 minutes")
    add("dpdk", command_dpdk, "build the DPDK driver")
    install = add("install", command_install, "install programs, library, kit, and the modules' sources, below DESTDIR if set")
    install.add_argument("--prefix", default="/usr")
    add("deb", command_deb, "build Debian's packages")
    add("test-packages", command_test_packages, "build them, and install, try and remove them in clean trees of Debian")
    soak = add("soak", command_soak, "many runs, each with a seed of its own")
    soak.add_argument("names", nargs="*", metavar="NAME|TAG")
    soak.add_argument("--runs", type=int, nargs=3, default=(50, 50, 50), metavar="N", help="for 1, 2 and 4 CPUs")
    soak.add_argument("--seed", help="of the first run", default="random")
    corrections = add("corrections", command_corrections, "show that each correction of the emulator is needed")
    corrections.add_argument("names", nargs="*", metavar="CORRECTION")
    mutations = add("mutations", command_mutations, "show that each guard of the product is needed")
    mutations.add_argument("names", nargs="*", metavar="MUTATION|FILE")
    mutations.add_argument("--jobs", type=int, default=2, help="how many at a time")
    mutant = add("mutant", command_mutant, "for `mutations`, in a copied tree: the first test that fails")
    mutant.add_argument("build", help="the real tree's folder of that name")
    mutant.add_argument("tests", nargs="*")
    check = add("check", command_check, "format, static analysis, headers, licences")
    check.add_argument("--fix", action="store_true", help="format the C code first")
    add("demo", command_demo, "see what it is")
    return parser.parse_args()


def main():
    options = parse()
    try:
        return options.function(options) or 0
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno == 28:
            from . import cache
            print(f"error: no space left on the disk that {cache.root()} or {setup.TREE / 'build'} is on", file=sys.stderr)
            return 2
        raise
    except KeyboardInterrupt:
        print("\ninterrupted; what was finished is kept, the next run goes on from there", file=sys.stderr)
        return 130


sys.exit(main())
