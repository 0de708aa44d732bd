# The front door: everything a person or CI does with rocd. Meson and ninja do the work behind it.
# `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build

BUILD   ?= build
# gcc 14 or clang 19: C23. An explicit CC wins.
ifeq ($(origin CC),default)
CC := $(shell command -v gcc-14 || command -v clang-19 || command -v gcc)
endif
export CC
# CI treats warnings as errors; packagers and users need not.
WERROR  ?= $(if $(CI),true,false)
SECONDS_ = $(if $(filter command line,$(origin SECONDS)),$(SECONDS),)
SUITE   ?= unit tools api scenario

# Those that link the reconciler.
COVERAGE_TESTS = plan reconcile reconcile-faults attachments remote-source registry registry-streams remote

MESON_FLAGS = -Dwerror=$(WERROR)

.PHONY: help
help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: deps
deps: ## install what building needs (Debian packages)
	@tools/install-deps build

.PHONY: deps-test
deps-test:
	@tools/install-deps build test

# One build directory per flavour; configuring again costs nothing when nothing changed.
$(BUILD)/build.ninja: | deps
	@meson setup $(BUILD) $(MESON_FLAGS) -Dtests=false >/dev/null || { cat $(BUILD)/meson-logs/meson-log.txt; exit 1; }

.PHONY: build
build: $(BUILD)/build.ninja ## compile rocd, rocctl and librocd
	@ninja -C $(BUILD) --quiet

.PHONY: run
run: build ## three peers of one site, a tune from one to another, commanded at the third, until Ctrl-C (SECONDS=10: so long, and look at the recording; PLAY=1: to the loudspeaker as well)
	@tools/demo $(BUILD) $(if $(SECONDS_),--seconds $(SECONDS_)) $(if $(PLAY),--play)

# configure FLAVOUR, EXTRA FLAGS: build-FLAVOUR with tests
define configure
	@[ -f build-$(1)/build.ninja ] || meson setup build-$(1) $(MESON_FLAGS) -Dtests=true $(2) >/dev/null
	@ninja -C build-$(1) --quiet
endef

.PHONY: test
test: deps-test ## unit, tools, api and scenario tests (SUITE=unit runs one of them)
	$(call configure,test,)
	@tools/run-tests build-test $(SUITE)

.PHONY: lint
lint: deps-test ## format, layers, exported symbols, routes, warnings as errors with gcc and clang
	@tools/lint

.PHONY: asan
asan: deps-test ## unit and api tests under AddressSanitizer and UndefinedBehaviorSanitizer
	$(call configure,asan,-Db_sanitize=address$(comma)undefined -Db_lundef=false)
	@tools/run-tests build-asan $(filter unit api,$(SUITE))

.PHONY: tsan
tsan: deps-test ## unit and api tests under ThreadSanitizer
	$(call configure,tsan,-Db_sanitize=thread -Db_lundef=false)
	@tools/run-tests build-tsan $(filter unit api,$(SUITE))

.PHONY: bench
bench: deps-test ## what rocd costs and how well it does (BENCH=short: a minute; ONLY=cpu: one group), as table and JSON
	@[ -f build-bench/build.ninja ] || meson setup build-bench $(MESON_FLAGS) -Dtests=false >/dev/null
	@ninja -C build-bench --quiet all bench-programs
	@tests/bench/bench.py build-bench $(if $(filter short,$(BENCH)),--short) $(addprefix --only ,$(ONLY))

.PHONY: fuzz
fuzz: deps-test ## each fuzz target for a minute under the sanitizers (FUZZ_SECONDS=5; TARGET="gate uri": only these)
	@tools/fuzz $(TARGET)

.PHONY: soak
soak: deps-test ## simulated sites of peers under faults: 40,000 runs (RUNS=1000: fewer; PEERS=3; SEED=1: the first)
	$(call configure,test,)
	@tools/soak build-test --runs $(or $(RUNS),40000) --peers $(or $(PEERS),5) --seed $(or $(SEED),1) --jobs 2

# A process that is forked does not tell what it ran, so each has a share of the seeds.
.PHONY: coverage
coverage: deps-test ## lines and branches of reconcile/ that its unit tests and 500 simulated runs take (MISSING=1: those they do not)
	$(call configure,coverage,-Db_coverage=true -Dbuildtype=debug)
	@find build-coverage -name '*.gcda' -delete
	@meson test -C build-coverage --no-rebuild --quiet --timeout-multiplier 10 $(COVERAGE_TESTS) >build-coverage/tests.out || { cat build-coverage/tests.out; exit 1; }
	@printf '%s\n' 1 251 | xargs -P 2 -I{} build-coverage/tests/sim/sim --runs 250 --seed {}
	@tools/coverage build-coverage src/orchestrator/reconcile $(if $(MISSING),--missing)

# The prefix is written into files, so another one builds them again. Without DESTDIR the loader is told of librocd.
.PHONY: install
install: build ## install under PREFIX (default /usr/local); DESTDIR is honoured
	@meson configure $(BUILD) --prefix=$(or $(PREFIX),/usr/local) >/dev/null
	@ninja -C $(BUILD) --quiet
	@meson install -C $(BUILD) --no-rebuild --quiet
	@[ -n "$(DESTDIR)" ] || [ "$$(id -u)" != 0 ] || ldconfig

.PHONY: fmt
fmt: ## format the C sources
	@git ls-files '*.c' '*.h' | xargs clang-format-19 -i

.PHONY: clean
clean: ## remove all build directories
	@rm -rf build build-*

comma := ,
