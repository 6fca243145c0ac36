# Every target sets up what it needs: from a fresh clone with python3 >= 3.11, `make demo` is all there is to do.
SHELL := /bin/sh
# Which Python; empty: the system's, else the first on the PATH.
PYTHON ?=
BIN := .venv/bin
RUN := $(BIN)/python -m

FUZZ_SECONDS ?= 600
FUZZ_INPUTS ?= 0
FUZZ_CONNECTIONS ?= 100000
FUZZ_MESSAGES ?= 100000
# Which parsers; empty: all.
FUZZ_TARGETS ?=
WORKERS ?= 2
SOAK_ROUNDS ?= 50
# Of make differential: conversations, or the one with this seed.
COUNT ?= 20000
SEED ?=
LOWEST_TESTS ?= tests/unit tests/property tests/conformance/dimse tests/conformance/upper_layer tests/interop/mesh

.DEFAULT_GOAL := help
.PHONY: help demo up test test-cluster cluster soak-operator check lint format lock lowest bench bench-quick bench-scale bench-line bench-durable soak soak-durable differential fuzz clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# From the lock files and nothing else: every file that is installed has the hash that stands there.
PIP := $(RUN) pip install --quiet --disable-pip-version-check --no-build-isolation --require-hashes

.venv/.installed: pyproject.toml .ci/venv requirements/build.lock requirements/demo.lock
	@PYTHON="$(PYTHON)" sh .ci/venv
	@echo "installing dimse-mesh into .venv"
	@$(PIP) --requirement requirements/build.lock
	@$(PIP) --requirement requirements/demo.lock
	@$(RUN) pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@

.venv/.developing: .venv/.installed requirements/development.lock
	@echo "installing what developers need into .venv"
	@$(PIP) --requirement requirements/development.lock
	@touch $@

demo: .venv/.installed ## Two zones, an archive, real DICOM through the mesh, a table
	@$(RUN) dimse_mesh.app demo

up: .venv/.installed ## The demo's two zones and archive, left running until Ctrl-C
	@$(RUN) dimse_mesh.app demo --stay

test: .venv/.developing ## All tests, in WORKERS (2) processes
	@$(RUN) pytest -q --numprocesses $(WORKERS) --no-loadscope-reorder

.PHONY: test-encrypted
test-encrypted: .venv/.developing ## The tests with other people's DICOM programs once more, through encrypted zones
	@INTEROP_ENCRYPTED=1 $(RUN) pytest -q --numprocesses $(WORKERS) tests/interop/test_*.py tests/interop/peers

cluster: .venv/.developing ## A Kubernetes API server with the operator on 127.0.0.1, left running until Ctrl-C
	@$(RUN) tests.cluster

test-cluster: .venv/.developing ## The operator against a real Kubernetes API server
	@$(RUN) pytest -q tests/cluster

.PHONY: test-collector
test-collector: .venv/.developing ## Traces through an OpenTelemetry Collector of the newest version, which this builds
	@COLLECTOR=$$(tests/interop/observability/collector/build.sh) $(RUN) pytest -q \
	  tests/interop/observability/test_jaeger.py tests/conformance/deploy/test_observability.py

soak-operator: .venv/.developing ## The operator killed 50 times while resources come, change and go
	@OPERATOR_KILLS=50 $(RUN) pytest -q -s tests/cluster/test_many.py

check: .venv/.developing ## What CI runs before the tests: lint, format, types, imports
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(BIN)/lint-imports --no-logo

lint: .venv/.developing ## Mend what ruff can mend
	$(RUN) ruff check --fix .

format: .venv/.developing ## Format the code
	$(RUN) ruff format .

lock: .venv/.developing ## Renew requirements/*.lock from pyproject.toml: newest versions, their hashes
	@requirements/lock

lowest: .venv/.developing ## The tests (LOWEST_TESTS) with the oldest versions that pyproject.toml allows
	@requirements/lowest $(LOWEST_TESTS)

bench: .venv/.developing ## The comparison table; PUBLISH=1 writes it into docs/performance.md
	@$(RUN) tests.bench $(if $(PUBLISH),--publish)

bench-quick: .venv/.developing ## A few rows against two relays; fails above generous limits
	@$(RUN) tests.bench --quick

bench-scale: .venv/.developing ## Cost per operation from 1 to 1,000 associations and to 1,000,000 operations
	@$(RUN) tests.bench.scale

bench-line: .venv/.developing ## 2 x 200 MB over round trips of 0, 80 and 200 ms, beside a direct association; PUBLISH=1 as above
	@$(RUN) tests.bench.long_line $(if $(PUBLISH),--publish)

bench-durable: .venv/.developing ## Durable delivery: destination down, Orthanc, 80 ms, 100,000 objects; PUBLISH=1 as above
	@$(RUN) tests.bench.durable $(if $(PUBLISH),--publish)

.PHONY: bench-storage
bench-storage: .venv/.developing ## Places: the same objects into a folder, a bucket and storescp; one of 4 GB
	@$(RUN) tests.bench.storage

soak: .venv/.developing ## Half an hour of load with random kills, restarts and partitions; prints the table
	@$(RUN) tests.fault.soak --rounds $(SOAK_ROUNDS) --large $(SOAK_ROUNDS)

differential: .venv/.developing ## Random conversations (COUNT, or one SEED), direct and through the mesh, compared
	@$(RUN) tests.interop.differential --count $(COUNT) $(if $(SEED),--seed $(SEED))

.PHONY: interop
interop: .venv/.developing ## Peers of five makes with each other, direct and through the mesh; PUBLISH=1 writes docs/interoperability.md
	@tests/interop/peers/install
	@$(RUN) tests.interop.peers $(if $(PUBLISH),--publish)

soak-durable: .venv/.developing ## Durable delivery under SOAK_FAULTS (320) kills, cuts and resets, 60 kills with three destinations, SOAK_FAILURES (50) power failures
	@$(RUN) pytest -q -s -m soak --timeout 7200 tests/durable

.PHONY: soak-cohort
soak-cohort: .venv/.developing ## A cohort of COHORT_STUDIES (500) studies pulled with ten kills
	@$(RUN) pytest -q -s -m soak --timeout 3600 tests/cohort

.PHONY: soak-priors
soak-priors: .venv/.developing ## Priors of PRIORS_ARRIVALS (1000) new studies in bursts, with 20 kills and restarts
	@$(RUN) pytest -q -s -m soak --timeout 3600 tests/priors

# Coverage-guided where Atheris has a wheel for this Python; else without.
.venv/.fuzzing: .venv/.developing requirements/fuzz.lock
	@$(PIP) --only-binary atheris --requirement requirements/fuzz.lock || \
	  echo "Atheris has no wheel for this Python: fuzzing without coverage"
	@touch $@

fuzz: .venv/.fuzzing ## Any bytes into every parser, for FUZZ_SECONDS (600) or until FUZZ_INPUTS were tried; KEEP=1 renews the corpus
	@$(RUN) tests.fuzz --seconds $(FUZZ_SECONDS) --inputs $(FUZZ_INPUTS) $(if $(KEEP),--keep) $(FUZZ_TARGETS)

.PHONY: fuzz-live
fuzz-live: .venv/.developing ## FUZZ_CONNECTIONS (100000) hostile connections to a running mesh, honest ones beside them
	@$(RUN) tests.fuzz.live --connections $(FUZZ_CONNECTIONS)

.PHONY: fuzz-bus
fuzz-bus: .venv/.developing ## FUZZ_MESSAGES (100000) hostile messages on permitted subjects to every service, by stolen keys
	@$(RUN) tests.fuzz.bus --messages $(FUZZ_MESSAGES)

.venv-audit/.installed: .venv/.developing requirements/audit.lock
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-audit
	@$(BIN)/uv pip install --quiet --python .venv-audit/bin/python --require-hashes --requirement requirements/audit.lock
	@touch $@

.PHONY: audit
audit: .venv-audit/.installed ## Bill of materials of the image (CycloneDX), licences, known vulnerabilities of what is locked
	@requirements/audit

clean: ## Remove what these targets made
	rm -rf .venv .venv-lowest .venv-audit .fuzz .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist data
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
