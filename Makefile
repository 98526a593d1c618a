# SPDX-License-Identifier: MIT
# The front door. Everything sets itself up on first use; see README.md.
#
#   make test [T="NAME TAG ..."] [SEED=N|random] [CPUS=N] [VCPUS=N] [APICV=on|off]   NATIVE=1 make test   on this machine's own KVM
TESTBED := testbed/testbed

.PHONY: all setup test test-long tests demo shell dpdk install deb test-packages bench-testbed bench-core bench-fidelity bench-network bench-vhost bench-kv bench-scaling bench soak check check-corrections test-mutations fuzz format clean

all: setup

setup:
	@$(TESTBED) setup

# Whatever the list says: the CPUs of the host, those of guests whose tests do not say how many, and who delivers interrupts.
MACHINE = $(if $(SEED),--seed $(SEED)) $(if $(CPUS),--cpus $(CPUS)) $(if $(VCPUS),--vcpus $(VCPUS)) $(if $(APICV),--apicv $(APICV))

test:
	@$(TESTBED) test $(T) $(MACHINE)

test-long:
	@$(TESTBED) test --long $(T) $(MACHINE)

tests:
	@$(TESTBED) list

demo:
	@$(TESTBED) demo

shell:
	@$(TESTBED) shell $(if $(CPUS),--cpus $(CPUS))

# The driver for stock DPDK programs: build/dpdk/librte_net_elisa.so.
dpdk:
	@$(TESTBED) dpdk

# For systems without Debian's packages: DESTDIR=... goes before PREFIX.
PREFIX ?= /usr
install:
	@$(TESTBED) install --prefix $(PREFIX)

# Debian's packages: build/deb/*.deb. Their test installs and removes them in clean trees of Debian 12 and 13.
deb:
	@$(TESTBED) deb

test-packages:
	@$(TESTBED) test-packages

# The tables; bench-scaling takes four minutes of one core more.
bench: bench-core bench-network bench-kv

bench-testbed bench-core bench-fidelity bench-network bench-vhost bench-kv bench-scaling: bench-%:
	@$(TESTBED) bench $* $(BENCH_OPTIONS)

soak:
	@$(TESTBED) soak $(T) $(if $(SEED),--seed $(SEED))

# Needs clang and its runtime (clang, libclang-rt-14-dev); the kept corpus runs in `make test` without.
fuzz:
	@tests/fuzz/run $(SECONDS) || [ $$? = 77 ]

check-corrections:
	@$(TESTBED) corrections $(T)

# The product without one of its guards fails a test: M="NAME FILE ..." of tests/mutations.toml, all without.
JOBS ?= 2
test-mutations:
	@$(TESTBED) mutations --jobs $(JOBS) $(M)

check:
	@$(TESTBED) check

format:
	@$(TESTBED) check --fix

# What was built in the tree; the cache outside of it stays.
clean:
	rm -rf build
