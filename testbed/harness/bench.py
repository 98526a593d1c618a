# SPDX-License-Identifier: MIT
"""`make bench-NAME`: figures, each against its limit."""

from . import bench_core, bench_fidelity, bench_kv, bench_network, bench_scaling, bench_testbed, bench_vhost
from .say import Failure

BENCHES = {"core": bench_core.run, "fidelity": bench_fidelity.run, "kv": bench_kv.run, "network": bench_network.run,
           "scaling": bench_scaling.run, "testbed": bench_testbed.run, "vhost": bench_vhost.run}


def run(options):
    if options.name not in BENCHES:
        raise Failure(f"no benchmark is called {options.name}; there are {', '.join(BENCHES)}")
    return BENCHES[options.name](options)
