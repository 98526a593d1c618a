# SPDX-License-Identifier: MIT
# The front door. Everything sets itself up on first use; `make help` says what there is.
TESTBED := testbed/testbed

.PHONY: all help setup test test-long test-machines tests demo shell dpdk install deb test-packages bench-testbed bench-core bench-fidelity bench-network bench-vhost bench-kv bench-scaling bench soak check check-corrections test-mutations fuzz format clean

all: setup

define HELP
make demo                      what this is, in a minute and a half
make test                      all tests, 25 minutes; T="NAME TAG ..." some (core, attack, fault, network, cache ...)
    SEED=N|random              shifted in time; a seed repeats a run to the instruction
    CPUS=2 VCPUS=2 APICV=off KERNEL=trixie CHECKED=1   on another machine than the list says
    KERNEL=debug               on a host with lockdep and KASAN; builds its kernel first, which takes half an hour
    NATIVE=1                   on this machine's own KVM; says first what it will do
make tests                     lists them, also those of the long form alone
make test-long                 all in their long form, with the checker of translations: millions of attempts, 500 kills; hours
make test-machines             the suites with 2 and 4 CPUs and vCPUs, and without APICv: an hour and a half
make test-mutations            the product without one of its guards fails a test, M="NAME FILE ..."; all take hours
make soak T=NAME               fifty runs in a row, each from power-on with a seed of its own
make fuzz SECONDS=60           the code loader and the trusted code's checks, with libFuzzer (needs clang)
make shell                     a shell on the emulated host; from there `guest shell guest1`
make bench                     bench-core, bench-network, bench-kv: text, CSV and plots in build/figures
make bench-scaling             attaching, with 1 to 16 vCPUs and VMs, 64 objects, objects to 4 GiB
make bench-vhost               a packet by vhost-net and a bridge
make bench-fidelity            faults of a kind that only real CPUs show: found, of those planted
make bench-testbed             what the emulated machine costs
make check                     format, static analysis, headers, licences, modules for both kernels; make format
make check-corrections         each correction of the emulator is needed: without it a test fails
make dpdk                      the driver for stock DPDK programs
make deb                       Debian's packages, modules by DKMS
make install PREFIX=/usr       on Debian, without packages
make test-packages             installs, tries and purges the packages in clean trees of Debian 12 and 13
make clean                     what was built in the tree; the cache outside of it stays
endef
export HELP

help:
	@echo "$$HELP"

setup:
	@$(TESTBED) setup

# Whatever the list says: the CPUs of the host, those of guests whose tests do not say how many, who delivers interrupts,
# the Debian release whose kernel host and guests have (or a debug kernel for the host), and whether the checker of
# translations is on (docs/fidelity.md).
MACHINE = $(if $(SEED),--seed $(SEED)) $(if $(CPUS),--cpus $(CPUS)) $(if $(VCPUS),--vcpus $(VCPUS)) $(if $(APICV),--apicv $(APICV)) $(if $(KERNEL),--kernel $(KERNEL)) $(if $(CHECKED),--checked)

test:
	@$(TESTBED) test $(T) $(MACHINE)

test-long:
	@$(TESTBED) test --long $(T) $(MACHINE)

# What runs on other machines than the list names. Each is tried, whatever the one before has found.
SUITES := core attack network cache fault
MACHINES := "--cpus 2 --vcpus 2" "--cpus 4 --vcpus 4" "--apicv off"

test-machines:
	@status=0; for machine in $(MACHINES); do echo "$$machine"; $(TESTBED) test $(or $(T),$(SUITES)) $$machine || status=1; done; exit $$status

tests:
	@$(TESTBED) list

demo:
	@$(TESTBED) demo

shell:
	@$(TESTBED) shell $(if $(CPUS),--cpus $(CPUS))

# The driver for stock DPDK programs: build/dpdk/librte_net_elisa.so.
dpdk:
	@$(TESTBED) dpdk

# Debian without packages: DESTDIR=... goes before PREFIX.
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
